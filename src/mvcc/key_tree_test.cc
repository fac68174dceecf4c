// The tree alone against a std::map: inserts, births, deaths, removals in random and sorted orders;
// published roots stay as they were.

#include "mvcc/key_tree.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "mvcc/key_tree_view.h"

namespace keelson::mvcc {
namespace {

// A tree and what it should be.
class Twins {
 public:
  ~Twins() {
    for (auto& [key, record] : all_) slab_.free(record, KeyRecord::bytes_for(key.size()));
  }

  // Versions are shared: the tree only asks whether the head is a tombstone.
  KeyRecord* record(const std::string& key) {
    KeyRecord*& r = all_[key];
    if (!r) {
      r = new (slab_.allocate(KeyRecord::bytes_for(key.size()))) KeyRecord{};
      r->key_size = static_cast<uint32_t>(key.size());
      std::memcpy(static_cast<void*>(r + 1), key.data(), key.size());
    }
    return r;
  }
  void set(const std::string& key, bool live) {
    auto it = model_.find(key);
    record(key)->head.store(live ? &alive_ : &dead_);
    if (it == model_.end()) {
      tree_.insert(record(key), live);
    } else if (it->second != live) {
      tree_.set_live(key, live);
    }
    model_[key] = live;
  }
  void remove(std::string key) {
    if (model_.contains(key) && model_[key]) set(key, false);
    if (model_.erase(key) > 0) tree_.remove(key);
  }
  static std::vector<std::pair<std::string, bool>> contents(const TreeNode* root) {
    std::vector<std::pair<std::string, bool>> out;
    TreeCursor cursor(root);
    for (cursor.seek({}); cursor.valid(); cursor.next()) {
      out.emplace_back(cursor.record()->key(), cursor.live());
    }
    return out;
  }
  std::vector<std::pair<std::string, bool>> expected() const {
    return {model_.begin(), model_.end()};
  }
  void check_ranks(SeededRandom& random, uint64_t keys) {
    std::string key = key_number(random.below(keys));
    uint64_t rank = 0;
    for (const auto& [k, live] : model_) rank += k < key && live;
    EXPECT_EQ(live_rank(tree_.root(), key), rank);
    TreeCursor cursor(tree_.root());
    cursor.seek_live(rank);
    auto it = model_.lower_bound(key);
    while (it != model_.end() && !it->second) ++it;
    ASSERT_EQ(cursor.valid(), it != model_.end());
    if (cursor.valid()) {
      EXPECT_EQ(cursor.record()->key(), it->first);
    }
    cursor.seek_first_live(key);
    for (; it != model_.end(); ++it) {
      if (!it->second) continue;
      ASSERT_TRUE(cursor.valid());
      ASSERT_EQ(cursor.record()->key(), it->first);
      cursor.next_live();
    }
    EXPECT_FALSE(cursor.valid());
    EXPECT_EQ(tree_.find(key) != nullptr, model_.contains(key));
  }
  static std::string key_number(uint64_t n) {
    std::string tail = cat(n);
    return cat("/registry/", n % 7 == 0 ? "a" : "pods/namespace-", n % 3, "/",
               std::string(8 - std::min<size_t>(8, tail.size()), '0'), tail);
  }

  // `changes` of them; grows, then shrinks to nothing much, and again.
  void random_history(SeededRandom& random, uint64_t keys, int changes) {
    int check_every = std::max(1, changes / 30);
    for (int i = 0; i < changes; ++i) {
      std::string key = key_number(random.below(keys));
      bool growing = (i / (changes / 4 + 1)) % 2 == 0;
      if (random.below(10) < (growing ? 7u : 2u)) {
        set(key, random.below(4) != 0);
      } else {
        remove(key);
      }
      if (random.below(50) == 0) {
        tree_.publish();
        epochs_.advance();
      }
      if (i % check_every == 0) {
        tree_.check_invariants();
        check_ranks(random, keys);
        EXPECT_EQ(contents(tree_.root()), expected());
      }
    }
    while (!model_.empty()) remove(model_.begin()->first);
    tree_.check_invariants();
    EXPECT_EQ(tree_.records(), 0u);
    EXPECT_EQ(tree_.live(), 0u);
  }

