// What an archive promises: nothing is lost but what it says, whatever step a crash comes at;
// bounds; damage is told; and nobody else's directory is touched.

#include "archive/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/inventory.h"
#include "archive/test_archive.h"
#include "base/test_seeds.h"

namespace keelson::archive {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

TEST_F(ArchiveTest, EveryRevisionSinceItBegan) {
  member_->work(20);
  start();
  settle();
  for (int i = 0; i < 10; ++i) {
    member_->work(10);
    wait(seconds(1));
  }
  EXPECT_EQ(archive_->counts().index.load(), member_->applied());
  EXPECT_EQ(archive_->counts().revision.load(), member_->revision());
  EXPECT_EQ(archive_->counts().gaps.load(), 0u);
  EXPECT_TRUE(archive_->counts().healthy.load());
  ASSERT_EQ(catalogue().size(), 1u);
  EXPECT_EQ(catalogue()[0].owner, kOwner);
  check_all();
}

TEST_F(ArchiveTest, ATimeIsTheNewestStateThatIsNotYounger) {
  member_->put("a", "0");
  start();
  settle();
  for (int i = 0; i < 60; ++i) {
    member_->put("a", cat(i));
    clock_.advance(milliseconds(200));
    drive(1);
  }
  settle();
  const StretchEntry stretch = catalogue().at(0);
  for (int64_t t = stretch.first_time(); t <= stretch.last_time(); t += 100) {
    auto back = bring_back(fs_, {.unix_ms = t});
    ASSERT_TRUE(back.ok()) << back.status();
    const Record& record = member_->record();
    EXPECT_LE(record.at(back->index.value).unix_ms, t);
    auto next = record.find(back->index.value + 1);
    if (next == record.end()) continue;
    EXPECT_GT(next->second.unix_ms, t - 1300) << "more than a second is missing";
  }
  EXPECT_THAT(message_of(status_of({.unix_ms = stretch.first_time() - 1})),
              HasSubstr("nothing is known of"));
  EXPECT_THAT(message_of(status_of({.unix_ms = stretch.last_time() + 1})),
              HasSubstr("nothing is known of"));
}

TEST_F(ArchiveTest, GoesOnWhereItEnded) {
  member_->work(10);
  start();
  settle();
  for (int i = 0; i < 4; ++i) {
    archive_.reset();
    member_->work(10);
    if (i % 2 == 0) {
      fs_.crash(random_);
      member_->restart();
    }
    start();
    settle();
  }
  EXPECT_EQ(catalogue().size(), 1u);
  EXPECT_EQ(archive_->counts().gaps.load(), 0u);
  EXPECT_EQ(archive_->counts().index.load(), member_->applied());
  check_all();
}

TEST_F(ArchiveTest, TheEndOfTheMemberLosesNothing) {
  member_->work(10);
  start();
  settle();
  member_->work(10);
  archive_->finish(seconds(2));
  EXPECT_EQ(catalogue().at(0).last().index.value, member_->applied());
  EXPECT_GT(archive_->step(), std::chrono::hours(1000));
}

TEST_F(ArchiveTest, ALeaseIsAsLongAsItWas) {
  start();
  settle();
  for (int64_t ttl : {1, 2, 100}) member_->grant(ttl, ttl);
  member_->put("k", "v");
  wait(seconds(1));
  EXPECT_EQ(catalogue().at(0).last().revision, member_->revision());
  check_all();
}

TEST_F(ArchiveTest, HoldsTheLogBack) {
  start();
  settle();
  EXPECT_EQ(member_->needed().value, member_->applied());
  const uint64_t before = member_->applied();
  free_ = 0;
  member_->work(20);
  settle();
  EXPECT_EQ(member_->needed().value, before);
  EXPECT_FALSE(archive_->counts().healthy.load());
  free_ = UINT64_MAX;
  member_->mark();
  settle();
  EXPECT_EQ(member_->needed().value, member_->applied());
  EXPECT_TRUE(archive_->counts().healthy.load());
  EXPECT_EQ(catalogue().size(), 1u);
}

// The member does not wait for ever, and what is missing is said.
TEST_F(ArchiveTest, WhatIsLostIsAGap) {
  member_->work(10);
  start();
  settle();
  const int64_t last = member_->revision();
  for (int i = 0; i < 40; ++i) {
    member_->work(20);
    member_->mark();
  }
  const int64_t next = member_->revision();
  settle();
  EXPECT_EQ(archive_->counts().gaps.load(), 1u);
  ASSERT_EQ(catalogue().size(), 2u);
  member_->work(10);
  settle();
  check_all();
  EXPECT_TRUE(status_of({.revision = last}).ok());
  EXPECT_TRUE(status_of({.revision = next}).ok());
  const absl::Status missing = status_of({.revision = (last + next) / 2});
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound) << missing;
  const int64_t between = (catalogue()[0].last_time() + catalogue()[1].first_time()) / 2;
  const absl::Status unknown = status_of({.unix_ms = between});
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message_of(unknown), HasSubstr("stretch 2"));
}

