#include "backend/rocks/head_walk.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/heads.h"
#include "backend/rocks/live_tables.h"
#include "base/check.h"
#include "base/log.h"

namespace keelson::backend::rocks {
namespace {

// One table's keys, and its head file if it has one.
struct Table {
  std::string smallest, largest;
  std::optional<HeadFileId> heads;
};

// Keys whose head files are of no use: the records have to be read.
struct Gap {
  std::string from, to;  // both of it
};

// Tables that follow each other: a whole level, or one of level 0.
class Run {
 public:
  explicit Run(std::deque<Table> tables) : tables_(std::move(tables)) {}

  // Otherwise key() is a guess: the next table's first key, should it have a head file.
  bool loaded() const { return file_.has_value(); }
  bool ended() const { return !file_ && tables_.empty(); }
  std::string_view key() const {
    return file_ ? row_.key : std::string_view(tables_.front().smallest);
  }
  // REQUIRES: loaded().
  const HeadRow& row() const { return row_; }

  // Goes on to the next row, or to the end of the table's. The rest of it, should it be damaged.
  // REQUIRES: loaded().
  std::optional<Gap> advance() {
    const HeadRow before_row = row_;
    const std::string_view before = before_row.key;
    HeadFile::Next next = file_->next(&row_);
    if (next == HeadFile::Next::kRow && !may_follow(before_row)) next = HeadFile::Next::kDamaged;
    if (next == HeadFile::Next::kRow) return std::nullopt;
    std::optional<Gap> gap;
    if (next == HeadFile::Next::kDamaged) gap = Gap{std::string(before), table_.largest};
    file_.reset();
    return gap;
  }
  // REQUIRES: neither loaded() nor ended().
  std::optional<Gap> load(const HeadKeeper& keeper) {
    CHECK(!ended());
    table_ = std::move(tables_.front());
    tables_.pop_front();
    if (table_.heads) file_ = HeadFile::load(keeper.files(), keeper.directory(), *table_.heads);
    if (!file_) return Gap{table_.smallest, table_.largest};
    row_ = {.key = table_.smallest, .sequence = UINT64_MAX};
    return advance();
  }

 private:
  // Whether the row may be of this table, and behind the one before: what has the right sums was
  // perhaps written wrong, or by somebody else.
  bool may_follow(const HeadRow& before) const {
    if (row_.key < before.key || row_.key > table_.largest) return false;
    if (row_.key == before.key && row_.sequence > before.sequence) return false;
    return row_.deletion || !row_.head.empty();
  }

  std::deque<Table> tables_;  // not begun
  Table table_;               // begun
  std::optional<HeadFile> file_;
  HeadRow row_;
};

// For a heap whose top comes first: by key, what is not loaded yet before what is, then by age.
bool comes_later(const Run* a, const Run* b) {
  if (const int order = a->key().compare(b->key()); order != 0) return order > 0;
  if (a->loaded() != b->loaded()) return a->loaded();
  return a->loaded() && a->row().sequence < b->row().sequence;
}

class MergeWalk final : public HeadWalk {
 public:
  MergeWalk(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, const Reader& reader,
            const HeadKeeper& keeper, const HeadFormat& format)
      : db_(*db), reader_(reader), keeper_(keeper), format_(format) {
    db_.DisableFileDeletions().PermitUncheckedError();
    find_runs(family);
    for (Run& run : runs_) put_back(&run);
  }
  ~MergeWalk() override {
    db_.EnableFileDeletions(/*force=*/false).PermitUncheckedError();
    if (gaps_begun_ > 0) log::info("backend: values were read to start", {{"ranges", gaps_begun_}});
  }

  bool next() override {
    while (status_.ok()) {
      if (gap_) {
        if (next_of_gap()) return true;
        continue;
      }
      if (begin_gap()) continue;
      if (heap_.empty()) return false;
      if (next_of_files()) return true;
    }
    return false;
  }
  std::string_view key() const override { return shown_; }
  std::string_view head() const override { return head_; }
  absl::Status status() const override { return status_; }

 private:
  void find_runs(rocksdb::ColumnFamilyHandle* family);

