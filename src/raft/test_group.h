// raft/test_group.h
//
// Members for tests: classic storage in memory, and a network that delivers at once unless told to
// cut or drop. After every step all invariants are checked.

#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "raft/memory_storage.h"
#include "raft/raw_node.h"

namespace keelson::raft {

struct TestMember {
  MemoryStorage storage;
  SeededRandom random{7};
  std::unique_ptr<RawNode> node;
  std::vector<Entry> applied;
  std::vector<ReadState> reads;
};

class TestGroup {
 public:
  using Tweak = std::function<void(Config&)>;

  // Members 1..voters vote, the next `learners` learn.
  explicit TestGroup(size_t voters, const Tweak& tweak = nullptr, size_t learners = 0) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = Index(1);
    snapshot->metadata.term = Term(1);
    ConfState& conf = snapshot->metadata.conf_state;
    for (size_t i = 1; i <= voters + learners; ++i) {
      (i <= voters ? conf.voters : conf.learners).push_back(MemberId(i));
    }
    for (size_t i = 1; i <= voters + learners; ++i) {
      auto member = std::make_unique<TestMember>();
      EXPECT_TRUE(member->storage.apply_snapshot(snapshot).ok());
      member->storage.set_hard_state({.term = Term(1), .commit = Index(1)});
      start(*member, i, tweak);
      members_.push_back(std::move(member));
    }
  }

  RawNode& node(uint64_t id) { return *members_[id - 1]->node; }
  TestMember& member(uint64_t id) { return *members_[id - 1]; }
  StateType state(uint64_t id) { return node(id).basic_status().soft_state.state; }
  MemberId lead(uint64_t id) { return node(id).basic_status().soft_state.lead; }
  Term term(uint64_t id) { return node(id).basic_status().hard_state.term; }
  Index commit(uint64_t id) { return node(id).basic_status().hard_state.commit; }
  Index last(uint64_t id) { return node(id).basic_status().last_index; }

  // Messages for which this is true are lost.
  void drop(std::function<bool(const Message&)> lost) { lost_ = std::move(lost); }
  void isolate(uint64_t id) {
    drop([id](const Message& m) { return m.to == MemberId(id) || m.from == MemberId(id); });
  }
  void heal() { lost_ = nullptr; }

  // Member `id`'s Ready, with its storage's work done; the messages are returned, not delivered.
  std::vector<Message> work(uint64_t id) {
    TestMember& m = member(id);
    Ready ready = m.node->ready();
    if (!ready.hard_state.empty()) m.storage.set_hard_state(ready.hard_state);
    if (!is_empty(ready.snapshot)) {
      EXPECT_TRUE(m.storage.apply_snapshot(ready.snapshot).ok());
    }
    m.storage.append(ready.entries);
    for (const Entry& entry : ready.committed_entries) {
      m.applied.push_back(entry);
      if (entry.type != EntryType::kNormal) m.node->apply_conf_change(*conf_change_of(entry));
    }
    for (ReadState& read : ready.read_states) m.reads.push_back(std::move(read));
    m.node->advance();
    m.node->check_invariants();
    return std::move(ready.messages);
  }

  // Until nothing is left to do.
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (uint64_t id = 1; id <= members_.size(); ++id) {
        while (node(id).has_ready()) {
          busy = true;
          for (Message& message : work(id)) deliver(std::move(message));
        }
      }
    }
  }

  void deliver(Message message) {
    if (lost_ && lost_(message)) return;
    const uint64_t to = message.to.value;
    if (to == 0 || to > members_.size()) return;
    node(to).step(std::move(message)).IgnoreError();
    node(to).check_invariants();
  }

  void elect(uint64_t id) {
    ASSERT_TRUE(node(id).campaign().ok());
    settle();
    ASSERT_EQ(state(id), StateType::kLeader);
  }

  absl::Status propose(uint64_t id, std::string_view data) {
    absl::Status status = node(id).propose(Bytes::copy(data));
    settle();
    return status;
  }

  void tick(uint64_t id, int times = 1) {
    for (int i = 0; i < times; ++i) node(id).tick();
    node(id).check_invariants();
  }

  static constexpr int kElectionTick = 10;

 private:
  void start(TestMember& member, uint64_t id, const Tweak& tweak) {
    Config config{.id = MemberId(id),
                  .election_tick = kElectionTick,
                  .heartbeat_tick = 1,
                  .storage = &member.storage};
    config.random = &member.random;
    if (tweak) tweak(config);
    absl::StatusOr<std::unique_ptr<RawNode>> node = RawNode::create(config);
    ASSERT_TRUE(node.ok()) << node.status();
    member.node = *std::move(node);
  }

  std::vector<std::unique_ptr<TestMember>> members_;
  std::function<bool(const Message&)> lost_;
};

}  // namespace keelson::raft