// Of a stretch whose first snapshot is still to come nothing is promised.
TEST_F(ArchiveTest, WhatItShowsCanBeBroughtBack) {
  member_->work(10);
  start();
  settle();
  const int64_t last = member_->revision();
  for (int i = 0; i < 40; ++i) {
    member_->work(20);
    member_->mark();
  }
  // A snapshot of some steps.
  for (int i = 0; i < 30; ++i) member_->put(cat("large", i), std::string(100'000, 'v'));
  ASSERT_EQ(archive_->counts().revision.load(), last);
  int begun = 0;
  const MonotonicTime until = clock_.now() + minutes(2);
  while (archive_->counts().revision.load() < member_->revision() && clock_.now() < until) {
    drive(1);
    const int64_t shown = archive_->counts().revision.load();
    ASSERT_TRUE(status_of({.revision = shown}).ok()) << shown;
    ASSERT_TRUE(status_of({.unix_ms = archive_->counts().unix_ms.load()}).ok());
    if (catalogue().size() == 2) ++begun;
  }
  EXPECT_EQ(archive_->counts().revision.load(), member_->revision());
  EXPECT_GT(begun, 1);
  // Nor by one that goes on with it.
  member_->work(1);
  archive_.reset();
  start();
  drive(1);
  const int64_t shown = archive_->counts().revision.load();
  EXPECT_TRUE(shown > 0 && status_of({.revision = shown}).ok()) << shown;
}

TEST_F(ArchiveTest, AStateOfAnotherMemberBeginsAStretch) {
  member_->work(10);
  start();
  settle();
  member_->receive_state(5);
  settle();
  member_->work(5);
  settle();
  EXPECT_EQ(catalogue().size(), 2u);
  EXPECT_EQ(archive_->counts().gaps.load(), 1u);
  check_all();
}

// Put back from a copy of yesterday, it does other things today.
TEST_F(ArchiveTest, AnotherHistoryOfTheSameMemberIsNotTakenForThisOne) {
  member_->work(10);
  start();
  settle();
  for (const bool longer : {false, true}) {
    archive_.reset();
    member_.reset();
    ASSERT_TRUE(fs_.remove_dir(kMemberLog).ok());
    SeededRandom other(longer ? 3 : 2);
    member_ = std::make_unique<TestMember>(&fs_, &clock_, &other, kOwner);
    member_->work(longer ? 100 : 5);
    start();
    settle();
    const StretchEntry newest = catalogue().back();
    EXPECT_EQ(newest.number, longer ? 3u : 2u);
    auto back = bring_back(fs_, {.revision = member_->revision(), .stretch = newest.number});
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->print.hash, member_->record().rbegin()->second.print.hash);
  }
}

TEST_F(ArchiveTest, OfTwoClustersOneIsToBeNamed) {
  for (int i = 0; i < 10; ++i) member_->put("k", "v");
  start();
  settle();
  archive_.reset();
  member_.reset();
  ASSERT_TRUE(fs_.remove_dir(kMemberLog).ok());
  options_.owner.cluster = ClusterId(8);
  member_ = std::make_unique<TestMember>(&fs_, &clock_, &random_, options_.owner);
  start();
  settle();
  for (int i = 0; i < 20; ++i) member_->put("k", "v");
  settle();
  const std::vector<StretchEntry> all = catalogue();
  ASSERT_EQ(all.size(), 2u);
  const int64_t both = std::min(all[0].last().revision, all[1].last().revision);
  ASSERT_GE(both, all[0].first_revision());
  const absl::Status status = status_of({.revision = both});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message_of(status), HasSubstr("--stretch"));
  EXPECT_TRUE(status_of({.revision = both, .stretch = 1}).ok());
  EXPECT_TRUE(status_of({.revision = both, .stretch = 2}).ok());
  EXPECT_EQ(status_of({.revision = both, .stretch = 3}).code(), absl::StatusCode::kNotFound);
}

