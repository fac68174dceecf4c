// apply/decode.h
//
// Requests out of their bytes: at the door (rpc/), where what Go's protobuf refuses in etcd 3.7 is
// refused, and in the log (apply/), where an unreadable entry ends the member. So every member must
// be able to read back what any of them lets into the log: there everything counts as readable that
// gogo's code reads in etcd 3.5 and 3.6 (wire/logged_message.h), whose doors let such bytes in. In
// both a field of another type than the schema's counts as unknown, a number has 64 bits, and
// messages nest no deeper than kMostNested.
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
// stands around the request. A transaction within another takes two: it stands in a RequestOp. In
// etcd 3.5 and 3.6 only --max-txn-ops bounds them: each level counts as an operation.
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

// The same out of an entry of the log, whichever member's it is: unreadable() if it is none.
absl::Status decode_logged(std::string_view bytes, mvcc::PutRequest* request);
absl::Status decode_logged(std::string_view bytes, etcdserverpb::DeleteRangeRequest* request);
absl::Status decode_logged(std::string_view bytes, etcdserverpb::TxnRequest* request);
// Of few and plain fields.
absl::Status decode_logged(std::string_view bytes, google::protobuf::Message* request);

}  // namespace keelson::apply
