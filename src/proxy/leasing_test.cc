// Proxies with leasing before one store: what they answer by themselves, what ends that, and, at
// random and through all that can go wrong, that nobody is told what was not so.

#include "proxy/leasing.h"

#include <gtest/gtest.h>

#include "base/test_seeds.h"
#include "ctl/keys.h"
#include "proxy/test_leasing.h"

namespace keelson::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string value_of(const std::optional<mvccpb::KeyValue>& kv) { return kv ? kv->value() : "-"; }

// Reads until the answer is the proxy's own.
void hold(LeasingWorld& world, size_t proxy, const std::string& key) {
  // The first may be what makes room.
  for (int i = 0; i < 2; ++i) {
    world.read(proxy, key);
    world.settle();
  }
  const size_t asked = world.at(proxy).link.asked;
  const auto again = world.read(proxy, key);
  EXPECT_TRUE(again->over) << key;
  EXPECT_EQ(world.at(proxy).link.asked, asked);
}

TEST(Leasing, AnswersWhatItHolds) {
  LeasingWorld world(1, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  hold(world, 0, "nothing");
  const auto read = world.read(0, "a");
  EXPECT_EQ(value_of(read->kv), "1");
  EXPECT_EQ(world.store.now("leasing/a")->value(), "");
  EXPECT_NE(world.store.now("leasing/a")->lease(), 0);
  EXPECT_EQ(world.at(0).leasing.holdings().held(), 2u);
  // Its own writes are known at once, and it holds on.
  world.put(0, "a", "2");
  EXPECT_FALSE(world.read(0, "a")->over);
  world.settle();
  EXPECT_EQ(value_of(world.read(0, "a")->kv), "2");
  world.remove(0, "a");
  world.settle();
  const auto gone = world.read(0, "a");
  EXPECT_TRUE(gone->over);
  EXPECT_EQ(value_of(gone->kv), "-");
  EXPECT_EQ(world.store.puts_of("2"), 1u);
}

TEST(Leasing, WhoeverWritesWaitsForTheHolder) {
  for (const char* name_space : {"", "ns/"}) {
    LeasingWorld world(2, 2, name_space);
    world.store.put(world.full("a"), "1");
    hold(world, 0, "a");
    EXPECT_TRUE(world.store.now(world.leasing_key("a")));
    const auto put = world.put(1, "a", "2");
    world.settle();
    EXPECT_TRUE(put->over);
    EXPECT_FALSE(world.store.now(world.leasing_key("a")));
    EXPECT_FALSE(world.read(0, "a")->over);
    world.settle();
    // It is left alone for a while, and then held again.
    EXPECT_FALSE(world.store.now(world.leasing_key("a")));
    world.pass(Holdings::kRest);
    hold(world, 0, "a");
    EXPECT_EQ(value_of(world.read(0, "a")->kv), "2");
    EXPECT_EQ(world.at(1).metrics.leasing_revocations.value(), 1);
  }
}

// A range of keys of whom not: one's own, another's, nobody's.
TEST(Leasing, RangesAreDeletedBehindTheirHolders) {
  LeasingWorld world(3, 2);
  for (const char* key : {"a", "b", "c", "d"}) world.store.put(key, key);
  hold(world, 0, "a");
  hold(world, 0, "d");
  hold(world, 1, "b");
  hold(world, 1, "bb");
  const auto removed = world.remove(0, "a", "d");
  world.settle();
  ASSERT_TRUE(removed->over);
  EXPECT_TRUE(removed->status.ok()) << removed->status;
  EXPECT_EQ(value_of(world.read(0, "d")->kv), "d");
  for (size_t proxy : {0, 1}) {
    for (const char* key : {"a", "b", "bb", "c"}) world.read(proxy, key);
  }
  world.settle();
  EXPECT_EQ(world.under_way, 0u);
  EXPECT_FALSE(world.store.now("b"));
  // And everything there is, leasing keys among them.
  hold(world, 1, "e");
  const auto all = world.remove(0, ctl::zero_byte(), ctl::zero_byte());
  world.settle();
  ASSERT_TRUE(all->over);
  EXPECT_TRUE(all->status.ok()) << all->status;
  EXPECT_TRUE(world.store.keys().empty());
  EXPECT_FALSE(world.read(0, "d")->over);
  EXPECT_FALSE(world.read(1, "e")->over);
  world.settle();
}

TEST(Leasing, TransactionsAreAnsweredFromWhatIsHeld) {
  LeasingWorld world(4, 2);
  world.store.put("a", "1");
  hold(world, 0, "a");
  hold(world, 0, "none");
  etcdserverpb::TxnRequest request;
  auto& compare = *request.add_compare();
  compare.set_key("a");
  compare.set_target(compare.VALUE);
  compare.set_value("1");
  request.add_success()->mutable_request_range()->set_key("none");
  auto& inner = *request.add_success()->mutable_request_txn();
  inner.add_success()->mutable_request_range()->set_key("a");
  request.add_failure()->mutable_request_range()->set_key("unknown");
  const auto found = world.txn(0, request);
  ASSERT_TRUE(found->over);
  EXPECT_TRUE(found->txn.succeeded());
  EXPECT_EQ(found->txn.responses(1).response_txn().responses(0).response_range().kvs(0).value(),
            "1");
  request.mutable_compare(0)->set_value("2");
  const auto asked = world.txn(0, request);
  EXPECT_FALSE(asked->over);
  world.settle();
  EXPECT_FALSE(asked->txn.succeeded());
  // One that writes, on a condition, what another holds; and what a proxy itself holds.
  inner.add_success()->mutable_request_put()->set_key("none");
  *request.mutable_failure() = request.success();
  request.clear_success();
  for (const size_t proxy : {1, 0}) {
    hold(world, 0, "none");
    const auto wrote = world.txn(proxy, request);
    world.settle();
    ASSERT_TRUE(wrote->over);
    EXPECT_TRUE(wrote->status.ok()) << wrote->status;
    EXPECT_FALSE(wrote->txn.succeeded());
    const auto read = world.read(0, "none");
    world.settle();
    EXPECT_EQ(read->kv->version(), proxy == 1 ? 1 : 2);
    world.pass(Holdings::kRest);
  }
  // Asking for nothing asks for the revision.
  world.store.put("b", "1");
  const auto revision = world.txn(0, {});
  world.settle();
  EXPECT_EQ(revision->revision, world.store.revision());
}

// ---- what ends it

// Nothing comes through for longer than the lease lives: what is held is not answered from before
// the lease can have run out, and others may write then.
TEST(Leasing, NothingIsAnsweredOnceTheLeaseMayHaveRunOut) {
  LeasingWorld world(5, 2);
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.at(0).link.cut = true;
  // For a while it is, as nobody else can write.
  const auto put = world.put(1, "a", "2");
  world.pass(seconds(20));
  EXPECT_TRUE(world.read(0, "a")->over);
  EXPECT_FALSE(put->over);
  // When the last moment comes, it is the proxy that stops first.
  bool answered = true;
  for (int i = 0; i < 400 && !put->over; ++i) {
    world.pass(milliseconds(250));
    answered = world.read(0, "a")->over;
    EXPECT_FALSE(put->over && answered);
  }
  EXPECT_TRUE(put->over);
  EXPECT_FALSE(answered);
  world.at(0).link.cut = false;
  world.finish(seconds(30));
  world.pass(seconds(5));
  hold(world, 0, "a");
  EXPECT_EQ(value_of(world.read(0, "a")->kv), "2");
}

// It was away, but not for too long: it holds what it held.
TEST(Leasing, ARenewedLeaseKeepsWhatIsHeld) {
  LeasingWorld world(6, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.at(0).link.cut = true;
  world.pass(seconds(57));
  const bool over = !world.read(0, "a")->over;
  world.at(0).link.cut = false;
  world.pass(seconds(4));
  EXPECT_TRUE(over);
  const size_t asked = world.at(0).link.asked;
  EXPECT_TRUE(world.read(0, "a")->over);
  EXPECT_EQ(world.at(0).link.asked, asked);
}

TEST(Leasing, AServerThatGoesTakesNothingWithIt) {
  LeasingWorld world(7, 2);
  world.store.put("a", "1");
  hold(world, 0, "a");
  for (int i = 0; i < 10; ++i) {
    world.at(0).link.streams().break_streams(absl::UnavailableError("gone"));
    world.pass(seconds(15));
    EXPECT_TRUE(world.read(0, "a")->over);
  }
  // Nor does one that goes while it is asked for the key.
  world.at(0).link.streams().break_streams(absl::UnavailableError("gone"));
  const auto put = world.put(1, "a", "2");
  world.pass(seconds(2));
  EXPECT_TRUE(put->over);
}

TEST(Leasing, ALostLeaseEndsIt) {
  LeasingWorld world(8, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.store.revoke(world.store.now("leasing/a")->lease());
  world.settle();
  // That its leasing key has gone is enough.
  EXPECT_FALSE(world.read(0, "a")->over);
  world.settle();
  world.pass(seconds(30));
  EXPECT_TRUE(world.at(0).leasing.has_session());
  hold(world, 0, "a");
  EXPECT_EQ(world.store.leases(), 1u);
}

TEST(Leasing, OutOfSightForTooLongItBeginsAnew) {
  LeasingWorld world(9, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  const int64_t lease = world.store.now("leasing/a")->lease();
  TestCluster& streams = world.at(0).link.streams();
  streams.refuse(absl::UnavailableError("gone"));
  streams.break_streams(absl::UnavailableError("gone"));
  world.pass(seconds(10));
  EXPECT_TRUE(world.read(0, "a")->over);
  for (int i = 0; i < 10; ++i) world.store.put("b", cat(i));
  streams.compact(world.store.revision());
  streams.refuse(absl::OkStatus());
  world.pass(seconds(5));
  hold(world, 0, "a");
  EXPECT_NE(world.store.now("leasing/a")->lease(), lease);
  EXPECT_EQ(world.store.leases(), 1u);
}

TEST(Leasing, WhereThereAreUsersTheClusterAnswers) {
  LeasingWorld world(10, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.store.has_users = true;
  world.pass(LeasingSession::kBeat + milliseconds(250));
  const auto read = world.read(0, "a");
  world.settle();
  EXPECT_EQ(read->status, errors::UserEmpty());
  EXPECT_FALSE(world.at(0).leasing.has_session());
  world.pass(seconds(30));
  // The proxy may not end its lease, which runs out.
  EXPECT_EQ(world.store.leases(), 1u);
  world.pass(seconds(35));
  EXPECT_EQ(world.store.leases(), 0u);
  world.store.has_users = false;
  world.pass(seconds(3));
  hold(world, 0, "a");
}

// Its leasing keys stand until its lease runs out, as it may not take them away; who may can.
TEST(Leasing, WhoeverWritesTakesAwayWhatIsLeftOfASessionThatUsersEnded) {
  for (const char* name_space : {"", "ns/"}) {
    LeasingWorld world(16, 1, name_space);
    for (const char* key : {"a", "b", "c"}) {
      world.store.put(world.full(key), "1");
      hold(world, 0, key);
    }
    world.store.has_users = true;
    world.pass(LeasingSession::kBeat + milliseconds(250));
    EXPECT_TRUE(world.store.now(world.leasing_key("a")));
    const auto refused = world.put(0, "a", "2");
    world.settle();
    EXPECT_EQ(refused->status, errors::UserEmpty());
    world.at(0).metadata = {{"token", "t"}};
    const auto put = world.put(0, "a", "3");
    world.settle();
    ASSERT_TRUE(put->over);
    EXPECT_TRUE(put->status.ok()) << put->status;
    EXPECT_FALSE(world.store.now(world.leasing_key("a")));
    // Another may have asked for one of them.
    const auto revoked = world.store.now(world.leasing_key("b"));
    ASSERT_TRUE(revoked);
    world.store.put(world.leasing_key("b"), "REVOKE", revoked->lease());
    const auto removed = world.remove(0, "a", "d");
    world.settle();
    ASSERT_TRUE(removed->over);
    EXPECT_TRUE(removed->status.ok()) << removed->status;
    EXPECT_TRUE(world.store.keys().empty());
    EXPECT_EQ(world.at(0).metrics.leasing_revocations.value(), 0);
  }
}

// The machine stood still, and only the wall clock knows.
TEST(Leasing, TimeThatOnlyTheWallClockSawCounts) {
  LeasingWorld world(11, 1);
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.lane.slept += seconds(56);
  EXPECT_FALSE(world.at(0).leasing.has_session());
  EXPECT_FALSE(world.read(0, "a")->over);
  world.pass(seconds(21));  // it is renewed meanwhile
  EXPECT_TRUE(world.read(0, "a")->over);
}

// ---- what is not held

TEST(Leasing, KeysThatGoAwayByThemselvesAreNotHeld) {
  LeasingWorld world(12, 1);
  const int64_t lease = world.store.grant(20);
  world.store.put("leased", "1", lease);
  world.read(0, "leased");
  world.settle();
  EXPECT_FALSE(world.store.now("leasing/leased"));
  // Nor any more, once one has a lease.
  world.store.put("a", "1");
  hold(world, 0, "a");
  world.put(0, "a", "2", lease);
  world.settle();
  EXPECT_FALSE(world.store.now("leasing/a"));
  world.pass(seconds(25));
  EXPECT_FALSE(world.store.now("a"));
  const auto read = world.read(0, "a");
  world.settle();
  EXPECT_EQ(value_of(read->kv), "-");
}

TEST(Leasing, AStoreThatTakesNothingIsRead) {
  LeasingWorld world(13, 1);
  world.store.put("a", "1");
  world.store.is_full = true;
  const auto read = world.read(0, "a");
  world.settle();
  EXPECT_TRUE(read->status.ok()) << read->status;
  EXPECT_EQ(value_of(read->kv), "1");
  // What deletes puts nothing.
  const auto removed = world.remove(0, "a");
  world.settle();
  EXPECT_TRUE(removed->status.ok()) << removed->status;
}

// Who has put something else where leasing keys stand is told so, and keeps it.
TEST(Leasing, WhatIsNoLeasingKeyIsLeftAlone) {
  LeasingWorld world(14, 1);
  world.store.put("leasing/a", "mine");
  const auto put = world.put(0, "a", "1");
  world.settle();
  EXPECT_EQ(put->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(world.store.now("leasing/a")->value(), "mine");
  const auto removed = world.remove(0, "a", "b");
  world.settle();
  EXPECT_EQ(removed->status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Leasing, NoMoreIsHeldThanTheLimits) {
  LeasingWorld world(15, 1, "", {.keys = 8, .bytes = 4000, .one = 1000});
  for (int i = 0; i < 50; ++i) world.store.put(cat("k", i), std::string(400, 'v'));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      world.read(0, cat("k", i));
      world.settle();
      const Holdings& holdings = world.at(0).leasing.holdings();
      EXPECT_LE(holdings.entries(), 8u);
      EXPECT_LE(holdings.bytes(), 4000u);
    }
  }
  size_t leasing_keys = 0;
  for (const auto& [key, kv] : world.store.keys()) leasing_keys += key.starts_with("leasing/");
  EXPECT_EQ(leasing_keys, world.at(0).leasing.holdings().held());
  EXPECT_GT(leasing_keys, 0u);
  // What is used stays.
  world.pass(seconds(3));
  hold(world, 0, "k0");
  for (int i = 1; i < 50; ++i) {
    world.read(0, cat("k", i));
    EXPECT_TRUE(world.read(0, "k0")->over);
    world.settle();
  }
  // And one that is too long is not.
  world.store.put("long", std::string(2000, 'v'));
  for (int i = 0; i < 3; ++i) {
    world.read(0, "long");
    world.settle();
    EXPECT_FALSE(world.store.now("leasing/long"));
  }
}

// Nor with long keys that are not there, or that could not be acquired.
TEST(Leasing, KeysCountAmongTheBytes) {
  constexpr size_t kMost = 8000;
  LeasingWorld world(17, 1, "", {.keys = 1000, .bytes = kMost, .one = 1000});
  const auto key = [](int i) { return std::string(700, 'k') + cat(i); };
  const Holdings& holdings = world.at(0).leasing.holdings();
  for (const bool fails : {false, true}) {
    world.store.is_full = fails;
    for (int i = 0; i < 100; ++i) {
      world.read(0, key(i));
      world.settle();
      EXPECT_LE(holdings.bytes(), kMost);
      EXPECT_LE(holdings.entries(), kMost / 700);
      EXPECT_GT(holdings.entries(), 0u);
    }
    world.pass(Holdings::kRest);
  }
  // Nor with what it is asked for and does not know.
  world.store.is_full = false;
  world.pass(seconds(3));
  hold(world, 0, "a");
  const int64_t lease = world.store.now("leasing/a")->lease();
  for (int i = 0; i < 100; ++i) {
    world.store.put(world.leasing_key(key(i)), "REVOKE", lease);
    for (int steps = 0; steps < 3; ++steps) {
      world.lane.run();
      world.step();
      EXPECT_LE(holdings.bytes(), 2 * kMost);
    }
  }
  world.pass(seconds(3));
  holdings.check_invariants();
  // And none that is very long is held.
  const std::string most(Holdings::kLongestKey, 'k');
  world.read(0, most);
  world.read(0, most + "k");
  world.settle();
  EXPECT_TRUE(world.store.now(world.leasing_key(most)));
  EXPECT_FALSE(world.store.now(world.leasing_key(most + "k")));
}

// ---- writes whose outcome is not known

// They may still be made, but nobody reads here what was before then.
TEST(Leasing, AWriteThatMayYetBeMadeEndsTheHolding) {
  for_each_seed(100, [](uint64_t seed) {
    LeasingWorld world(seed, 1);
    world.store.put("a", "before");
    hold(world, 0, "a");
    world.at(0).link.unsure = 1;
    world.put(0, "a", "after");
    for (int i = 0; i < 4; ++i) {
      world.lane.run();
      world.step();
    }
    world.at(0).link.unsure = 0;
    for (int i = 0; i < 30; ++i) {
      world.read(0, "a");
      for (size_t steps = world.random.below(8); steps > 0; --steps) {
        world.lane.run();
        world.step();
      }
      if (world.random.below(5) == 0) world.lane.pass(seconds(1));
    }
    world.finish(seconds(30));
  });
}

// Nor what was there before a range is deleted that its own key, on its way here, did not hinder.
TEST(Leasing, ADeletionThatMayYetBeMadeEndsWhatIsBeingAcquired) {
  for_each_seed(1500, [](uint64_t seed) {
    LeasingWorld world(seed, 1);
    world.store.put("a", "before");
    const auto some_steps = [&](uint64_t most) {
      for (uint64_t steps = world.random.below(most); steps > 0; --steps) {
        world.lane.run();
        world.step();
      }
    };
    world.read(0, "a");
    some_steps(4);
    world.remove(0, "a", "b");
    some_steps(12);
    world.at(0).link.unsure = 2;
    some_steps(4);
    world.at(0).link.unsure = 0;
    for (int i = 0; i < 20; ++i) {
      world.read(0, "a");
      some_steps(6);
      if (world.random.below(5) == 0) world.lane.pass(seconds(1));
    }
    world.finish(seconds(30));
  });
}

// ---- others, who lease as etcd's clients do

// One key at a time, by its own means.
class Stranger {
 public:
  explicit Stranger(LeasingWorld& world) : world_(world), lease_(world.store.grant(1000000)) {}

  // Reads, as its holder.
  void take(const std::string& key) {
    if (!world_.store.now(world_.leasing_key(key))) {
      world_.store.put(world_.leasing_key(key), "", lease_);
      held_[key] = world_.store.revision();
    }
  }
  // Gives up what it was asked for.
  void listen() {
    std::erase_if(held_, [this](const auto& held) {
      const auto kv = world_.store.now(world_.leasing_key(held.first));
      if (kv && kv->value() != "REVOKE") return false;
      if (kv) commit_delete(world_.leasing_key(held.first), kv->mod_revision());
      return true;
    });
  }
  // False: it has to wait.
  bool put(const std::string& key, const std::string& value) {
    const std::string leasing = world_.leasing_key(key);
    etcdserverpb::TxnRequest request;
    *request.add_compare() = created_up_to({leasing, ""}, held_.contains(key) ? held_[key] : 0);
    auto& put = *request.add_success()->mutable_request_put();
    put.set_key(world_.full(key));
    put.set_value(value);
    auto& revoke = *request.add_failure()->mutable_request_put();
    revoke.set_key(leasing);
    revoke.set_value("REVOKE");
    revoke.set_ignore_lease(true);
    return world_.store.commit(request).succeeded();
  }

 private:
  void commit_delete(const std::string& key, int64_t before) {
    etcdserverpb::TxnRequest request;
    *request.add_compare() = created_up_to({key, ""}, before - 1);
    request.add_success()->mutable_request_delete_range()->set_key(key);
    world_.store.commit(request);
  }

  LeasingWorld& world_;
  const int64_t lease_;
  std::map<std::string, int64_t> held_;
};

TEST(Leasing, AgreesWithThoseOfEtcd) {
  LeasingWorld world(16, 1);
  Stranger stranger(world);
  world.store.put("a", "1");
  hold(world, 0, "a");
  EXPECT_FALSE(stranger.put("a", "2"));
  world.settle();
  EXPECT_TRUE(stranger.put("a", "2"));
  stranger.take("a");
  const auto put = world.put(0, "a", "3");
  world.settle();
  EXPECT_FALSE(put->over);
  EXPECT_EQ(world.store.now("leasing/a")->value(), "REVOKE");
  stranger.listen();
  world.settle();
  EXPECT_TRUE(put->over);
}

// ---- anything

class Chaos {
 public:
  explicit Chaos(uint64_t seed)
      : world_(seed, 3, seed % 2 == 0 ? "" : "ns/",
               {.keys = 6, .bytes = 800 + 100 * (seed % 8), .one = 100}),
        stranger_(world_) {}

  void run() {
    for (auto& proxy : world_.all) proxy->link.unsure = world_.random.below(2) * 20;
    for (int i = 0; i < 600; ++i) {
      something();
      for (size_t steps = world_.random.below(12); steps > 0; --steps) {
        world_.lane.step();
        world_.step();
      }
      if (testing::Test::HasFailure()) return;
    }
    for (auto& proxy : world_.all) {
      proxy->link.unsure = 0;
      proxy->link.cut = false;
    }
    calls_.clear();
    for (int i = 0; i < 400 && world_.under_way > 0; ++i) {
      stranger_.listen();
      world_.pass(milliseconds(250));
    }
    EXPECT_EQ(world_.under_way, 0u);
  }

 private:
  std::string key() { return cat("k", world_.random.below(5)); }
  std::string value() { return cat("v", ++values_); }
  size_t proxy() { return world_.random.below(world_.all.size()); }

  void something() {
    const uint64_t what = world_.random.below(100);
    if (what < 50) return static_cast<void>(world_.read(proxy(), key()));
    if (what < 65) return static_cast<void>(world_.put(proxy(), key(), value(), any_lease()));
    if (what < 70) return static_cast<void>(world_.remove(proxy(), key()));
    if (what < 73) return remove_range();
    if (what < 83) return static_cast<void>(world_.txn(proxy(), any_txn(0)));
    if (what < 86) return stranger_.take(key());
    if (what < 90) return stranger_.listen();
    if (what < 94) return static_cast<void>(stranger_.put(key(), value()));
    if (what < 97) return world_.lane.pass(milliseconds(world_.random.below(3000)));
    trouble();
  }
  int64_t any_lease() {
    return world_.random.below(8) == 0
               ? world_.store.grant(static_cast<int64_t>(1 + world_.random.below(20)))
               : 0;
  }
  void remove_range() {
    if (world_.random.below(10) == 0) {
      world_.remove(proxy(), ctl::zero_byte(), ctl::zero_byte());
    } else {
      world_.remove(proxy(), key(), key());
    }
  }
  etcdserverpb::TxnRequest any_txn(int depth) {
    etcdserverpb::TxnRequest request;
    for (size_t i = world_.random.below(3); i > 0; --i) {
      auto& compare = *request.add_compare();
      compare.set_key(key());
      compare.set_target(compare.VERSION);
      compare.set_result(compare.GREATER);
      compare.set_version(static_cast<int64_t>(world_.random.below(4)));
    }
    const bool writes = world_.random.below(2) == 0;
    for (auto* ops : {request.mutable_success(), request.mutable_failure()}) {
      // No key twice, nor within what is deleted.
      std::set<std::string> written;
      for (size_t i = world_.random.below(4); i > 0; --i) {
        const std::string at = key();
        auto& op = *ops->Add();
        if (writes && written.insert(at).second) {
          op.mutable_request_put()->set_key(at);
          op.mutable_request_put()->set_value(value());
        } else if (depth < 2 && world_.random.below(4) == 0) {
          *op.mutable_request_txn() = any_txn(writes ? 2 : depth + 1);
          if (writes) op.mutable_request_txn()->Clear();
        } else {
          op.mutable_request_range()->set_key(at);
        }
      }
    }
    return request;
  }
  void trouble() {
    TestProxy& one = world_.at(proxy());
    switch (world_.random.below(6)) {
      case 0:
        one.link.cut = true;
        break;
      case 1:
      case 2:
        for (auto& proxy : world_.all) proxy->link.cut = false;
        break;
      case 3:
        one.link.streams().break_streams(absl::UnavailableError("gone"));
        break;
      case 4:
        for (int i = 0; i < 80; ++i) {
          world_.lane.pass(seconds(1));
          world_.step();
        }
        break;
      default:
        one.link.streams().compact(world_.store.revision());
    }
  }

  LeasingWorld world_;
  Stranger stranger_;
  std::vector<std::shared_ptr<LeasedCall>> calls_;
  uint64_t values_ = 0;
};

TEST(Leasing, NobodyIsToldWhatWasNotSo) {
  for_each_seed(50, [](uint64_t seed) { Chaos(seed).run(); });
}

}  // namespace
}  // namespace keelson::proxy
