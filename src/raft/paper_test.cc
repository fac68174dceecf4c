// The rules of the Raft paper ("In Search of an Understandable Consensus Algorithm") and of the
// thesis ("Consensus: Bridging Theory and Practice"), one test each, named after the rule.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "raft/test_group.h"

namespace keelson::raft {
namespace {

// A leader's message, as member `from` of a later or earlier term would send it.
Message from_leader(MessageType type, uint64_t from, uint64_t to, uint64_t term) {
  return {.type = type, .to = MemberId(to), .from = MemberId(from), .term = Term(term)};
}

Message vote_request(uint64_t from, uint64_t to, uint64_t term, uint64_t log_term, uint64_t index) {
  Message message = from_leader(MessageType::kMsgVote, from, to, term);
  message.log_term = Term(log_term);
  message.index = Index(index);
  return message;
}

const Message* find(const std::vector<Message>& messages, MessageType type) {
  for (const Message& message : messages) {
    if (message.type == type) return &message;
  }
  return nullptr;
}

// --- 5.1: terms

TEST(Paper51, AHigherTermIsAdoptedAndLeadersAndCandidatesStepDown) {
  for (StateType role : {StateType::kFollower, StateType::kCandidate, StateType::kLeader}) {
    TestGroup group(3);
    if (role == StateType::kLeader) group.elect(1);
    if (role == StateType::kCandidate) {
      ASSERT_TRUE(group.node(1).campaign().ok());
    }
    ASSERT_EQ(group.state(1), role);
    group.deliver(from_leader(MessageType::kMsgApp, 2, 1, 9));
    EXPECT_EQ(group.term(1), Term(9));
    EXPECT_EQ(group.state(1), StateType::kFollower);
    EXPECT_EQ(group.lead(1), MemberId(2));
  }
}

TEST(Paper51, AMessageOfALowerTermIsIgnored) {
  TestGroup group(3);
  group.elect(1);
  const Term term = group.term(2);
  group.deliver(from_leader(MessageType::kMsgHeartbeat, 3, 2, term.value - 1));
  EXPECT_EQ(group.lead(2), MemberId(1));
  EXPECT_FALSE(group.node(2).has_ready());
}

// --- 5.2: leader election

TEST(Paper52, MembersStartAsFollowers) {
  TestGroup group(3);
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(group.state(id), StateType::kFollower);
}

TEST(Paper52, AFollowerThatHearsNothingBeginsAnElection) {
  TestGroup group(3);
  group.node(1).set_randomized_election_timeout(15);
  group.tick(1, 14);
  EXPECT_EQ(group.state(1), StateType::kFollower);
  group.tick(1);
  EXPECT_EQ(group.state(1), StateType::kCandidate);
  EXPECT_EQ(group.term(1), Term(2));
  // It votes for itself and asks all others.
  const std::vector<Message> messages = group.work(1);
  EXPECT_EQ(group.node(1).basic_status().hard_state.vote, MemberId(1));
  EXPECT_EQ(std::count_if(messages.begin(), messages.end(),
                          [](const Message& m) { return m.type == MessageType::kMsgVote; }),
            2);
}

TEST(Paper52, AMajorityElectsAndAMinorityDoesNot) {
  TestGroup group(5);
  group.drop([](const Message& m) { return m.from > MemberId(2); });
  ASSERT_TRUE(group.node(1).campaign().ok());
  group.settle();
  EXPECT_EQ(group.state(1), StateType::kCandidate);
  group.drop([](const Message& m) { return m.from > MemberId(3); });
  ASSERT_TRUE(group.node(1).campaign().ok());
  group.settle();
  EXPECT_EQ(group.state(1), StateType::kLeader);
}

TEST(Paper52, OneVotePerTermFirstComeFirstServed) {
  TestGroup group(3);
  group.deliver(vote_request(2, 1, 5, 1, 1));
  group.deliver(vote_request(3, 1, 5, 1, 1));
  group.deliver(vote_request(2, 1, 5, 1, 1));
  std::vector<bool> granted;
  for (const Message& m : group.work(1)) granted.push_back(!m.reject);
  EXPECT_EQ(granted, (std::vector<bool>{true, false, true}));
}

TEST(Paper52, ALeaderSendsHeartbeatsWhichHoldElectionsBack) {
  TestGroup group(3);
  group.elect(1);
  for (int i = 0; i < 5 * TestGroup::kElectionTick; ++i) {
    for (uint64_t id = 1; id <= 3; ++id) group.tick(id);
    group.settle();
  }
  EXPECT_EQ(group.state(1), StateType::kLeader);
  EXPECT_EQ(group.term(1), Term(2));
}

TEST(Paper52, ACandidateFollowsALeaderOfItsTerm) {
  TestGroup group(3);
  ASSERT_TRUE(group.node(1).campaign().ok());
  group.deliver(from_leader(MessageType::kMsgHeartbeat, 2, 1, 2));
  EXPECT_EQ(group.state(1), StateType::kFollower);
  EXPECT_EQ(group.lead(1), MemberId(2));
}

TEST(Paper52, TimeoutsAreSpreadOverTheWholeInterval) {
  TestGroup group(3);
  std::set<int> seen;
  for (int round = 0; round < 500; ++round) {
    group.deliver(from_leader(MessageType::kMsgHeartbeat, 2, 1, 10 + 2 * round));
    int ticks = 0;
    for (; group.state(1) == StateType::kFollower; ++ticks) group.tick(1);
    seen.insert(ticks);
    group.work(1);
  }
  std::set<int> all;
  for (int t = TestGroup::kElectionTick; t < 2 * TestGroup::kElectionTick; ++t) all.insert(t);
  EXPECT_EQ(seen, all);
}

// --- 5.3: log replication

TEST(Paper53, AnEntryIsCommittedOnceAMajorityHasItAndThenApplied) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  ASSERT_TRUE(group.propose(1, "x").ok());
  EXPECT_EQ(group.commit(1), group.last(1));
  EXPECT_EQ(group.member(1).applied.back().data.view(), "x");
  EXPECT_EQ(group.member(2).applied.back().data.view(), "x");
  EXPECT_LT(group.last(3), group.last(1));
}

TEST(Paper53, WithoutAMajorityNothingIsCommitted) {
  TestGroup group(3);
  group.elect(1);
  const Index before = group.commit(1);
  group.isolate(1);
  ASSERT_TRUE(group.propose(1, "x").ok());
  EXPECT_EQ(group.commit(1), before);
}

TEST(Paper53, AFollowerRefusesEntriesThatDoNotFitBehindItsOwn) {
  TestGroup group(3);
  Message append = from_leader(MessageType::kMsgApp, 2, 1, 3);
  append.index = Index(4);
  append.log_term = Term(2);
  append.entries = Entries{Entry{.term = Term(3), .index = Index(5)}};
  group.deliver(std::move(append));
  const std::vector<Message> answers = group.work(1);
  const Message* answer = find(answers, MessageType::kMsgAppResp);
  ASSERT_NE(answer, nullptr);
  EXPECT_TRUE(answer->reject);
  EXPECT_EQ(group.last(1), Index(1));
}

TEST(Paper53, ConflictingEntriesAreReplacedByTheLeaders) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  for (const char* data : {"lost", "lost too"}) ASSERT_TRUE(group.propose(1, data).ok());
  const Index far = group.last(1);
  group.drop([](const Message& m) { return m.to == MemberId(1) || m.from == MemberId(1); });
  group.elect(2);
  ASSERT_TRUE(group.propose(2, "kept").ok());
  group.heal();
  group.tick(2);
  group.settle();
  EXPECT_GE(far, group.last(2));
  EXPECT_EQ(group.last(1), group.last(2));
  EXPECT_EQ(group.member(1).applied.back().data.view(), "kept");
  EXPECT_EQ(group.state(1), StateType::kFollower);
}

