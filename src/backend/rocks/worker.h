// backend/rocks/worker.h
//
// Worker does one kind of work on a thread of its own: at once when somebody asks and waits for it,
// and a second after a hint that there may be some. Whoever asks while a run is under way is
// answered by the next.
//
// Threads: ask() and soon() from any; they never block. stop() from one, not the worker's own.

#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "backend/rocks/waits.h"

namespace keelson::backend::rocks {

class Worker {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // `work(asked)` runs on the thread, which `name` (at most 15 characters) is given to; `asked`:
  // somebody waits for its status. Everything that it uses has to be there already.
  Worker(const char* name, const Waits& waits, absl::AnyInvocable<absl::Status(bool asked)> work);
  ~Worker() { stop(); }

  // `done` is called once, on the thread, by stop() with kCancelled, or at once with
  // kResourceExhausted when kMostWaiting wait already.
  static constexpr size_t kMostWaiting = 1024;
  void ask(Done done);
  void soon();
  // Ends the thread after the run under way. False: it had ended before.
  bool stop();
  // For long work: it should come to an end.
  bool stopping() const { return stopping_; }
  // For work that waits for something else. False: it should come to an end instead.
  bool pause(Waits::Time time);

 private:
  void run(const char* name);

  const Waits waits_;
  absl::AnyInvocable<absl::Status(bool asked)> work_;
  std::atomic<bool> hinted_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Done> asked_;  // at most kMostWaiting; empty once stopped
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace keelson::backend::rocks
