// A member works, its archive follows, and both meet what there is: disks that fail, run full or
// lose what was not synced, states of other members, pauses, changes of the cluster. Whatever the
// archive says that it can bring back, it brings back as it was.

#include <gtest/gtest.h>

#include "archive/test_member.h"
#include "base/test_seeds.h"

namespace keelson::archive {
namespace {

const Owner kOwner{MemberId(1), ClusterId(7)};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    member_ = std::make_unique<TestMember>(&fs_, &clock_, &random_, kOwner);
    options_ = {.dir = kArchiveDir,
                .member_log = kMemberLog,
                .owner = kOwner,
                .snapshot_interval = std::chrono::seconds(20 + random_.below(200)),
                .keep_free = 1 << 20,
                .free_bytes = [this] { return free_; },
                .segment_bytes = 16 << 10,
                .fs = &fs_,
                .clock = &clock_};
    if (random_.below(2) == 0) options_.max_snapshots = 1 + random_.below(4);
    if (random_.below(3) == 0) options_.max_age = std::chrono::minutes(random_.below(10));
    if (random_.below(3) == 0) options_.max_bytes = 100'000 + random_.below(200'000);
    start_archive();
  }

  void run() {
    for (int round = 0; round < 40 && !testing::Test::HasFailure(); ++round) {
      member_->work(random_.below(12));
      if (random_.below(3) == 0) member_->mark();
      something();
      drive(random_.below(30));
      if (round % 10 == 9) check();
    }
    settle();
    check();
  }

 private:
  void start_archive() {
    options_.owner = member_->owner();
    archive_ = std::make_unique<Archive>(*member_, options_);
  }

  // As a thread would, that wakes up late now and then.
  void drive(uint64_t steps) {
    for (; steps > 0; --steps) {
      Duration wait = archive_->step();
      ASSERT_LE(wait, std::chrono::minutes(1));
      if (random_.below(20) == 0) wait += std::chrono::seconds(random_.below(5));
      clock_.advance(wait);
    }
  }

  void something() {
    switch (random_.below(14)) {
      case 0:
        return fail_for_a_while();
      case 1:
        return run_full();
      case 2:
        return crash(true);
      case 3:
        return crash(false);
      case 4:
        if (random_.below(3) == 0) member_->receive_state(1 + random_.below(20));
        return;
      case 5:
        // Nobody archives, and the log goes on.
        for (uint64_t i = random_.below(12); i > 0; --i) {
          member_->work(random_.below(20));
          member_->mark();
        }
        return;
      case 6:
        free_ = random_.below(2) == 0 ? 0 : UINT64_MAX;
        return;
      case 7:
        archive_->finish(std::chrono::seconds(10));
        return start_archive();
      case 8:
        if (random_.below(6) == 0) change_cluster();
        return;
      default:
        return;
    }
  }

  void fail_for_a_while() {
    if (random_.below(2) == 0) {
      fs_.fail_once_after(random_.below(10));
    } else {
      fs_.fail_after(random_.below(10));
    }
    drive(1 + random_.below(6));
    fs_.no_more_failures();
  }

  void run_full() {
    fs_.set_capacity(fs_.used() + random_.below(60'000));
    drive(1 + random_.below(8));
    fs_.set_capacity(UINT64_MAX);
  }

  // In the middle of what the archive is doing.
  void crash(bool power) {
    fs_.fail_after(random_.below(12));
    drive(1 + random_.below(3));
    fs_.no_more_failures();
    if (power) {
      fs_.crash(random_);
    } else {
      fs_.kill();
    }
    archive_.reset();
    member_->restart();
    start_archive();
  }

  // Restored from somewhere, say: another history under the same roof.
  void change_cluster() {
    archive_.reset();
    records_.emplace(member_->owner().cluster.value, member_->record());
    member_.reset();
    ASSERT_TRUE(fs_.remove_dir(kMemberLog).ok());
    ASSERT_TRUE(fs_.sync_dir("member").ok());
    const Owner next{kOwner.member, ClusterId(8 + records_.size())};
    member_ = std::make_unique<TestMember>(&fs_, &clock_, &random_, next);
    start_archive();
  }

  // With nothing in its way the archive has everything within seconds.
  void settle() {
    free_ = UINT64_MAX;
    for (int i = 0; i < 400; ++i) drive(1);
    EXPECT_EQ(archive_->counts().index.load(), member_->applied());
    EXPECT_TRUE(archive_->counts().healthy.load());
    EXPECT_EQ(member_->needed().value, member_->applied());
    auto catalogue = read_catalogue(fs_, kArchiveDir);
    ASSERT_TRUE(catalogue.ok()) << catalogue.status();
    ASSERT_FALSE(catalogue->empty());
    const StretchEntry& newest = catalogue->back();
    ASSERT_TRUE(newest.is_usable());
    EXPECT_EQ(newest.last().index.value, member_->applied());
    EXPECT_EQ(newest.last().revision, member_->revision());
  }

  const Record& record_of(ClusterId cluster) const {
    if (cluster == member_->owner().cluster) return member_->record();
    return records_.at(cluster.value);
  }

  void check() {
    auto catalogue = read_catalogue(fs_, kArchiveDir);
    if (absl::IsNotFound(catalogue.status())) return;
    ASSERT_TRUE(catalogue.ok()) << catalogue.status();
    for (const StretchEntry& stretch : *catalogue) {
      ASSERT_TRUE(stretch.damage.ok()) << stretch.damage;
      if (!stretch.is_usable()) continue;
      for (int i = 0; i < 4; ++i) {
        check_revision(stretch);
        check_time(stretch);
      }
    }
  }

  void check_revision(const StretchEntry& stretch) {
    const int64_t first = stretch.first_revision();
    const int64_t revision =
        first + static_cast<int64_t>(
                    random_.below(static_cast<uint64_t>(stretch.last().revision - first) + 1));
    auto back = bring_back(fs_, {.revision = revision, .stretch = stretch.number});
    ASSERT_TRUE(back.ok()) << back.status() << " revision " << revision;
    const Record& record = record_of(stretch.owner.cluster);
    EXPECT_EQ(back->print.revision, revision);
    ASSERT_EQ(back->print, record.at(back->index.value).print);
    // The first entry that made it so; or the first that the stretch has.
    const auto before = record.find(back->index.value - 1);
    const bool is_first = before == record.end() || before->second.print.revision < revision;
    EXPECT_TRUE(is_first || back->index == stretch.snapshots.front().name.index);
    auto beyond = bring_back(
        fs_, {.revision = stretch.last().revision + 1'000'000, .stretch = stretch.number});
    EXPECT_EQ(beyond.status().code(), absl::StatusCode::kNotFound) << beyond.status();
    if (first <= 1) return;
    beyond = bring_back(fs_, {.revision = first - 1, .stretch = stretch.number});
    EXPECT_EQ(beyond.status().code(), absl::StatusCode::kNotFound) << beyond.status();
  }

  void check_time(const StretchEntry& stretch) {
    const int64_t from = stretch.first_time();
    const int64_t time =
        from +
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(stretch.last_time() - from) + 1));
    auto back = bring_back(fs_, {.unix_ms = time, .stretch = stretch.number});
    ASSERT_TRUE(back.ok()) << back.status();
    const Recorded& was = record_of(stretch.owner.cluster).at(back->index.value);
    EXPECT_LE(was.unix_ms, time);
    ASSERT_EQ(back->print, was.print);
  }

  log::QuietLog quiet_;
  SeededRandom random_;
  TestClock clock_;
  wal::MemoryFileSystem fs_;
  std::unique_ptr<TestMember> member_;
  std::map<uint64_t, Record> records_;  // of former clusters
  Options options_;
  uint64_t free_ = UINT64_MAX;
  std::unique_ptr<Archive> archive_;
};

TEST(ArchiveRandom, BringsBackWhatWas) {
  for_each_seed(25, [](uint64_t seed) { World(seed).run(); });
}

}  // namespace
}  // namespace keelson::archive
