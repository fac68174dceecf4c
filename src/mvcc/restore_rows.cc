#include "mvcc/restore_rows.h"

#include <utility>

#include "absl/hash/hash.h"
#include "base/text.h"

namespace keelson::mvcc {

absl::Status damaged_database(std::string_view what) {
  return absl::DataLossError(cat("mvcc: ", what,
                                 "; the database is damaged: restore this member from a snapshot "
                                 "or add it anew"));
}

RowReader::RowReader(const backend::Backend& backend) : backend_(backend) {
  thread_ = std::thread([this] { run(); });
}

RowReader::~RowReader() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status RowReader::next(std::vector<Row>* rows) {
  rows->clear();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
  if (ready_.empty()) return end_;
  *rows = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

void RowReader::run() {
  absl::Status status = read();
  std::lock_guard lock(mutex_);
  end_ = std::move(status);
  ended_ = true;
  changed_.notify_all();
}

absl::Status RowReader::read() {
  RevisionKey first({1, 0});
  std::unique_ptr<backend::Iterator> it =
      backend_.iterate(backend::Bucket::kKey, {.lower = first.view()});
  std::vector<Row> rows;
  rows.reserve(kBatch);
  for (it->seek_to_first(); it->valid(); it->next()) {
    Row& row = rows.emplace_back();
    if (!parse_revision_key(it->key(), &row.at)) {
      return damaged_database("a revision does not parse");
    }
    row.value = Bytes::copy(it->value());
    if (!decode_key_value(row.value, &row.kv) || row.kv.key.empty()) {
      return damaged_database(
          cat("the KeyValue of revision ", row.at.revision.main, " does not parse"));
    }
    if (!row.at.tombstone && row.kv.mod_revision != row.at.revision.main) {
      return damaged_database(cat("the KeyValue of revision ", row.at.revision.main,
                                  " says it is of revision ", row.kv.mod_revision));
    }
    row.hash = absl::HashOf(to_absl(row.kv.key));
    if (rows.size() < kBatch) continue;
    if (!hand_over(std::exchange(rows, {}))) return absl::OkStatus();
    rows.reserve(kBatch);
  }
  if (!it->status().ok()) return it->status();
  if (!rows.empty()) hand_over(std::move(rows));
  return absl::OkStatus();
}

bool RowReader::hand_over(std::vector<Row> rows) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ready_.size() < kAhead || stopped_; });
  if (stopped_) return false;
  ready_.push_back(std::move(rows));
  lock.unlock();
  changed_.notify_all();
  return true;
}

}  // namespace keelson::mvcc