TEST(Paper53, EntriesOnceStoredAreNotRemovedByALateAppend) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_TRUE(group.propose(1, "a").ok());
  ASSERT_TRUE(group.propose(1, "b").ok());
  Message late = from_leader(MessageType::kMsgApp, 1, 2, group.term(1).value);
  late.index = group.last(2) - 2;
  late.log_term = group.term(1);
  group.deliver(std::move(late));
  EXPECT_EQ(group.last(2), group.last(1));
}

// --- 5.4: safety

TEST(Paper541, AVoteGoesOnlyToALogThatIsAsComplete) {
  // The voter's log ends with (term 2, index 2).
  const struct {
    uint64_t term, index;
    bool granted;
  } kCases[] = {{2, 2, true}, {2, 3, true}, {3, 1, true}, {2, 1, false}, {1, 9, false}};
  for (const auto& c : kCases) {
    TestGroup group(3);
    group.elect(1);
    ASSERT_EQ(group.last(2), Index(2));
    group.deliver(vote_request(3, 2, 9, c.term, c.index));
    const std::vector<Message> answers = group.work(2);
    const Message* answer = find(answers, MessageType::kMsgVoteResp);
    ASSERT_NE(answer, nullptr);
    EXPECT_EQ(!answer->reject, c.granted) << c.term << "/" << c.index;
  }
}

