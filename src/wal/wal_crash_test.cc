// Random histories against a plain twin, the process dying and the power failing anywhere, in the
// middle of an open too: what comes back is always what some prefix of the appended records says,
// never less than what was synced, and never less than what an open handed out before.
//
// KEELSON_SEED=n runs one history, KEELSON_SEEDS=n that many from KEELSON_FIRST_SEED on.

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/test_logs.h"
#include "wal/wal.h"

namespace keelson::wal {
namespace {

const MemberId kMe{0x8e9e05c52164694d};

// What a log says.
struct Content {
  std::vector<raft::Entry> entries;
  raft::HardState state;
  friend bool operator==(const Content&, const Content&) = default;
};

void apply(Content& content, const raft::Entry& entry) {
  while (!content.entries.empty() && content.entries.back().index >= entry.index) {
    content.entries.pop_back();
  }
  content.entries.push_back(entry);
}

std::string describe(const Content& content) {
  std::string out = cat("term ", content.state.term.value, " vote ", content.state.vote.value,
                        " commit ", content.state.commit.value, " entries");
  for (const raft::Entry& e : content.entries) {
    out += cat(" ", e.index.value, "@", e.term.value, ":", e.data.size());
  }
  return out;
}

// Every content since the last sync, one per record appended; front() is what was synced.
using Possible = std::vector<Content>;

class History {
 public:
  explicit History(uint64_t seed) : random_(seed) {
    options_.fs = &fs;
    options_.segment_bytes = 4096 + random_.below(3) * 4096;
    options_.max_segments = 1 + random_.below(4);
  }

  MemoryFileSystem fs;

  // Until the disk fails or `steps` are done. False: it failed.
  bool run(int steps) {
    if (!wal_ && !start()) return false;
    for (int i = 0; i < steps; ++i) {
      if (!step()) return false;
    }
    return true;
  }

  // The process dies, often with the power; the log is opened again and compared.
  void crash() {
    lose();
    // The next start may not get far either.
    while (random_.below(4) == 0) {
      fs.fail_after(random_.below(16));
      Content found;
      open(&found).IgnoreError();
      lose();
    }
    reopen();
  }

  // A clean end and a new start.
  void restart() {
    if (!wal_) return;
    ASSERT_TRUE(wal_->close().ok());
    settle();
    reopen();
  }

 private:
  void lose() {
    wal_.reset();
    random_.below(3) == 0 ? fs.kill() : fs.crash(random_);
  }

  bool start() {
    absl::StatusOr<std::unique_ptr<Wal>> made = Wal::create("data/wal", "meta", options_);
    if (!made.ok()) return false;
    wal_ = *std::move(made);
    created_ = true;
    return true;
  }

  // As a member does: from the newest mark.
  absl::Status open(Content* found) {
    absl::StatusOr<wire::WalSnapshot> mark = newest_mark("data/wal", Index(UINT64_MAX), &fs);
    if (!mark.ok()) return mark.status();
    // A mark that was never synced may be missing, synced ones may not.
    EXPECT_GE(mark->index, durable_mark_);
    mark_ = {mark->index, mark->term};
    absl::StatusOr<Opened> opened =
        Wal::open("data/wal", mark_, options_, collect_into(&found->entries));
    if (!opened.ok()) return opened.status();
    EXPECT_EQ(opened->metadata.view(), "meta");
    found->state = opened->state;
    wal_ = std::move(opened->wal);
    return absl::OkStatus();
  }

  void reopen() {
    absl::StatusOr<bool> there = exists("data/wal", &fs);
    ASSERT_TRUE(there.ok()) << there.status();
    if (!*there) {
      ASSERT_FALSE(created_) << "the whole log is gone";
      return;
    }
    created_ = true;
    Content found;
    absl::Status status = open(&found);
    ASSERT_TRUE(status.ok()) << status;

    auto says = [&](Content content) {
      std::erase_if(content.entries, [&](const auto& e) { return e.index <= mark_.index; });
      return content.entries == found.entries && content.state == found.state;
    };
    auto match = std::find_if(possible_.begin(), possible_.end(), says);
    ASSERT_NE(match, possible_.end())
        << "neither what was synced nor anything after it: found " << describe(found) << "\nsynced "
        << describe(possible_.front()) << "\nnewest " << describe(now()) << "\nmark "
        << mark_.index;
    possible_ = {Content(*match)};
    durable_mark_ = mark_.index;
    // A commit that came with a mark is not there without it.
    ASSERT_LE(match->state.commit, last_index());
  }

