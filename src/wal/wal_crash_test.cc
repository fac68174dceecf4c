// Random histories against a plain twin, with the power failing anywhere: what comes back is always
// what some prefix of the appended records says, and never less than what was synced.

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/wal.h"

namespace keelson::wal {
namespace {

const MemberId kMe{0x8e9e05c52164694d};

uint64_t base_seed() {
  const char* text = std::getenv("KEELSON_SEED");
  return text ? std::strtoull(text, nullptr, 0) : 1;
}

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

  // Power fails; the log is opened again and compared.
  void crash() {
    wal_.reset();
    fs.crash(random_);
    reopen();
  }

  // A clean end and a new start.
  void restart() {
    if (!wal_) return;
    ASSERT_TRUE(wal_->close().ok());
    possible_ = {possible_.back()};
    reopen();
  }

 private:
  bool start() {
    absl::StatusOr<std::unique_ptr<Wal>> made = Wal::create("data/wal", "meta", options_);
    if (!made.ok()) return false;
    wal_ = *std::move(made);
    created_ = true;
    return true;
  }

  void reopen() {
    absl::StatusOr<bool> there = exists("data/wal", &fs);
    ASSERT_TRUE(there.ok()) << there.status();
    if (!*there) {
      ASSERT_FALSE(created_) << "the whole log is gone";
      return;
    }
    created_ = true;
    absl::StatusOr<wire::WalSnapshot> mark = newest_mark("data/wal", Index(UINT64_MAX), &fs);
    ASSERT_TRUE(mark.ok()) << mark.status();
    // A mark that was never synced may be missing, synced ones may not.
    ASSERT_GE(mark->index, mark_.index);
    mark_ = {mark->index, mark->term};

    Content found;
    absl::StatusOr<Opened> opened =
        Wal::open("data/wal", mark_, options_, collect_into(&found.entries));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->metadata.view(), "meta");
    found.state = opened->state;
    wal_ = std::move(opened->wal);

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
  }

  // Possible contents only ever grow from now(), the newest.
  Content& now() { return possible_.back(); }

  bool step() {
    switch (random_.below(10)) {
      case 0:
        return save_mark();
      case 1:
        wal_->release_to(mark_.index);
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
  void settle() { possible_ = {Content(now())}; }

  bool save_mark() {
    const raft::HardState& state = now().state;
    if (state.commit <= mark_.index) return true;
    const auto& entries = now().entries;
    auto at = std::find_if(entries.begin(), entries.end(),
                           [&](const auto& e) { return e.index == state.commit; });
    if (at == entries.end()) return true;
    const SnapshotMark mark{at->index, at->term};
    if (!wal_->save_snapshot(mark, raft::ConfState{{kMe}, {}, {}, {}, false}).ok()) return false;
    if (!sync()) return false;
    mark_ = mark;
    return true;
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
    const bool fine = wal_->append(state, entries).ok();
    if (fine && wal_->unsynced_bytes() == 0) settle();  // a cut synced it
    return fine;
  }

  Index last_index() { return now().entries.empty() ? mark_.index : now().entries.back().index; }

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
      std::string data(random_.below(8) == 0 ? random_.below(3000) : random_.below(100), '\0');
      for (char& c : data) c = static_cast<char>('a' + random_.below(26));
      entry.data = Bytes::copy(data);
      entry.data_set = !data.empty();
    }
    return entries;
  }

  SeededRandom random_;
  Options options_;
  std::unique_ptr<Wal> wal_;
  bool created_ = false;
  SnapshotMark mark_;
  Possible possible_{Content{}};
};

TEST(WalCrash, AnyMomentOfRandomHistories) {
  const uint64_t from = base_seed();
  for (uint64_t seed = from; seed < from + 400; ++seed) {
    SCOPED_TRACE(testing::Message() << "KEELSON_SEED=" << seed);
    History history(seed);
    SeededRandom random(seed ^ 0x5eed);
    for (int round = 0; round < 12; ++round) {
      // The disk fails at some operation, or the power before any does.
      history.fs.fail_after(random.below(60));
      history.run(static_cast<int>(random.below(40)));
      if (random.below(8) == 0) {
        history.fs.no_more_failures();
      }
      history.crash();
      if (testing::Test::HasFatalFailure()) return;
      if (random.below(4) == 0 && history.run(5)) history.restart();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// One history, the power failing after its first operation, its second, and so on to its end.
TEST(WalCrash, EveryMomentOfOneHistory) {
  const uint64_t seed = base_seed();
  History whole(seed);
  ASSERT_TRUE(whole.run(120));
  const uint64_t operations = whole.fs.operations();
  ASSERT_GT(operations, 50u);
  for (uint64_t n = 0; n < operations; ++n) {
    SCOPED_TRACE(testing::Message() << "KEELSON_SEED=" << seed << " operation " << n);
    History history(seed);
    history.fs.fail_after(n);
    history.run(120);
    history.crash();
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_TRUE(history.run(10));
  }
}

}  // namespace
}  // namespace keelson::wal