TEST(Paper542, OnlyEntriesOfTheOwnTermAreCommittedByCounting) {
  TestGroup group(3, [](Config& config) { config.max_size_per_msg = 0; });
  group.elect(1);
  group.isolate(1);
  ASSERT_TRUE(group.propose(1, "old").ok());
  const Index old = group.last(1);
  group.heal();
  // Deposed by a campaign that cannot win, and elected again. Its followers acknowledge the old
  // entry; what they say of the new term's is lost.
  group.drop([](const Message& m) { return m.to == MemberId(3); });
  ASSERT_TRUE(group.node(2).campaign().ok());
  group.settle();
  ASSERT_EQ(group.state(1), StateType::kFollower);
  group.drop([old](const Message& m) {
    return m.type == MessageType::kMsgAppResp && !m.reject && m.index > old;
  });
  group.elect(1);
  for (const auto& [id, progress] : group.node(1).status().progress) {
    EXPECT_GE(progress.match(), old) << id;
  }
  EXPECT_LT(group.commit(1), old);
  group.heal();
  group.tick(1);
  group.settle();
  EXPECT_EQ(group.commit(1), group.last(1));
}

// --- 6 and thesis 4: changes of the configuration

TEST(Thesis41, OneChangeAtATime) {
  TestGroup group(3);
  group.elect(1);
  const ConfChange add{.node_id = MemberId(4)};
  ASSERT_TRUE(group.node(1).propose_conf_change(add).ok());
  ASSERT_TRUE(group.node(1).propose_conf_change(ConfChange{.node_id = MemberId(5)}).ok());
  group.settle();
  const std::vector<Entry>& applied = group.member(1).applied;
  ASSERT_GE(applied.size(), 2u);
  EXPECT_EQ(applied[applied.size() - 2].type, EntryType::kConfChange);
  EXPECT_EQ(applied.back().type, EntryType::kNormal);  // blanked
  EXPECT_FALSE(group.node(1).status().config.contains(MemberId(5)));
}

TEST(Thesis41, ANewLeaderWaitsForItsTailBeforeAChange) {
  TestGroup group(3);
  ASSERT_TRUE(group.node(1).campaign().ok());
  for (Message& m : group.work(1)) group.deliver(std::move(m));
  for (Message& m : group.work(2)) group.deliver(std::move(m));
  ASSERT_EQ(group.state(1), StateType::kLeader);
  // Its first entry is not applied yet; only the tail before it counts, and that is applied.
  ASSERT_TRUE(group.node(1).propose_conf_change(ConfChange{.node_id = MemberId(4)}).ok());
  group.settle();
  EXPECT_TRUE(group.node(1).status().config.contains(MemberId(4)));
}

