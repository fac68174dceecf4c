// raft/hostile_world.h
//
// Victim: a member under arbitrary messages, drawn from a Random that may be a fuzzer's input. Used
// by hostile_test and raft_fuzz.

#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/memory_storage.h"
#include "raft/raw_node.h"

namespace keelson::raft {

// Formats everything, so that every line's arguments are touched.
class CountingLogger final : public Logger {
 public:
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel, std::string_view) override { ++lines; }
  void panic(std::string_view) override { ++panics; }

  int lines = 0;
  int panics = 0;
};

// Owns its storage and plays the driver, classic or asynchronous by chance.
class Victim {
 public:
  explicit Victim(Random& random) : random_(random) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata = {.conf_state = {.voters = {MemberId(1), MemberId(2), MemberId(3)}},
                          .index = Index(2),
                          .term = Term(1)};
    CHECK(storage_.apply_snapshot(snapshot).ok());
    Config config{.id = MemberId(1), .election_tick = 5, .heartbeat_tick = 1, .storage = &storage_};
    config.random = &random_;
    config.logger = &logger;
    config.async_storage_writes = random.below(2) == 0;
    config.check_quorum = random.below(2) == 0;
    config.pre_vote = random.below(2) == 0;
    config.step_down_on_removal = random.below(2) == 0;
    config.disable_conf_change_validation = random.below(4) == 0;
    config.max_size_per_msg = random.below(3) == 0 ? 20 : kNoLimit;
    config.max_inflight_msgs = 1 + static_cast<int>(random.below(5));
    config.max_uncommitted_entries_size = random.below(50);
    if (config.check_quorum && random.below(2) == 0) {
      config.read_only_option = ReadOnlyOption::kLeaseBased;
    }
    async_ = config.async_storage_writes;
    node_ = *RawNode::create(config);
  }

  void step() {
    switch (random_.below(8)) {
      case 0:
        node_->tick();
        break;
      case 1:
        node_->propose(Bytes::copy(std::string(random_.below(20), 'p'))).IgnoreError();
        break;
      case 2:
        node_->campaign().IgnoreError();
        break;
      case 3:
        node_->read_index(Bytes::copy("r"));
        break;
      case 4:
        if (node_->has_ready()) work();
        break;
      default:
        node_->step(arbitrary_message()).IgnoreError();
        break;
    }
    node_->check_invariants();
  }

  CountingLogger logger;

 private:
  uint64_t near(uint64_t value) { return value + random_.below(5) - std::min<uint64_t>(value, 2); }

  MemberId arbitrary_member() { return MemberId(random_.below(6)); }

  Entries arbitrary_entries(uint64_t from, uint64_t term) {
    std::vector<Entry> entries(random_.below(4));
    for (Entry& entry : entries) {
      entry.index = Index(random_.below(20) ? ++from : random_.next());
      entry.term = Term(random_.below(20) ? term : random_.next());
      entry.type = static_cast<EntryType>(random_.below(8) ? 0 : random_.below(4));
      entry.data = Bytes::copy(std::string(random_.below(6), static_cast<char>(random_.below(20))));
    }
    return Entries(std::move(entries));
  }

  SnapshotPtr arbitrary_snapshot(uint64_t near_index, uint64_t near_term) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = Index(near(near_index));
    snapshot->metadata.term = Term(near(near_term));
    for (uint64_t n = random_.below(4); n > 0; --n) {
      snapshot->metadata.conf_state.voters.push_back(arbitrary_member());
    }
    if (random_.below(4) == 0) {
      snapshot->metadata.conf_state.voters_outgoing.push_back(arbitrary_member());
    }
    if (random_.below(4) == 0) snapshot->metadata.conf_state.learners.push_back(arbitrary_member());
    return snapshot;
  }

  // Values near the real ones get furthest; now and then anything at all.
  Message arbitrary_message() {
    const BasicStatus status = node_->basic_status();
    auto wild = [this](uint64_t value) {
      return random_.below(50) == 0 ? random_.next() : near(value);
    };
    const uint64_t last = status.last_index.value;
    const uint64_t term = status.hard_state.term.value;
    Message m{.type = static_cast<MessageType>(random_.below(kMessageTypes + 1)),
              .reject = random_.below(3) == 0,
              .to = MemberId(1),
              .from = arbitrary_member()};
    m.term = Term(random_.below(4) ? term : random_.below(4) ? 0 : near(term));
    m.log_term = Term(near(term));
    m.index = Index(wild(last));
    m.commit = Index(wild(status.hard_state.commit.value));
    m.reject_hint = Index(wild(last));
    m.entries = arbitrary_entries(m.index.value, near(term));
    if (m.type == MessageType::kMsgSnap) m.snapshot = arbitrary_snapshot(last, term);
    if (random_.below(3) == 0) m.context = Bytes::copy(std::string(random_.below(12), '\1'));
    return m;
  }

  void work() {
    Ready ready = node_->ready();
    if (!async_) {
      persist(ready.hard_state, ready.entries, ready.snapshot);
      apply(ready.committed_entries);
      node_->advance();
    }
    for (Message& message : ready.messages) {
      if (message.to == kLocalAppendThread) {
        persist(message.hard_state(), message.entries, message.snapshot);
      } else if (message.to == kLocalApplyThread) {
        apply(message.entries);
      }
      for (Message& response : message.responses) {
        if (response.to == MemberId(1)) node_->step(std::move(response)).IgnoreError();
      }
    }
  }

  void persist(const HardState& state, const Entries& entries, const SnapshotPtr& snapshot) {
    if (!state.empty()) storage_.set_hard_state(state);
    if (!is_empty(snapshot)) storage_.apply_snapshot(snapshot).IgnoreError();
    storage_.append(entries);
  }

  void apply(const Entries& entries) {
    for (const Entry& entry : entries) {
      if (!is_conf_change(entry.type)) continue;
      absl::StatusOr<ConfChangeV2> change = conf_change_of(entry);
      if (change.ok()) node_->apply_conf_change(*change);
    }
    // Only what a snapshot holds may be forgotten.
    if (entries.empty() || random_.below(4) > 0) return;
    const Index index = entries.back().index;
    const ConfState conf = tracker::conf_state(node_->status().config);
    if (index > *storage_.last_index()) return;
    if (!storage_.create_snapshot(index, &conf, Bytes()).ok()) return;
    storage_.compact(index).IgnoreError();
  }

  Random& random_;
  MemoryStorage storage_;
  bool async_ = false;
  std::unique_ptr<RawNode> node_;
};

}  // namespace keelson::raft
