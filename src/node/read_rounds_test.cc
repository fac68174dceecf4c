#include "node/read_rounds.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <optional>
#include <semaphore>
#include <thread>
#include <vector>

#include "base/endian.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "node/test_member.h"
#include "raft/test_group.h"

namespace keelson::node {
namespace {

constexpr uint64_t kSeed = 1000;
constexpr Duration kLongestHold = std::chrono::milliseconds(2);
constexpr Duration kRoundTrip = std::chrono::microseconds(100);

class ReadRoundsTest : public testing::Test {
 protected:
  ReadRoundsTest() {
    EXPECT_TRUE(member_.start().ok());
    gateway_ = member_.node().add_gateway(member_.schedule.io);
  }

  // `name` is what it is known by when it comes back.
  ReadBatch batch(int64_t count, int64_t name = 0) {
    return {.gateway = gateway_, .ticket = {}, .deadline = {Duration(name)}, .count = count};
  }
  // The answer to the `number`th round that was asked for.
  static raft::ReadState answer(uint64_t number) {
    return {Index(1),
            Bytes::build(sizeof(uint64_t), [&](char* out) { store_big64(out, kSeed + number); })};
  }
  std::optional<Duration> start(ReadRounds& rounds) { return rounds.start(group_.node(1), now_); }
  // A round that is answered after a round trip; how many batches were in it.
  size_t round(ReadRounds& rounds, uint64_t number) {
    EXPECT_EQ(start(rounds), std::nullopt);
    now_ = now_ + kRoundTrip;
    return rounds.take(answer(number), now_).size();
  }

