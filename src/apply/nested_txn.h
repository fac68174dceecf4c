// apply/nested_txn.h
//
// A transaction within a transaction within …, encoded, for tests.
//
// Threads: a pure function.

#pragma once

#include <string>

#include "base/protobuf.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

// `levels` transactions around the innermost one, which puts k = v. Each compares k with nothing.
inline std::string nested_txn(int levels) {
  etcdserverpb::TxnRequest innermost;
  auto* put = innermost.add_success()->mutable_request_put();
  put->set_key("k");
  put->set_value("v");
  // Written from the inside out, backwards: each level only adds its head.
  std::string reversed = innermost.SerializeAsString();
  reversed = {reversed.rbegin(), reversed.rend()};
  for (int level = 0; level < levels; ++level) {
    for (uint32_t field : {4u, 2u}) {  // RequestOp.request_txn, TxnRequest.success
      std::string head;
      pb::append_bytes_head(head, field, reversed.size());
      reversed.append(head.rbegin(), head.rend());
    }
  }
  return {reversed.rbegin(), reversed.rend()};
}

}  // namespace keelson::apply