  bool is_new(std::string_view key) const { return !begun_ || key > floor_; }
  void raise_floor(std::string_view key) {
    CHECK(is_new(key));
    begun_ = true;
    floor_.assign(key);
  }
  void show(std::string_view key, std::string_view head) {
    raise_floor(key);
    shown_.assign(key);
    head_.assign(head);
  }

  void note(std::optional<Gap> gap) {
    if (gap) gaps_.push_back(*std::move(gap));
  }
  void put_back(Run* run) {
    if (run->ended()) return;
    heap_.push_back(run);
    std::push_heap(heap_.begin(), heap_.end(), comes_later);
  }
  bool next_of_files();
  bool begin_gap();
  bool next_of_gap();

  rocksdb::DB& db_;
  const Reader& reader_;
  const HeadKeeper& keeper_;
  const HeadFormat format_;
  std::deque<Run> runs_;
  std::vector<Run*> heap_;         // those that are not ended
  std::vector<Gap> gaps_;          // not begun
  std::unique_ptr<HeadWalk> gap_;  // begun: through the records themselves
  std::string gap_end_;            // its last key
  int64_t gaps_begun_ = 0;
  bool begun_ = false;
  std::string floor_;  // once begun_: no key up to it is shown (again); only grows
  std::string shown_, head_;
  absl::Status status_;
};

void MergeWalk::find_runs(rocksdb::ColumnFamilyHandle* family) {
  absl::StatusOr<std::vector<LiveTable>> tables = live_tables(db_, family);
  if (!tables.ok()) {
    status_ = tables.status();
    return;
  }
  int level = 0;
  std::deque<Table> run;
  auto end_run = [&] {
    if (!run.empty()) runs_.emplace_back(std::exchange(run, {}));
  };
  for (const LiveTable& table : *tables) {
    if (table.level != level || level == 0) end_run();
    level = table.level;
    Table& to = run.emplace_back();
    to.smallest = table.file.smallestkey;
    to.largest = table.file.largestkey;
    if (table.properties) to.heads = head_file_of(*table.properties, format_.version);
  }
  end_run();
}

// Whether it has something to show.
bool MergeWalk::next_of_files() {
  std::pop_heap(heap_.begin(), heap_.end(), comes_later);
  Run* run = heap_.back();
  heap_.pop_back();
  bool shown = false;
  if (!run->loaded()) {
    note(run->load(keeper_));
  } else {
    // Of the rows of one key the newest comes first; the others are not new any more.
    if (is_new(run->key())) {
      shown = !run->row().deletion;
      if (shown) {
        show(run->key(), run->row().head);
      } else {
        raise_floor(run->key());
      }
    }
    note(run->advance());
  }
  put_back(run);
  return shown;
}

// Whether the next key is in a gap: then the walk goes on through the records, to the end of it and
// of those that overlap it.
bool MergeWalk::begin_gap() {
  std::erase_if(gaps_, [this](const Gap& gap) { return !is_new(gap.to); });
  auto first = std::min_element(gaps_.begin(), gaps_.end(),
                                [](const Gap& a, const Gap& b) { return a.from < b.from; });
  if (first == gaps_.end()) return false;
  if (!heap_.empty() && heap_.front()->key() < first->from) return false;
  Gap gap = std::move(*first);
  gaps_.erase(first);
  if (begun_) gap.from = std::max(gap.from, floor_);
  const std::string beyond = gap.to + '\0';
  gap_ = heads_from_values(reader_, format_, {.lower = gap.from, .upper = beyond});
  gap_end_ = std::move(gap.to);
  ++gaps_begun_;
  return true;
}

bool MergeWalk::next_of_gap() {
  while (gap_->next()) {
    if (!is_new(gap_->key())) continue;
    show(gap_->key(), gap_->head());
    return true;
  }
  status_ = gap_->status();
  gap_.reset();
  if (is_new(gap_end_)) raise_floor(gap_end_);
  return false;
}

}  // namespace

std::unique_ptr<HeadWalk> merge_head_files(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family,
                                           const Reader& reader, const HeadKeeper& keeper,
                                           const HeadFormat& format) {
  return std::make_unique<MergeWalk>(db, family, reader, keeper, format);
}

}  // namespace keelson::backend::rocks
