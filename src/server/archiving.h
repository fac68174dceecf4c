// server/archiving.h
//
// --keelson-archive: the thread that drives the archive, and what ties it to the member.
//
// Threads: made before the node starts, stopped after it has stopped, on the main thread. The
//   archive's own thread is a bit nicer than the rest; nobody waits for it but stop(), and that
//   for ten seconds.
// Lifetime: the node outlives it.

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "archive/archive.h"
#include "base/thread.h"
#include "http/metrics.h"
#include "node/node.h"
#include "server/config.h"

namespace keelson::server {

// Refused where the archive and the member would be in each other's way: one directory inside of
// the other. Looks at names only.
absl::Status check_archive_place(const Config& config);

class Archiving final : private archive::Member {
 public:
  // From now on the log is held back; the thread begins with start().
  Archiving(const Config& config, node::Node& node);
  ~Archiving() override;

  void start();
  // What was applied is archived as far as that takes two seconds; then the thread has ended. Fine
  // when it was not started. False: it hangs in a call to its disk, and may come back at any time;
  // neither this nor the node may go away before the process does.
  bool stop();
  // For metrics; any thread.
  void show(http::Metrics& metrics) const;

 private:
  std::shared_ptr<const backend::Snapshot> state() override;
  void need_log_from(Index index) override;
  void run();

  int64_t lag_ms() const;

  node::Node& node_;
  const int64_t started_ms_;
  archive::Archive archive_;  // the thread's

  std::mutex mutex_;
  std::condition_variable woken_;
  bool stopping_ = false;  // under mutex_, as the next one
  bool ended_ = false;     // the thread is about to
  Thread thread_;
};

}  // namespace keelson::server
