#include "apply/hidden_ranges.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;

pb::RequestOp range(int64_t revision) {
  pb::RequestOp op;
  op.mutable_request_range()->set_key("k");
  op.mutable_request_range()->set_revision(revision);
  return op;
}

pb::RequestOp within(const pb::RequestOp& op) {
  pb::RequestOp txn;
  *txn.mutable_request_txn()->add_success() = op;
  return txn;
}

pb::RequestOp put() {
  pb::RequestOp op;
  op.mutable_request_put()->set_key("k");
  return op;
}

pb::TxnRequest txn(const std::vector<pb::RequestOp>& success,
                   const std::vector<pb::RequestOp>& failure) {
  pb::TxnRequest txn;
  for (const pb::RequestOp& op : success) *txn.add_success() = op;
  for (const pb::RequestOp& op : failure) *txn.add_failure() = op;
  return txn;
}

// Empty: nothing is hidden.
std::string hidden(pb::TxnRequest txn, Refusable ranges) {
  const std::string before = txn.SerializeAsString();
  const absl::StatusOr<bool> changed = hide_ranges(txn, ranges);
  EXPECT_TRUE(changed.ok()) << changed.status();
  if (!*changed) EXPECT_EQ(txn.SerializeAsString(), before);
  return *changed ? txn.SerializeAsString() : "";
}

// What Kubernetes asks for, and what etcd's robustness suite reads back from the log.
TEST(HiddenRanges, OfThePresentRevisionStaysWhereAnybodyMayReadIt) {
  EXPECT_EQ(hidden(txn({put()}, {range(0)}), Refusable::kForRevision), "");
  EXPECT_EQ(hidden(txn({put(), range(0)}, {within(range(7))}), Refusable::kForRevision), "");
}

TEST(HiddenRanges, ThatMayBeRefusedAreHiddenInBothBranches) {
  for (int64_t revision : {1, -1}) {
    EXPECT_EQ(hidden(txn({put(), range(revision)}, {}), Refusable::kForRevision),
              txn({put(), within(range(revision))}, {}).SerializeAsString());
    EXPECT_EQ(hidden(txn({put(), range(0)}, {range(revision)}), Refusable::kForRevision),
              txn({put(), range(0)}, {within(range(revision))}).SerializeAsString());
  }
  EXPECT_EQ(hidden(txn({put(), range(0)}, {range(5)}), Refusable::kForKeys),
            txn({put(), within(range(0))}, {within(range(5))}).SerializeAsString());
  EXPECT_EQ(hidden(txn({put()}, {put()}), Refusable::kForKeys), "");
}

// The answer could not tell it from a hidden one.
TEST(HiddenRanges, WhatLooksHiddenIsHiddenWithThem) {
  EXPECT_EQ(hidden(txn({within(range(0)), range(5), range(0)}, {}), Refusable::kForRevision),
            txn({within(within(range(0))), within(range(5)), range(0)}, {}).SerializeAsString());
}

}  // namespace
}  // namespace keelson::apply