TEST(Thesis421, ALearnerIsSentEntriesAndDoesNotCount) {
  TestGroup group(2, nullptr, 1);
  group.elect(1);
  group.drop([](const Message& m) { return m.from == MemberId(2); });
  const Index before = group.commit(1);
  ASSERT_TRUE(group.propose(1, "x").ok());
  EXPECT_EQ(group.last(3), group.last(1));
  EXPECT_EQ(group.commit(1), before);
}

TEST(Thesis423, AVoteRequestWithinTheLeaseIsIgnored) {
  TestGroup group(3, [](Config& config) { config.check_quorum = true; });
  group.elect(1);
  const Term term = group.term(2);
  group.deliver(vote_request(3, 2, term.value + 1, 9, 99));
  EXPECT_EQ(group.term(2), term);
  EXPECT_FALSE(group.node(2).has_ready());
}

TEST(Thesis43, AJointConfigurationNeedsBothMajorities) {
  TestGroup group(3, nullptr, 3);
  group.elect(1);
  ConfChangeV2 change{.transition = ConfChangeTransition::kJointExplicit, .changes = {}};
  for (uint64_t id : {4, 5, 6}) change.changes.push_back({ConfChangeType::kAddNode, MemberId(id)});
  for (uint64_t id : {2, 3}) change.changes.push_back({ConfChangeType::kRemoveNode, MemberId(id)});
  ASSERT_TRUE(group.node(1).propose_conf_change(change).ok());
  group.settle();
  ASSERT_TRUE(group.node(1).status().config.voters.is_joint());

  const Index before = group.commit(1);
  group.drop([](const Message& m) { return m.from == MemberId(2) || m.from == MemberId(3); });
  ASSERT_TRUE(group.propose(1, "new half only").ok());
  EXPECT_EQ(group.commit(1), before);
  group.drop([](const Message& m) { return m.from > MemberId(3); });
  group.tick(1);
  group.settle();
  EXPECT_EQ(group.commit(1), before + 1);  // the new half's earlier answers, the old half's now
  ASSERT_TRUE(group.propose(1, "old half only").ok());
  EXPECT_EQ(group.commit(1), before + 1);
}

TEST(Thesis422, ARemovedLeaderStepsDownWhenTold) {
  for (bool told : {false, true}) {
    TestGroup group(3, [told](Config& config) { config.step_down_on_removal = told; });
    group.elect(1);
    const ConfChange remove{.type = ConfChangeType::kRemoveNode, .node_id = MemberId(1)};
    ASSERT_TRUE(group.node(1).propose_conf_change(remove).ok());
    group.settle();
    EXPECT_EQ(group.state(1), told ? StateType::kFollower : StateType::kLeader);
    EXPECT_FALSE(group.node(1).propose(Bytes::copy("x")).ok());
  }
}

// --- 7: snapshots

TEST(Paper7, AFollowerBehindTheLogGetsASnapshot) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(group.propose(1, "x").ok());
  TestMember& leader = group.member(1);
  ASSERT_TRUE(leader.storage.create_snapshot(group.commit(1), nullptr, Bytes::copy("all")).ok());
  ASSERT_TRUE(leader.storage.compact(group.commit(1)).ok());
  group.heal();
  group.tick(1);
  group.settle();
  EXPECT_EQ(*group.member(3).storage.first_index(), group.commit(1) + 1);
  EXPECT_EQ(group.commit(3), group.commit(1));
  ASSERT_TRUE(group.propose(1, "after").ok());
  EXPECT_EQ(group.member(3).applied.back().data.view(), "after");
}

// --- thesis 3.8, 3.10, 6.2, 6.4, 9.6, 10.2.1

