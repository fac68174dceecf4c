// What the log does while its disk is full: it takes marks and elections, gives back what it can do
// without, and loses nothing on the way.

#include <gtest/gtest.h>

#include "base/failpoint.h"
#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/test_logs.h"
#include "wal/wal.h"
#include "wal/wal_fixture.h"

namespace keelson::wal {
namespace {

// On a full disk there is still room for a mark, and by that the log shrinks to next to nothing.
TEST_F(WalTest, AFullDiskTakesAMarkAndGivesItsSpaceBack) {
  Options o = options();
  o.segment_bytes = 64 << 10;
  auto wal = make(o);
  fs_.set_capacity(fs_.used());
  uint64_t last = 0;
  absl::Status status;
  while (status.ok()) {
    ASSERT_LT(last, 10000u);
    status = wal->append(state(1, last), {{entry(last + 1, 1, std::string(30, 'x'))}});
    if (status.ok()) ++last;
  }
  ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  ASSERT_TRUE(wal->sync().ok());
  wal->be_frugal(true);
  ASSERT_TRUE(wal->save_snapshot({Index(last), Term(1)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  ASSERT_TRUE(wal->append(state(2, last), {{entry(last + 1, 2, "")}}).ok());  // an election
  ASSERT_TRUE(wal->save_snapshot({Index(last + 1), Term(2)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal->release_to(Index(last + 1));
  ASSERT_TRUE(wal->close().ok());
}

TEST_F(WalTest, AFrugalLogKeepsNoMoreThanItNeeds) {
  auto wal = make();  // five segments
  fill(*wal, 1, 200);
  ASSERT_GT(segments().size(), 5u);
  wal->be_frugal(true);
  ASSERT_TRUE(wal->save_snapshot({Index(200), Term(2)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal->release_to(Index(200));
  EXPECT_EQ(segments().size(), 1u);
  wal->be_frugal(false);
  fill(*wal, 201, 400);
  ASSERT_TRUE(wal->close().ok());
  auto opened = open({Index(200), Term(2)});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(entries_.size(), 200u);
}

// What was taken while there was space is most of what there is now.
TEST_F(WalTest, AFrugalLogGivesBackWhatItTookAhead) {
  constexpr uint64_t kMegabyte = 1 << 20;
  const std::string tenth(100 << 10, 'x');
  Options o = options();
  o.segment_bytes = 8 * kMegabyte;
  auto wal = make(o);
  for (uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(wal->append(state(1, i), {{entry(i, 1, tenth)}}).ok());
  }
  ASSERT_TRUE(wal->sync().ok());
  const uint64_t before = fs_.used();
  fs_.set_capacity(before);
  // 7 of the segment that was prepared, and 4 of the tail.
  wal->be_frugal(true);
  EXPECT_GT(before - fs_.used(), 11 * kMegabyte);
  EXPECT_LT(before - fs_.used(), 12 * kMegabyte);
  const uint64_t left = fs_.used();
  wal->be_frugal(false);
  wal->be_frugal(true);
  EXPECT_EQ(fs_.used(), left);
  // Somebody else took it: there is a megabyte, and the small segment is there to go over to.
  fs_.set_capacity(left);
  for (uint64_t i = 31; i <= 36; ++i) {
    ASSERT_TRUE(wal->append(state(1, i), {{entry(i, 1, tenth)}}).ok());
  }
  ASSERT_TRUE(wal->save_snapshot({Index(36), Term(1)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  ASSERT_TRUE(wal->give_back().ok());
  EXPECT_EQ(segments().size(), 2u);
  ASSERT_TRUE(wal->append(state(1, 37), {{entry(37, 1, "on")}}).ok());
  ASSERT_TRUE(wal->close().ok());
  ASSERT_TRUE(open({Index(36), Term(1)}).ok());
  EXPECT_EQ(entries_.size(), 1u);
}

// The tail is never shorter than what is claimed of it, wherever a crash comes.
TEST_F(WalTest, ACrashWhileALogBecomesFrugalLosesNothing) {
  SeededRandom random(5);
  for (uint64_t moment = 0; moment < 12; ++moment) {
    fs_.remove_dir(std::string(kDir)).IgnoreError();
    Options o = options();
    o.segment_bytes = 4 << 20;
    auto wal = make(o);
    ASSERT_TRUE(wal->append(state(1, 1), {{entry(1, 1, "a")}}).ok());
    ASSERT_TRUE(wal->sync().ok());
    fs_.fail_after(moment);
    wal->be_frugal(true);
    const bool through = wal->health().ok();
    wal.reset();
    fs_.no_more_failures();
    random.below(2) == 0 ? fs_.kill() : fs_.crash(random);
    const absl::Status status = open().status();
    ASSERT_TRUE(status.ok()) << moment << " " << status;
    EXPECT_EQ(entries_.size(), 1u) << moment;
    EXPECT_TRUE(moment < 11 || through);
    fs_.kill();
  }
}

// All of a large tail is behind the mark: the log goes over to a small segment, and the next mark
// lets go of the large one.
TEST_F(WalTest, AFrugalLogLeavesALargeTail) {
  Options o = options();
  o.segment_bytes = 8 << 20;
  auto wal = make(o);
  for (uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(wal->append(state(1, i), {{entry(i, 1, std::string(100 << 10, 'x'))}}).ok());
  }
  ASSERT_TRUE(wal->save_snapshot({Index(30), Term(1)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  ASSERT_TRUE(wal->give_back().ok());
  EXPECT_EQ(segments().size(), 1u);
  wal->be_frugal(true);
  ASSERT_TRUE(wal->give_back().ok());
  EXPECT_EQ(segments().size(), 2u);
  ASSERT_TRUE(wal->append(state(1, 31), {{entry(31, 1, "on")}}).ok());
  ASSERT_TRUE(wal->append(state(1, 32), {{entry(32, 1, "on")}}).ok());
  ASSERT_TRUE(wal->save_snapshot({Index(32), Term(1)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal->release_to(Index(32));
  EXPECT_EQ(segments().size(), 1u);
  ASSERT_TRUE(wal->close().ok());
  auto opened = open({Index(32), Term(1)});
  ASSERT_TRUE(opened.ok()) << opened.status();
}

// Leaving a large tail makes it shorter than it was.
TEST_F(WalTest, NoMomentOfLeavingALargeTailLooksLikeAShortCopy) {
  SeededRandom random(1);
  for (uint64_t moment = 0, more = 1; more > 0; ++moment) {
    ASSERT_LT(moment, 50u);
    fs_.remove_dir(std::string(kDir)).IgnoreError();
    Options o = options();
    o.segment_bytes = 4 << 20;
    auto wal = make(o);
    for (uint64_t i = 1; i <= 25; ++i) {
      ASSERT_TRUE(wal->append(state(1, i), {{entry(i, 1, std::string(100 << 10, 'x'))}}).ok());
    }
    ASSERT_TRUE(wal->save_snapshot({Index(25), Term(1)}, {}).ok());
    ASSERT_TRUE(wal->sync().ok());
    wal->be_frugal(true);
    fs_.fail_after(moment);
    more = wal->give_back().ok() ? 0 : 1;
    wal.reset();
    fs_.no_more_failures();
    random.below(2) == 0 ? fs_.kill() : fs_.crash(random);
    absl::Status status = open({Index(25), Term(1)}).status();
    ASSERT_TRUE(status.ok()) << moment << " " << status;
    fs_.kill();
  }
}

// A full disk refuses the append and nothing else; later everything goes on.
TEST_F(WalTest, FullDisk) {
  for (bool can_reserve : {true, false}) {
    MemoryFileSystem fs;
    fs.set_can_reserve(can_reserve);
    Options o = options();
    o.fs = &fs;
    auto wal = *Wal::create("full/wal", "m", o);
    fs.set_capacity(30000);
    uint64_t acknowledged = 0;
    int refused = 0;
    for (uint64_t i = 1; refused < 3; ++i) {
      ASSERT_LT(i, 1000u);
      absl::Status status = wal->append(state(1, i - 1), {{entry(i, 1, std::string(400, 'x'))}});
      if (status.ok()) {
        status = wal->sync();
        // What is buffered stays; this test's next append would follow it.
        for (int retry = 0; retry < 3 && !status.ok(); ++retry) {
          ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
          fs.set_capacity(fs.used() + 600);
          status = wal->sync();
          ++refused;
        }
      } else {
        --i;
        ++refused;
      }
      if (status.ok()) {
        acknowledged = i;
        continue;
      }
      ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_TRUE(wal->health().ok());
    }
    EXPECT_GT(acknowledged, 10u);
    fs.set_capacity(UINT64_MAX);
    const uint64_t next = wal->last_index().value + 1;
    ASSERT_TRUE(wal->append(state(1, next - 1), {{entry(next, 1, "back")}}).ok());
    ASSERT_TRUE(wal->close().ok());
    std::vector<raft::Entry> entries;
    auto opened = Wal::open("full/wal", {}, o, collect_into(&entries));
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_EQ(entries.size(), next);
    EXPECT_EQ(entries.back().data.view(), "back");
  }
}

TEST_F(WalTest, WhatWasPreparedIsGivenBackUnlessItIsInUse) {
  auto is_prepared = [this] {
    const std::vector<std::string> paths = fs_.paths();
    return std::any_of(paths.begin(), paths.end(),
                       [](const std::string& path) { return path.ends_with(".tmp"); });
  };
  auto wal = make(options());
  ASSERT_TRUE(wal->append(state(1, 1), {{entry(1, 1, "a")}}).ok());
  ASSERT_TRUE(wal->sync().ok());
  ASSERT_TRUE(is_prepared());
  drop_prepared("wal", &fs_);
  EXPECT_TRUE(is_prepared());
  wal.reset();
  fs_.kill();
  fs_.set_contents("wal/1.tmp", "");
  drop_prepared("wal", &fs_);
  EXPECT_FALSE(is_prepared());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(entries_.size(), 1u);
}

}  // namespace
}  // namespace keelson::wal
