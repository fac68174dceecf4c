// rpc/canonical.h
//
// What is proposed of a client's request: what was decoded and checked of it, written as protobuf
// writes it, and nothing else. The client's own bytes need not be that. etcd up to 3.6 reads the
// log otherwise than 3.7 and we do (wire/logged_message.h): of a field of another type than the
// schema's it refuses the whole entry, and of two members of a oneof it takes the last where we
// merge them, so members would come to differ. And a field that nobody knows has no effect, so it
// need not be in everybody's log.
//
// Threads: pure functions.

#pragma once

#include <google/protobuf/message.h>

#include <algorithm>
#include <concepts>
#include <string>
#include <string_view>

#include "mvcc/store.h"
#include "proto/rpc.pb.h"

namespace keelson::rpc {

// A request to be proposed. A view, of which a copy is made while it is proposed.
struct Encoded {
  template <typename Text>
  requires std::convertible_to<const Text&, std::string_view> Encoded(const Text& encoded,
                                                                      size_t came_as = 0,
                                                                      bool is_hidden = false)
      : bytes(encoded), sent(came_as), hidden(is_hidden) {}

  // What the limit for requests counts and is not proposed: etcd proposes unknown fields, too.
  size_t left_out() const { return std::max(sent, bytes.size()) - bytes.size(); }

  std::string_view bytes;
  size_t sent = 0;      // the size of what the client has sent; 0: it is a request of our own
  bool hidden = false;  // a transaction that went through apply::hide_ranges()
};

// Whether `bytes` hold what was decoded from them and no more, in whatever order. So it is if they
// are as many as it takes: nothing that was decoded can stand in fewer bytes than protobuf writes
// for it, but for an enumerator below 0, of which a sender may leave out the upper half.
bool is_canonical(std::string_view bytes, const mvcc::PutRequest& request);
bool is_canonical(std::string_view bytes, const etcdserverpb::DeleteRangeRequest& request);
// REQUIRES: check() has nothing against the request.
bool is_canonical(std::string_view bytes, const etcdserverpb::TxnRequest& request);

std::string canonical(const mvcc::PutRequest& request);
// REQUIRES: apply::decode() has made it, which keeps no unknown fields. It may nest too deep for a
// look for them.
std::string canonical(const etcdserverpb::TxnRequest& request);
// Takes the unknown fields out of `request`.
std::string canonical(google::protobuf::Message& request);

}  // namespace keelson::rpc
