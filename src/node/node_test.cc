// What a member does when its disk is full, slow, or when it is told to end.

#include <gtest/gtest.h>

#include "base/errors.h"
#include "base/failpoint.h"
#include "node/test_member.h"

namespace keelson::node {
namespace {

class NodeTest : public ::testing::Test {
 protected:
  void start() {
    ASSERT_TRUE(member_.start().ok());
    ASSERT_TRUE(read().ok());
  }

  absl::Status put(std::string_view key, std::string_view value) {
    std::optional<absl::Status> answer;
    member_.put(key, value, [&](apply::Reply reply) { answer = std::move(reply.status); });
    EXPECT_TRUE(member_.run_until([&] { return answer.has_value(); })) << member_.fatal;
    return answer.value_or(absl::InternalError("no answer"));
  }

  absl::Status read() {
    std::optional<absl::Status> answer;
    member_.read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
      answer = found.status();
      if (found.ok()) keys_ = found->kvs.size();
    });
    EXPECT_TRUE(member_.run_until([&] { return answer.has_value(); })) << member_.fatal;
    return answer.value_or(absl::InternalError("no answer"));
  }

  log::QuietLog quiet_;
  SeededRandom random_{7};
  TestMember member_{random_};
  size_t keys_ = 0;
};

TEST_F(NodeTest, AFullDiskRefusesWritesAndServesReads) {
  start();
  int stored = 0;
  absl::Status last;
  member_.files.set_capacity(member_.files.used());
  // What fits into the segment is taken; the first that does not waits for space.
  for (; stored < 1000 && last.ok(); ++stored) {
    last = put(cat("k", stored), std::string(500, 'x'));
  }
  ASSERT_LT(stored, 1000);
  EXPECT_TRUE(last == errors::Timeout() || last == errors::NoSpace()) << last;
  EXPECT_TRUE(member_.node().state().disk_full);
  EXPECT_EQ(put("more", "x"), errors::NoSpace());
  EXPECT_TRUE(read().ok());
  EXPECT_EQ(keys_, static_cast<size_t>(stored - 1));

  member_.files.set_capacity(UINT64_MAX);
  ASSERT_TRUE(member_.run_until([&] { return !member_.node().state().disk_full; }));
  EXPECT_TRUE(put("more", "x").ok());
  // A write that timed out waited in the queue and is done now, as one that etcd gave up waiting
  // for may be; one that was refused is not.
  size_t expected = static_cast<size_t>(last == errors::Timeout() ? stored + 1 : stored);
  ASSERT_TRUE(read().ok());
  EXPECT_EQ(keys_, expected);
  EXPECT_FALSE(member_.dead());
  member_.lose_power();
  start();
  EXPECT_EQ(keys_, expected);
}

TEST_F(NodeTest, WritesThatWaitForTheDiskShareOneSync) {
  member_.options().window = {};
  start();
  int answered = 0;
  member_.schedule.hold(member_.schedule.log);
  for (int i = 0; i < 100; ++i) {
    member_.put(cat("k", i), "v", [&](apply::Reply reply) {
      EXPECT_TRUE(reply.status.ok());
      ++answered;
    });
  }
  // The disk says nothing for a while: nobody is answered, and reads do not wait for it.
  for (int i = 0; i < 300; ++i) member_.schedule.step();
  EXPECT_EQ(answered, 0);
  EXPECT_TRUE(read().ok());
  uint64_t before = member_.files.operations();
  member_.schedule.release();
  ASSERT_TRUE(member_.run_until([&] { return answered == 100; }));
  // A write and a sync for the entries, and as much again for the commit index; a hundred writes
  // one by one would be hundreds.
  EXPECT_LE(member_.files.operations() - before, 16u);
}