  // Possible contents only ever grow from now(), the newest.
  Content& now() { return possible_.back(); }

  bool step() {
    switch (random_.below(10)) {
      case 0:
        return save_mark();
      case 1:
        wal_->release_to(random_.below(2) == 0 ? mark_.index : Index(UINT64_MAX));
        return true;
      case 2:
      case 3:
      case 4:
        return sync();
      default:
        return append();
    }
  }

  bool sync() {
    const bool synced = wal_->sync().ok();
    if (synced) settle();
    return synced;
  }
  void settle() {
    possible_ = {Content(now())};
    durable_mark_ = mark_.index;
  }

  // At any entry that raft may know to be committed, also past the commit that the log knows; or
  // further on, as a received state is.
  bool save_mark() {
    const auto& entries = now().entries;
    auto past = [&](const auto& e) { return e.index > mark_.index; };
    auto first = std::find_if(entries.begin(), entries.end(), past);
    SnapshotMark mark;
    if (random_.below(3) == 0) {
      const Term newest =
          std::max(now().state.term, entries.empty() ? mark_.term : entries.back().term);
      mark = {last_index() + 1 + random_.below(3),
              Term(std::max<uint64_t>(newest.value, 1) + random_.below(2))};
    } else if (first == entries.end()) {
      return true;
    } else {
      auto at = first +
                static_cast<ptrdiff_t>(random_.below(static_cast<uint64_t>(entries.end() - first)));
      mark = {at->index, at->term};
    }
    Content next = now();
    if (next.state.commit < mark.index) {
      if (next.state.term < mark.term) next.state = {mark.term, MemberId(0), Index(0)};
      next.state.commit = mark.index;
      possible_.push_back(std::move(next));
    }
    mark_ = mark;
    if (!wal_->save_snapshot(mark, raft::ConfState{{kMe}, {}, {}, {}, false}).ok()) return false;
    return random_.below(2) == 0 || sync();
  }

  bool append() {
    raft::HardState state = now().state;
    // The power may have failed between the first entry of a new term and its hard state.
    if (!now().entries.empty() && state.term < now().entries.back().term) {
      state.term = now().entries.back().term;
      state.vote = kMe;
    }
    std::vector<raft::Entry> entries = some_entries(state);
    if (random_.below(2) == 0 || state != now().state) {
      if (state.term == Term(0)) state.term = Term(1);
      const Index last = entries.empty() ? last_index() : entries.back().index;
      if (last > state.commit) state.commit = state.commit + random_.below(last - state.commit + 1);
    } else {
      state = {};
    }
    raft::HardState said = state;
    // Raft may not know yet what a mark said already.
    if (!said.empty() && random_.below(8) == 0)
      said.commit = Index(random_.below(said.commit.value + 1));
    if (!said.empty()) state.commit = std::max(said.commit, now().state.commit);
    // Each record is a content of its own: the power may fail between two of one append.
    for (const raft::Entry& entry : entries) {
      Content next = now();
      apply(next, entry);
      possible_.push_back(std::move(next));
    }
    if (!state.empty()) {
      Content next = now();
      next.state = state;
      possible_.push_back(std::move(next));
    }
    const bool fine = wal_->append(said, entries).ok();
    if (fine && wal_->unsynced_bytes() == 0) settle();  // a cut synced it
    return fine;
  }

  Index last_index() {
    const auto& entries = now().entries;
    return entries.empty() ? mark_.index : std::max(mark_.index, entries.back().index);
  }

