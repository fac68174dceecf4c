// What is proposed of odd requests: the same request without what gogo would read otherwise.

#include "rpc/canonical.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "apply/nested_txn.h"
#include "base/random.h"
#include "base/stack_meter.h"
#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "base/thread.h"
#include "rpc/checks.h"
#include "wire/test_odd_fields.h"

namespace keelson::rpc {
namespace {

namespace etcd = etcdserverpb;

constexpr int64_t kMaxOps = 128;

std::string bytes_field(uint32_t number, std::string_view bytes) {
  std::string out;
  pb::append_bytes_field(out, number, bytes);
  return out;
}
std::string number_field(uint32_t number, uint64_t value) {
  return wire::varint_text(pb::tag(number, pb::kVarint)) + wire::varint_text(value);
}

// What goes into the log of it; "" where the door refuses it.
std::string proposed_put(std::string_view bytes) {
  mvcc::PutRequest request;
  if (!apply::decode(bytes, &request).ok() || !check(request).ok()) return "";
  return is_canonical(bytes, request) ? std::string(bytes) : canonical(request);
}
std::string proposed_deletion(std::string_view bytes) {
  etcd::DeleteRangeRequest request;
  if (!apply::decode(bytes, &request).ok() || !check(request).ok()) return "";
  return is_canonical(bytes, request) ? std::string(bytes) : canonical(request);
}
std::string proposed_txn(std::string_view bytes) {
  etcd::TxnRequest request;
  if (!apply::decode(bytes, &request).ok() || !check(request, kMaxOps).ok()) return "";
  return is_canonical(bytes, request) ? std::string(bytes) : canonical(request);
}

// What stands in a request beside it and must not be proposed: unknown fields in every form that
// comes in, and fields of another type than the schema's.
std::vector<std::string> additions() {
  std::vector<std::string> out;
  for (const wire::OddField& odd : wire::odd_fields()) {
    if (odd.known_to_all) out.push_back(odd.bytes);
  }
  out.push_back(number_field(1, 5));
  out.push_back(number_field(2, 0));
  out.push_back(bytes_field(3, "abc"));
  out.push_back(wire::varint_text(pb::tag(4, pb::kFixed64)) + "12345678");
  return out;
}

TEST(Canonical, WhatIsCanonicalStaysAsItIs) {
  const std::string put = bytes_field(1, "k") + bytes_field(2, "v") + number_field(3, UINT64_MAX) +
                          number_field(4, 1) + number_field(6, 1);
  EXPECT_EQ(proposed_put(bytes_field(1, "k")), bytes_field(1, "k"));
  mvcc::PutRequest request;
  ASSERT_TRUE(apply::decode(put, &request).ok());
  EXPECT_TRUE(is_canonical(put, request));
  EXPECT_EQ(canonical(request), put);
  // In whatever order.
  const std::string turned = bytes_field(2, "v") + bytes_field(1, "k");
  EXPECT_EQ(proposed_put(turned), turned);
  const std::string deletion = bytes_field(1, "k") + bytes_field(2, "l") + number_field(3, 1);
  EXPECT_EQ(proposed_deletion(deletion), deletion);
  const std::string txn = apply::nested_txn(100);
  EXPECT_EQ(proposed_txn(txn), txn);
}

TEST(Canonical, WhatStandsBesideItIsLeftOut) {
  const std::string put = bytes_field(1, "k") + bytes_field(2, "v");
  const std::string deletion = bytes_field(1, "k");
  const std::string op = bytes_field(2, put);
  const std::string compare = bytes_field(3, "k");
  const std::string txn = bytes_field(1, compare) + bytes_field(2, op);
  for (const std::string& more : additions()) {
    EXPECT_EQ(proposed_put(put + more), put);
    EXPECT_EQ(proposed_put(more + put), put);
    EXPECT_EQ(proposed_deletion(deletion + wire::varint_text(99 << 3) + "\1"), deletion);
    EXPECT_EQ(proposed_txn(bytes_field(1, compare) + bytes_field(2, bytes_field(2, put + more))),
              txn);
    const std::string outer = bytes_field(2, bytes_field(4, txn));
    EXPECT_EQ(proposed_txn(bytes_field(2, bytes_field(4, txn + wire::odd_groups(20)))), outer);
  }
}

TEST(Canonical, FormsThatAreNotTheShortestAreRewritten) {
  const std::string put = bytes_field(1, "k");
  EXPECT_EQ(proposed_put(bytes_field(1, "other") + put), put);
  EXPECT_EQ(proposed_put(put + bytes_field(2, "")), put);
  EXPECT_EQ(proposed_put(put + number_field(4, 0)), put);
  EXPECT_EQ(proposed_put(put + number_field(4, 700)), put + number_field(4, 1));
  EXPECT_EQ(proposed_put(std::string("\x8a\0\1k", 4)), put);
  EXPECT_EQ(proposed_put(std::string("\x0a\x81\0k", 4)), put);
}

// gogo would take the last, and it is the two merged that was checked.
TEST(Canonical, AOneofThatIsGivenTwiceIsMerged) {
  const std::string twice =
      bytes_field(2, bytes_field(2, bytes_field(1, "k")) + bytes_field(2, bytes_field(2, "v")));
  EXPECT_EQ(proposed_txn(twice),
            bytes_field(2, bytes_field(2, bytes_field(1, "k") + bytes_field(2, "v"))));
}

// The one form that is shorter than protobuf's makes room for what would not be seen by the size.
TEST(Canonical, AnEnumeratorBelowZeroHidesNothing) {
  const std::string put = bytes_field(2, bytes_field(2, bytes_field(1, "k")));
  const std::string short_form = number_field(1, 0xffffffff) + bytes_field(3, "k");
  const std::string long_form = number_field(1, UINT64_MAX) + bytes_field(3, "k");
  const std::string hidden = bytes_field(4, "abc");  // in the place of a version
  ASSERT_EQ(short_form.size() + hidden.size(), long_form.size());
  EXPECT_EQ(proposed_txn(bytes_field(1, short_form + hidden) + put),
            bytes_field(1, long_form) + put);
  EXPECT_EQ(proposed_txn(bytes_field(2, bytes_field(4, bytes_field(1, short_form + hidden) + put))),
            bytes_field(2, bytes_field(4, bytes_field(1, long_form) + put)));
}

TEST(Canonical, OtherRequestsLoseTheirUnknownFieldsAtEveryDepth) {
  etcd::AuthRoleGrantPermissionRequest request;
  const std::string clean = bytes_field(1, "r") + bytes_field(2, bytes_field(2, "k"));
  const std::string bytes = bytes_field(1, "r") +
                            bytes_field(2, bytes_field(2, "k") + number_field(3, 1)) +
                            wire::odd_groups(3);
  ASSERT_TRUE(apply::decode(bytes, &request).ok());
  EXPECT_EQ(canonical(request), clean);
}

TEST(Canonical, TheLimitCountsWhatIsLeftOut) {
  EXPECT_EQ(Encoded("abc").left_out(), 0u);
  EXPECT_EQ(Encoded("abc", 2).left_out(), 0u);
  EXPECT_EQ(Encoded("abc", 10).left_out(), 7u);
}

// Twice the least stack that the deepest needs, by what one level takes more than another.
TEST(Canonical, TheDeepestTxnLeavesHalfOfTheStack) {
  auto used = [](int levels) {
    return stack_used_by([levels] {
      const std::string bytes = apply::nested_txn(levels);
      etcd::TxnRequest txn;
      ASSERT_TRUE(apply::decode(bytes, &txn).ok());
      EXPECT_TRUE(is_canonical(bytes, txn));
      EXPECT_EQ(canonical(txn), bytes);
    });
  };
  const size_t few = used(100), per_level = (used(1100) - few) / 1000;
  const size_t deepest = few + per_level * apply::kMostNested / 2;
  std::printf("%zu bytes a level, %zu KB for the deepest\n", per_level, deepest / 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(deepest, kRequestStack / 2);
#endif
}

// What any bytes become is as protobuf writes it, and says the same.
TEST(Canonical, AnyBytesBecomeCanonical) {
  std::vector<std::string> inputs = {apply::nested_txn(2), apply::nested_txn(0)};
  etcd::TxnRequest txn;
  ASSERT_TRUE(txn.ParseFromString(inputs[0]));
  etcd::Compare* compare = txn.add_compare();
  compare->set_key("k");
  compare->set_result(static_cast<etcd::Compare::CompareResult>(-3));
  compare->set_lease(0);
  txn.add_success()->mutable_request_delete_range()->set_key("d");
  inputs.push_back(txn.SerializeAsString());
  const std::vector<std::string> more = additions();
  for_each_seed(200, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 200; ++i) {
      std::string bytes = inputs[random.below(inputs.size())];
      if (random.below(2) == 0) bytes += more[random.below(more.size())];
      bytes = mutated(std::move(bytes), random);
      const std::string proposed = proposed_txn(bytes);
      if (proposed.empty()) continue;
      etcd::TxnRequest before, after;
      ASSERT_TRUE(apply::decode(bytes, &before).ok());
      ASSERT_TRUE(after.ParseFromString(proposed));
      ASSERT_EQ(after.SerializeAsString(), before.SerializeAsString());
      after.DiscardUnknownFields();
      ASSERT_EQ(after.ByteSizeLong(), proposed.size());
    }
  });
}

}  // namespace
}  // namespace keelson::rpc
