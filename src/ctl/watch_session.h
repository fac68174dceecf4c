// ctl/watch_session.h
//
// WatchSession: all watches of one run on one stream, printed as they come, each event handed to
// its watch's command. When the stream breaks it is opened anew and every watch goes on after the
// last revision it has shown, so nothing is lost or shown twice.
//
// Threads: one reader inside; add() and progress() from one other thread. Output is written by the
// reader only.

#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/printer.h"
#include "ctl/watch_arguments.h"

namespace keelson::ctl {

class WatchSession {
 public:
  // `interactive`: more watches may come at any time, so the end of the last one is not the end;
  // and a failed command ends the process at once, for the other thread waits for a terminal.
  WatchSession(Client& client, Printer& printer, Console& console, bool interactive);
  ~WatchSession();

  void add(WatchPlan plan);
  void progress();

  // Blocks until the server has ended every watch, or a command failed. Returns the exit status.
  absl::Status wait();

 private:
  void read_stream();
  bool reopen(const absl::Status& why);
  void handle(const pb::WatchResponse& response);
  void created(const pb::WatchResponse& response);
  void refused(const pb::WatchResponse& response);
  void show(const WatchPlan& plan, const pb::WatchResponse& response);
  void run_command(const WatchPlan& plan, const pb::WatchResponse& response);
  void send_create(const WatchPlan& plan);  // REQUIRES: mutex_ held

  Client& client_;
  Printer& printer_;
  Console& console_;
  const bool interactive_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<WatchStream> stream_;
  std::deque<WatchPlan> pending_;         // asked for, id not known yet, in order
  std::map<int64_t, WatchPlan> watches_;  // by the server's id
  absl::Status result_;
  bool finished_ = false;
  bool stopping_ = false;
  std::thread reader_;
};

}  // namespace keelson::ctl
