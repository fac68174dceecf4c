// node/test_peers.h
//
// A member among peers that the test plays: they vote for whoever asks, store what they are sent,
// and hear what the test lets them.
//
// Threads: one, see node/test_member.h.

#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "membership/cluster.h"
#include "node/test_member.h"

namespace keelson::node {

class TestPeers final : public Transport {
 public:
  void send(std::vector<raft::Message> messages) override {
    for (raft::Message& message : messages) answer(message);
  }
  void send_snapshot(raft::Message, std::shared_ptr<const backend::Snapshot>) override {}

  Node* node = nullptr;
  std::set<MemberId> silent;         // who is down
  std::set<MemberId> told_to_lead;   // and does not
  size_t proposals = 0;              // that were forwarded to them
  std::vector<raft::Message> reads;  // so were these, and are not answered

 private:
  void answer(const raft::Message& message) {
    if (silent.contains(message.to)) return;
    raft::Message reply{.to = message.from, .from = message.to, .term = message.term};
    switch (message.type) {
      case raft::MessageType::kMsgPreVote:
        reply.type = raft::MessageType::kMsgPreVoteResp;
        break;
      case raft::MessageType::kMsgVote:
        reply.type = raft::MessageType::kMsgVoteResp;
        break;
      case raft::MessageType::kMsgApp:
        reply.type = raft::MessageType::kMsgAppResp;
        reply.index = message.entries.empty() ? message.index : message.entries.back().index;
        break;
      case raft::MessageType::kMsgHeartbeat:
        reply.type = raft::MessageType::kMsgHeartbeatResp;
        reply.context = message.context;
        break;
      case raft::MessageType::kMsgProp:
        proposals += message.entries.size();
        return;
      case raft::MessageType::kMsgReadIndex:
        reads.push_back(message);
        return;
      case raft::MessageType::kMsgTimeoutNow:
        told_to_lead.insert(message.to);
        return;
      default:
        return;
    }
    node->consensus().receive(std::move(reply));
  }
};

class AmongPeers : public ::testing::Test {
 protected:
  static constexpr std::string_view kCluster =
      "m=http://localhost:2380,n=http://localhost:2381,o=http://localhost:2382";

  AmongPeers() {
    const auto group = membership::bootstrap(kCluster, "t");
    for (const membership::Member& member : group->members) {
      if (member.name != "m") others_.push_back(member.id);
    }
    member_.prepare = [this](Node& node) { peers_.node = &node; };
  }

  static Options options() {
    Options options = TestMember::small_options();
    options.recovery.initial_cluster = kCluster;
    return options;
  }

  MemberState& state() { return member_.node().state(); }
  MonotonicTime now() const { return member_.schedule.now(); }

  void lead() {
    ASSERT_TRUE(member_.start().ok());
    bool served = false;
    ASSERT_TRUE(member_.run_until([&] { return member_.node().is_leader(); }));
    member_.put("a", "b", [&](apply::Reply reply) { served = reply.status.ok(); });
    ASSERT_TRUE(member_.run_until([&] { return served; }));
  }

  bool until(const std::function<bool()>& done, Duration most) {
    const MonotonicTime end = now() + most;
    return member_.run_until([&] { return done() || now() >= end; }) && done();
  }

  log::QuietLog quiet_;
  SeededRandom random_{3};
  TestPeers peers_;
  std::vector<MemberId> others_;
  TestMember member_{random_, options(), nullptr, &peers_};
};

}  // namespace keelson::node
