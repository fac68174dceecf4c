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
//
// A second, small reserve is for starts alone, in pieces, of which each is as much as an open
// writes: so that a store whose disk is full to the last byte opens, and opens again where the
// process was killed before it had that piece back.
// Threads: give_away(), is_short() and leaves_room() from any; the rest from the one that opens the
//   store. A thread of its own tries to take it back.
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
  // The store is open: what is kept for starts is kept for the next one from now on.
  void opened();
  // A write found no space. Whether that is worth another try: some was given away just now.
  bool give_away();
  bool is_short() const { return short_.load(std::memory_order_acquire); }
  // Whether a merge that writes so many bytes more leaves enough for flushes and the log: always,
  // but while space is short.
  bool leaves_room(uint64_t bytes) const;
  uint64_t bytes() const { return bytes_; }
  // Ends the thread; what is held stays held, for the next open.
  void stop();

 private:
  struct Piece {
    std::string path;
    uint64_t bytes;
  };
  bool is_there(const Piece& piece) const;
  rocksdb::IOStatus take(const Piece& piece);
  // What is missing of all of it, what is for starts first.
  rocksdb::IOStatus take_all();
  bool give_for_start();
  void try_again();
  bool may_fit() const;
  // True also where nobody knows.
  bool has_free(uint64_t bytes) const;
  Piece main() const { return {path_, bytes_}; }
  Piece for_start(int i) const;

  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string directory_, path_;
  const std::function<void(bool)> tell_;
  const Waits waits_;
  std::atomic<uint64_t> bytes_;  // 0 from when it is known that none can be had
  std::mutex mutex_;             // over changes of what follows, and over `tell_`
  bool open_ = false;
  std::atomic<bool> short_{false};
  // While space is short: rounds to let pass before the next try, and after one that fails.
  // to_pass_ <= pause_ <= kMostPause.
  static constexpr int kMostPause = 16;
  int to_pass_ = 0;
  int pause_ = 0;
  std::optional<Worker> worker_;  // set exactly when there is a reserve; last, it uses the rest
};

}  // namespace keelson::backend::rocks
