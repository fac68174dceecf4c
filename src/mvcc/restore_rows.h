// mvcc/restore_rows.h
//
// RowReader walks the key bucket on a thread of its own, ahead of the restore: it reads, checks and
// copies rows in batches, so that the disk and the index are worked on at the same time.
//
// Threads: next() by one caller; the reader's own thread fills at most kAhead batches.
// Lifetime: the backend outlives it; the destructor stops the thread.

#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "base/bytes.h"
#include "mvcc/revision_key.h"
#include "mvcc/store.h"

namespace keelson::mvcc {

struct Row {
  ParsedRevision at;
  Bytes value;      // the encoded KeyValue
  KeyValueView kv;  // views into `value`
  uint64_t hash;    // of the key
};

class RowReader {
 public:
  static constexpr size_t kBatch = 512;
  static constexpr size_t kAhead = 16;

  explicit RowReader(const backend::Backend& backend);
  ~RowReader();

  // The next batch in order of revision; empty at the end. DataLoss for what does not parse.
  absl::Status next(std::vector<Row>* rows);

 private:
  void run();
  absl::Status read();
  // False when nobody wants more.
  bool hand_over(std::vector<Row> rows);

  const backend::Backend& backend_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<Row>> ready_;  // at most kAhead
  absl::Status end_ = absl::OkStatus();
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

// "mvcc: <what>; the database is damaged: …", saying what to do.
absl::Status damaged_database(std::string_view what);

}  // namespace keelson::mvcc
