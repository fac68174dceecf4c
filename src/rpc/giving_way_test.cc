// Who rests and who does not, by a clock that stands where it is put.

#include "rpc/giving_way.h"

#include <gtest/gtest.h>

namespace keelson::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kSlice = milliseconds(2);
constexpr Duration kNone{0};

class GivingWayTest : public ::testing::Test {
 protected:
  GivingWayTest() : now_{seconds(1000)}, way_(Index(7), now_) {}

  // The rest after a slice at whose end the member had applied so much.
  Duration after_slice(uint64_t applied) {
    now_ = now_ + kSlice;
    return way_.rest(kSlice, Index(applied), read_, now_);
  }

  MonotonicTime now_, read_{seconds(999)};
  GivingWay way_;
};

TEST_F(GivingWayTest, NobodyThereNoRest) {
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(after_slice(7), kNone);
}

TEST_F(GivingWayTest, WhoWritesIsGivenWayAndExpectedBack) {
  EXPECT_EQ(after_slice(7), kNone);
  EXPECT_EQ(after_slice(8), kSlice);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(after_slice(8), kSlice) << i;
  EXPECT_EQ(after_slice(8), kNone);
  EXPECT_EQ(after_slice(9), kSlice);
}

TEST_F(GivingWayTest, SoIsWhoReads) {
  EXPECT_EQ(after_slice(7), kNone);
  read_ = now_ + milliseconds(1);
  EXPECT_EQ(after_slice(7), kSlice);
  now_ = now_ + GivingWay::kMoment;
  EXPECT_EQ(after_slice(7), kNone);
}

// As many writes as a busy member has: the work has half of the time.
TEST_F(GivingWayTest, UnderLoadEverySliceIsFollowedByARest) {
  for (uint64_t applied = 8; applied < 1000; ++applied) EXPECT_EQ(after_slice(applied), kSlice);
}

// A received state may put the index back.
TEST_F(GivingWayTest, AnyChangeCounts) { EXPECT_EQ(after_slice(3), kSlice); }

}  // namespace
}  // namespace keelson::rpc
