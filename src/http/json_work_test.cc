// What long messages of the JSON gateway may hold, and who.

#include <gtest/gtest.h>

#include "http/json_call.h"

namespace keelson::http {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;
constexpr Origin kGreedy{1, 11}, kModest{2, 21};

class JsonWorkTest : public ::testing::Test {
 protected:
  SystemClock clock_;
  net::Loop loop_{&clock_};
  JsonWork work_{1, std::make_shared<net::HeldBudgets>(1), nullptr, nullptr, nullptr};
};

TEST_F(JsonWorkTest, OneClientDoesNotUseUpWhatThereIs) {
  JsonWork::Account& account = work_.lane(loop_).incoming;
  size_t taken = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    const Origin from{kGreedy.client, kGreedy.connection + i % 8};
    if (!work_.admits(account, from, kMegabyte)) continue;
    account.add(from, kMegabyte);
    ++taken;
  }
  EXPECT_GE(taken, 36u);
  EXPECT_LE(taken, 43u);  // of 64, two thirds
  EXPECT_EQ(work_.times_over_share(), 1000 - taken);
  EXPECT_TRUE(work_.admits(account, kModest, 20 * kMegabyte));
  EXPECT_FALSE(work_.admits(account, kModest, 40 * kMegabyte));
  EXPECT_EQ(work_.times_full(), 1u);
}

TEST_F(JsonWorkTest, OneThingOfAnySizeIsLetInWhereThereIsNothing) {
  JsonWork::Account& account = work_.lane(loop_).incoming;
  EXPECT_TRUE(work_.admits(account, kModest, 100 * kMegabyte));
  account.add(kModest, 100 * kMegabyte);
  EXPECT_FALSE(work_.admits(account, kGreedy, 1));
  account.remove(kModest, 100 * kMegabyte);
  EXPECT_TRUE(work_.admits(account, kGreedy, 1));
}

}  // namespace
}  // namespace keelson::http
