// The cache beside a store: a kept answer is never older than a write that came by here before it.

#include "proxy/range_cache.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::proxy {
namespace {

const std::string kAll(1, '\0');

TEST(KeySpan, Overlaps) {
  const KeySpan b{"b", ""}, a_to_c{"a", "c"}, from_b{"b", kAll}, c_to_d{"c", "d"}, all{kAll, kAll};
  EXPECT_TRUE(b.overlaps(b));
  EXPECT_TRUE(b.overlaps(a_to_c));
  EXPECT_TRUE(a_to_c.overlaps(b));
  EXPECT_TRUE(from_b.overlaps(c_to_d));
  EXPECT_TRUE(all.overlaps(b));
  EXPECT_FALSE(a_to_c.overlaps(c_to_d));
  EXPECT_FALSE(c_to_d.overlaps(a_to_c));
  EXPECT_FALSE((KeySpan{"a", ""}.overlaps(from_b)));
  EXPECT_FALSE((KeySpan{"b", ""}.overlaps(KeySpan{"ba", ""})));
}

TEST(RangeCache, IsBounded) {
  RangeCache cache({.entries = 3, .bytes = 2000, .one = 1000});
  for (int i = 0; i < 4; ++i) cache.add(cat(i), {cat(i), ""}, 0, 1, Parts::copy("x"));
  EXPECT_EQ(cache.entries(), 3u);
  EXPECT_EQ(cache.find("0"), nullptr);
  EXPECT_NE(cache.find("1"), nullptr);  // and so it is the last to go
  cache.add("4", {"4", ""}, 0, 1, Parts::copy("x"));
  EXPECT_NE(cache.find("1"), nullptr);
  EXPECT_EQ(cache.find("2"), nullptr);
  cache.add("large", {"l", ""}, 0, 1, Parts::copy(std::string(1000, 'x')));
  EXPECT_EQ(cache.find("large"), nullptr);
  cache.add("half", {"l", ""}, 0, 1, Parts::copy(std::string(700, 'x')));
  cache.add("half too", {"l", ""}, 0, 1, Parts::copy(std::string(700, 'x')));
  EXPECT_LE(cache.bytes(), 2000u);
}

TEST(RangeCache, KnowsOfCompactions) {
  RangeCache cache({});
  cache.add("at 3", {"k", ""}, 3, 9, Parts::copy("x"));
  cache.put_out({"k", ""}, 10);
  EXPECT_NE(cache.find("at 3"), nullptr) << "the past does not change";
  cache.compact(5);
  EXPECT_TRUE(cache.compacted(4));
  EXPECT_FALSE(cache.compacted(5));
  EXPECT_FALSE(cache.compacted(0));
}

KeySpan random_span(Random& random) {
  const std::string begin(1, static_cast<char>('a' + random.below(6)));
  switch (random.below(4)) {
    case 0:
      return {begin, kAll};
    case 1:
      return {begin, std::string(1, static_cast<char>(begin[0] + 1 + random.below(4)))};
    default:
      return {begin, ""};
  }
}

TEST(RangeCache, NeverGoesBehindAWrite) {
  for_each_seed(300, [](uint64_t seed) {
    SeededRandom random(seed);
    RangeCache cache({.entries = 20, .bytes = 1 << 20, .one = 1 << 16});
    // What was written by here, and at what revision; and reads that are under way, some of them
    // made long ago.
    std::vector<std::pair<KeySpan, int64_t>> writes;
    std::vector<std::pair<KeySpan, int64_t>> reads;
    int64_t revision = 1;
    size_t hits = 0;
    for (int i = 0; i < 2000; ++i) {
      const KeySpan span = random_span(random);
      const std::string request = cat(span.begin, "-", span.end);
      switch (random.below(4)) {
        case 0:
          if (random.below(3) > 0) break;
          writes.emplace_back(span, ++revision);
          cache.put_out(span, revision);
          break;
        case 1:
          reads.emplace_back(span, revision);
          break;
        case 2: {
          if (reads.empty()) break;
          const size_t at = random.below(reads.size());
          const auto [keys, when] = reads[at];
          reads.erase(reads.begin() + static_cast<std::ptrdiff_t>(at));
          cache.add(cat(keys.begin, "-", keys.end), keys, 0, when, Parts::copy(cat(when)));
          break;
        }
        default: {
          const Parts* known = cache.find(request);
          if (!known) break;
          ++hits;
          const int64_t at = std::stoll(known->flat());
          for (const auto& [keys, when] : writes) {
            if (keys.overlaps(span)) {
              ASSERT_GE(at, when);
            }
          }
          break;
        }
      }
    }
    if (seeds_are_the_usual()) {
      EXPECT_GT(hits, 0u);
    }
  });
}

}  // namespace
}  // namespace keelson::proxy
