// A log that is followed while it is written: what comes out is the history, whatever leaders that
// lost left in the log, at whatever moment of a write, a cut or a release it is read.

#include "wal/follower.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "wal/memory_file_system.h"
#include "wal/segment_name.h"
#include "wal/test_logs.h"

namespace keelson::wal {
namespace {

const MemberId kMe{7};
constexpr char kDir[] = "wal";

// A disk on which somebody else looks while something is being changed.
class WatchedDisk final : public FileSystem {
 public:
  WatchedDisk(MemoryFileSystem* below, Random* random) : below_(*below), random_(*random) {}

  std::function<void()> look;

  absl::StatusOr<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    absl::StatusOr<std::unique_ptr<File>> file = below_.open(path, mode);
    if (!file.ok()) return file;
    return std::make_unique<WatchedFile>(this, *std::move(file));
  }
  absl::Status rename(const std::string& from, const std::string& to) override {
    return watched([&] { return below_.rename(from, to); });
  }
  absl::Status unlink(const std::string& path) override {
    return watched([&] { return below_.unlink(path); });
  }
  absl::StatusOr<std::vector<std::string>> list(const std::string& dir) override {
    return below_.list(dir);
  }
  absl::Status create_dirs(const std::string& dir) override { return below_.create_dirs(dir); }
  absl::Status remove_dir(const std::string& dir) override { return below_.remove_dir(dir); }
  absl::Status sync_dir(const std::string& dir) override { return below_.sync_dir(dir); }

 private:
  class WatchedFile final : public File {
   public:
    WatchedFile(WatchedDisk* disk, std::unique_ptr<File> file)
        : disk_(*disk), file_(std::move(file)) {}
    absl::StatusOr<size_t> pread(uint64_t offset, char* out, size_t size) override {
      return file_->pread(offset, out, size);
    }
    // Some piece of it first, as who reads meanwhile may see it.
    absl::Status pwrite(uint64_t offset, std::string_view bytes) override {
      for (uint64_t looks = disk_.random_.below(3); looks > 0 && !bytes.empty(); --looks) {
        const uint64_t from = disk_.random_.below(3) == 0 ? disk_.random_.below(bytes.size()) : 0;
        const std::string_view piece =
            bytes.substr(from, disk_.random_.below(bytes.size() - from + 1));
        EXPECT_TRUE(file_->pwrite(offset + from, piece).ok());
        if (disk_.look) disk_.look();
      }
      return disk_.watched([&] { return file_->pwrite(offset, bytes); });
    }
    absl::Status fdatasync() override {
      return disk_.watched([&] { return file_->fdatasync(); });
    }
    absl::Status fsync() override { return fdatasync(); }
    absl::Status allocate(uint64_t size) override { return file_->allocate(size); }
    absl::Status truncate(uint64_t size) override {
      return disk_.watched([&] { return file_->truncate(size); });
    }
    absl::StatusOr<uint64_t> size() override { return file_->size(); }
    absl::Status try_lock() override { return file_->try_lock(); }

   private:
    WatchedDisk& disk_;
    const std::unique_ptr<File> file_;
  };

  template <typename Change>
  absl::Status watched(const Change& change) {
    absl::Status status = change();
    if (look) look();
    return status;
  }

  MemoryFileSystem& below_;
  Random& random_;
};

// A member's log as raft leaves it, and somebody who follows it.
class Following {
 public:
  explicit Following(uint64_t seed) : random_(seed), disk_(&fs_, &random_) {
    Options options;
    options.fs = &disk_;
    options.segment_bytes = 4096;
    options.max_segments = 1;
    wal_ = *Wal::create(kDir, "metadata", options);
    open({});
    disk_.look = [this] {
      if (!jumped_ && random_.below(3) == 0) follow();
    };
  }

  void run() {
    for (int step = 0; step < 300 && !testing::Test::HasFailure(); ++step) {
      change();
      if (random_.below(4) == 0) follow();
      if (random_.below(30) == 0 && follower_->handed() > Index(0)) open_again();
    }
    sync();
    follow_to(applied_, UINT64_MAX);
    EXPECT_EQ(follower_->metadata().view(), "metadata");
    EXPECT_EQ(follower_->handed().value, applied_);
    disk_.look = nullptr;
    if (random_.below(2) == 0) jump();
  }

 private:
  uint64_t last() const { return log_.empty() ? 0 : log_.rbegin()->first; }
  Term term_at(uint64_t index) const { return index == 0 ? Term(0) : log_.at(index).term; }