// --- Bounds

TEST_F(ArchiveTest, SoManySnapshots) {
  options_.max_snapshots = 3;
  start();
  for (int i = 0; i < 8; ++i) {
    member_->work(5);
    wait(minutes(11));
    EXPECT_LE(snapshots(), 3u);
  }
  EXPECT_EQ(snapshots(), 3u);
  EXPECT_EQ(catalogue().size(), 1u);
  check_all();
  const StretchEntry stretch = catalogue()[0];
  EXPECT_EQ(status_of({.revision = stretch.first_revision() - 1}).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ArchiveTest, ReachesBackSoFar) {
  options_.max_age = minutes(60);
  start();
  for (int i = 0; i < 20; ++i) {
    member_->work(5);
    wait(minutes(11));
  }
  const StretchEntry stretch = catalogue().at(0);
  const milliseconds reach(clock_.unix_ms() - stretch.first_time());
  EXPECT_GE(reach, minutes(55));
  EXPECT_LE(reach, minutes(85));
  check_all();
}

TEST_F(ArchiveTest, SoManyBytes) {
  options_.max_bytes = 300'000;
  start();
  for (int i = 0; i < 60; ++i) {
    member_->work(10);
    wait(minutes(2));
  }
  const Inventory there = *inventory_of(fs_, kArchiveDir);
  EXPECT_GE(there.snapshots().size(), 1u);
  EXPECT_LE(there.bytes, 400'000u);
  EXPECT_EQ(archive_->counts().gaps.load(), 0u);
  EXPECT_EQ(catalogue().back().last().index.value, member_->applied());
  check_all();
}

// A clock that was set a year ahead, or a bound that was mistyped, does not cost everything at
// once.
TEST_F(ArchiveTest, NotEverythingGoesAtOneMoment) {
  start();
  for (int i = 0; i < 6; ++i) {
    member_->work(5);
    wait(minutes(11));
  }
  ASSERT_GE(snapshots(), 6u);
  archive_.reset();
  options_.max_age = minutes(1);
  options_.max_snapshots = 1;
  options_.max_bytes = 1;
  start();
  size_t left = snapshots();
  for (int minute = 0; left > 1; ++minute) {
    ASSERT_LT(minute, 20);
    for (const MonotonicTime until = clock_.now() + seconds(55); clock_.now() < until;) drive(1);
    EXPECT_GE(snapshots() + 2, left);
    left = snapshots();
    drive(10);
  }
  check_all();
}

// A disk without space does not make the member's store keep what it could give back.
TEST_F(ArchiveTest, NoStateIsHeldWithoutSpace) {
  member_->work(40);
  start();
  drive(1);
  ASSERT_EQ(member_->held(), 1);
  free_ = 0;
  member_->work(1);
  wait(seconds(3));
  EXPECT_EQ(member_->held(), 0);
  free_ = UINT64_MAX;
  wait(minutes(2));
  EXPECT_EQ(snapshots(), 1u);
  check_all();
}

// Nothing has happened, so another snapshot is of no use; nor is the newest one ever too old.
TEST_F(ArchiveTest, WhatIsNewestStays) {
  options_.max_age = minutes(1);
  member_->work(5);
  start();
  for (int i = 0; i < 5; ++i) wait(minutes(30));
  EXPECT_EQ(snapshots(), 1u);
  EXPECT_TRUE(status_of({.revision = member_->revision()}).ok());
  // And a quiet hour is known to have been quiet.
  EXPECT_TRUE(status_of({.unix_ms = clock_.unix_ms() - 60'000 * 20}).ok());
}

TEST_F(ArchiveTest, AShortDiskCostsTheOldest) {
  start();
  for (int i = 0; i < 4; ++i) {
    member_->work(5);
    wait(minutes(11));
  }
  ASSERT_GE(snapshots(), 4u);
  free_ = 0;
  member_->work(5);
  // Not all at one moment.
  for (const size_t before = snapshots(); snapshots() > 1;) {
    const size_t there = snapshots();
    settle();
    ASSERT_LT(snapshots(), there);
    ASSERT_GE(snapshots() + 2, there) << before;
  }
  settle();
  EXPECT_EQ(snapshots(), 1u);
  EXPECT_LT(archive_->counts().index.load(), member_->applied());
  free_ = UINT64_MAX;
  settle();
  EXPECT_EQ(archive_->counts().index.load(), member_->applied());
  check_all();
}

TEST_F(ArchiveTest, AFullDiskIsWaitedFor) {
  member_->work(5);
  start();
  settle();
  fs_.set_capacity(fs_.used());
  archive_->counts();
  for (int i = 0; i < 30; ++i) {
    fs_.set_capacity(UINT64_MAX);
    member_->work(3);
    fs_.set_capacity(fs_.used());
    drive(3);
  }
  fs_.set_capacity(UINT64_MAX);
  settle();
  EXPECT_EQ(archive_->counts().index.load(), member_->applied());
  EXPECT_EQ(archive_->counts().gaps.load(), 0u);
  check_all();
}

// --- Places

TEST_F(ArchiveTest, SomebodyElsesDirectoryIsLeftAlone) {
  ASSERT_TRUE(fs_.create_dirs(kArchiveDir).ok());
  fs_.set_contents(cat(kArchiveDir, "/precious"), "data");
  const std::vector<std::string> before = fs_.paths();
  start();
  drive(20);
  EXPECT_FALSE(archive_->counts().healthy.load());
  EXPECT_EQ(fs_.paths().size(), before.size());
  EXPECT_EQ(member_->needed(), Index(UINT64_MAX));
}

// It may be a copy that went to the wrong place. The one that is written to is not removed for it.
TEST_F(ArchiveTest, WhatSomebodyPutThereDoesNotEndTheMember) {
  options_.max_snapshots = 1;
  member_->work(20);
  start();
  settle();
  ASSERT_EQ(snapshots(), 1u);
  const std::string theirs = stretch_path(kArchiveDir, 9);
  ASSERT_TRUE(fs_.create_dirs(theirs).ok());
  const std::string file = cat(theirs, "/", to_string(catalogue()[0].snapshots[0].name));
  ASSERT_TRUE(fs_.open(file, wal::OpenMode::kCreateEmpty).ok());
  const uint64_t failures = archive_->counts().failures;
  wait(minutes(2));
  EXPECT_GT(archive_->counts().failures.load(), failures);
  check_all();
}

TEST_F(ArchiveTest, OneMemberEach) {
  start();
  settle();
  Archive second(*member_, options_);
  for (int i = 0; i < 5; ++i) clock_.advance(second.step());
  EXPECT_FALSE(second.counts().healthy.load());
  EXPECT_EQ(catalogue().size(), 1u);
  archive_.reset();
  for (int i = 0; i < 10; ++i) clock_.advance(second.step());
  EXPECT_TRUE(second.counts().healthy.load());
}

// A disk that was taken out is not begun anew on what was under it.
TEST_F(ArchiveTest, WhatHasGoneIsNotMadeAgain) {
  start();
  settle();
  for (const std::string& path : fs_.paths()) {
    if (!path.starts_with(kArchiveDir)) continue;
    ASSERT_TRUE(fs_.unlink(path).ok());
  }
  member_->work(3);
  fs_.fail_once_after(0);  // it notices
  settle();
  EXPECT_FALSE(archive_->counts().healthy.load());
  for (const std::string& path : fs_.paths()) {
    EXPECT_FALSE(path.starts_with(kArchiveDir)) << path;
  }
}

// --- Damage

class DamageTest : public ArchiveTest {
 protected:
  DamageTest() {
    start();
    for (int i = 0; i < 3; ++i) {
      member_->work(60);
      wait(minutes(11));
    }
    for (int i = 0; i < 5; ++i) member_->put("k", "behind the newest snapshot");
    settle();
    archive_.reset();
    stretch_ = catalogue().at(0);
  }
  void damage(const std::string& path, uint64_t at) {
    whole_ = fs_.contents(path);
    std::string bytes = whole_;
    bytes.at(at) = static_cast<char>(bytes[at] ^ 0x10);
    fs_.set_contents(path, bytes);
  }
  std::string path_of(const std::string& name) const {
    return cat(stretch_path(kArchiveDir, 1), "/", name);
  }

  StretchEntry stretch_;
  std::string whole_;
};

TEST_F(DamageTest, OfASnapshotIsTold) {
  const SnapshotName name = stretch_.snapshots.back().name;
  damage(path_of(to_string(name)), 5000);
  EXPECT_EQ(status_of({.revision = stretch_.last().revision}).code(), absl::StatusCode::kDataLoss);
  // Another one is not touched by it.
  EXPECT_TRUE(status_of({.revision = name.revision - 1}).ok());
}

TEST_F(DamageTest, OfTheLogIsTold) {
  const std::vector<wal::SegmentName> names =
      *wal::list_segments(fs_, log_path(stretch_path(kArchiveDir, 1)));
  ASSERT_GT(names.size(), 1u);
  int refused = 0;
  for (const wal::SegmentName& name : names) {
    const std::string path = path_of(cat("log/", wal::to_string(name)));
    damage(path, 1000);
    for (int64_t r = stretch_.first_revision(); r <= stretch_.last().revision; ++r) {
      auto back = bring_back(fs_, {.revision = r});
      if (!back.ok()) {
        ++refused;
        EXPECT_EQ(back.status().code(), absl::StatusCode::kDataLoss) << back.status();
      } else {
        EXPECT_EQ(back->print, member_->record().at(back->index.value).print);
      }
    }
    fs_.set_contents(path, whole_);
  }
  EXPECT_GT(refused, 0);
}

TEST_F(DamageTest, OfTimesIsToldToWhoAsksForOne) {
  const std::string path = path_of(times_name(stretch_.times.front().index));
  damage(path, 45);
  EXPECT_EQ(status_of({.unix_ms = stretch_.last_time()}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message_of(status_of({.unix_ms = stretch_.last_time()})), HasSubstr("damaged"));
  EXPECT_TRUE(status_of({.revision = stretch_.last().revision}).ok());
}

// The archive goes on all the same, in another place.
TEST_F(DamageTest, DoesNotEndTheArchive) {
  const std::vector<wal::SegmentName> names =
      *wal::list_segments(fs_, log_path(stretch_path(kArchiveDir, 1)));
  damage(path_of(cat("log/", wal::to_string(names.back()))), 20);
  start();
  settle();
  EXPECT_TRUE(archive_->counts().healthy.load());
  EXPECT_EQ(archive_->counts().gaps.load(), 1u);
  EXPECT_EQ(catalogue().size(), 2u);
}

// --- Crashes

// One life of an archive: it begins, takes snapshots, removes old ones, loses history and begins
// again. The disk stops taking anything after so many of the archive's operations; then the power
// fails.
class OneLife : public ArchiveTest {
 public:
  explicit OneLife(uint64_t operations, uint64_t seed) : ArchiveTest(seed), left_(operations) {
    options_.max_snapshots = 2;
    start();
  }
  void TestBody() override {}

  // True: it lived to its end.
  bool live() {
    for (int i = 0; i < 9 && !over_; ++i) {
      member_->work(6);
      if (i == 5) member_->receive_state(3);
      for (int step = 0; step < 12 && !over_; ++step) limited_step();
      clock_.advance(minutes(11));
    }
    if (!over_) return true;
    fs_.no_more_failures();
    fs_.crash(random_);
    archive_.reset();
    member_->restart();
    check_all();
    start();
    settle();
    EXPECT_EQ(archive_->counts().index.load(), member_->applied());
    EXPECT_LE(archive_->counts().gaps.load(), 1u);
    check_all();
    return false;
  }

 private:
  void limited_step() {
    const uint64_t before = fs_.operations();
    fs_.fail_after(left_);
    clock_.advance(archive_->step());
    fs_.no_more_failures();
    const uint64_t used = fs_.operations() - before;
    over_ = used > left_;
    left_ -= std::min(used, left_);
  }

  uint64_t left_;
  bool over_ = false;
};

TEST(ArchiveCrash, AtEveryStep) {
  for_each_seed(2, [](uint64_t seed) {
    uint64_t operations = 0;
    while (!OneLife(operations, seed).live()) {
      ASSERT_FALSE(testing::Test::HasFailure()) << "after " << operations << " operations";
      ++operations;
    }
    EXPECT_GT(operations, 100u);
  });
}

// --- Small parts

TEST(ArchiveLayout, Names) {
  EXPECT_EQ(stretch_name(7), "000007");
  EXPECT_EQ(parse_stretch_name("000007"), 7u);
  EXPECT_EQ(parse_stretch_name("1000007"), 1000007u);
  EXPECT_EQ(parse_stretch_name("0000007"), std::nullopt);
  EXPECT_EQ(parse_stretch_name("07"), std::nullopt);
  EXPECT_EQ(parse_stretch_name("lost+found"), std::nullopt);
  const SnapshotName name{1234, Index(77)};
  EXPECT_EQ(to_string(name), "000000001234-000000000077.db");
  EXPECT_EQ(parse_snapshot_name(to_string(name)), name);
  const SnapshotName large{INT64_MAX, Index(UINT64_MAX)};
  EXPECT_EQ(parse_snapshot_name(to_string(large)), large);
  EXPECT_EQ(parse_snapshot_name("000000001234-000000000077.db.part"), std::nullopt);
  EXPECT_EQ(parse_snapshot_name("9300000000000000000-000000000077.db"), std::nullopt);
  EXPECT_EQ(parse_times_name(times_name(Index(5))), Index(5));
  EXPECT_EQ(parse_times_name("5.times"), std::nullopt);
}

TEST(ArchiveTimes, TextAndBack) {
  EXPECT_EQ(time_text(1767366245678), "2026-01-02T15:04:05.678Z");
  EXPECT_EQ(parse_time("2026-01-02T15:04:05.678Z"), 1767366245678);
  EXPECT_EQ(parse_time("2026-01-02T17:04:05+02:00"), 1767366245000);
  EXPECT_EQ(parse_time("2026-01-02"), std::nullopt);
  EXPECT_EQ(parse_time("infinite-future"), std::nullopt);
  EXPECT_EQ(parse_time(""), std::nullopt);
}

TEST(ArchiveTimes, ATornRecordIsOverwritten) {
  log::QuietLog quiet;
  wal::MemoryFileSystem fs;
  ASSERT_TRUE(fs.create_dirs("s").ok());
  std::vector<Moment> all;
  for (uint64_t i = 1; i <= 100; ++i) {
    auto writer = TimesWriter::open(fs, "s");
    ASSERT_TRUE(writer.ok()) << writer.status();
    all.push_back({static_cast<int64_t>(1000 * i), Index(3 * i), Term(i / 10 + 1),
                   static_cast<int64_t>(2 * i)});
    ASSERT_TRUE((*writer)->append(all.back()).ok());
    // Of the next one some bytes are there.
    const std::string path = cat("s/", times_name(Index(3)));
    std::string bytes = fs.contents(path);
    for (uint64_t at = i * 40; at < i * 40 + i % 40; ++at) bytes[at] = 'x';
    fs.set_contents(path, bytes);
    EXPECT_EQ(*read_times(fs, "s"), all);
  }
  const std::string path = cat("s/", times_name(Index(3)));
  std::string bytes = fs.contents(path);
  bytes[50] ^= 1;
  fs.set_contents(path, bytes);
  EXPECT_EQ(read_times(fs, "s").status().code(), absl::StatusCode::kDataLoss);
  // The writer leaves it alone.
  auto writer = TimesWriter::open(fs, "s");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->append({1, Index(1000), Term(1), 1}).ok());
  EXPECT_EQ(fs.contents(path), bytes);
  EXPECT_EQ(read_times_file(fs, cat("s/", times_name(Index(1000))))->size(), 1u);
}

TEST(ArchiveTimes, FilesFollowEachOther) {
  wal::MemoryFileSystem fs;
  ASSERT_TRUE(fs.create_dirs("s").ok());
  auto writer = *TimesWriter::open(fs, "s", 4000);
  constexpr uint64_t kRecords = 150;
  for (uint64_t i = 1; i <= kRecords; ++i) {
    ASSERT_TRUE(writer->append({static_cast<int64_t>(i), Index(i), Term(1), 1}).ok());
  }
  EXPECT_EQ(list_stretch(fs, "s")->times.size(), 2u);
  EXPECT_EQ(read_times(fs, "s")->size(), kRecords);
}

}  // namespace
}  // namespace keelson::archive