  Slab slab_;
  Epochs epochs_{&slab_};
  KeyTree tree_{&slab_, &epochs_};
  Version alive_{{nullptr}, 1, 0, 1, {0}}, dead_{{nullptr}, 1, 0, 0, {0}};
  std::map<std::string, bool> model_;
  std::map<std::string, KeyRecord*> all_;
};

class KeyTreeTest : public ::testing::Test, public Twins {};

TEST(KeyTreeRandom, ChangesEqualAMap) {
  for_each_seed(Seeds{.count = 3, .first = 7}, [](uint64_t seed) {
    SeededRandom random(seed);
    for (uint64_t keys : {50u, 1000u, 8000u}) Twins().random_history(random, keys, 30000);
  });
}

// Many of them, each over quickly.
TEST(KeyTreeRandom, ShortHistories) {
  for_each_seed(Seeds{.count = 100, .first = 1001}, [](uint64_t seed) {
    SeededRandom random(seed);
    uint64_t keys = 1 + random.below(uint64_t{1} << random.below(13));
    Twins().random_history(random, keys, 100 + static_cast<int>(random.below(3000)));
  });
}

TEST_F(KeyTreeTest, SortedInsertsFillTheLeaves) {
  for (uint64_t n = 0; n < 20000; ++n) set(cat("key", 1000000 + n), true);
  tree_.check_invariants();
  uint64_t without_records = 0;
  for (auto& [key, r] : all_) without_records += (KeyRecord::bytes_for(key.size()) + 7) / 8 * 8;
  EXPECT_LT(slab_.used() - without_records, 20000u * 20);
}

TEST_F(KeyTreeTest, ManyDieAtOneWayDownPerLeaf) {
  SeededRandom random(5);
  for (uint64_t sparse : {1u, 2u, 50u}) {
    for (uint64_t n = 0; n < 20000; ++n) set(cat("key", 1000000 + n), true);
    std::vector<KeyRecord*> doomed;
    for (auto& [key, live] : model_) {
      if (random.below(sparse) != 0) continue;
      doomed.push_back(record(key));
      doomed.back()->head.store(&dead_);
      live = false;
    }
    uint64_t before = tree_.descents();
    tree_.set_dead(doomed);
    // Sorted inserts have filled the leaves.
    EXPECT_LE(tree_.descents() - before, 20000 / TreeNode::kFan + 2);
    EXPECT_EQ(contents(tree_.root()), expected());
    tree_.check_invariants();
  }
}

TEST_F(KeyTreeTest, SeekingAheadEqualsSeeking) {
  SeededRandom random(6);
  for (int i = 0; i < 3000; ++i) set(key_number(random.below(5000)), random.below(3) != 0);
  for (int round = 0; round < 3000; ++round) {
    std::string from = key_number(random.below(5000)), to = key_number(random.below(5000));
    TreeCursor ahead(tree_.root()), anew(tree_.root());
    ahead.seek(from);
    if (!ahead.valid() || ahead.record()->key() >= to) continue;
    ahead.seek_ahead(to);
    anew.seek(to);
    ASSERT_EQ(ahead.valid(), anew.valid());
    if (anew.valid()) {
      ASSERT_EQ(ahead.record(), anew.record());
    }
  }
}

TEST_F(KeyTreeTest, APublishedRootNeverChanges) {
  SeededRandom random(3);
  for (int i = 0; i < 2000; ++i) set(key_number(random.below(3000)), true);
  auto before = expected();
  const TreeNode* root = tree_.root();
  tree_.publish();  // no advance(): nothing of the old root is freed
  for (int i = 0; i < 5000; ++i) {
    std::string key = key_number(random.below(3000));
    if (random.below(2) == 0) {
      set(key, random.below(2) == 0);
    } else {
      remove(key);
    }
  }
  EXPECT_EQ(contents(root), before);
  EXPECT_EQ(contents(tree_.root()), expected());
  tree_.check_invariants();
}

TEST_F(KeyTreeTest, BuildEqualsInserts) {
  for (size_t n : {1u, 55u, 56u, 57u, 3136u, 3137u, 20000u}) {
    Slab slab;
    Epochs epochs(&slab);
    KeyTree built(&slab, &epochs);
    std::map<std::string, bool> keys;
    for (size_t i = 0; keys.size() < n; ++i) keys[key_number(i)] = i % 5 != 0;
    std::vector<KeyRecord*> records;
    for (auto& [key, live] : keys) {
      records.push_back(record(key));
      records.back()->head.store(live ? &alive_ : &dead_);
    }
    built.build(records);
    built.check_invariants();
    EXPECT_EQ(contents(built.root()),
              (std::vector<std::pair<std::string, bool>>{keys.begin(), keys.end()}));
  }
}

}  // namespace
}  // namespace keelson::mvcc