  // New entries at the end, or, in a new term, in the place of uncommitted ones.
  std::vector<raft::Entry> some_entries(raft::HardState& state) {
    Index first = last_index() + 1;
    if (random_.below(6) == 0 && last_index() > state.commit) {
      state.term = Term(std::max<uint64_t>(state.term.value, 1) + 1);
      state.vote = kMe;
      first = state.commit + 1 + random_.below(last_index() - state.commit);
    }
    std::vector<raft::Entry> entries(random_.below(6));
    for (raft::Entry& entry : entries) {
      entry.term = Term(std::max<uint64_t>(state.term.value, 1));
      entry.index = first;
      first = first + 1;
      const std::string data = odd_value(random_);
      entry.data = Bytes::copy(data);
      entry.data_set = !data.empty();
    }
    return entries;
  }

  SeededRandom random_;
  Options options_;
  std::unique_ptr<Wal> wal_;
  bool created_ = false;
  SnapshotMark mark_;   // the newest appended, or found
  Index durable_mark_;  // <= mark_.index: of the newest synced
  Possible possible_{Content{}};
};

TEST(WalCrash, AnyMomentOfRandomHistories) {
  log::QuietLog quiet;
  for_each_seed(400, [](uint64_t seed) {
    History history(seed);
    SeededRandom random(seed ^ 0x5eed);
    for (int round = 0; round < 12 && !testing::Test::HasFailure(); ++round) {
      // The disk fails at some operation, or the process ends before any does.
      history.fs.fail_after(random.below(60));
      history.run(static_cast<int>(random.below(40)));
      if (random.below(8) == 0) history.fs.no_more_failures();
      history.crash();
      if (testing::Test::HasFailure()) return;
      if (random.below(4) == 0 && history.run(5)) history.restart();
    }
  });
}

// One history, the disk failing after its first operation, its second, and so on to its end.
TEST(WalCrash, EveryMomentOfOneHistory) {
  log::QuietLog quiet;
  for_each_seed(1, [](uint64_t seed) {
    History whole(seed);
    ASSERT_TRUE(whole.run(120));
    const uint64_t operations = whole.fs.operations();
    ASSERT_GT(operations, 50u);
    for (uint64_t n = 0; n < operations; ++n) {
      SCOPED_TRACE(testing::Message() << "operation " << n);
      History history(seed);
      history.fs.fail_after(n);
      history.run(120);
      history.crash();
      if (testing::Test::HasFailure()) return;
      ASSERT_TRUE(history.run(10));
    }
  });
}

// A cut gives the next segment its name; the process dies before the directory is synced; the next
// one appends there, syncs and acknowledges; then the power fails.
TEST(WalCrash, WhatAnOpenHandsOutSurvives) {
  log::QuietLog quiet;
  for_each_seed(50, [](uint64_t seed) {
    MemoryFileSystem fs;
    Options options;
    options.fs = &fs;
    options.segment_bytes = 2048;
    std::vector<raft::Entry> entries{entry(1, 1, std::string(3000, 'x'))};
    {
      auto wal = *Wal::create("data/wal", "meta", options);
      fs.fail_after(5);  // write, truncate, sync; the head's write and sync; not the name
      EXPECT_FALSE(wal->append({Term(1), kMe, Index(0)}, entries).ok());
      fs.no_more_failures();
      EXPECT_TRUE(
          fs.rename("data/wal/0.tmp", "data/wal/0000000000000001-0000000000000002.wal").ok());
    }
    fs.kill();
    std::vector<raft::Entry> found;
    auto opened = Wal::open("data/wal", {}, options, collect_into(&found));
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_EQ(found, entries);
    entries.push_back(entry(2, 1, "acknowledged"));
    ASSERT_TRUE(opened->wal->append({}, std::span(entries).subspan(1)).ok());
    ASSERT_TRUE(opened->wal->sync().ok());
    opened->wal.reset();
    SeededRandom random(seed);
    fs.crash(random);
    found.clear();
    opened = Wal::open("data/wal", {}, options, collect_into(&found));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(found, entries);
  });
}

}  // namespace
}  // namespace keelson::wal
