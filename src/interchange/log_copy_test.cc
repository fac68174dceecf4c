// What a copied log holds: behind the state what it always held, and before it the history, as far
// back as the original has it, whatever became of that log.

#include "interchange/log_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/protobuf.h"
#include "base/quiet_log.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "wal/follower.h"
#include "wal/record_buffer.h"
#include "wal/test_logs.h"
#include "wal/wal.h"
#include "wire/internal_request.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using wal::entry;

constexpr uint64_t kSmall = 8192;  // bytes of a segment
const MemberId kMe{0xa1};
const raft::ConfState kConf{.voters = {kMe}};

// A request to put a value of that size.
std::string put_of(size_t size) {
  std::string body;
  pb::append_bytes_field(body, 1, "k");
  pb::append_bytes_field(body, 2, std::string(size, 'v'));
  return wire::wrap_internal(7, "", 0, wire::InternalKind::kPut, body).str();
}

class LogCopyTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = cat(testing::TempDir(), "keelson_log_copy_", ::getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string from() const { return dir_ + "/from"; }
  std::string to() const { return dir_ + "/to"; }

  std::unique_ptr<wal::Wal> make(wal::SegmentName first = {}) {
    return *wal::Wal::create(from(), wire::encode(wire::WalMetadata{kMe, ClusterId(7)}),
                             {.segment_bytes = kSmall, .max_segments = 1, .unsafe_no_fsync = true},
                             first);
  }
  static std::string text(uint64_t i) { return put_of(i * 37 % 700); }
  static raft::HardState state(uint64_t term, uint64_t commit) {
    return {Term(term), kMe, Index(commit)};
  }
  static void fill(wal::Wal& log, uint64_t first, uint64_t last, uint64_t term = 2) {
    for (uint64_t i = first; i <= last; ++i) {
      ASSERT_TRUE(log.append(state(term, i - 1), {{entry(i, term, text(i))}}).ok());
      if (i % 10 != 0) continue;
      ASSERT_TRUE(log.sync().ok());
    }
  }
  static void mark(wal::Wal& log, uint64_t index, uint64_t term) {
    ASSERT_TRUE(log.save_snapshot({Index(index), Term(term)}, kConf).ok());
  }

  LogCopy copy_at(uint64_t index) const {
    auto found = wal::newest_mark(from(), Index(index));
    EXPECT_TRUE(found.ok()) << found.status();
    return {.from = from(),
            .mark = found.ok() ? *found : wire::WalSnapshot(),
            .to = to(),
            .index = Index(index),
            .conf_state = kConf,
            .segment_bytes = kSmall};
  }
  CopiedLog copy(const LogCopy& what) {
    absl::StatusOr<CheckedLog> checked = check_log(what);
    EXPECT_TRUE(checked.ok()) << checked.status();
    if (!checked.ok()) return {};
    absl::StatusOr<CopiedLog> copied = copy_log(what, *std::move(checked));
    EXPECT_TRUE(copied.ok()) << copied.status();
    return copied.ok() ? *copied : CopiedLog();
  }

  // All that is in a log, whatever mark one begins at.
  static std::vector<raft::Entry> all_of(const std::string& log) {
    std::vector<raft::Entry> entries;
    auto read = wal::read_history(log, wal::collect_into(&entries));
    EXPECT_TRUE(read.ok()) << read.status();
    return entries;
  }
  static std::vector<uint64_t> marks_of(const std::string& log) {
    std::vector<uint64_t> marks;
    auto read = wal::read_history(log, {});
    EXPECT_TRUE(read.ok()) << read.status();
    for (const auto& one : read->marks) marks.push_back(one.index.value);
    return marks;
  }
  static std::vector<uint64_t> indexes_of(const std::string& log) {
    std::vector<uint64_t> indexes;
    for (const raft::Entry& one : all_of(log)) indexes.push_back(one.index.value);
    return indexes;
  }
  static std::vector<raft::Entry> past(const std::string& log, uint64_t index, uint64_t term) {
    std::vector<raft::Entry> entries;
    auto read = wal::read(log, {Index(index), Term(term)}, wal::collect_into(&entries));
    EXPECT_TRUE(read.ok()) << read.status();
    return entries;
  }
  static std::vector<std::string> segments_of(const std::string& log) {
    std::vector<std::string> names;
    for (const auto& file : fs::directory_iterator(log)) {
      if (file.path().extension() == ".wal") names.push_back(file.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  log::QuietLog quiet_;
  std::string dir_;
};

TEST_F(LogCopyTest, HasWhatIsBeforeTheState) {
  auto log = make();
  fill(*log, 1, 60);
  mark(*log, 50, 2);
  fill(*log, 61, 130);
  mark(*log, 120, 2);
  fill(*log, 131, 200);
  ASSERT_TRUE(log->close().ok());
  const CopiedLog copied = copy(copy_at(150));
  EXPECT_EQ(copied.term, Term(2));
  EXPECT_EQ(copied.entries_of_before, 150u);
  EXPECT_EQ(copied.entries, 50u);
  EXPECT_EQ(all_of(to()), all_of(from()));
  EXPECT_THAT(marks_of(to()), ElementsAre(0, 150, 50, 120, 150));
  EXPECT_EQ(wal::newest_mark(to(), Index(UINT64_MAX))->index, Index(150));
  EXPECT_EQ(past(to(), 150, 2).size(), 50u);
  EXPECT_EQ(past(to(), 0, 0).size(), 200u);
  EXPECT_EQ(*wal::verify(to(), {Index(150), Term(2)}), *wal::verify(from(), {Index(120), Term(2)}));
  EXPECT_GE(segments_of(to()).size(), 4u);
  // It goes on as any log does.
  auto opened = wal::Wal::open(to(), {Index(150), Term(2)}, {.segment_bytes = kSmall}, {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  fill(*opened->wal, 201, 230);
  ASSERT_TRUE(opened->wal->close().ok());
  EXPECT_EQ(all_of(to()).size(), 230u);
}

TEST_F(LogCopyTest, BeginsWhereTheOriginalBegins) {
  auto log = make();
  fill(*log, 1, 100);
  mark(*log, 100, 2);
  ASSERT_TRUE(log->sync().ok());
  log->release_to(Index(100));
  fill(*log, 101, 150);
  ASSERT_TRUE(log->close().ok());
  const std::vector<std::string> original = segments_of(from());
  ASSERT_NE(original.front(), "0000000000000000-0000000000000000.wal");
  ASSERT_LT(all_of(from()).front().index, Index(100));
  ASSERT_GT(all_of(from()).front().index, Index(1));
  copy(copy_at(140));
  EXPECT_EQ(segments_of(to()).front(), original.front());
  EXPECT_EQ(all_of(to()), all_of(from()));
  EXPECT_THAT(marks_of(to()), ElementsAre(140, 100, 140));
  EXPECT_EQ(past(to(), 140, 2).size(), 10u);
  EXPECT_EQ(past(to(), 100, 2).size(), 50u);
  // And so does a copy of the copy, where somebody was at work meanwhile.
  fs::remove_all(from());
  fs::rename(to(), from());
  copy(copy_at(145));
  EXPECT_EQ(segments_of(to()).front(), original.front());
  EXPECT_EQ(all_of(to()), all_of(from()));
}

// A crash left the first segment of a copy, under a name that is not a new log's.
TEST_F(LogCopyTest, IsBegunAnew) {
  auto log = make({5, Index(1000)});
  fill(*log, 1000, 1010);
  mark(*log, 1005, 2);
  ASSERT_TRUE(log->close().ok());
  fs::create_directories(to() + ".tmp");
  {
    wal::RecordBuffer head;
    head.add_crc();
    std::ofstream(cat(to(), ".tmp/0000000000000005-00000000000003e8.wal")) << head.view();
  }
  copy(copy_at(1007));
  EXPECT_THAT(segments_of(to()), ElementsAre("0000000000000005-00000000000003e8.wal"));
  EXPECT_EQ(all_of(to()), all_of(from()));
}

TEST_F(LogCopyTest, HasNothingThatWasReplaced) {
  auto log = make();
  fill(*log, 1, 20);
  ASSERT_TRUE(log->append({}, {{entry(21, 2, text(21)), entry(22, 2, text(22))}}).ok());
  ASSERT_TRUE(log->append(state(3, 20), {{entry(20, 3, text(5)), entry(21, 3, text(6))}}).ok());
  fill(*log, 22, 30, 3);
  mark(*log, 25, 3);
  // Past the state, too: no etcd that begins at the state may find the end of another leader's log.
  ASSERT_TRUE(log->append({}, {{entry(31, 3, text(1)), entry(32, 3, text(2))}}).ok());
  ASSERT_TRUE(log->append(state(4, 30), {{entry(31, 4, text(3))}}).ok());
  ASSERT_TRUE(log->close().ok());
  copy(copy_at(28));
  uint64_t records = 0;
  for (const raft::Entry& one : all_of(to())) {
    EXPECT_EQ(one.index, Index(++records));
    EXPECT_EQ(one.term, Term(records < 20 ? 2 : records < 31 ? 3 : 4));
  }
  EXPECT_EQ(records, 31u);
}

// A state of another member's took the place of what was there.
TEST_F(LogCopyTest, LeapsWhereTheOriginalDoes) {
  auto log = make();
  fill(*log, 1, 16);
  ASSERT_TRUE(log->append({}, {{entry(17, 2, "lost"), entry(18, 2, "lost")}}).ok());
  mark(*log, 100, 4);
  fill(*log, 101, 120, 4);
  mark(*log, 110, 4);
  ASSERT_TRUE(log->close().ok());
  copy(copy_at(115));
  std::vector<uint64_t> expected;
  for (uint64_t i = 1; i <= 15; ++i) expected.push_back(i);
  for (uint64_t i = 101; i <= 120; ++i) expected.push_back(i);
  EXPECT_EQ(indexes_of(to()), expected);
  EXPECT_THAT(marks_of(to()), ElementsAre(0, 115, 100, 110, 115));
  EXPECT_EQ(past(to(), 115, 4).size(), 5u);
  EXPECT_EQ(past(to(), 100, 4).size(), 20u);
}

// Records as etcd writes them: a mark whose state did not reach the disk is not heeded, and what
// lies past a mark of another leader's is.
TEST_F(LogCopyTest, AStateThatWasNeverTakenOver) {
  for (const bool taken : {false, true}) {
    SCOPED_TRACE(taken);
    wal::RecordBuffer records;
    records.add_crc();
    records.add_data(wire::RecordType::kMetadata,
                     wire::encode(wire::WalMetadata{kMe, ClusterId(7)}));
    records.add_data(wire::RecordType::kSnapshot, wire::encode(wire::WalSnapshot{}));
    for (uint64_t i = 1; i <= 20; ++i) records.add_entry(entry(i, 2, text(i)));
    records.add_state(state(2, 10));
    records.add_data(wire::RecordType::kSnapshot,
                     wire::encode(wire::WalSnapshot{Index(15), Term(3), kConf}));
    for (uint64_t i = taken ? 16 : 14; i <= 30; ++i) records.add_entry(entry(i, 3, text(i)));
    records.add_state(state(3, 30));
    fs::remove_all(from());
    fs::remove_all(to());
    fs::create_directories(from());
    std::ofstream(from() + "/0000000000000000-0000000000000000.wal")
        << records.view() << std::string(4096, '\0');
    copy(copy_at(25));
    std::vector<uint64_t> expected;
    for (uint64_t i = 1; i <= 30; ++i) {
      if (!taken || i <= 10 || i > 15) expected.push_back(i);
    }
    EXPECT_EQ(indexes_of(to()), expected);
    EXPECT_EQ(past(to(), 25, 3).size(), 5u);
  }
}

TEST_F(LogCopyTest, DoesWithoutWhatCannotBeRead) {
  auto log = make();
  fill(*log, 1, 100);
  mark(*log, 90, 2);
  fill(*log, 101, 150);
  ASSERT_TRUE(log->close().ok());
  {
    std::fstream first(from() + "/" + segments_of(from()).front());
    first.seekp(1000);
    first.write("x", 1);
  }
  const CopiedLog copied = copy(copy_at(140));
  EXPECT_EQ(copied.entries_of_before, 0u);
  EXPECT_EQ(past(to(), 140, 2).size(), 10u);
  EXPECT_EQ(indexes_of(to()).front(), 141u);
  // Where a segment is missing it begins behind that.
  fs::remove(from() + "/" + segments_of(from())[1]);
  fs::remove_all(to());
  copy(copy_at(140));
  EXPECT_EQ(segments_of(to()).front(), segments_of(from())[1]);
  EXPECT_GT(indexes_of(to()).front(), 1u);
  EXPECT_LT(indexes_of(to()).front(), 90u);
}

TEST_F(LogCopyTest, DoesWithoutWhatTheDiskHasNoRoomFor) {
  auto log = make();
  fill(*log, 1, 50);
  ASSERT_TRUE(log->close().ok());
  const LogCopy what = copy_at(40);
  absl::StatusOr<CheckedLog> checked = check_log(what);
  ASSERT_TRUE(checked.ok()) << checked.status();
  ASSERT_TRUE(checked->history.has_value());
  uint64_t bytes = 0;
  for (const raft::Entry& one : all_of(from())) bytes += one.data.size();
  EXPECT_GT(checked->history->bytes + checked->bytes, bytes);
  EXPECT_LT(checked->history->bytes + checked->bytes, bytes + 50 * 100);
  fit_history(what, uint64_t{1} << 60, "/proc/1", &*checked);
  EXPECT_TRUE(checked->history.has_value()) << "on another disk";
  fit_history(what, 1, dir_, &*checked);
  EXPECT_TRUE(checked->history.has_value());
  fit_history(what, uint64_t{1} << 60, dir_ + "/not/there", &*checked);
  EXPECT_FALSE(checked->history.has_value());
  ASSERT_TRUE(copy_log(what, *std::move(checked)).ok());
  EXPECT_EQ(indexes_of(to()).front(), 41u);
}

// An archive does not go on across what an etcd applied, however much the log has of it. Nor does
// that keep the log from being read, copied, or gone on with.
TEST_F(LogCopyTest, IsNoContinuationForAnArchive) {
  auto log = make();
  fill(*log, 1, 130);
  ASSERT_TRUE(log->close().ok());
  const auto goes_on = [&](uint64_t behind) {
    auto follower = wal::Follower::open(to(), {Index(behind), Term(2), std::nullopt}, {});
    if (!follower.ok()) return follower.status();
    absl::Status s = (*follower)->next({Index(behind), Term(2)}).status();
    return s.ok() ? (*follower)->next({Index(130), Term(2)}).status() : s;
  };
  for (const AppliedBy by : {AppliedBy::kKeelson, AppliedBy::kEtcd36}) {
    const bool ours = by == AppliedBy::kKeelson;
    fs::remove_all(to());
    LogCopy what = copy_at(100);
    what.applied_by = by;
    copy(what);
    EXPECT_EQ(all_of(to()), all_of(from()));
    EXPECT_EQ(marks_of(to()),
              ours ? (std::vector<uint64_t>{0, 100, 100}) : (std::vector<uint64_t>{0, 100}));
    EXPECT_EQ(absl::IsOutOfRange(goes_on(50)), ours) << goes_on(50);
    EXPECT_TRUE(goes_on(100).ok()) << goes_on(100);
    EXPECT_TRUE(goes_on(110).ok()) << goes_on(110);
    EXPECT_EQ(past(to(), 0, 0).size(), 130u);
    EXPECT_EQ(past(to(), 100, 2).size(), 30u);
  }
  // The next one has it once, where it belongs.
  fs::remove_all(from());
  fs::rename(to(), from());
  copy(copy_at(100));
  fs::remove_all(from());
  fs::rename(to(), from());
  LogCopy what = copy_at(120);
  what.applied_by = AppliedBy::kEtcd36;
  copy(what);
  EXPECT_THAT(marks_of(to()), ElementsAre(0, 100, 120));
  EXPECT_EQ(all_of(to()), all_of(from()));
}

// A member's life at random, and beside it a list of what became final.
class Life {
 public:
  Life(Random& random, std::unique_ptr<wal::Wal> log) : random_(random), log_(std::move(log)) {}

  void step() {
    switch (random_.below(8)) {
      case 0:
        return mark();
      case 1:
        return new_leader();
      case 2:
        if (random_.below(4) == 0) take_over();
        return;
      case 3:
        ASSERT_TRUE(log_->sync().ok());
        return log_->release_to(Index(marked_));
      default:
        return append();
    }
  }
  void close() { ASSERT_TRUE(log_->close().ok()); }
  uint64_t commit() const { return commit_; }
  uint64_t marked() const { return marked_; }
  // Those at or below `index` that were committed here.
  std::map<uint64_t, raft::Entry> committed(uint64_t index) const {
    return {entries_.begin(), entries_.upper_bound(std::min(index, commit_))};
  }

 private:
  void append() {
    std::vector<raft::Entry> batch;
    for (uint64_t n = 1 + random_.below(4); n > 0; --n) {
      batch.push_back(entry(++last_, term_, put_of(random_.below(700))));
      entries_[last_] = batch.back();
    }
    ASSERT_TRUE(log_->append(commits(), batch).ok());
  }
  raft::HardState commits() {
    if (random_.below(3) == 0) return {};
    commit_ += random_.below(last_ - commit_ + 1);
    return {Term(term_), kMe, Index(commit_)};
  }
  void new_leader() {
    ++term_;
    const uint64_t keeps = commit_ + random_.below(last_ - commit_ + 1);
    last_ = keeps;
    entries_.erase(entries_.upper_bound(last_), entries_.end());
    ASSERT_TRUE(log_->append({Term(term_), kMe, Index(commit_)}, {}).ok());
    append();
  }
  void mark() {
    if (commit_ <= marked_ || !entries_.contains(commit_)) return;
    marked_ = commit_;
    ASSERT_TRUE(log_->save_snapshot({Index(marked_), entries_[marked_].term}, kConf).ok());
  }
  // Of what is past the commit nothing counts any more.
  void take_over() {
    ++term_;
    entries_.erase(entries_.upper_bound(commit_), entries_.end());
    commit_ = marked_ = last_ = std::max(last_, commit_) + 1 + random_.below(20);
    ASSERT_TRUE(log_->save_snapshot({Index(marked_), Term(term_)}, kConf).ok());
    append();
  }

  Random& random_;
  std::unique_ptr<wal::Wal> log_;
  std::map<uint64_t, raft::Entry> entries_;
  uint64_t last_ = 0, commit_ = 0, marked_ = 0, term_ = 1;
};

TEST_F(LogCopyTest, OfAnyLogWhatIsHistoryAndNothingElse) {
  for_each_seed(40, [&](uint64_t seed) {
    SeededRandom random(seed);
    fs::remove_all(from());
    fs::remove_all(to());
    Life life(random, make());
    for (uint64_t steps = random.below(150); steps > 0; --steps) life.step();
    life.close();
    const uint64_t index = life.marked() + random.below(life.commit() - life.marked() + 1);
    if (index == 0) return;
    const CopiedLog copied = copy(copy_at(index));
    const std::map<uint64_t, raft::Entry> model = life.committed(index);
    uint64_t at_or_below = 0;
    for (const raft::Entry& one : all_of(to())) {
      if (one.index > Index(index)) continue;
      ++at_or_below;
      const auto known = model.find(one.index.value);
      ASSERT_NE(known, model.end()) << one.index.value;
      EXPECT_EQ(known->second, one) << one.index.value;
    }
    EXPECT_EQ(at_or_below, copied.entries_of_before);
    // As far back as the original goes.
    const auto original = wal::read_history(from(), {});
    ASSERT_TRUE(original.ok()) << original.status();
    const auto first = model.lower_bound(original->first.first_index.value);
    EXPECT_GE(at_or_below, static_cast<uint64_t>(std::distance(first, model.end())));
    const auto mark = copy_at(index).mark;
    std::vector<raft::Entry> expected = past(from(), mark.index.value, mark.term.value);
    std::erase_if(expected, [&](const raft::Entry& one) { return one.index <= Index(index); });
    EXPECT_EQ(past(to(), index, copied.term.value), expected);
    EXPECT_TRUE(
        wal::Wal::open(to(), {Index(index), copied.term}, {.segment_bytes = kSmall}, {}).ok());
  });
}

}  // namespace
}  // namespace keelson::interchange