TEST(Thesis38, AVoteIsNotSentBeforeItIsDurable) {
  TestGroup group(3, [](Config& config) { config.async_storage_writes = true; });
  group.deliver(vote_request(2, 1, 5, 1, 1));
  const Ready ready = group.node(1).ready();
  EXPECT_EQ(find(ready.messages, MessageType::kMsgVoteResp), nullptr);
  const Message* write = find(ready.messages, MessageType::kMsgStorageAppend);
  ASSERT_NE(write, nullptr);
  EXPECT_EQ(write->hard_state().vote, MemberId(2));
  EXPECT_NE(find(write->responses, MessageType::kMsgVoteResp), nullptr);
}

TEST(Thesis310, LeadershipIsHandedOverInOneElection) {
  TestGroup group(3);
  group.elect(1);
  group.node(1).transfer_leader(MemberId(3));
  group.settle();
  EXPECT_EQ(group.state(3), StateType::kLeader);
  EXPECT_EQ(group.state(1), StateType::kFollower);
}

TEST(Thesis62, ALeaderThatHearsNoMajorityStepsDown) {
  TestGroup group(3, [](Config& config) { config.check_quorum = true; });
  group.elect(1);
  group.isolate(1);
  for (int i = 0; i < 2 * TestGroup::kElectionTick; ++i) {
    group.tick(1);
    group.settle();
  }
  EXPECT_NE(group.state(1), StateType::kLeader);
}

TEST(Thesis64, ALinearizableReadNeedsAMajorityButNoEntry) {
  TestGroup group(3);
  group.elect(1);
  const Index last = group.last(1);
  group.isolate(1);
  group.node(1).read_index(Bytes::copy("r"));
  group.settle();
  EXPECT_TRUE(group.member(1).reads.empty());
  group.heal();
  group.tick(1);
  group.settle();
  ASSERT_EQ(group.member(1).reads.size(), 1u);
  EXPECT_EQ(group.member(1).reads[0].index, group.commit(1));
  EXPECT_EQ(group.last(1), last);
}

TEST(Thesis64, ALeaderThatWasRemovedAsksTheVoterThatIsLeft) {
  TestGroup group(2);
  group.elect(1);
  ASSERT_TRUE(group.node(1)
                  .propose_conf_change(
                      ConfChange{.type = ConfChangeType::kRemoveNode, .node_id = MemberId(1)})
                  .ok());
  group.settle();
  ASSERT_EQ(group.state(1), StateType::kLeader);
  group.isolate(1);
  group.node(1).read_index(Bytes::copy("r"));
  group.settle();
  EXPECT_TRUE(group.member(1).reads.empty());
  group.heal();
  group.node(1).read_index(Bytes::copy("s"));
  group.settle();
  EXPECT_EQ(group.member(1).reads.size(), 2u);
}

TEST(Thesis96, APreVoteDisturbsNobody) {
  TestGroup group(3, [](Config& config) { config.pre_vote = config.check_quorum = true; });
  group.elect(1);
  const Term term = group.term(1);
  group.isolate(3);
  group.tick(3, 10 * TestGroup::kElectionTick);
  EXPECT_EQ(group.term(3), term);
  group.heal();
  group.settle();
  for (int i = 0; i < 3; ++i) {
    for (uint64_t id = 1; id <= 3; ++id) group.tick(id);
    group.settle();
  }
  EXPECT_EQ(group.state(1), StateType::kLeader);
  EXPECT_EQ(group.term(1), term);
  EXPECT_EQ(group.state(3), StateType::kFollower);
}

