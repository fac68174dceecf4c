// apply/quota.h
//
// What a request may add to the store, as etcd's quota counts it (source: etcd v3.7.1,
// server/storage/quota.go). Reads and deletes cost nothing.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "proto/rpc.pb.h"

namespace keelson::apply {

inline constexpr int64_t kKeyOverhead = 256;
inline constexpr int64_t kLeaseCost = 64;

// >= kKeyOverhead.
inline int64_t put_cost(size_t key_bytes, size_t value_bytes) {
  return kKeyOverhead + static_cast<int64_t>(key_bytes + value_bytes);
}

// The dearer of the two branches; >= 0.
inline int64_t txn_cost(const etcdserverpb::TxnRequest& txn) {
  auto branch = [](const auto& ops) {
    int64_t cost = 0;
    for (const etcdserverpb::RequestOp& op : ops) {
      if (op.has_request_put()) {
        cost += put_cost(op.request_put().key().size(), op.request_put().value().size());
      } else if (op.has_request_txn()) {
        cost += txn_cost(op.request_txn());
      }
    }
    return cost;
  };
  return std::max(branch(txn.success()), branch(txn.failure()));
}

}  // namespace keelson::apply
