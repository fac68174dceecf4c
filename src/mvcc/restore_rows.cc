#include "mvcc/restore_rows.h"

#include <span>
#include <utility>

#include "absl/hash/hash.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::mvcc {
namespace {

bool lies_in(std::string_view part, std::span<const char> text) {
  return part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size();
}

// A revision makes one version of a key at most; so whoever counts on from here stays behind the
// revisions, too.
bool is_of(const RowHead& head, int64_t revision) {
  const auto counts = [revision](int64_t number) { return number >= 0 && number <= revision; };
  return counts(head.create_revision) && counts(head.version);
}

}  // namespace

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

absl::Status RowReader::next(RowBatch* batch) {
  *batch = {};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
  if (ready_.empty()) return end_;
  *batch = std::move(ready_.front());
  ready_.pop_front();
  CHECK(lies_in(batch->rows.front().head.key, batch->text));
  CHECK(lies_in(batch->rows.back().head.key, batch->text));
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
  std::unique_ptr<backend::HeadWalk> walk = backend_.walk_heads(kHeadFormat);
  RowBatch batch;
  std::vector<size_t> ends;  // of each row's head in the batch's text
  // The text moves while it grows: it is looked at when it is whole.
  auto hand_over_batch = [&]() -> absl::StatusOr<bool> {
    size_t begin = 0;
    for (size_t i = 0; i < batch.rows.size(); begin = ends[i++]) {
      Row& row = batch.rows[i];
      const std::string_view head(batch.text.data() + begin, ends[i] - begin);
      if (!decode_row_head(head, &row.head)) {
        return damaged_database(
            cat("the head of revision ", row.at.revision.main, " does not parse"));
      }
      if (!row.at.tombstone && !is_of(row.head, row.at.revision.main)) {
        return damaged_database(cat("the key of revision ", row.at.revision.main,
                                    " was made, or has versions, that it cannot have"));
      }
      row.hash = absl::HashOf(to_absl(row.head.key));
    }
    ends.clear();
    return hand_over(std::exchange(batch, {}));
  };
  while (walk->next()) {
    Row& row = batch.rows.emplace_back();
    // No transaction has four billion changes.
    if (!parse_revision_key(walk->key(), &row.at) || row.at.revision.sub > UINT32_MAX) {
      return damaged_database("a revision does not parse");
    }
    const std::string_view head = walk->head();
    batch.text.insert(batch.text.end(), head.begin(), head.end());
    ends.push_back(batch.text.size());
    if (batch.rows.size() < kBatch) continue;
    absl::StatusOr<bool> wanted = hand_over_batch();
    if (!wanted.ok() || !*wanted) return wanted.status();
  }
  if (!walk->status().ok()) return walk->status();
  if (batch.rows.empty()) return absl::OkStatus();
  return hand_over_batch().status();
}

bool RowReader::hand_over(RowBatch batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ready_.size() < kAhead || stopped_; });
  if (stopped_) return false;
  ready_.push_back(std::move(batch));
  lock.unlock();
  changed_.notify_all();
  return true;
}

}  // namespace keelson::mvcc
