// apply/decode.h
//
// Requests out of their bytes, one way for the door (rpc/) and for the log (apply/): what a member
// lets into the log is what every member can read back, as an unreadable entry ends it. It is also
// what Go's protobuf reads in the same way: a field of another type than the schema's counts as
// unknown, a number has 64 bits, and messages nest no deeper than kMostNested.
//
// Threads: pure functions.
// Errors: malformed() and too_deep() are the door's answers, grpc-go's texts; unreadable() ends the
//   member.
// Stack: decoding, checking, applying and destroying a transaction go as deep as it nests. The
//   threads that do it have stacks of kRequestStack (base/thread.h), of which the deepest takes a
//   part that apply_depth_test and rpc_checks_test measure and hold.

#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "base/protobuf.h"
#include "mvcc/store.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

// Messages within messages, the request being the first. Go reads 10,000, but in the log one more
// stands around the request. A transaction within another takes two: it stands in a RequestOp.
inline constexpr int kMostNested = 9'999;

absl::Status malformed();
absl::Status too_deep();
// The same of an entry of the log.
absl::Status unreadable();

// Views into `bytes`, and into the put of a transaction.
absl::Status decode(std::string_view bytes, mvcc::PutRequest* request);
mvcc::PutRequest put_of(const etcdserverpb::PutRequest& put);

absl::Status decode(std::string_view bytes, etcdserverpb::RangeRequest* request);
absl::Status decode(std::string_view bytes, etcdserverpb::DeleteRangeRequest* request);
absl::Status decode(std::string_view bytes, etcdserverpb::TxnRequest* request);

// Any message of few and plain fields.
template <typename Message>
absl::Status decode(std::string_view bytes, Message* message) {
  pb::Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) continue;
  if (!reader.ok()) return malformed();
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ? absl::OkStatus()
                                                                               : malformed();
}

template <typename Request>
absl::Status decode_logged(std::string_view bytes, Request* request) {
  return decode(bytes, request).ok() ? absl::OkStatus() : unreadable();
}

}  // namespace keelson::apply
