// backend/rocks/reserve.h
//
// Reserve keeps some of the disk's space back, in a file of zeros, and gives it away when the disk
// is full: so that flushes, merges that drop dead records, the marks of the raft log and a restart
// always find room, and a disk that the member filled itself is not the end of it.
//
// While it is given away, space is short: the member refuses what adds to the store, and the
// reserve is taken back as soon as the disk has it again, which ends the shortage. Each second the
// disk is asked how much it has, and tried when that is enough. Where it has less than it says (of
// somebody's quota it says nothing) tries become rarer, down to one in 16 seconds.
// Threads: give_away() and is_short() from any; the rest from the one that opens the store. A
//   thread of its own tries to take it back.
// Errors: a file system that cannot reserve space has no reserve; that is logged.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backend/rocks/waits.h"
#include "backend/rocks/worker.h"
#include "rocksdb/file_system.h"

namespace keelson::backend::rocks {

class Reserve {
 public:
  // In the store's `directory`; 0 `bytes`: there is none. `tell(true)` when space becomes short,
  // `tell(false)` when it is not any more, in turn; on any thread, not under a lock of its callers.
  Reserve(std::shared_ptr<rocksdb::FileSystem> files, const std::string& directory, uint64_t bytes,
          const Waits& waits, std::function<void(bool)> tell);
  ~Reserve() { stop(); }

  // Takes it. Where there is no space for it, space is short from the start.
  void take_first();
  // A write found no space. Whether that is worth another try: it was given away just now.
  bool give_away();
  bool is_short() const { return short_.load(std::memory_order_acquire); }
  uint64_t bytes() const { return bytes_; }
  // Ends the thread; what is held stays held, for the next open.
  void stop();

 private:
  rocksdb::IOStatus take();
  void try_again();
  bool may_fit() const;

  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string path_;
  const std::function<void(bool)> tell_;
  const Waits waits_;
  std::atomic<uint64_t> bytes_;  // 0 from when it is known that none can be had
  std::mutex mutex_;             // over changes of what follows, and over `tell_`
  std::atomic<bool> short_{false};
  // While space is short: rounds to let pass before the next try, and after one that fails.
  // to_pass_ <= pause_ <= kMostPause.
  static constexpr int kMostPause = 16;
  int to_pass_ = 0;
  int pause_ = 0;
  std::optional<Worker> worker_;  // set exactly when there is a reserve; last, it uses the rest
};

}  // namespace keelson::backend::rocks
