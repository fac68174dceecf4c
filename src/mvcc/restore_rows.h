// mvcc/restore_rows.h
//
// RowReader walks the heads of the key bucket on a thread of its own, ahead of the restore: it
// reads and checks them in batches, so that the disk and the index are worked on at the same time.
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
#include "mvcc/revision_key.h"
#include "mvcc/row_head.h"

namespace keelson::mvcc {

struct Row {
  ParsedRevision at;
  RowHead head;   // its key is in the batch's text
  uint64_t hash;  // of the key
};

struct RowBatch {
  std::vector<Row> rows;
  std::vector<char> text;  // not a string: a short one's bytes move with it
};

class RowReader {
 public:
  static constexpr size_t kBatch = 512;
  static constexpr size_t kAhead = 16;

  explicit RowReader(const backend::Backend& backend);
  ~RowReader();

  // The next batch in order of revision; without rows at the end. DataLoss for what does not parse.
  absl::Status next(RowBatch* batch);

 private:
  void run();
  absl::Status read();
  // False when nobody wants more.
  bool hand_over(RowBatch batch);

  const backend::Backend& backend_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<RowBatch> ready_;  // at most kAhead
  absl::Status end_ = absl::OkStatus();
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace keelson::mvcc