TEST(Thesis1021, TheLeaderSendsWhileItsOwnDiskWrites) {
  TestGroup group(3, [](Config& config) { config.async_storage_writes = true; });
  RawNode& node = group.node(1);
  ASSERT_TRUE(node.campaign().ok());
  for (Message& m : node.ready().messages) {
    for (Message& response : m.responses) ASSERT_TRUE(node.step(std::move(response)).ok());
  }
  Message vote{.type = MessageType::kMsgVoteResp,
               .to = MemberId(1),
               .from = MemberId(2),
               .term = group.term(1)};
  ASSERT_TRUE(node.step(std::move(vote)).ok());
  ASSERT_EQ(group.state(1), StateType::kLeader);

  const Ready ready = node.ready();
  EXPECT_NE(find(ready.messages, MessageType::kMsgApp), nullptr);
  EXPECT_NE(find(ready.messages, MessageType::kMsgStorageAppend), nullptr);
  // Two followers hold it: committed, though the leader's own write is not done.
  const Index index = group.last(1);
  for (uint64_t id : {2, 3}) {
    Message ack = from_leader(MessageType::kMsgAppResp, id, 1, group.term(1).value);
    ack.index = index;
    ASSERT_TRUE(node.step(std::move(ack)).ok());
  }
  EXPECT_EQ(group.commit(1), index);
  // It is not applied before it is on our disk as well.
  EXPECT_TRUE(node.ready().committed_entries.empty());
}

// --- 6.4 (thesis): a forwarded read that names its sender's term

Message forwarded_read(uint64_t from, uint64_t to, uint64_t term) {
  Message message = from_leader(MessageType::kMsgReadIndex, from, to, term);
  Entry entry;
  entry.data = Bytes::copy("read");
  message.entries = Entries(std::span(&entry, 1));
  return message;
}

// What member 1, the leader, sends when `read` arrives.
std::vector<Message> answers_to(TestGroup& group, Message read) {
  group.deliver(std::move(read));
  std::vector<Message> all;
  while (group.node(1).has_ready()) {
    for (Message& message : group.work(1)) all.push_back(std::move(message));
  }
  return all;
}

TEST(Thesis64, AReadThatNamesTheTermIsConfirmedIfItsSenderAndTheLeaderAreAQuorum) {
  TestGroup group(3);
  group.elect(1);
  const uint64_t term = group.term(1).value;
  const std::vector<Message> answers = answers_to(group, forwarded_read(2, 1, term));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].type, MessageType::kMsgReadIndexResp);
  EXPECT_EQ(answers[0].to, MemberId(2));
  EXPECT_EQ(answers[0].index, group.commit(1));
}

TEST(Thesis64, AReadWithoutATermOrOfNoQuorumWaitsForEchoes) {
  for (uint64_t voters : {3, 5}) {
    TestGroup group(voters, nullptr, 1);
    group.elect(1);
    const uint64_t term = group.term(1).value;
    // One of etcd-raft's; one of five; a learner's.
    const uint64_t from = voters == 3 ? 4 : 2;
    for (const Message& read : {forwarded_read(2, 1, 0), forwarded_read(from, 1, term)}) {
      const std::vector<Message> answers = answers_to(group, read);
      EXPECT_EQ(find(answers, MessageType::kMsgReadIndexResp), nullptr);
      EXPECT_NE(find(answers, MessageType::kMsgHeartbeat), nullptr);
    }
  }
}

TEST(Thesis64, AReadOfAnEarlierTermIsNotAnswered) {
  TestGroup group(3);
  group.elect(1);
  const uint64_t before = group.term(1).value;
  group.elect(2);
  group.elect(1);
  EXPECT_EQ(find(answers_to(group, forwarded_read(2, 1, before)), MessageType::kMsgReadIndexResp),
            nullptr);
}

// The sender's word is not for reads that may have been asked for after it sent.
TEST(Thesis64, AReadThatNamesTheTermConfirmsNoOther) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.node(1).read_index(Bytes::copy("own"));
  group.settle();
  group.heal();
  answers_to(group, forwarded_read(2, 1, group.term(1).value));
  EXPECT_TRUE(group.member(1).reads.empty());
}

}  // namespace
}  // namespace keelson::raft
