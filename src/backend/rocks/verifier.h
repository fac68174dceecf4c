// backend/rocks/verifier.h
//
// Verifier reads every block of the store once, in the background and at a fraction of a core, and
// says when one is damaged. Nothing waits for it: each read checks its own blocks, so nothing wrong
// is ever served; this finds what nobody reads, while the other members still have it. The records
// of the key family are shown to whoever wants them on the way.
//
// Deleted records are read over without being seen, any number of them in one step of an iterator.
//   So an iterator that passes over too many gives up, and the next is given fewer keys to walk.
// Threads: one of its own. `passing` and `damaged`, the latter at most once, are called from it.
// Lifetime: the database and the families outlive it; stop() before they end.

#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "backend/rocks/reader.h"
#include "backend/rocks/waits.h"

namespace keelson::backend::rocks {

class Verifier {
 public:
  Verifier(rocksdb::DB* db, const Families& families, const Waits& waits, TakePassing passing,
           std::function<void(absl::Status)> damaged);
  ~Verifier() { stop(); }

  void stop();

 private:
  void run();
  absl::Status verify(rocksdb::ColumnFamilyHandle* family, bool show);
  // `reached` becomes the last key that was read.
  void slice(rocksdb::Iterator& it, bool show, std::string* reached);
  // False: stopping.
  bool rest(std::chrono::steady_clock::duration time);

  rocksdb::DB& db_;
  const Families& families_;
  const Waits waits_;
  const TakePassing passing_;
  const std::function<void(absl::Status)> damaged_;
  // The thread's.
  uint64_t verified_ = 0;  // bytes of keys and values
  bool wanted_ = true;     // by passing_
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace keelson::backend::rocks
