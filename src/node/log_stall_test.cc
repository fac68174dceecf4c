// What a leader does whose log's device does not complete a write, among members that a test plays.

#include <gtest/gtest.h>

#include <set>

#include "base/errors.h"
#include "node/log_watch.h"
#include "node/test_member.h"

namespace keelson::node {
namespace {

constexpr std::string_view kCluster =
    "m=http://localhost:2380,n=http://localhost:2381,o=http://localhost:2382";

// The other members: they vote for whoever asks, store what they are sent, and hear what the test
// lets them.
class Others final : public Transport {
 public:
  void send(std::vector<raft::Message> messages) override {
    for (raft::Message& message : messages) answer(message);
  }
  void send_snapshot(raft::Message, std::shared_ptr<const backend::Snapshot>) override {}

  Node* node = nullptr;
  std::set<MemberId> silent;        // who is down
  std::set<MemberId> told_to_lead;  // and does not
  uint64_t reads = 0;

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
      case raft::MessageType::kMsgTimeoutNow:
        told_to_lead.insert(message.to);
        return;
      default:
        return;
    }
    node->consensus().receive(std::move(reply));
  }
};

class LogStallTest : public ::testing::Test {
 protected:
  LogStallTest() {
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

  // The device takes what it is given and does not come back with it.
  void stall() {
    member_.schedule.hold(member_.schedule.log);
    member_.put("waits", "x", [this](apply::Reply) { answered_ = true; });
  }

  bool until(const std::function<bool()>& done, Duration most) {
    const MonotonicTime end = now() + most;
    return member_.run_until([&] { return done() || now() >= end; }) && done();
  }

  bool read() {
    std::optional<absl::Status> answer;
    member_.confirm([&](absl::Status status) { answer = std::move(status); });
    return until([&] { return answer.has_value(); }, std::chrono::seconds(10)) && answer->ok();
  }

  log::QuietLog quiet_;
  SeededRandom random_{3};
  Others peers_;
  std::vector<MemberId> others_;
  TestMember member_{random_, options(), nullptr, &peers_};
  bool answered_ = false;
};

TEST_F(LogStallTest, TheLeaderHandsOverToOneThatHasStoredMore) {
  lead();
  stall();
  ASSERT_TRUE(until([&] { return !peers_.told_to_lead.empty(); }, std::chrono::seconds(2)));
  EXPECT_TRUE(state().log_stalled);
  EXPECT_EQ(state().log_stalls, 1u);
  EXPECT_EQ(state().leaderships_yielded, 1u);
}

TEST_F(LogStallTest, ALeaderThatNobodyFollowsStepsDown) {
  lead();
  stall();
  ASSERT_TRUE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(4)));
  EXPECT_EQ(state().leaderships_yielded, 2u);
  // As soon as the device gets on it may lead again.
  member_.schedule.release();
  ASSERT_TRUE(until([&] { return !state().log_stalled; }, std::chrono::seconds(1)));
  EXPECT_TRUE(until([&] { return member_.node().is_leader(); }, std::chrono::seconds(10)));
  EXPECT_TRUE(read());
}

// Nobody else could lead: then it is better to serve what needs no disk.
TEST_F(LogStallTest, WithoutAQuorumOfOthersItStays) {
  lead();
  peers_.silent.insert(others_[0]);
  stall();
  ASSERT_TRUE(until([&] { return state().log_stalled.load(); }, std::chrono::seconds(2)));
  EXPECT_FALSE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(6)));
  EXPECT_TRUE(peers_.told_to_lead.empty());
  EXPECT_EQ(state().leaderships_yielded, 0u);
  EXPECT_TRUE(read());
  member_.schedule.release();
  EXPECT_TRUE(until([&] { return !state().log_stalled; }, std::chrono::seconds(1)));
}

TEST_F(LogStallTest, ADeviceThatIsSlowAndGetsOnIsNoneThatStalls) {
  lead();
  for (int i = 0; i < 20; ++i) {
    stall();
    const MonotonicTime end = now() + std::chrono::milliseconds(800);
    until([&] { return now() >= end; }, std::chrono::seconds(1));
    member_.schedule.release();
    answered_ = false;
    ASSERT_TRUE(until([&] { return answered_; }, std::chrono::seconds(1)));
  }
  EXPECT_EQ(state().log_stalls, 0u);
  EXPECT_TRUE(member_.node().is_leader());
}

// One that is cut off from its quorum finds out by itself, too.
TEST_F(LogStallTest, ALeaderThatHearsOfNobodyStepsDown) {
  lead();
  peers_.silent = {others_[0], others_[1]};
  EXPECT_TRUE(until([&] { return !member_.node().is_leader(); }, std::chrono::seconds(3)));
  EXPECT_EQ(state().leader, 0u);
  EXPECT_FALSE(read());
}

TEST(LogWatch, CountsTicksInWhichNothingBecameDurable) {
  LogWatch watch(3);
  for (int i = 0; i < 10; ++i) watch.tick();
  EXPECT_FALSE(watch.stalled());
  watch.handed();
  watch.handed();
  watch.tick();
  watch.tick();
  watch.durable(1);
  watch.tick();
  watch.tick();
  EXPECT_FALSE(watch.stalled());
  watch.tick();
  EXPECT_TRUE(watch.stalled());
  EXPECT_TRUE(watch.at_timeout());
  watch.tick();
  EXPECT_FALSE(watch.at_timeout());
  watch.durable(1);
  EXPECT_FALSE(watch.stalled());
}

}  // namespace
}  // namespace keelson::node
