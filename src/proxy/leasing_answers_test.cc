// What is answered about known keys is what a server would answer; the rest is left to one.

#include "proxy/leasing_answers.h"

#include <gtest/gtest.h>

#include "base/test_seeds.h"
#include "base/text.h"
#include "proxy/test_store.h"

namespace keelson::proxy {
namespace {

class World {
 public:
  explicit World(uint64_t seed) : random(seed), store(&lane, &random) {}

  std::string key() { return cat("k", random.below(4)); }

  etcdserverpb::TxnRequest txn(int depth) {
    etcdserverpb::TxnRequest request;
    for (uint64_t i = random.below(3); i > 0; --i) {
      auto& compare = *request.add_compare();
      compare.set_key(key());
      compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(random.below(4)));
      compare.set_target(static_cast<etcdserverpb::Compare::CompareTarget>(random.below(5)));
      const auto number = static_cast<int64_t>(random.below(8));
      if (compare.target() == compare.VALUE) compare.set_value(cat(number));
      if (compare.target() == compare.VERSION) compare.set_version(number);
      if (compare.target() == compare.CREATE) compare.set_create_revision(number);
      if (compare.target() == compare.MOD) compare.set_mod_revision(number);
      if (compare.target() == compare.LEASE) compare.set_lease(number);
    }
    for (auto* operations : {request.mutable_success(), request.mutable_failure()}) {
      for (uint64_t i = random.below(4); i > 0; --i) {
        auto& op = *operations->Add();
        if (depth < 3 && random.below(4) == 0) {
          *op.mutable_request_txn() = txn(depth + 1);
          continue;
        }
        op.mutable_request_range()->set_key(key());
        op.mutable_request_range()->set_keys_only(random.below(3) == 0);
        op.mutable_request_range()->set_count_only(random.below(3) == 0);
        op.mutable_request_range()->set_limit(static_cast<int64_t>(random.below(2)));
      }
    }
    return request;
  }

  TestLane lane;
  SeededRandom random;
  TestStore store;
};

TEST(LeasingAnswers, AreAServers) {
  for_each_seed(3000, [](uint64_t seed) {
    World world(seed);
    for (uint64_t i = world.random.below(6); i > 0; --i) {
      world.store.put(world.key(), cat(world.random.below(8)));
    }
    std::map<std::string, KnownKey> known;
    for (int i = 0; i < 4; ++i) {
      const std::string key = cat("k", i);
      if (world.random.below(6) == 0) continue;  // that one is not
      const auto kv = world.store.now(key);
      known[key] = kv ? Bytes::copy(kv->SerializeAsString()) : KnownKey();
    }
    const etcdserverpb::TxnRequest request = world.txn(0);
    const auto answer = answer_txn(request, world.store.revision(), [&](const std::string& key) {
      const auto found = known.find(key);
      return found == known.end() ? nullptr : &found->second;
    });
    if (!answer) return;
    etcdserverpb::TxnResponse right = world.store.commit(request);
    right.mutable_header()->clear_revision();
    EXPECT_EQ(answer->DebugString(), right.DebugString()) << request.DebugString();
  });
}

TEST(LeasingAnswers, LeaveToAServerWhatItRefuses) {
  const KnownKey nothing;
  const FindKey all = [&](const std::string& key) { return key.empty() ? nullptr : &nothing; };
  etcdserverpb::TxnRequest request;
  EXPECT_FALSE(answer_txn(request, 1, all));
  request.add_success()->mutable_request_range()->set_key("k");
  EXPECT_TRUE(answer_txn(request, 1, all));
  // In what is not done, too.
  auto refused = request;
  refused.add_failure()->mutable_request_range();
  EXPECT_FALSE(answer_txn(refused, 1, all));
  refused = request;
  refused.add_failure();
  EXPECT_FALSE(answer_txn(refused, 1, all));
  refused = request;
  refused.add_failure()->mutable_request_txn()->add_compare();
  EXPECT_FALSE(answer_txn(refused, 1, all));
  refused = request;
  refused.add_compare();
  EXPECT_FALSE(answer_txn(refused, 1, all));
  refused = request;
  for (int i = 0; i < 128; ++i) refused.add_success()->mutable_request_range()->set_key("k");
  EXPECT_FALSE(answer_txn(refused, 1, all));
  // Added up, with those inside.
  etcdserverpb::TxnRequest outer = request;
  for (int i = 0; i < 127; ++i) request.add_success()->mutable_request_range()->set_key("k");
  *outer.add_success()->mutable_request_txn() = request;
  EXPECT_TRUE(answer_txn(request, 1, all));
  EXPECT_FALSE(answer_txn(outer, 1, all));
  // And what is not plain.
  for (const auto& change : std::vector<std::function<void(etcdserverpb::RangeRequest*)>>{
           [](auto* range) { range->set_range_end("z"); },
           [](auto* range) { range->set_revision(1); },
           [](auto* range) { range->set_sort_order(etcdserverpb::RangeRequest::DESCEND); },
           [](auto* range) { range->set_sort_target(etcdserverpb::RangeRequest::VALUE); },
           [](auto* range) { range->set_min_mod_revision(1); },
           [](auto* range) { range->set_max_create_revision(1); }}) {
    etcdserverpb::RangeRequest range;
    range.set_key("k");
    EXPECT_TRUE(is_plain_read(range));
    change(&range);
    EXPECT_FALSE(is_plain_read(range));
  }
}

// A small request may name a large key often; those inside count, and so does what is only compared
// or not shown.
TEST(LeasingAnswers, LeaveToAServerWhatIsTooMuch) {
  mvccpb::KeyValue kv;
  kv.set_key("k");
  kv.set_value(std::string(1000, 'v'));
  const KnownKey known = Bytes::copy(kv.SerializeAsString());
  const FindKey all = [&](const std::string&) { return &known; };
  constexpr size_t kMost = 4000;  // three of them
  const auto answered = [&](const etcdserverpb::TxnRequest& request) {
    return answer_txn(request, 1, all, kMost).has_value();
  };
  etcdserverpb::TxnRequest reads, compares;
  etcdserverpb::TxnRequest* inner = &reads;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(answered(reads) || i == 0);
    inner = inner->add_success()->mutable_request_txn();
    inner->add_success()->mutable_request_range()->set_key("k");
    compares.add_compare()->set_key("k");
  }
  EXPECT_TRUE(answered(reads));
  EXPECT_TRUE(answered(compares));
  auto more = reads;
  more.add_success()->mutable_request_range()->set_key("k");
  EXPECT_FALSE(answered(more));
  more.mutable_success(1)->mutable_request_range()->set_keys_only(true);
  EXPECT_FALSE(answered(more));
  compares.add_success()->mutable_request_range()->set_key("k");
  EXPECT_FALSE(answered(compares));
  // Of keys that are not there, too.
  const KnownKey nothing;
  const FindKey none = [&](const std::string&) { return &nothing; };
  EXPECT_TRUE(answer_txn(more, 1, none, kMost));
  for (int i = 0; i < 40; ++i) more.add_success()->mutable_request_range()->set_key("k");
  EXPECT_FALSE(answer_txn(more, 1, none, kMost));
}

}  // namespace
}  // namespace keelson::proxy
