#include "node/request_ids.h"

#include <gtest/gtest.h>

#include <set>

namespace keelson::node {
namespace {

constexpr MemberId kMember{0x1234'5678'9abc'def0};
constexpr Duration kStart = std::chrono::milliseconds(1'700'000'000'000);

std::set<uint64_t> some_of(MemberId member, Duration start, int count) {
  RequestIdSource source(member, start);
  RequestIds ids(source);
  std::set<uint64_t> some;
  for (int i = 0; i < count; ++i) some.insert(ids.next());
  return some;
}

bool meet(const std::set<uint64_t>& a, const std::set<uint64_t>& b) {
  for (uint64_t id : b) {
    if (a.contains(id)) return true;
  }
  return false;
}

TEST(RequestIds, AreUniqueAndNameTheMember) {
  const std::set<uint64_t> some = some_of(kMember, kStart, 100'000);
  EXPECT_EQ(some.size(), 100'000u);
  for (uint64_t id : some) ASSERT_EQ(id >> 48, 0xdef0u);
  EXPECT_FALSE(meet(some, some_of(MemberId(7), kStart, 100'000)));
}

// More in the time that passed than the clock counted, or a clock that was set back.
TEST(RequestIds, OfOneStartAreNotThoseOfAnother) {
  const std::set<uint64_t> before = some_of(kMember, kStart, 100'000);
  for (int ms = -300; ms <= 300; ++ms) {
    if (ms == 0) continue;
    EXPECT_FALSE(meet(before, some_of(kMember, kStart + std::chrono::milliseconds(ms), 1000)))
        << ms;
  }
}

}  // namespace
}  // namespace keelson::node
