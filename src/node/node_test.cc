// What a member does when its disk is full, slow, or when it is told to end.

#include <gtest/gtest.h>

#include "base/errors.h"
#include "node/test_member.h"

namespace keelson::node {
namespace {

class NodeTest : public ::testing::Test {
 protected:
  void start() {
    ASSERT_TRUE(member_.start().ok());
    ASSERT_TRUE(read().ok());
  }

  absl::Status put(std::string_view key, std::string_view value) {
    std::optional<absl::Status> answer;
    member_.put(key, value, [&](apply::Reply reply) { answer = std::move(reply.status); });
    EXPECT_TRUE(member_.run_until([&] { return answer.has_value(); })) << member_.fatal;
    return answer.value_or(absl::InternalError("no answer"));
  }

  absl::Status read() {
    std::optional<absl::Status> answer;
    member_.read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
      answer = found.status();
      if (found.ok()) keys_ = found->kvs.size();
    });
    EXPECT_TRUE(member_.run_until([&] { return answer.has_value(); })) << member_.fatal;
    return answer.value_or(absl::InternalError("no answer"));
  }

  Quiet quiet_;
  SeededRandom random_{7};
  TestMember member_{random_};
  size_t keys_ = 0;
};

TEST_F(NodeTest, AFullDiskRefusesWritesAndServesReads) {
  start();
  int stored = 0;
  absl::Status last;
  member_.files.set_capacity(member_.files.used());
  // What fits into the segment is taken; the first that does not waits for space.
  for (; stored < 1000 && last.ok(); ++stored) {
    last = put(cat("k", stored), std::string(500, 'x'));
  }
  ASSERT_LT(stored, 1000);
  EXPECT_TRUE(last == errors::Timeout() || last == errors::NoSpace()) << last;
  EXPECT_TRUE(member_.node().status().disk_full);
  EXPECT_EQ(put("more", "x"), errors::NoSpace());
  EXPECT_TRUE(read().ok());
  EXPECT_EQ(keys_, static_cast<size_t>(stored - 1));

  member_.files.set_capacity(UINT64_MAX);
  ASSERT_TRUE(member_.run_until([&] { return !member_.node().status().disk_full; }));
  EXPECT_TRUE(put("more", "x").ok());
  // A write that timed out waited in the queue and is done now, as one that etcd gave up waiting
  // for may be; one that was refused is not.
  size_t expected = static_cast<size_t>(last == errors::Timeout() ? stored + 1 : stored);
  ASSERT_TRUE(read().ok());
  EXPECT_EQ(keys_, expected);
  EXPECT_FALSE(member_.dead());
  member_.lose_power();
  start();
  EXPECT_EQ(keys_, expected);
}

TEST_F(NodeTest, WritesThatWaitForTheDiskShareOneSync) {
  start();
  int answered = 0;
  member_.schedule.hold(member_.schedule.log);
  for (int i = 0; i < 100; ++i) {
    member_.put(cat("k", i), "v", [&](apply::Reply reply) {
      EXPECT_TRUE(reply.status.ok());
      ++answered;
    });
  }
  // The disk says nothing for a while: nobody is answered, and reads do not wait for it.
  for (int i = 0; i < 300; ++i) member_.schedule.step();
  EXPECT_EQ(answered, 0);
  EXPECT_TRUE(read().ok());
  uint64_t before = member_.files.operations();
  member_.schedule.release();
  ASSERT_TRUE(member_.run_until([&] { return answered == 100; }));
  // A write and a sync for the entries, and as much again for the commit index; a hundred writes
  // one by one would be hundreds.
  EXPECT_LE(member_.files.operations() - before, 16u);
}

TEST_F(NodeTest, AnOrderlyEndAnswersEverybodyAndKeepsEverything) {
  start();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(put(cat("k", i), "v").ok());
  int done = 0, refused = 0;
  for (int i = 200; i < 300; ++i) {
    member_.put(cat("k", i), "v", [&](apply::Reply reply) {
      ++(reply.status.ok() ? done : refused);
      EXPECT_TRUE(reply.status.ok() || reply.status == errors::Stopped()) << reply.status;
    });
    for (uint64_t steps = random_.below(6); steps > 0; --steps) member_.schedule.step();
  }
  absl::Status stopped = member_.stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_TRUE(member_.run_until([&] { return done + refused == 100; }));
  // What comes after is refused, too.
  EXPECT_EQ(put("late", "v"), errors::Stopped());
  EXPECT_FALSE(member_.dead()) << member_.fatal;
  member_.lose_power();
  start();
  EXPECT_GE(keys_, static_cast<size_t>(200 + done));
  EXPECT_LE(keys_, size_t{300});
}

TEST_F(NodeTest, TheLogLetsGoOfWhatTheBackendHolds) {
  start();
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(put("k", std::string(200, 'x')).ok());
    if (i % 50 == 0) member_.node().backend().flush([](absl::Status) {});
  }
  absl::Status stopped = member_.stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  // 400 entries of some 250 bytes are a dozen segments of 8 kB.
  int segments = 0;
  for (const std::string& path : member_.files.paths()) segments += path.ends_with(".wal");
  EXPECT_LE(segments, 4);
  member_.lose_power();
  start();
  EXPECT_EQ(member_.node().store().revision(), 401);
}

TEST_F(NodeTest, AReadAfterACrashSeesWhatWasAcknowledged) {
  start();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put(cat("k", i), "v").ok());
  member_.lose_power();
  ASSERT_TRUE(member_.start().ok());
  // The new term's first entry is still on its way to the disk.
  std::optional<size_t> seen;
  member_.read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
    ASSERT_TRUE(found.ok()) << found.status();
    seen = found->kvs.size();
  });
  member_.schedule.hold(member_.schedule.log);
  for (int i = 0; i < 200; ++i) member_.schedule.step();
  EXPECT_FALSE(seen.has_value());
  member_.schedule.release();
  ASSERT_TRUE(member_.run_until([&] { return seen.has_value(); }));
  EXPECT_EQ(*seen, 20u);
}

// However much the log holds since its last mark, what the store has applied is not kept for it.
TEST(Replay, WhatIsAppliedAlreadyIsNotHeldInMemory) {
  Quiet quiet;
  SeededRandom random(7);
  Options options = TestMember::small_options();
  options.snapshot_count = 1'000'000;  // no mark but the first
  TestMember member(random, options);
  ASSERT_TRUE(member.start().ok());
  constexpr int kPuts = 40;
  const std::string value(1 << 20, 'x');
  for (int i = 0; i < kPuts; ++i) {
    bool answered = false;
    member.put(cat("k", i % 2), value, [&](apply::Reply) { answered = true; });
    ASSERT_TRUE(member.run_until([&] { return answered; })) << member.fatal;
  }
  ASSERT_TRUE(member.stop().ok());
  member.kill();

  options.replay.wal.fs = &member.files;
  absl::StatusOr<Replay> found = replay(options.replay, member.disk);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_GE(found->applied, Index(kPuts));
  const Index first = *found->storage->first_index(), last = *found->storage->last_index();
  EXPECT_GE(last, found->applied);
  EXPECT_LE(last.value + 1 - first.value, 17u);
}

}  // namespace
}  // namespace keelson::node
