// The queue beside a plain list, and that a far revision costs no more than a near one.

#include "mvcc/garbage_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <utility>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::mvcc {
namespace {

KeyRecord* record_number(uint64_t number) { return reinterpret_cast<KeyRecord*>(number * 16); }

int64_t random_step(Random& random) {
  switch (random.below(4)) {
    case 0:
      return 0;
    case 1:
      return static_cast<int64_t>(random.below(10));
    case 2:
      return static_cast<int64_t>(0xfff0 + random.below(0x20));
    default:
      return static_cast<int64_t>(random.below(uint64_t{1} << random.below(50)));
  }
}

TEST(GarbageQueue, IsAListByRevision) {
  for_each_seed(200, [](uint64_t seed) {
    SeededRandom random(seed);
    GarbageQueue queue;
    std::deque<std::pair<int64_t, KeyRecord*>> twin;
    int64_t main = 0;
    for (int i = 0; i < 3000; ++i) {
      if (random.below(3) > 0) {
        main += random_step(random);
        twin.emplace_back(main, record_number(1 + random.below(1000)));
        queue.push(main, twin.back().second);
      } else if (!twin.empty()) {
        ASSERT_EQ(queue.front_main(), twin.front().first);
        ASSERT_EQ(queue.pop(), twin.front().second);
        twin.pop_front();
      }
      ASSERT_EQ(queue.size(), twin.size());
    }
  });
}

// Else this would take all memory there is.
TEST(GarbageQueue, RevisionsMayBeFarApart) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  GarbageQueue queue;
  queue.push(3, record_number(1));
  queue.push(kMost - 1, record_number(2));
  queue.push(kMost, record_number(3));
  EXPECT_EQ(queue.due(kMost), 3u);
  for (const int64_t main : {int64_t{3}, kMost - 1, kMost}) {
    EXPECT_EQ(queue.front_main(), main);
    queue.pop();
  }
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace keelson::mvcc