TEST_F(NodeTest, AnOrderlyEndAnswersEverybodyAndKeepsEverything) {
  start();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(put(cat("k", i), "v").ok());
  int done = 0, refused = 0;
  for (int i = 200; i < 300; ++i) {
    member_.put(cat("k", i), "v", [&](apply::Reply reply) {
      ++(reply.status.ok() ? done : refused);
      EXPECT_TRUE(reply.status.ok() || reply.status == errors::Stopped()) << reply.status;
    });
    for (uint64_t steps = random_.below(6); steps > 0; --steps) member_.schedule.step();
  }
  absl::Status stopped = member_.stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_TRUE(member_.run_until([&] { return done + refused == 100; }));
  // What comes after is refused, too.
  EXPECT_EQ(put("late", "v"), errors::Stopped());
  EXPECT_FALSE(member_.dead()) << member_.fatal;
  member_.lose_power();
  start();
  EXPECT_GE(keys_, static_cast<size_t>(200 + done));
  EXPECT_LE(keys_, size_t{300});
}

// However much is committed and waits for the state machine, the end does not wait for it.
TEST_F(NodeTest, WhatIsNotBegunAtTheEndIsAppliedAtTheNextStart) {
  start();
  member_.schedule.hold(member_.schedule.apply);
  std::vector<absl::Status> puts, reads;
  for (int i = 0; i < 5; ++i) {
    member_.put(cat("k", i), "v",
                [&](apply::Reply reply) { puts.push_back(std::move(reply.status)); });
  }
  for (int i = 0; i < 100; ++i) member_.schedule.run_one();
  member_.read_all(
      [&](absl::StatusOr<mvcc::RangeResult> found) { reads.push_back(found.status()); });
  for (int i = 0; i < 100; ++i) member_.schedule.run_one();
  EXPECT_GE(member_.node().state().committed - member_.node().state().applied, 5u);
  EXPECT_TRUE(puts.empty());
  EXPECT_TRUE(reads.empty());

  std::optional<absl::Status> stopped;
  member_.node().stop([&](absl::Status status) { stopped = std::move(status); });
  member_.schedule.release();
  ASSERT_TRUE(member_.run_until([&] { return stopped && puts.size() + reads.size() == 6; }));
  EXPECT_TRUE(stopped->ok()) << *stopped;
  EXPECT_EQ(puts, std::vector(5, errors::Stopped()));
  EXPECT_EQ(reads, std::vector(1, errors::Stopped()));
  EXPECT_FALSE(member_.dead()) << member_.fatal;
  member_.lose_power();
  start();
  EXPECT_EQ(keys_, 5u);
}

TEST_F(NodeTest, TheLogLetsGoOfWhatTheBackendHolds) {
  start();
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(put("k", std::string(200, 'x')).ok());
    if (i % 50 == 0) member_.node().backend()->flush([](absl::Status) {});
  }
  absl::Status stopped = member_.stop();
  EXPECT_TRUE(stopped.ok()) << stopped;
  // 400 entries of some 250 bytes are a dozen segments of 8 kB.
  int segments = 0;
  for (const std::string& path : member_.files.paths()) segments += path.ends_with(".wal");
  EXPECT_LE(segments, 4);
  member_.lose_power();
  start();
  EXPECT_EQ(member_.node().store().revision(), 401);
}

TEST_F(NodeTest, TheLogKeepsWhatSomebodyElseNeeds) {
  start();
  member_.node().state().log_needed_from = 100;
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(put("k", std::string(200, 'x')).ok());
    if (i % 50 == 0) member_.node().backend()->flush([](absl::Status) {});
  }
  ASSERT_TRUE(member_.stop().ok());
  int segments = 0;
  for (const std::string& path : member_.files.paths()) segments += path.ends_with(".wal");
  EXPECT_GE(segments, 8);
}

// Nothing is kept for anybody else that a full disk could do with.
TEST_F(NodeTest, AFullDiskIsNotHeldUpForSomebodyElse) {
  start();
  member_.node().state().log_needed_from = 0;
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(put("k", std::string(200, 'x')).ok());
    if (i % 50 == 0) member_.node().backend()->flush([](absl::Status) {});
  }
  const auto segments = [&] {
    int count = 0;
    for (const std::string& path : member_.files.paths()) count += path.ends_with(".wal");
    return count;
  };
  int least = segments();
  ASSERT_GE(least, 8);
  member_.files.set_capacity(member_.files.used());
  for (int i = 0; i < 50; ++i) {
    member_.put("k", std::string(1000, 'x'), [](apply::Reply) {});
    for (int step = 0; step < 20; ++step) {
      member_.schedule.step();
      least = std::min(least, segments());
    }
  }
  EXPECT_LE(least, 4);
  // And with that it takes writes again.
  EXPECT_TRUE(member_.run_until([&] { return !member_.node().state().disk_full; }));
  EXPECT_TRUE(put("k", "on").ok());
}

