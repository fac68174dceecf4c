// Who takes enough and who does not, by a clock that stands where it is put.

#include "rpc/taking_pace.h"

#include <gtest/gtest.h>

namespace keelson::rpc {
namespace {

using std::chrono::seconds;

constexpr uint64_t kRate = TakingPace::kBytesPerSecond;

TEST(TakingPace, SignsOfLifeAreNotEnough) {
  TakingPace pace;
  MonotonicTime now;
  pace.clients_turn(now);
  uint64_t taken = 0;
  bool slow = false;
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(slow) << i;
    now = now + seconds(30);
    taken += 64 << 10;
    slow = pace.too_slow(taken, now);
  }
  EXPECT_TRUE(slow);
}

TEST(TakingPace, WhoKeepsUpGoesOn) {
  TakingPace pace;
  MonotonicTime now;
  pace.clients_turn(now);
  // Unevenly: nothing for more than a minute, and then what is due.
  for (uint64_t i = 1; i <= 100; ++i) {
    now = now + seconds(120);
    EXPECT_FALSE(pace.too_slow(i * 120 * kRate, now));
    EXPECT_FALSE(pace.too_slow(i * 120 * kRate, now + seconds(70)));
  }
}

TEST(TakingPace, TheMembersTimeDoesNotCount) {
  TakingPace pace;
  MonotonicTime now;
  for (int i = 0; i < 100; ++i) {
    pace.clients_turn(now);
    now = now + seconds(1);
    pace.our_turn(now);
    now = now + seconds(600);
    EXPECT_FALSE(pace.too_slow(0, now));
  }
  pace.clients_turn(now);
  EXPECT_TRUE(pace.too_slow(100 * kRate, now + seconds(30)));
}

TEST(TakingPace, EachWindowStandsAlone) {
  TakingPace pace;
  MonotonicTime now;
  pace.clients_turn(now);
  now = now + seconds(120);
  EXPECT_FALSE(pace.too_slow(1000 * 120 * kRate, now));
  now = now + seconds(120);
  EXPECT_TRUE(pace.too_slow(1000 * 120 * kRate, now));
}

}  // namespace
}  // namespace keelson::rpc
