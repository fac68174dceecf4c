// The unstable log against a plain vector; and what was handed out never changes.

#include "raft/unstable.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::raft {
namespace {

Entry entry(uint64_t index, uint64_t term) {
  return {.term = Term(term), .index = Index(index), .data = Bytes::copy(cat(index, "/", term))};
}

// Slices as they were when they were handed out.
class Witness {
 public:
  void remember(Entries entries) {
    copies_.emplace_back(entries, std::vector<Entry>(entries.begin(), entries.end()));
    if (copies_.size() > 8) copies_.pop_front();
  }
  void check() const {
    for (const auto& [shared, copy] : copies_) {
      ASSERT_TRUE(std::equal(shared.begin(), shared.end(), copy.begin(), copy.end()));
    }
  }

 private:
  std::deque<std::pair<Entries, std::vector<Entry>>> copies_;
};

struct Twin {
  std::vector<Entry> entries;
  uint64_t offset;
  uint64_t in_progress;
  SnapshotPtr snapshot;
  bool snapshot_in_progress = false;

  uint64_t end() const { return offset + entries.size(); }

  void append(const std::vector<Entry>& more) {
    const uint64_t from = more[0].index.value;
    if (from <= offset && from != end()) {
      entries.clear();
      offset = in_progress = from;
    }
    entries.resize(from - offset);
    in_progress = std::min(in_progress, from);
    entries.insert(entries.end(), more.begin(), more.end());
  }

  void stable_to(uint64_t index, uint64_t term) {
    if (index < offset || index >= end()) return;
    if (entries[index - offset].term.value != term) return;
    entries.erase(entries.begin(), entries.begin() + static_cast<long>(index + 1 - offset));
    offset = index + 1;
    in_progress = std::max(in_progress, offset);
  }
};

void compare(const Unstable& log, const Twin& twin) {
  log.check_invariants();
  ASSERT_EQ(log.offset().value, twin.offset);
  ASSERT_EQ(log.last_index().value, twin.end() - 1);
  ASSERT_EQ(log.in_progress().value, twin.in_progress);
  const Entries all = log.slice(log.offset(), log.last_index() + 1);
  ASSERT_TRUE(std::equal(all.begin(), all.end(), twin.entries.begin(), twin.entries.end()));
  ASSERT_EQ(log.next_entries().size(), twin.end() - twin.in_progress);
  ASSERT_EQ(log.next_snapshot() != nullptr, twin.snapshot && !twin.snapshot_in_progress);
  for (uint64_t index = twin.offset; index < twin.end(); ++index) {
    ASSERT_EQ(log.term(Index(index)), twin.entries[index - twin.offset].term);
  }
  ASSERT_FALSE(log.term(Index(twin.end())));
}

void append(Random& random, uint64_t term, Unstable& log, Twin& twin) {
  // Mostly at the end; else over what is there, or over what storage holds.
  uint64_t from = twin.end();
  if (random.below(4) == 0)
    from = std::max<uint64_t>(1, from - std::min(from - 1, random.below(9)));
  if (twin.snapshot) from = std::max(from, twin.snapshot->metadata.index.value + 1);
  std::vector<Entry> more;
  for (uint64_t n = 1 + random.below(40); n > 0; --n) more.push_back(entry(from++, term));
  log.truncate_and_append(more);
  twin.append(more);
}

void restore(uint64_t term, uint64_t index, Unstable& log, Twin& twin) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->metadata.index = Index(index);
  snapshot->metadata.term = Term(term);
  log.restore(snapshot);
  twin = {.entries = {}, .offset = index + 1, .in_progress = index + 1, .snapshot = snapshot};
}

TEST(UnstableTwin, BehavesLikeAVector) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    for (int round = 0; round < 15; ++round) {
      Unstable log(Index(5), Lines(nullptr));
      Twin twin{.entries = {}, .offset = 5, .in_progress = 5, .snapshot = nullptr};
      Witness witness;
      uint64_t term = 1;
      for (int step = 0; step < 200; ++step) {
        switch (random.below(6)) {
          case 0:
          case 1:
            // Terms only grow along the log.
            append(random, ++term, log, twin);
            break;
          case 2:
            witness.remember(log.next_entries());
            log.accept_in_progress();
            twin.in_progress = twin.end();
            twin.snapshot_in_progress = twin.snapshot != nullptr;
            break;
          case 3: {
            const uint64_t index = twin.offset + random.below(twin.entries.size() + 2) - 1;
            const uint64_t there = log.term(Index(index)).value_or(Term(0)).value;
            const uint64_t claimed = there + (random.below(4) == 0 ? 1 : 0);
            log.stable_to({Term(claimed), Index(index)});
            twin.stable_to(index, claimed);
            break;
          }
          case 4:
            if (twin.snapshot && random.below(2) == 0) {
              log.stable_snapshot_to(twin.snapshot->metadata.index);
              twin.snapshot = nullptr;
              twin.snapshot_in_progress = false;
            }
            break;
          case 5:
            if (random.below(10) == 0) restore(++term, twin.end() + random.below(5), log, twin);
            break;
        }
        compare(log, twin);
        witness.check();
        if (HasFatalFailure()) return;
      }
    }
  });
}

// Memory is used again only when nobody looks at it.
TEST(EntryBuffer, NeverDisturbsWhatItHandedOut) {
  for_each_seed(20, [](uint64_t seed) {
    SeededRandom random(seed);
    EntryBuffer buffer;
    std::deque<uint64_t> twin;
    Witness witness;
    uint64_t next = 1;
    for (int step = 0; step < 1000; ++step) {
      switch (random.below(5)) {
        case 0:
        case 1:
          for (uint64_t n = random.below(30); n > 0; --n, ++next) {
            buffer.push(entry(next, 1));
            twin.push_back(next);
          }
          break;
        case 2: {
          const size_t from = random.below(twin.size() + 1);
          witness.remember(buffer.slice(from, random.below(twin.size() - from + 1)));
          break;
        }
        case 3: {
          const size_t count = random.below(twin.size() + 1);
          buffer.drop_front(count);
          twin.erase(twin.begin(), twin.begin() + static_cast<long>(count));
          break;
        }
        case 4: {
          const size_t count = random.below(twin.size() + 1);
          if (random.below(3) > 0) break;
          buffer.truncate(count);
          twin.resize(count);
          break;
        }
      }
      ASSERT_EQ(buffer.size(), twin.size());
      for (size_t i = 0; i < twin.size(); i += 7) ASSERT_EQ(buffer[i].index.value, twin[i]);
      witness.check();
      if (HasFatalFailure()) return;
    }
  });
}

}  // namespace
}  // namespace keelson::raft
