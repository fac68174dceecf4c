// archive/test_archive.h
//
// For tests: an archive of a TestMember, on a disk in memory, driven by hand.
//
// Threads: one.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/catalogue.h"
#include "archive/inventory.h"
#include "archive/test_member.h"

namespace keelson::archive {

inline const Owner kOwner{MemberId(1), ClusterId(7)};

class ArchiveTest : public testing::Test {
 protected:
  explicit ArchiveTest(uint64_t seed = 1) : random_(seed) {
    member_ = std::make_unique<TestMember>(&fs_, &clock_, &random_, kOwner);
    options_ = {.dir = kArchiveDir,
                .member_log = kMemberLog,
                .owner = kOwner,
                .snapshot_interval = std::chrono::minutes(10),
                .keep_free = 1000,
                .free_bytes = [this] { return free_; },
                .segment_bytes = 16 << 10,
                .fs = &fs_,
                .clock = &clock_};
  }

  void start() { archive_ = std::make_unique<Archive>(*member_, options_); }
  void drive(int steps = 5) {
    for (; steps > 0; --steps) clock_.advance(archive_->step());
  }
  // Until nothing is to be done, or for a minute.
  void settle() {
    const MonotonicTime until = clock_.now() + std::chrono::minutes(1);
    while (clock_.now() < until) drive(1);
  }
  void wait(Duration time) {
    clock_.advance(time);
    drive(20);
  }

  std::vector<StretchEntry> catalogue() {
    auto found = read_catalogue(fs_, kArchiveDir);
    if (absl::IsNotFound(found.status())) return {};
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::vector<StretchEntry>();
  }
  size_t snapshots() { return inventory_of(fs_, kArchiveDir)->snapshots().size(); }

  // Everything that the archive says it has is as it was.
  void check_all() {
    for (const StretchEntry& stretch : catalogue()) {
      ASSERT_TRUE(stretch.damage.ok()) << stretch.damage;
      if (!stretch.is_usable()) continue;
      for (int64_t r = stretch.first_revision(); r <= stretch.last().revision; ++r) {
        auto back = bring_back(fs_, {.revision = r, .stretch = stretch.number});
        ASSERT_TRUE(back.ok()) << back.status();
        ASSERT_EQ(back->print, member_->record().at(back->index.value).print);
        ASSERT_EQ(back->print.revision, r);
      }
    }
  }
  absl::Status status_of(const Target& target) { return bring_back(fs_, target).status(); }

  log::QuietLog quiet_;
  SeededRandom random_;
  TestClock clock_;
  wal::MemoryFileSystem fs_;
  std::unique_ptr<TestMember> member_;
  Options options_;
  uint64_t free_ = UINT64_MAX;
  std::unique_ptr<Archive> archive_;
};

}  // namespace keelson::archive