  SeededRandom random_{1};
  TestMember member_{random_};
  Gateway* gateway_ = nullptr;
  raft::TestGroup group_{3};  // the core is told of rounds, and hears nothing of them
  MonotonicTime now_{std::chrono::seconds(1)};
};

TEST_F(ReadRoundsTest, FewAreNotHeldBack) {
  ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
  for (uint64_t number = 1; number <= 20; ++number) {
    EXPECT_TRUE(rounds.submit(batch(7)));
    EXPECT_EQ(round(rounds, number), 1u);
  }
}

TEST_F(ReadRoundsTest, ACrowdIsWaitedForUntilMostHaveCome) {
  ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
  EXPECT_TRUE(rounds.submit(batch(20)));
  EXPECT_EQ(start(rounds), std::nullopt);
  // Who comes while it is under way wakes nobody, and is one of those who wait.
  EXPECT_FALSE(rounds.submit(batch(10)));
  now_ = now_ + kRoundTrip;
  EXPECT_EQ(rounds.take(answer(1), now_).size(), 1u);
  EXPECT_EQ(start(rounds), 8 * kRoundTrip);
  for (int i = 0; i < 16; ++i) EXPECT_FALSE(rounds.submit(batch(1)));
  EXPECT_TRUE(rounds.submit(batch(1)));  // 27 of 30
  EXPECT_EQ(round(rounds, 2), 18u);
}

TEST_F(ReadRoundsTest, AHoldRunsOut) {
  ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
  EXPECT_TRUE(rounds.submit(batch(20)));
  EXPECT_EQ(round(rounds, 1), 1u);
  const std::optional<Duration> held = start(rounds);
  ASSERT_TRUE(held.has_value());
  EXPECT_FALSE(rounds.submit(batch(2)));
  now_ = now_ + (*held - Duration(1));
  EXPECT_EQ(start(rounds), Duration(1));
  now_ = now_ + Duration(1);
  EXPECT_EQ(round(rounds, 2), 1u);
}

TEST_F(ReadRoundsTest, WhoNeverComesIsWaitedForLessAndLess) {
  ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
  std::vector<uint64_t> held_after;
  for (uint64_t number = 1; number <= 200; ++number) {
    rounds.submit(batch(10));
    if (std::optional<Duration> held = start(rounds)) {
      held_after.push_back(number - 1);
      now_ = now_ + *held;
    }
    EXPECT_EQ(round(rounds, number), 1u);
  }
  // 9 of the 10 answered would have been enough, and all 10 come: nobody is held then.
  EXPECT_TRUE(held_after.empty());

  // Half as many as before, always: who has just been answered does not come back.
  int64_t count = int64_t{1} << 30;
  for (uint64_t number = 201; number <= 220; ++number, count /= 2) {
    rounds.submit(batch(count));
    if (std::optional<Duration> held = start(rounds)) {
      held_after.push_back(number - 201);
      now_ = now_ + *held;
    }
    EXPECT_EQ(round(rounds, number), 1u);
  }
  EXPECT_EQ(held_after, (std::vector<uint64_t>{1, 3, 6, 11}));
}

TEST_F(ReadRoundsTest, LateAnswersAndFailures) {
  ReadRounds rounds(kSeed, {.crowd = 1, .longest_hold = kLongestHold});
  EXPECT_TRUE(rounds.submit(batch(1)));
  EXPECT_EQ(start(rounds), std::nullopt);
  EXPECT_TRUE(rounds.take(answer(7), now_).empty());
  rounds.fail_round(absl::UnavailableError("the leader has gone"));
  EXPECT_TRUE(rounds.take(answer(1), now_).empty());
  EXPECT_TRUE(rounds.submit(batch(1)));
  EXPECT_EQ(round(rounds, 2), 1u);
}

// A leader that was removed meanwhile would be answered by its own core, which has nobody to ask.
TEST_F(ReadRoundsTest, WhoMayNotReadAnyMoreDoesNotAskAgain) {
  ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
  EXPECT_TRUE(rounds.submit(
      {.gateway = gateway_, .ticket = {}, .deadline = now_ + std::chrono::seconds(7), .count = 1}));
  EXPECT_EQ(start(rounds), std::nullopt);
  now_ = now_ + std::chrono::milliseconds(500);
  EXPECT_FALSE(rounds.expire(group_.node(1), now_, false));
  EXPECT_EQ(rounds.take(answer(1), now_).size(), 1u);  // it was not asked again
  EXPECT_TRUE(rounds.submit(batch(1)));
}

// Where a confirmation takes longer than the patience, each question would make the answer to the
// one before useless.
TEST_F(ReadRoundsTest, TheAnswerToAnyOfItsQuestionsEndsARound) {
  for (uint64_t which = 1; which <= 3; ++which) {
    ReadRounds rounds(kSeed, {.crowd = 8, .longest_hold = kLongestHold});
    EXPECT_TRUE(rounds.submit({.gateway = gateway_,
                               .ticket = {},
                               .deadline = now_ + std::chrono::seconds(7),
                               .count = 1}));
    EXPECT_EQ(start(rounds), std::nullopt);
    for (int again = 0; again < 2; ++again) {
      now_ = now_ + std::chrono::milliseconds(500);
      EXPECT_TRUE(rounds.expire(group_.node(1), now_, true));
    }
    EXPECT_TRUE(rounds.take(answer(0), now_).empty());
    EXPECT_TRUE(rounds.take(answer(4), now_).empty());
    EXPECT_EQ(rounds.take(answer(which), now_).size(), 1u);
    // The other answers are nobody's, and a later round's questions are others.
    EXPECT_TRUE(rounds.submit(batch(1)));
    EXPECT_EQ(start(rounds), std::nullopt);
    for (uint64_t late = 1; late <= 3; ++late) {
      EXPECT_TRUE(rounds.take(answer(late), now_).empty());
    }
    EXPECT_EQ(rounds.take(answer(4), now_).size(), 1u);
  }
}

// Everything is answered once, in the order in which it came, by a round that began after it had
// come; and who was not asked to wake the lane can rely on somebody else.
TEST_F(ReadRoundsTest, RandomSeedsLoseNobody) {
  for_each_seed({.count = 200}, [&](uint64_t seed) {
    SeededRandom random(seed);
    ReadRounds rounds(
        kSeed, {.crowd = 1 + static_cast<int64_t>(random.below(20)), .longest_hold = kLongestHold});
    std::deque<int64_t> waiting, asked;
    int64_t last_name = 0;
    uint64_t number = 0;
    bool must_start = false;
    MonotonicTime hold_ends = now_;
    for (int step = 0; step < 400; ++step) {
      now_ = now_ + std::chrono::microseconds(random.below(300));
      switch (random.below(4)) {
        case 0:
        case 1:
          waiting.push_back(++last_name);
          if (rounds.submit(batch(1 + static_cast<int64_t>(random.below(12)), last_name))) {
            must_start = true;
          } else {
            ASSERT_TRUE(must_start || !asked.empty() || now_ < hold_ends + kLongestHold);
          }
          break;
        case 2: {
          // What the consensus lane does after whatever has happened.
          if (!must_start && now_ < hold_ends && random.below(2) == 0) break;
          const std::optional<Duration> held = start(rounds);
          must_start = false;
          if (held) {
            ASSERT_TRUE(asked.empty());
            ASSERT_LE(*held, kLongestHold);
            ASSERT_GT(*held, Duration(0));
            hold_ends = now_ + *held;
          } else if (asked.empty() && !waiting.empty()) {
            asked = std::exchange(waiting, {});
            ++number;
          }
          break;
        }
        case 3: {
          if (random.below(5) == 0) {
            ASSERT_TRUE(rounds.take(answer(number + 1 + random.below(3)), now_).empty());
          }
          const std::vector<ReadBatch> taken = rounds.take(answer(number), now_);
          ASSERT_EQ(taken.size(), asked.size());
          for (const ReadBatch& one : taken) {
            ASSERT_EQ(one.deadline.since_origin.count(), asked.front());
            asked.pop_front();
          }
          if (!taken.empty()) must_start = true;
          break;
        }
      }
    }
    rounds.fail_all(absl::UnavailableError("the end"));
  });
}

// No wake-up is lost: the lane sleeps until it is woken, or a hold has run out, and for nothing
// else.
TEST_F(ReadRoundsTest, ThreadsSubmit) {
  constexpr int kThreads = 4, kBatches = 3000;
  ReadRounds rounds(kSeed, {.crowd = 3, .longest_hold = std::chrono::microseconds(200)});
  std::counting_semaphore<> wake(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kBatches; ++i) {
        if (rounds.submit(batch(1 + i % 3))) wake.release();
      }
    });
  }
  SystemClock clock;
  size_t answered = 0;
  uint64_t number = 0;
  while (answered < size_t{kThreads} * kBatches) {
    const std::optional<Duration> held = rounds.start(group_.node(1), clock.now());
    const std::vector<ReadBatch> taken = rounds.take(answer(number + 1), clock.now());
    if (!taken.empty()) {
      ++number;
      answered += taken.size();
    } else if (held) {
      (void)wake.try_acquire_for(*held);
    } else {
      wake.acquire();
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace keelson::node
