// How deep transactions nest, and what each step of the way takes of the stack for it.

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "apply/applier.h"
#include "apply/decode.h"
#include "apply/hidden_ranges.h"
#include "apply/nested_txn.h"
#include "apply/quota.h"
#include "backend/memory_backend.h"
#include "base/stack_meter.h"
#include "base/thread.h"

namespace keelson::apply {
namespace {

using wire::InternalKind;

// The innermost put is two messages further in.
constexpr int kDeepest = (kMostNested - 3) / 2;

class StillClock final : public Clock {
 public:
  MonotonicTime now() const override { return {}; }
  Duration unix_time() const override { return {}; }
};

struct Member {
  Member() {
    leases = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{});
    store = *mvcc::Store::open(&backend);
    applier = *Applier::create(&backend, store.get(), leases.get(), &members, &clock, {},
                               [](mvcc::EventBatchPtr) {});
  }
  absl::StatusOr<Reply> apply(std::string_view txn) {
    Bytes entry = wire::wrap_internal(1, {}, 0, InternalKind::kTxn, txn);
    return applier->apply({.term = Term(1), .index = Index(1), .data = std::move(entry)}, true);
  }

  StillClock clock;
  backend::MemoryBackend backend;
  membership::Cluster members{ClusterId(1)};
  std::unique_ptr<lease::LeaseTable> leases;
  std::unique_ptr<mvcc::Store> store;
  std::unique_ptr<Applier> applier;
};

TEST(ApplyDepth, TheDeepestIsDoneAndOneMoreIsRefused) {
  EXPECT_EQ(kDeepest, 4998);
  for (int levels : {0, 50, 500, kDeepest}) {
    bool done = false;
    Thread thread([&] {
      Member member;
      absl::StatusOr<Reply> reply = member.apply(nested_txn(levels));
      done = reply.ok() && reply->status.ok() && reply->revision == 2;
    });
    thread.join();
    EXPECT_TRUE(done) << levels;
  }
  Thread thread([] {
    etcdserverpb::TxnRequest txn;
    EXPECT_TRUE(decode(nested_txn(kDeepest), &txn).ok());
    EXPECT_EQ(decode(nested_txn(kDeepest + 1), &txn), too_deep());
    EXPECT_EQ(decode(nested_txn(500'000), &txn), too_deep());
    // The log has no other limit than the door.
    EXPECT_FALSE(Member().apply(nested_txn(kDeepest + 1)).ok());
  });
  thread.join();
}

// What is hidden can be read back from the log, or the door refuses it.
TEST(ApplyDepth, HiddenRangesAreNoDeeperThanTheLogIsRead) {
  Thread thread([] {
    const auto chain = [](int levels) {
      auto txn = std::make_unique<etcdserverpb::TxnRequest>();
      txn->add_success()->mutable_request_range()->set_key("a");
      etcdserverpb::RequestOp* op = txn->add_success();
      for (int i = 0; i < levels; ++i) op = op->mutable_request_txn()->add_success();
      op->mutable_request_range()->set_key("b");
      return txn;
    };
    for (int levels : {1, kDeepest - 1, kDeepest}) {
      std::unique_ptr<etcdserverpb::TxnRequest> txn = chain(levels);
      etcdserverpb::TxnRequest read;
      ASSERT_TRUE(decode(txn->SerializeAsString(), &read).ok()) << levels;
      const absl::StatusOr<bool> hidden = hide_ranges(*txn, Refusable::kForKeys);
      if (levels == kDeepest) {
        EXPECT_EQ(hidden.status(), too_deep());
        continue;
      }
      ASSERT_TRUE(hidden.ok() && *hidden) << levels;
      etcdserverpb::TxnRequest logged;
      EXPECT_TRUE(decode_logged(txn->SerializeAsString(), &logged).ok()) << levels;
    }
    etcdserverpb::TxnRequest read;
    EXPECT_EQ(decode(chain(kDeepest + 1)->SerializeAsString(), &read), too_deep());
  });
  thread.join();
}

// The thread that stops a member is not one of ours: the shell's limits say how large its stack is.
TEST(ApplyDepth, AMemberIsDestroyedOnASmallStack) {
  for (int levels : {kDeepest, kDeepest + 1}) {  // done; and refused half way
    std::unique_ptr<Member> member;
    Thread lane([&] {
      member = std::make_unique<Member>();
      EXPECT_EQ(member->apply(nested_txn(levels)).ok(), levels == kDeepest);
    });
    lane.join();
    size_t used = stack_used_by([&] { member.reset(); });
    EXPECT_LT(used, size_t{64} << 10) << levels;
  }
}

// With authentication: root, who may do everything, but is asked each time.
std::shared_ptr<const auth::Rules> rules_of_root() {
  StillClock clock;
  auth::AuthStore store({}, &clock);
  backend::WriteBatch batch;
  store.begin(batch);
  etcdserverpb::AuthUserAddRequest add;
  add.set_name("root");
  EXPECT_TRUE(store.user_add(add, batch).ok());
  etcdserverpb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  EXPECT_TRUE(store.user_grant_role(grant, batch).ok());
  EXPECT_TRUE(store.enable(batch).ok());
  store.publish();
  return store.newest();
}

// A quarter of the stack, by the measure of what one level takes more than another.
TEST(ApplyDepth, EveryStepLeavesThreeQuartersOfTheStack) {
  struct Case {
    const char* step;
    std::function<void(const std::string&)> run;
  };
  const Case cases[] = {
      {"decode and destroy",
       [](const std::string& bytes) {
         etcdserverpb::TxnRequest txn;
         ASSERT_TRUE(decode(bytes, &txn).ok());
       }},
      {"cost",
       [](const std::string& bytes) {
         auto txn = std::make_unique<etcdserverpb::TxnRequest>();
         ASSERT_TRUE(decode(bytes, txn.get()).ok());
         ASSERT_GT(txn_cost(*txn), 0);
       }},
      {"permission",
       [](const std::string& bytes) {
         auto txn = std::make_unique<etcdserverpb::TxnRequest>();
         ASSERT_TRUE(decode(bytes, txn.get()).ok());
         const std::shared_ptr<const auth::Rules> rules = rules_of_root();
         lease::LeaseTable leases{{}};
         ASSERT_TRUE(Permits(*rules, {auth::kRoot, rules->revision()}, &leases).txn(*txn).ok());
       }},
      {"apply", [](const std::string& bytes) { ASSERT_TRUE(Member().apply(bytes).ok()); }},
  };
  for (const Case& c : cases) {
    size_t few = stack_used_by([&] { c.run(nested_txn(100)); });
    size_t many = stack_used_by([&] { c.run(nested_txn(1100)); });
    ASSERT_GT(many, few) << c.step;
    size_t per_level = (many - few) / 1000;
    std::printf("%s: %zu bytes a level, %zu KB for the deepest\n", c.step, per_level,
                (few + per_level * kDeepest) / 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(few + per_level * kDeepest, kRequestStack / 4) << c.step;
#endif
  }
}

}  // namespace
}  // namespace keelson::apply