  void open(Follower::Behind behind) {
    absl::StatusOr<std::unique_ptr<Follower>> opened = Follower::open(kDir, behind, {.fs = &fs_});
    ASSERT_TRUE(opened.ok()) << opened.status();
    follower_ = *std::move(opened);
  }

  // As after a restart of who follows.
  void open_again() {
    const uint64_t index = follower_->handed().value;
    std::optional<uint32_t> sum;
    if (random_.below(2) == 0) sum = sum_of(log_.at(index));
    open({Index(index), term_at(index), sum});
  }

  void change() {
    switch (random_.below(8)) {
      case 0:
        return overwrite();
      case 1:
      case 2:
        return sync();
      case 3:
        return mark();
      default:
        return append();
    }
  }

  void append() {
    std::vector<raft::Entry> entries;
    for (uint64_t n = random_.below(4); n > 0; --n) {
      entries.push_back(entry(last() + 1, term_, odd_value(random_)));
      log_[last() + 1] = entries.back();
    }
    raft::HardState state;
    if (random_.below(2) == 0) state = {Term(term_), kMe, Index(committed_)};
    ASSERT_TRUE(wal_->append(state, entries).ok());
  }

  // Another leader, who does not know of what is not committed.
  void overwrite() {
    ++term_;
    const uint64_t from = committed_ + random_.below(last() - committed_ + 1) + 1;
    log_.erase(log_.lower_bound(from), log_.end());
    std::vector<raft::Entry> entries;
    for (uint64_t i = from; i < from + 1 + random_.below(3); ++i) {
      entries.push_back(entry(i, term_, odd_value(random_)));
      log_[i] = entries.back();
    }
    ASSERT_TRUE(wal_->append({Term(term_), kMe, Index(committed_)}, entries).ok());
  }

  // What is durable may be committed, and what is committed is applied.
  void sync() {
    const uint64_t durable = last();
    ASSERT_TRUE(wal_->sync().ok());
    committed_ += random_.below(durable - committed_ + 1);
    applied_ = committed_;
  }

  void mark() {
    if (applied_ == 0) return;
    const uint64_t at = applied_ - random_.below(std::min<uint64_t>(applied_ - marked_, 5) + 1);
    if (at <= marked_) return;
    ASSERT_TRUE(wal_->save_snapshot({Index(at), term_at(at)}, {}).ok());
    ASSERT_TRUE(wal_->sync().ok());
    marked_ = at;
    wal_->release_to(Index(at), follower_->handed());
  }

  // All that is applied comes out, now; and nothing else.
  void follow() {
    const uint64_t behind = random_.below(3) == 0 ? random_.below(applied_ + 1) : 0;
    follow_to(applied_ - behind, random_.below(4) == 0 ? random_.below(10) : UINT64_MAX);
  }

  void follow_to(uint64_t applied, uint64_t entries) {
    for (; entries > 0; --entries) {
      absl::StatusOr<std::optional<raft::Entry>> next =
          follower_->next({Index(applied), term_at(applied)});
      ASSERT_TRUE(next.ok()) << next.status();
      if (!*next) {
        ASSERT_GE(follower_->handed().value, applied) << follower_->end();
        return;
      }
      ASSERT_LE((*next)->index.value, applied);
      ASSERT_EQ(**next, log_.at((*next)->index.value));
    }
  }

  // The state of another member takes the place of what this one has.
  void jump() {
    jumped_ = true;
    const bool replaces = last() > committed_ && random_.below(2) == 0;
    const uint64_t at = replaces ? committed_ + 1 : last() + 1 + random_.below(3);
    ASSERT_TRUE(wal_->save_snapshot({Index(at), Term(term_ + 1)}, {}).ok());
    ASSERT_TRUE(
        wal_->append({Term(term_ + 1), kMe, Index(at)}, {{entry(at + 1, term_ + 1, "x")}}).ok());
    ASSERT_TRUE(wal_->sync().ok());
    absl::StatusOr<std::optional<raft::Entry>> next =
        follower_->next({Index(at + 1), Term(term_ + 1)});
    EXPECT_EQ(next.status().code(), absl::StatusCode::kOutOfRange) << next.status();
    next = follower_->next({Index(at + 1), Term(term_ + 1)});
    EXPECT_EQ(next.status().code(), absl::StatusCode::kOutOfRange) << next.status();
  }

