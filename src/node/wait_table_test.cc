#include "node/wait_table.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::node {
namespace {

MonotonicTime at(int64_t seconds) { return MonotonicTime{std::chrono::seconds(seconds)}; }

TEST(WaitTable, WhoComesFirstTakesIt) {
  WaitTable<int> table;
  const WaitTicket one = table.add(at(1), 1);
  const WaitTicket two = table.add(at(2), 2);
  EXPECT_EQ(table.take(one), 1);
  EXPECT_EQ(table.take(one), std::nullopt);
  EXPECT_EQ(table.take_expired(at(1)), std::nullopt);
  EXPECT_EQ(table.take_expired(at(2)), 2);
  // The slots are used again; old tickets do not open them.
  table.add(at(3), 3);
  table.add(at(3), 4);
  EXPECT_EQ(table.take(one), std::nullopt);
  EXPECT_EQ(table.take(two), std::nullopt);
  EXPECT_EQ(table.size(), 2u);
}

TEST(WaitTableRandom, BehavesLikeAMap) {
  for_each_seed({.count = 50}, [](uint64_t seed) {
    SeededRandom random(seed);
    WaitTable<int> table;
    std::map<int, std::pair<WaitTicket, int64_t>> twin;  // in the order of adding
    int next = 0;
    int64_t now = 0;
    for (int step = 0; step < 500; ++step) {
      switch (random.below(4)) {
        case 0:
        case 1: {
          const int64_t deadline = now + 5;
          twin[next] = {table.add(at(deadline), next), deadline};
          ++next;
          break;
        }
        case 2:
          if (!twin.empty()) {
            auto it = std::next(twin.begin(), static_cast<long>(random.below(twin.size())));
            ASSERT_EQ(table.take(it->second.first), it->first);
            ASSERT_EQ(table.take(it->second.first), std::nullopt);
            twin.erase(it);
          }
          break;
        case 3:
          now += static_cast<int64_t>(random.below(3));
          while (!twin.empty() && twin.begin()->second.second <= now) {
            ASSERT_EQ(table.take_expired(at(now)), twin.begin()->first);
            twin.erase(twin.begin());
          }
          ASSERT_EQ(table.take_expired(at(now)), std::nullopt);
          break;
      }
      ASSERT_EQ(table.size(), twin.size());
      if (!twin.empty()) {
        ASSERT_EQ(table.next_deadline(), at(twin.begin()->second.second));
      }
    }
  });
}

}  // namespace
}  // namespace keelson::node
