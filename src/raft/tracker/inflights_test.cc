// The window of appends in flight against a plain queue.

#include "raft/tracker/inflights.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <utility>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::raft::tracker {
namespace {

TEST(InflightsTwin, BehavesLikeAQueue) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 10; ++round) {
      const int max_count = 1 + static_cast<int>(random.below(20));
      const uint64_t max_bytes = random.below(3) == 0 ? 0 : 1 + random.below(200);
      Inflights window(max_count, max_bytes);
      std::deque<std::pair<Index, uint64_t>> twin;
      Index last;
      for (int step = 0; step < 500; ++step) {
        uint64_t bytes = 0;
        for (const auto& [unused, size] : twin) bytes += size;
        const bool full =
            twin.size() == static_cast<size_t>(max_count) || (max_bytes > 0 && bytes >= max_bytes);
        ASSERT_EQ(window.full(), full);
        ASSERT_EQ(window.count(), static_cast<int>(twin.size()));
        ASSERT_EQ(window.bytes(), bytes);
        window.check_invariants();
        if (!full && random.below(3) > 0) {
          last = last + 1 + random.below(5);
          const uint64_t size = random.below(50);
          window.add(last, size);
          twin.emplace_back(last, size);
        } else {
          const Index to = random.below(2) == 0 && !twin.empty()
                               ? twin[random.below(twin.size())].first
                               : Index(random.below(last.value + 2));
          window.free_up_to(to);
          while (!twin.empty() && twin.front().first <= to) twin.pop_front();
        }
      }
    }
  });
}

}  // namespace
}  // namespace keelson::raft::tracker
