// The steps of giving space back, on drawn shapes of store: every walk ends, no step is longer than
// it has to be, and in the end no deletion is left that a merge could have ended.

#include "backend/rocks/merge_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::backend::rocks {
namespace {

constexpr int kLevels = 7;

TableFile file(std::string name, int smallest, int largest, uint64_t bytes, uint64_t deletions) {
  return {std::move(name), cat(1'000'000 + smallest), cat(1'000'000 + largest), bytes, 1000,
          deletions};
}

TEST(MergePlan, NothingToDoInAnEmptyStore) {
  EXPECT_EQ(MergePlan(100, true).next(Levels(kLevels)), std::nullopt);
}

TEST(MergePlan, NothingToDoWithoutDeletions) {
  Levels levels(kLevels);
  levels[6] = {file("a", 1, 10, 50, 0), file("b", 11, 20, 50, 0)};
  EXPECT_EQ(MergePlan(1000, true).next(levels), std::nullopt);
}

TEST(MergePlan, ASmallStoreIsOneStep) {
  Levels levels(kLevels);
  levels[0] = {file("c", 5, 30, 10, 3)};
  levels[6] = {file("a", 1, 10, 50, 0), file("b", 11, 20, 50, 0)};
  MergePlan plan(1000, true);
  std::optional<MergeStep> step = plan.next(levels);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->inputs.size(), 3u);
  EXPECT_EQ(step->output_level, 6);
}

TEST(MergePlan, OneLevelOnlyGoesToTheLast) {
  Levels levels(kLevels);
  levels[0] = {file("c", 5, 30, 10, 3), file("d", 1, 4, 10, 0)};
  std::optional<MergeStep> step = MergePlan(1000, true).next(levels);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->output_level, 6);
}

TEST(MergePlan, AFewDeletionsAreWorthItOnlyWhenAsked) {
  Levels levels(kLevels);
  levels[5] = {file("c", 5, 8, 10, 3)};
  levels[6] = {file("a", 1, 10, 500, 0), file("b", 11, 20, 500, 0)};
  EXPECT_EQ(MergePlan(100, false).next(levels), std::nullopt);
  EXPECT_TRUE(MergePlan(100, true).next(levels));
}

// A store of files as RocksDB keeps them; merging adds what overlaps, as CompactFiles does.
class Store {
 public:
  explicit Store(std::mt19937_64& random) : random_(random), levels_(kLevels) {
    const int last = draw(1, kLevels - 1);
    for (int level = 1; level <= last; ++level) fill(level, draw(0, 20));
    for (int i = draw(0, 4); i > 0; --i) {
      const int from = draw(0, 900);
      levels_[0].push_back(
          file(name(), from, from + draw(0, 5000), bytes(), static_cast<uint64_t>(draw(0, 999))));
    }
  }
  const Levels& levels() const { return levels_; }

  // Bytes it read.
  uint64_t merge(const MergeStep& step) {
    std::string smallest, largest;
    std::vector<TableFile> in;
    for (int level = 0; level <= step.output_level; ++level)
      take(level, step, &smallest, &largest, &in);
    uint64_t read = 0, deletions = 0;
    for (const TableFile& f : in) {
      read += f.bytes;
      deletions += f.deletions;
    }
    auto& to = levels_[static_cast<size_t>(step.output_level)];
    bool below = false;
    for (size_t l = static_cast<size_t>(step.output_level) + 1; l < kLevels; ++l) {
      below |= !levels_[l].empty();
    }
    TableFile out{name(), smallest, largest,
                  read,   1000,     below ? std::min<uint64_t>(deletions, 1000) : 0};
    to.push_back(std::move(out));
    std::sort(to.begin(), to.end(),
              [](const TableFile& a, const TableFile& b) { return a.smallest < b.smallest; });
    return read;
  }

 private:
  int draw(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  std::string name() { return cat(++names_, ".sst"); }
  uint64_t bytes() { return static_cast<uint64_t>(draw(1, 32)); }
  void fill(int level, int count) {
    int at = draw(0, 500);
    for (int i = 0; i < count; ++i) {
      const int to = at + draw(0, 300);
      const int deletions = draw(0, 3) == 0 ? draw(0, 999) : 0;
      levels_[static_cast<size_t>(level)].push_back(
          file(name(), at, to, bytes(), static_cast<uint64_t>(deletions)));
      at = to + draw(1, 200);
    }
  }
  void take(int level, const MergeStep& step, std::string* smallest, std::string* largest,
            std::vector<TableFile>* in) {
    auto& files = levels_[static_cast<size_t>(level)];
    std::vector<TableFile> kept;
    const std::string from = *smallest, to = *largest;
    for (TableFile& f : files) {
      const bool named =
          std::find(step.inputs.begin(), step.inputs.end(), f.name) != step.inputs.end();
      const bool covered = !in->empty() && f.smallest <= to && from <= f.largest;
      if (!named && !covered) {
        kept.push_back(std::move(f));
        continue;
      }
      *smallest = smallest->empty() ? f.smallest : std::min(*smallest, f.smallest);
      *largest = std::max(*largest, f.largest);
      in->push_back(std::move(f));
    }
    files = std::move(kept);
  }

  std::mt19937_64& random_;
  Levels levels_;
  int names_ = 0;
};

TEST(MergePlan, EveryWalkEndsWithNothingLeftToEnd) {
  for_each_seed({.count = 2000}, [](uint64_t seed) {
    std::mt19937_64 random(seed);
    Store store(random);
    const bool all = seed % 2 == 0;
    MergePlan plan(seed % 7 * 40 + 1, all);
    int steps = 0;
    while (std::optional<MergeStep> step = plan.next(store.levels())) {
      ASSERT_LT(++steps, 200);
      ASSERT_FALSE(step->inputs.empty());
      ASSERT_GE(step->output_level, 1);
      store.merge(*step);
      plan.done(*step);
    }
    ASSERT_TRUE(store.levels()[0].empty() || steps == 0);
    if (!all) return;
    for (size_t level = 1; level < kLevels; ++level) {
      for (const TableFile& f : store.levels()[level]) {
        ASSERT_EQ(f.deletions, 0u) << f.name << " in level " << level;
      }
    }
  });
}

}  // namespace
}  // namespace keelson::backend::rocks