// Such transactions leave a few bytes in the store, which so has no reason to flush.
TEST_F(NodeTest, TheLogLetsGoOfRefusedTransactionsToo) {
  start();
  etcdserverpb::TxnRequest request;
  etcdserverpb::Compare* compare = request.add_compare();
  compare->set_key("none");
  compare->set_target(etcdserverpb::Compare::VERSION);
  compare->set_version(7);
  request.add_success()->mutable_request_put()->set_key("k");
  request.mutable_success(0)->mutable_request_put()->set_value(std::string(2'000, 'x'));
  int answered = 0;
  for (int i = 0; i < 300; ++i) {
    member_.propose(wire::InternalKind::kTxn, request.SerializeAsString(), [&](apply::Reply reply) {
      EXPECT_TRUE(reply.status.ok()) << reply.status;
      ++answered;
    });
    ASSERT_TRUE(member_.run_until([&] { return answered == i + 1; }));
  }
  for (int i = 0; i < 100; ++i) member_.schedule.step();
  // 600 kB went through a log of 8 kB segments; flushes are asked for every 64 kB.
  int segments = 0;
  for (const std::string& path : member_.files.paths()) segments += path.ends_with(".wal");
  EXPECT_LE(segments, 12);
  EXPECT_GT(member_.disk.durable_index(), Index(200));
}

TEST_F(NodeTest, NothingComesInThatTheStoreCannotKeepUpWith) {
  start();
  member_.disk.hold_flushes();
  absl::Status last;
  int stored = 0;
  for (; stored < 1000 && last.ok(); ++stored) last = put("k", std::string(2'000, 'x'));
  EXPECT_EQ(last, errors::RequestTooManyRequests());
  EXPECT_NEAR(stored, 64, 5);
  EXPECT_TRUE(read().ok());
  member_.disk.release_flushes();
  ASSERT_TRUE(member_.run_until([&] { return !member_.node().state().store_behind; }));
  EXPECT_TRUE(put("k", "x").ok());
}

// What is let go of by it is what the full disk needs.
TEST_F(NodeTest, AMarkThatFoundNoSpaceIsMadeWhenThereIsSome) {
  start();
  auto segments = [&] {
    int count = 0;
    for (const std::string& path : member_.files.paths()) count += path.ends_with(".wal");
    return count;
  };
  member_.disk.hold_flushes();
  for (int i = 0; i < 15; ++i) ASSERT_TRUE(put("k", std::string(1'000, 'x')).ok());
  const int before = segments();
  ASSERT_GE(before, 2);
  // Not a byte is to be had when the store is durable.
  member_.files.set_capacity(0);
  member_.schedule.hold(member_.schedule.log);
  member_.disk.release_flushes();
  member_.node().backend()->flush([](absl::Status) {});
  for (int i = 0; i < 100; ++i) member_.schedule.step();
  member_.schedule.release();
  for (int i = 0; i < 300; ++i) member_.step();
  member_.files.set_capacity(UINT64_MAX);
  EXPECT_TRUE(member_.run_until([&] { return segments() < before; }));
  EXPECT_FALSE(member_.dead()) << member_.fatal;
}

// The power failed between the store's flush and the log's mark.
TEST_F(NodeTest, AMarkThatACrashPreventedIsMadeAtTheStart) {
  start();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(put("k", std::string(200, 'x')).ok());
  member_.schedule.hold(member_.schedule.consensus);
  member_.node().backend()->flush([](absl::Status) {});
  const Index durable = member_.disk.durable_index();
  member_.lose_power();
  start();
  for (int i = 0; i < 200; ++i) member_.schedule.step();
  absl::StatusOr<wire::WalSnapshot> mark =
      wal::newest_mark("/m/wal", Index(UINT64_MAX), &member_.files);
  ASSERT_TRUE(mark.ok()) << mark.status();
  EXPECT_EQ(mark->index, durable);
}

// About where etcd has its snapshots; and whatever has come since, the members are those of then.
TEST_F(NodeTest, AMarkLeavesASnapshotFileOfItsTime) {
  constexpr MemberId kLearner(0xab9);
  std::vector<raft::Snapshot> saved;
  member_.options().save_snap = [&](const raft::Snapshot& mark) { saved.push_back(mark); };
  member_.options().debt.mark_bytes = 1 << 20;
  member_.options().debt.flush_pause = Duration(0);
  start();
  std::vector<std::pair<Index, bool>> learns;  // from which index on, and whether it is one
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 33; ++i) ASSERT_TRUE(put("k", "v").ok());
    const bool comes = round % 2 == 0;
    raft::ConfChange change{
        .type = comes ? raft::ConfChangeType::kAddLearnerNode : raft::ConfChangeType::kRemoveNode,
        .node_id = MemberId(kLearner.value + round / 2)};
    if (comes) {
      change.context = membership::encode_context(
          {.id = change.node_id, .peer_urls = {cat("http://b:", round)}, .is_learner = true});
    }
    std::optional<absl::Status> answer;
    member_.propose_change(change, [&](apply::Reply reply) { answer = reply.status; });
    ASSERT_TRUE(member_.run_until([&] { return answer.has_value(); }));
    ASSERT_TRUE(answer->ok()) << *answer;
    learns.emplace_back(Index(member_.node().state().applied), comes);
  }
  ASSERT_TRUE(member_.stop().ok());
  ASSERT_GE(saved.size(), 7u);
  Index before(0);
  for (const raft::Snapshot& mark : saved) {
    const Index at = mark.metadata.index;
    EXPECT_GT(at - before, 20u);
    before = at;
    bool learner = false;
    for (auto [from, is_there] : learns) learner = at < from ? learner : is_there;
    EXPECT_EQ(mark.metadata.conf_state.learners.size(), learner ? 1u : 0u) << at.value;
    EXPECT_EQ(mark.data.view().find("isLearner") != std::string_view::npos, learner) << at.value;
  }
  absl::StatusOr<wire::WalSnapshot> newest =
      wal::newest_mark("/m/wal", Index(UINT64_MAX), &member_.files);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->index, before);
}

// It is not skipped, and nothing that shared its batch is published or answered.
TEST_F(NodeTest, AnEntryThatCannotBeReadEndsTheMember) {
  start();
  const int64_t before = member_.node().store().revision();
  int answered = 0, events = 0;
  member_.node().set_published([&](mvcc::EventBatchPtr) { ++events; });
  member_.schedule.hold(member_.schedule.apply);
  member_.put("k", "v", [&](apply::Reply) { ++answered; });
  member_.propose(wire::InternalKind::kPut, "\xff\xff", [&](apply::Reply) { ++answered; });
  for (int i = 0; i < 200; ++i) member_.schedule.step();
  member_.schedule.release();
  EXPECT_FALSE(member_.run_until([&] { return false; }));
  EXPECT_TRUE(member_.dead());
  EXPECT_EQ(answered, 0);
  EXPECT_EQ(events, 0);
  EXPECT_EQ(member_.node().store().revision(), before);
  // Nor after the next start.
  member_.lose_power();
  ASSERT_TRUE(member_.start().ok());
  EXPECT_FALSE(member_.run_until([&] { return false; }));
  EXPECT_TRUE(member_.dead());
}

// What a batch did before the entry that failed is not published, so a read that waits for it is
// not as new as it should be.
TEST_F(NodeTest, NoReadIsAnsweredByAMemberThatCannotGoOn) {
  start();
  ASSERT_TRUE(
      member_.run_until([&] { return member_.node().state().proposals_pending.load() == 0; }));
  const Index put(member_.node().state().applied + 1);
  member_.schedule.hold(member_.schedule.apply);
  member_.put("k", "v", [](apply::Reply) {});
  member_.propose(wire::InternalKind::kPut, "\xff\xff", [](apply::Reply) {});
  for (int i = 0; i < 200; ++i) member_.schedule.step();
  ASSERT_GE(member_.node().state().committed.load(), put.value + 1);
  member_.schedule.release();
  ASSERT_FALSE(member_.run_until([&] { return false; }));
  ASSERT_TRUE(member_.dead());

  SharedShares shares = Gateway::shares({});
  Gateway gateway(member_.schedule.io, member_.node().consensus(), member_.node().state(), shares,
                  member_.schedule, {});
  int answered = 0;
  gateway.read({}, [&](absl::Status status) { answered += status.ok(); });
  gateway.flush();
  const ReadBatch batch{.gateway = &gateway, .ticket = {.slot = 0, .turn = 1}, .count = 1};
  member_.node().apply_lane().when_applied(put, {batch});
  for (int i = 0; i < 100; ++i) member_.schedule.run_one();
  EXPECT_EQ(answered, 0);
  member_.schedule.forget();
}

// Committed and not applied in time: the client hears so, once, and what it asked for may be done.
TEST_F(NodeTest, AStateMachineThatHangsKeepsNobodyBeyondTheDeadline) {
  start();
  // What the member says of itself is through.
  ASSERT_TRUE(
      member_.run_until([&] { return member_.node().state().proposals_pending.load() == 0; }));
  member_.schedule.hold(member_.schedule.apply);
  std::vector<absl::Status> puts, reads;
  member_.put("k", "v", [&](apply::Reply reply) { puts.push_back(std::move(reply.status)); });
  for (int i = 0; i < 100; ++i) member_.schedule.step();
  // Its entry is committed, so this read has to wait for it.
  member_.read_all(
      [&](absl::StatusOr<mvcc::RangeResult> found) { reads.push_back(found.status()); });
  ASSERT_TRUE(member_.run_until([&] { return puts.size() + reads.size() == 2; }));
  EXPECT_EQ(puts, std::vector{errors::Timeout()});
  EXPECT_EQ(reads, std::vector{errors::Timeout()});
  EXPECT_EQ(member_.node().state().proposals_failed, 1u);
  EXPECT_EQ(member_.node().state().proposals_pending, 1);  // it takes its memory still

  member_.schedule.release();
  ASSERT_TRUE(
      member_.run_until([&] { return member_.node().state().proposals_pending.load() == 0; }));
  ASSERT_TRUE(read().ok());
  EXPECT_EQ(keys_, 1u);
  EXPECT_EQ(puts.size(), 1u);
  EXPECT_EQ(reads.size(), 1u);
}

TEST_F(NodeTest, WhatTimedOutAndIsNotAppliedStillCounts) {
  Options options = TestMember::small_options();
  options.gateway.max_pending = 20;
  TestMember member(random_, options);
  ASSERT_TRUE(member.start().ok());
  ASSERT_TRUE(member.run_until([&] { return member.node().is_leader(); }));
  for (int i = 0; i < 2'000; ++i) member.schedule.step();
  member.schedule.hold(member.schedule.apply);
  int timed_out = 0, refused = 0;
  for (int i = 0; i < 200; ++i) {
    member.put("k", "v", [&](apply::Reply reply) {
      timed_out += reply.status == errors::Timeout();
      refused += reply.status == errors::RequestTooManyRequests();
    });
    if (i % 20 == 19) {
      ASSERT_TRUE(member.run_until([&] { return timed_out + refused == i + 1; })) << i;
    }
  }
  EXPECT_LE(timed_out, 20);
  EXPECT_GE(refused, 180);
  EXPECT_LE(member.node().state().proposals_pending, 20);
  member.schedule.release();
  ASSERT_TRUE(
      member.run_until([&] { return member.node().state().proposals_pending.load() == 0; }));
}

// With the feature gate PriorityRequest: of revocations twice as many may be under way as of
// anything else; without it, as many.
TEST_F(NodeTest, RevocationsComeInWhereOthersAreRefused) {
  for (const bool wanted : {true, false}) {
    Options options = TestMember::small_options();
    options.gateway.max_pending = 20;
    options.gateway.revocations_first = wanted;
    TestMember member(random_, options);
    ASSERT_TRUE(member.start().ok());
    ASSERT_TRUE(member.run_until([&] { return member.node().is_leader(); }));
    for (int i = 0; i < 2'000; ++i) member.schedule.step();
    member.schedule.hold(member.schedule.apply);
    int refused_puts = 0, refused_revocations = 0;
    const auto put = [&] {
      member.put("k", "v", [&](const apply::Reply& reply) {
        refused_puts += reply.status == errors::RequestTooManyRequests();
      });
    };
    for (int i = 0; i < 25; ++i) put();
    EXPECT_EQ(refused_puts, 5);
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(7);
    for (int i = 0; i < 25; ++i) {
      member.propose(wire::InternalKind::kLeaseRevoke, request.SerializeAsString(),
                     [&](const apply::Reply& reply) {
                       refused_revocations += reply.status == errors::RequestTooManyRequests();
                     });
    }
    EXPECT_EQ(refused_revocations, wanted ? 5 : 25);
    put();
    EXPECT_EQ(refused_puts, 6);
    EXPECT_EQ(member.node().state().proposals_pending, wanted ? 40 : 20);
    member.schedule.release();
    ASSERT_TRUE(
        member.run_until([&] { return member.node().state().proposals_pending.load() == 0; }));
  }
}

TEST_F(NodeTest, AReadAfterACrashSeesWhatWasAcknowledged) {
  start();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put(cat("k", i), "v").ok());
  member_.lose_power();
  ASSERT_TRUE(member_.start().ok());
  // The new term's first entry is still on its way to the disk.
  std::optional<size_t> seen;
  member_.read_all([&](absl::StatusOr<mvcc::RangeResult> found) {
    ASSERT_TRUE(found.ok()) << found.status();
    seen = found->kvs.size();
  });
  member_.schedule.hold(member_.schedule.log);
  for (int i = 0; i < 200; ++i) member_.schedule.step();
  EXPECT_FALSE(seen.has_value());
  member_.schedule.release();
  ASSERT_TRUE(member_.run_until([&] { return seen.has_value(); }));
  EXPECT_EQ(*seen, 20u);
}

// A next leader begins with what was left when that was last noted, or with the whole TTL.
TEST_F(NodeTest, WhatIsLeftOfALeaseOutlivesItsLeader) {
  for (const bool checkpoints : {false, true}) {
    Options options = TestMember::small_options();
    options.lease_checkpoints = checkpoints;
    TestMember member(random_, options);
    ASSERT_TRUE(member.start().ok());
    auto left = [&] {
      std::optional<int64_t> seconds;
      member.node().apply_lane().run([&](apply::Applier& applier) {
        auto ttl = applier.leases().time_to_live(LeaseId(7), member.schedule.now());
        if (ttl.ok()) seconds = ttl->remaining_seconds;
      });
      member.run_until([&] { return seconds.has_value() || member.schedule.idle(); });
      return seconds.value_or(-1);
    };
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_id(7);
    grant.set_ttl(1000);
    bool granted = false;
    member.propose(wire::InternalKind::kLeaseGrant, grant.SerializeAsString(),
                   [&](apply::Reply reply) { granted = reply.status.ok(); });
    ASSERT_TRUE(member.run_until([&] { return granted; }));
    const MonotonicTime later = member.schedule.now() + std::chrono::seconds(320);
    ASSERT_TRUE(member.run_until([&] { return member.schedule.now() > later; }, 1'000'000));
    EXPECT_NEAR(left(), 680, 5);

    member.lose_power();
    ASSERT_TRUE(member.start().ok());
    ASSERT_TRUE(member.run_until([&] { return left() > 0; }));
    EXPECT_NEAR(left(), checkpoints ? 700 : 1000, 5);
  }
}

// Requests of a few bytes write a hundred megabytes, and all of them wait for one turn.
TEST_F(NodeTest, ABatchThatGrowsLargeIsPublishedInParts) {
  Options options = TestMember::small_options();
  options.window = {.proposals = 1'000, .cost = 1 << 20};
  options.debt = {};
  TestMember member(random_, options);
  ASSERT_TRUE(member.start().ok());
  ASSERT_TRUE(member.run_until([&] { return member.node().is_leader(); }));
  constexpr int kPuts = 100;
  int done = 0;
  const auto count = [&](const apply::Reply& reply) { done += reply.status.ok(); };
  member.put("a", std::string(1 << 20, 'x'), count);
  ASSERT_TRUE(member.run_until([&] { return done == 1; }));
  member.schedule.hold(member.schedule.apply);
  etcdserverpb::PutRequest again;
  again.set_key("a");
  again.set_ignore_value(true);
  for (int i = 0; i < kPuts; ++i) {
    member.propose(wire::InternalKind::kPut, again.SerializeAsString(), count);
  }
  ASSERT_TRUE(member.run_until([&] { return member.schedule.idle(); }));
  ASSERT_TRUE(failpoint::arm("apply_after_batch=error").ok());
  member.schedule.release();
  // Time has passed meanwhile, and some may have been told so.
  EXPECT_TRUE(
      member.run_until([&] { return member.node().state().proposals_pending.load() == 0; }));
  EXPECT_GE(failpoint::hits("apply_after_batch"), 3u);
  failpoint::disarm();
}

// A peer that says it for this member, or for its disk, does not make a write durable.
TEST_F(NodeTest, NobodyElseAcknowledgesInThisMembersName) {
  start();
  ASSERT_TRUE(put("a", "1").ok());
  const Term term(member_.node().state().term.load());
  const MemberId self = member_.node().member();
  const Index next(member_.node().state().committed.load() + 1);
  member_.schedule.hold(member_.schedule.log);
  bool answered = false, done = false;
  member_.put("b", "2", [&](apply::Reply reply) {
    answered = true;
    done = reply.status.ok();
  });
  for (int i = 0; i < 200; ++i) member_.step();
  using Type = raft::MessageType;
  for (auto [type, from] : {std::pair(Type::kMsgAppResp, self),
                            std::pair(Type::kMsgStorageAppendResp, raft::kLocalAppendThread),
                            std::pair(Type::kMsgAppResp, raft::kLocalAppendThread)}) {
    raft::Message forged{.type = type, .to = self, .from = from};
    forged.term = term;
    forged.log_term = term;
    forged.index = next;
    member_.node().consensus().receive(std::move(forged));
    for (int i = 0; i < 200; ++i) member_.step();
    EXPECT_FALSE(done) << raft::name_of(type);
  }
  member_.schedule.release();
  EXPECT_TRUE(member_.run_until([&] { return answered; }));  // well, or too late
  EXPECT_TRUE(member_.run_until([&] { return member_.node().state().applied >= next.value; }));
  EXPECT_TRUE(read().ok());
  EXPECT_EQ(keys_, 2u);
}

// Notes what is sent.
class Sent final : public Transport {
 public:
  void send(std::vector<raft::Message> sent) override {
    for (raft::Message& message : sent) messages.push_back(std::move(message));
  }
  void send_snapshot(raft::Message, std::shared_ptr<const backend::Snapshot>) override {}

  std::vector<raft::Message> messages;
};

raft::Message question(MemberId from) {
  raft::Message message{.type = raft::MessageType::kMsgReadIndex, .from = from};
  raft::Entry entry;
  entry.data = Bytes::copy("q");
  message.entries = raft::Entries{std::move(entry)};
  return message;
}

// Another member may have applied what makes it a voter while the leader, which crashed, does not
// know that it is committed.
TEST_F(NodeTest, ReadsOfOthersAfterACrashSeeWhatWasAcknowledged) {
  Sent sent;
  TestMember member(random_, TestMember::small_options(), nullptr, &sent);
  ASSERT_TRUE(member.start().ok());
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    member.put(cat("k", i), "v", [&](const apply::Reply& reply) { done += reply.status.ok(); });
    ASSERT_TRUE(member.run_until([&] { return done == i + 1; }));
  }
  const uint64_t applied = member.node().state().applied.load();
  member.lose_power();
  ASSERT_TRUE(member.start().ok());
  ASSERT_TRUE(member.run_until([&] { return member.node().is_leader(); }));
  member.schedule.hold(member.schedule.log);
  member.node().consensus().receive(question(MemberId(77)));
  for (int i = 0; i < 200; ++i) member.schedule.step();
  EXPECT_TRUE(sent.messages.empty());
  member.schedule.release();
  ASSERT_TRUE(member.run_until([&] { return member.node().state().applied.load() > applied; }));
  member.node().consensus().receive(question(MemberId(77)));
  ASSERT_TRUE(member.run_until([&] { return !sent.messages.empty(); }));
  EXPECT_EQ(sent.messages.front().type, raft::MessageType::kMsgReadIndexResp);
  EXPECT_GT(sent.messages.front().index.value, applied);
}

}  // namespace
}  // namespace keelson::node
