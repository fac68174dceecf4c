// KeySet beside a list of ranges that is walked.

#include "base/key_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson {
namespace {

struct Made {
  KeySet set;
  std::vector<KeyRange> list;

  bool walked(std::string_view key) const {
    return std::any_of(list.begin(), list.end(),
                       [&](const KeyRange& range) { return range.contains(key); });
  }
};

// Keys of few letters, so that ranges meet, touch and hold each other.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  std::string_view key() {
    std::string& made = texts_.emplace_back();
    for (uint64_t n = 1 + random_.below(3); n > 0; --n) {
      made += static_cast<char>('a' + random_.below(4));
    }
    return made;
  }

  KeyRange range() {
    const uint64_t kind = random_.below(40);
    if (kind == 0) return {key(), std::string_view("\0", 1)};
    return {key(), kind < 15 ? std::string_view() : key()};
  }

  Made some() {
    Made made;
    for (uint64_t n = random_.below(12); n > 0; --n) {
      made.list.push_back(range());
      made.set.add(made.list.back());
    }
    return made;
  }

  uint64_t below(uint64_t n) { return random_.below(n); }

 private:
  SeededRandom random_;
  std::deque<std::string> texts_;
};

void expect_same(const Made& made, Maker& maker) {
  std::set<std::string_view> keys;
  bool any = false;
  for (uint64_t n = maker.below(30); n > 0; --n) {
    const std::string_view key = maker.key();
    ASSERT_EQ(made.set.contains(key), made.walked(key)) << key;
    if (maker.below(4) != 0) continue;
    keys.insert(key);
    any |= made.walked(key);
  }
  ASSERT_EQ(made.set.contains_any(keys), any);
}

TEST(KeySetTest, AsAListThatIsWalked) {
  for_each_seed({.count = 2000}, [](uint64_t seed) {
    Maker maker(seed);
    Made all;
    for (int i = 0; i < 4; ++i) {
      Made more = maker.some();
      expect_same(more, maker);
      all.set.merge(std::move(more.set));
      all.list.insert(all.list.end(), more.list.begin(), more.list.end());
      expect_same(all, maker);
    }
  });
}

}  // namespace
}  // namespace keelson