  SeededRandom random_;
  MemoryFileSystem fs_;
  WatchedDisk disk_;
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<Follower> follower_;
  std::map<uint64_t, raft::Entry> log_;
  uint64_t term_ = 1;
  // marked_ <= applied_ <= committed_ <= last()
  uint64_t committed_ = 0, applied_ = 0, marked_ = 0;
  bool jumped_ = false;
};

TEST(FollowerRandom, HandsOutTheHistory) {
  for_each_seed(150, [](uint64_t seed) {
    log::QuietLog quiet;
    Following(seed).run();
  });
}

class FollowerTest : public testing::Test {
 protected:
  void make(size_t max_held = 16) {
    Options options;
    options.fs = &fs_;
    options.segment_bytes = 4096;
    options.max_segments = 1;
    options.max_held = max_held;
    wal_ = *Wal::create(kDir, "metadata", options);
  }
  void append(uint64_t from, uint64_t to, uint64_t term = 1) {
    for (uint64_t i = from; i <= to; ++i) {
      ASSERT_TRUE(wal_->append({Term(term), kMe, Index(i)},
                               {{entry(i, term, cat("value ", i, std::string(300, 'x')))}})
                      .ok());
    }
    ASSERT_TRUE(wal_->sync().ok());
  }
  absl::StatusOr<uint64_t> follow_to(Follower& follower, uint64_t applied, uint64_t term = 1) {
    while (true) {
      absl::StatusOr<std::optional<raft::Entry>> next = follower.next({Index(applied), Term(term)});
      if (!next.ok()) return next.status();
      if (!*next) return follower.handed().value;
    }
  }
  absl::StatusOr<uint64_t> follow(Follower::Behind behind, uint64_t applied, uint64_t term = 1) {
    absl::StatusOr<std::unique_ptr<Follower>> opened = Follower::open(kDir, behind, {.fs = &fs_});
    if (!opened.ok()) return opened.status();
    return follow_to(**opened, applied, term);
  }
  size_t segments() { return list_segments(fs_, kDir)->size(); }

