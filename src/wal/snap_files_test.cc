#include "wal/snap_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::wal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kDir[] = "/data/member/snap";

class ManualClock final : public Clock {
 public:
  MonotonicTime now() const override { return now_; }
  Duration unix_time() const override { return now_.since_origin; }
  void advance(Duration by) { now_ = now_ + by; }

 private:
  MonotonicTime now_;
};

raft::Snapshot at(uint64_t index) {
  return {.data = Bytes::copy(cat("members at ", index)),
          .metadata = {.conf_state = {.voters = {MemberId(7)}, .learners = {MemberId(9)}},
                       .index = Index(index),
                       .term = Term(2)}};
}

std::vector<std::string> names(MemoryFileSystem& disk) {
  absl::StatusOr<std::vector<std::string>> found = disk.list(kDir);
  return found.ok() ? *found : std::vector<std::string>();
}

TEST(SnapFiles, NamesAreEtcds) {
  EXPECT_EQ(snap_file_name(Term(2), Index(0xa1)), "0000000000000002-00000000000000a1.snap");
  EXPECT_TRUE(is_snap_file_name("0000000000000002-00000000000000a1.snap"));
  for (const char* name : {"db", "00000000000000a1.snap.db", "0000000000000002-00000000000000a1",
                           "0000000000000002-00000000000000A1.snap", "tmp-0.snap",
                           "0000000000000002_00000000000000a1.snap"}) {
    EXPECT_FALSE(is_snap_file_name(name)) << name;
  }
}

TEST(SnapFiles, WhatIsSavedSurvivesACrash) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    MemoryFileSystem disk;
    ManualClock clock;
    SnapFiles files({.dir = kDir}, &clock, &disk);
    ASSERT_TRUE(files.save(at(17)).ok());
    disk.crash(random);
    ASSERT_THAT(names(disk), ElementsAre(snap_file_name(Term(2), Index(17))));
    const absl::StatusOr<Bytes> content = wire::unwrap_snap_file(
        Bytes::copy(disk.contents(cat(kDir, "/", snap_file_name(Term(2), Index(17))))));
    ASSERT_TRUE(content.ok()) << content.status();
    const absl::StatusOr<raft::Snapshot> snapshot = wire::decode_snapshot(*content);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_EQ(snapshot->metadata, at(17).metadata);
    EXPECT_EQ(std::string_view(snapshot->data), "members at 17");
  }
}

TEST(SnapFiles, WhatCannotBeWrittenLeavesNothing) {
  ManualClock clock;
  MemoryFileSystem whole;
  ASSERT_TRUE(SnapFiles({.dir = kDir}, &clock, &whole).save(at(1)).ok());
  ASSERT_GT(whole.operations(), 3u);
  uint64_t failures = 0;
  for (uint64_t n = 0; n < whole.operations(); ++n) {
    SCOPED_TRACE(n);
    MemoryFileSystem disk;
    SnapFiles files({.dir = kDir}, &clock, &disk);
    disk.fail_once_after(n);
    if (files.save(at(1)).ok()) continue;
    ++failures;
    for (const std::string& name : names(disk)) EXPECT_TRUE(is_snap_file_name(name)) << name;
    EXPECT_TRUE(files.save(at(2)).ok());
  }
  EXPECT_GT(failures, 3u);
  MemoryFileSystem full;
  full.set_capacity(10);
  SnapFiles files({.dir = kDir}, &clock, &full);
  EXPECT_TRUE(absl::IsResourceExhausted(files.save(at(1))));
  EXPECT_THAT(names(full), IsEmpty());
}

TEST(SnapFiles, TheOldestGo) {
  MemoryFileSystem disk;
  ManualClock clock;
  SnapFiles files({.dir = kDir, .keep = 3}, &clock, &disk);
  for (uint64_t i = 1; i <= 20; ++i) ASSERT_TRUE(files.save(at(i)).ok());
  EXPECT_THAT(names(disk), SizeIs(20));  // as etcd, which looks twice a minute
  auto other = disk.open(cat(kDir, "/0000000000000001.snap.db"), OpenMode::kCreate);
  ASSERT_TRUE(other.ok());
  clock.advance(SnapFiles::kPurgeInterval);
  ASSERT_TRUE(files.save(at(21)).ok());
  EXPECT_THAT(names(disk),
              ElementsAre("0000000000000001.snap.db", snap_file_name(Term(2), Index(19)),
                          snap_file_name(Term(2), Index(20)), snap_file_name(Term(2), Index(21))));
  clock.advance(SnapFiles::kPurgeInterval);
  SnapFiles all({.dir = kDir, .keep = 0}, &clock, &disk);
  for (uint64_t i = 30; i < 40; ++i) ASSERT_TRUE(all.save(at(i)).ok());
  EXPECT_THAT(names(disk), SizeIs(14));
}

}  // namespace
}  // namespace keelson::wal
