#include "base/failpoint.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

namespace keelson {
namespace {

class FailpointTest : public testing::Test {
 protected:
  void TearDown() override { failpoint::disarm(); }
};

TEST_F(FailpointTest, UnarmedDoesNothing) {
  KEELSON_FAILPOINT("nothing");
  EXPECT_TRUE(KEELSON_FAILPOINT_STATUS("nothing").ok());
}

TEST_F(FailpointTest, ErrorsCarryTheErrno) {
  ASSERT_TRUE(failpoint::arm("a=error;b=error:28").ok());
  EXPECT_EQ(KEELSON_FAILPOINT_STATUS("a").code(), absl::ErrnoToStatusCode(EIO));
  EXPECT_EQ(KEELSON_FAILPOINT_STATUS("b").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(KEELSON_FAILPOINT_STATUS("c").ok());
}

TEST_F(FailpointTest, CountPicksOneHit) {
  ASSERT_TRUE(failpoint::arm("a=error@3").ok());
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(KEELSON_FAILPOINT_STATUS("a").ok(), i != 3) << i;
  EXPECT_EQ(failpoint::hits("a"), 5u);
}

TEST_F(FailpointTest, ProbabilityComesFromTheSeed) {
  auto pattern = [](uint64_t seed) {
    EXPECT_TRUE(failpoint::arm("a=error%0.25", seed).ok());
    std::string struck;
    for (int i = 0; i < 400; ++i) struck += KEELSON_FAILPOINT_STATUS("a").ok() ? '.' : 'x';
    return struck;
  };
  std::string one = pattern(1);
  EXPECT_EQ(one, pattern(1));
  EXPECT_NE(one, pattern(2));
  auto count = std::count(one.begin(), one.end(), 'x');
  EXPECT_GT(count, 50);
  EXPECT_LT(count, 150);
}

TEST_F(FailpointTest, ExitAndCrashEndTheProcess) {
  ASSERT_TRUE(failpoint::arm("a=exit:7;b=crash").ok());
  EXPECT_EXIT(KEELSON_FAILPOINT("a"), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(KEELSON_FAILPOINT("b"), testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FailpointTest, PauseHoldsUntilDisarmed) {
  ASSERT_TRUE(failpoint::arm("a=pause").ok());
  std::atomic<bool> passed{false};
  std::thread stuck([&] {
    KEELSON_FAILPOINT("a");
    passed = true;
  });
  while (failpoint::hits("a") == 0) std::this_thread::yield();
  EXPECT_FALSE(passed);
  failpoint::disarm();
  stuck.join();
  EXPECT_TRUE(passed);
}

TEST_F(FailpointTest, RefusesWhatItCannotRead) {
  for (const char* bad : {"a", "=crash", "a=boom", "a=crash@0", "a=crash@x", "a=crash%2",
                          "a=error:0", "a=sleep", "a=crash:1", "a=crash;a=pause"}) {
    EXPECT_EQ(failpoint::arm(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(failpoint::arm("a=crash@5%0.5;;b=sleep:0,c=exit").ok());
}

}  // namespace
}  // namespace keelson