  log::QuietLog quiet_;
  MemoryFileSystem fs_;
  std::unique_ptr<Wal> wal_;
};

TEST_F(FollowerTest, GoesOnOnlyInTheSameLog) {
  make();
  append(1, 20);
  const uint32_t sum = sum_of(entry(20, 1, cat("value 20", std::string(300, 'x'))));
  append(21, 30);
  EXPECT_EQ(follow({Index(20), Term(1), sum}, 30).value_or(0), 30u);
  EXPECT_EQ(follow({Index(20), Term(1), std::nullopt}, 30).value_or(0), 30u);
  EXPECT_EQ(follow({Index(20), Term(1), sum + 1}, 30).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(follow({Index(20), Term(2), std::nullopt}, 30).status().code(),
            absl::StatusCode::kFailedPrecondition);
  // It was longer once.
  EXPECT_EQ(follow({Index(31), Term(1), std::nullopt}, 30).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Follower::open("other", {}, {.fs = &fs_}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FollowerTest, WhatIsNotAppliedIsNotHandedOut) {
  make();
  append(1, 5);
  ASSERT_TRUE(wal_->append({}, {{entry(6, 1, "a"), entry(7, 1, "b")}}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  // The log knows 5 to be committed; that 7 is, of another term, says nothing of what is here.
  auto follower = *Follower::open(kDir, {}, {.fs = &fs_});
  EXPECT_EQ(follow_to(*follower, 7, 2).value_or(0), 5u);
  ASSERT_TRUE(wal_->append({}, {{entry(6, 2, "A"), entry(7, 2, "B")}}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  absl::StatusOr<std::optional<raft::Entry>> next = follower->next({Index(7), Term(2)});
  ASSERT_TRUE(next.ok() && *next);
  EXPECT_EQ((*next)->data.view(), "A");
  EXPECT_EQ(follow_to(*follower, 7, 2).value_or(0), 7u);
  // An archive's log has nothing that is not final.
  auto archived = *Follower::open(kDir, {}, {.fs = &fs_, .of_committed = true});
  EXPECT_EQ(follow_to(*archived, UINT64_MAX).value_or(0), 7u);
}

// The mark of a received state counts with the commit behind it, which may be written later or
// never.
TEST_F(FollowerTest, AMarkWithoutItsCommitIsNone) {
  make();
  append(1, 5);
  ASSERT_TRUE(wal_->append({}, {{entry(6, 1, "lost")}}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  auto follower = *Follower::open(kDir, {}, {.fs = &fs_});
  EXPECT_EQ(follow_to(*follower, 9, 2).value_or(0), 5u);
  ASSERT_TRUE(wal_->save_snapshot({Index(9), Term(2)}, {}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  const std::string path = cat(kDir, "/", to_string(list_segments(fs_, kDir)->back()));
  const std::string whole = fs_.contents(path);
  // The mark is whole, and what is behind it is not.
  std::string torn = whole;
  torn[whole.find_last_not_of('\0')] = '\0';
  // In the file that the follower has open.
  const auto file = *fs_.open(path, OpenMode::kReadWrite);
  ASSERT_TRUE(file->pwrite(0, torn).ok());
  EXPECT_EQ(follow({}, 9, 2).value_or(0), 5u);
  EXPECT_EQ(follow_to(*follower, 9, 2).value_or(0), 5u);
  ASSERT_TRUE(file->pwrite(0, whole).ok());
  EXPECT_EQ(follow_to(*follower, 9, 2).status().code(), absl::StatusCode::kOutOfRange);
}

// A mark, and what decides whether it was made, with or without a segment's head in between.
TEST_F(FollowerTest, AMarkWaitsForWhatDecidesIt) {
  const auto follow_behind = [this](bool next_segment, const auto& add_rest) {
    fs_ = MemoryFileSystem();
    EXPECT_TRUE(fs_.create_dirs(kDir).ok());
    RecordBuffer records;
    const auto write = [&](uint64_t sequence, uint64_t first) {
      const std::string path = cat(kDir, "/", to_string(SegmentName{sequence, Index(first)}));
      auto file = *fs_.open(path, OpenMode::kCreateEmpty);
      EXPECT_TRUE(file->pwrite(0, records.view()).ok());
      records.clear();
    };
    const auto add_head = [&] {
      records.add_crc();
      records.add_data(wire::RecordType::kMetadata, "metadata");
    };
    add_head();
    records.add_data(wire::RecordType::kSnapshot, wire::encode(wire::WalSnapshot()).view());
    for (uint64_t i = 1; i <= 4; ++i) records.add_entry(entry(i, 1, "x"));
    records.add_state({Term(1), kMe, Index(2)});
    records.add_data(wire::RecordType::kSnapshot,
                     wire::encode(wire::WalSnapshot{Index(4), Term(2), std::nullopt}).view());
    if (next_segment) {
      write(0, 0);
      add_head();
    }
    add_rest(records);
    records.add_state({Term(2), kMe, Index(4)});
    next_segment ? write(1, 5) : write(0, 0);
    const absl::StatusOr<uint64_t> came = follow({}, 4, 2);
    EXPECT_TRUE(came.ok() || absl::IsOutOfRange(came.status())) << came.status();
    return came.value_or(0);
  };
  for (const bool next_segment : {false, true}) {
    SCOPED_TRACE(next_segment);
    // Made: entries 3 and 4 here are no part of the history.
    EXPECT_EQ(follow_behind(next_segment,
                            [](RecordBuffer& rest) {
                              rest.add_state({Term(2), kMe, Index(4)});
                            }),
              0u);
    EXPECT_EQ(
        follow_behind(next_segment, [](RecordBuffer& rest) { rest.add_entry(entry(5, 2, "y")); }),
        0u);
    // Not made: the one leader's, or another's, who does not know of it.
    EXPECT_EQ(follow_behind(next_segment,
                            [](RecordBuffer& rest) {
                              rest.add_state({Term(1), kMe, Index(3)});
                              rest.add_state({Term(1), kMe, Index(4)});
                            }),
              4u);
    EXPECT_EQ(follow_behind(next_segment,
                            [](RecordBuffer& rest) {
                              rest.add_entry(entry(4, 1, "x"));
                              rest.add_state({Term(1), kMe, Index(4)});
                            }),
              4u);
  }
}

TEST_F(FollowerTest, TheLogIsHeldBackForIt) {
  make(3);
  append(1, 40);
  ASSERT_TRUE(wal_->save_snapshot({Index(40), Term(1)}, {}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  const size_t all = segments();
  ASSERT_GT(all, 3u);
  const Index second = (*list_segments(fs_, kDir))[1].first_index;
  // More than may be held: nothing is.
  auto follower = *Follower::open(kDir, {}, {.fs = &fs_});
  ASSERT_EQ(follow_to(*follower, second.value).value_or(0), second.value);
  wal_->release_to(Index(40), second + 1);
  EXPECT_EQ(segments(), all - 1);
  append(41, 90);
  ASSERT_TRUE(wal_->save_snapshot({Index(90), Term(1)}, {}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  wal_->release_to(Index(90), second + 1);
  EXPECT_EQ(segments(), 1u);
  EXPECT_EQ(follow_to(*follower, 90).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(follow({second, Term(1), std::nullopt}, 90).status().code(),
            absl::StatusCode::kOutOfRange);
}

// A start does not open the oldest segments; they are held back all the same.
TEST_F(FollowerTest, SegmentsOfBeforeAStartAreHeldBackToo) {
  make();
  append(1, 40);
  ASSERT_TRUE(wal_->save_snapshot({Index(40), Term(1)}, {}).ok());
  ASSERT_TRUE(wal_->close().ok());
  const size_t all = segments();
  Options options;
  options.fs = &fs_;
  options.segment_bytes = 4096;
  options.max_segments = 1;
  auto opened = Wal::open(kDir, {Index(40), Term(1)}, options, {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  opened->wal->release_to(Index(40), Index(1));
  EXPECT_EQ(segments(), all);
  EXPECT_EQ(follow({Index(1), Term(1), std::nullopt}, 40).value_or(0), 40u);
}

// Space is short: nothing is held for anybody, nor is a next mark waited for, which needs space.
TEST_F(FollowerTest, WhatIsHeldGoesWhenSpaceIsShort) {
  make();
  append(1, 40);
  ASSERT_TRUE(wal_->save_snapshot({Index(40), Term(1)}, {}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  const size_t all = segments();
  ASSERT_GT(all, 3u);
  // What nobody has let go of stays even so.
  wal_->be_frugal(true);
  EXPECT_EQ(segments(), all);
  wal_->be_frugal(false);
  wal_->release_to(Index(40), Index(0));
  EXPECT_EQ(segments(), all);
  wal_->be_frugal(true);
  EXPECT_EQ(segments(), 1u);
}

// He cannot go on with what is left, so nothing is kept for him; for who does not know yet, it is.
TEST_F(FollowerTest, WhatHasGoneIsNotNeeded) {
  make(1000);
  append(1, 80);
  ASSERT_TRUE(wal_->save_snapshot({Index(80), Term(1)}, {}).ok());
  ASSERT_TRUE(wal_->sync().ok());
  const Index third = (*list_segments(fs_, kDir))[2].first_index;
  wal_->release_to(third + 1);
  const size_t left = segments();
  ASSERT_GT(left, 2u);
  EXPECT_EQ(follow({third, Term(1), std::nullopt}, 80).value_or(0), 80u);
  wal_->release_to(Index(80), third);
  EXPECT_EQ(segments(), left);
  wal_->release_to(Index(80), Index(0));
  EXPECT_EQ(segments(), left);
  wal_->release_to(Index(80), Index(1));
  EXPECT_EQ(segments(), 1u);
}

TEST_F(FollowerTest, DamageBeforeTheEndIsDamage) {
  make();
  append(1, 40);
  const std::vector<SegmentName> names = *list_segments(fs_, kDir);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = cat(kDir, "/", to_string(names[i]));
    const std::string whole = fs_.contents(path);
    std::string damaged = whole;
    damaged[300] ^= 1;
    fs_.set_contents(path, damaged);
    auto follower = *Follower::open(kDir, {}, {.fs = &fs_});
    absl::StatusOr<uint64_t> got = follow_to(*follower, 40);
    if (i + 1 < names.size()) {
      EXPECT_EQ(got.status().code(), absl::StatusCode::kDataLoss) << got.status();
    } else {
      // There it may still be written.
      EXPECT_LT(got.value_or(40), 40u);
      EXPECT_EQ(follower->end().code(), absl::StatusCode::kDataLoss) << follower->end();
    }
    fs_.set_contents(path, whole);
  }
}

// There may be more segments than files that a process may open.
TEST_F(FollowerTest, OpensAFewAtATime) {
  make();
  append(1, 400);
  ASSERT_GT(segments(), 20u);
  EXPECT_EQ(follow({}, 400).value_or(0), 400u);
  EXPECT_EQ(follow({Index(100), Term(1), std::nullopt}, 400).value_or(0), 400u);
}

}  // namespace
}  // namespace keelson::wal
