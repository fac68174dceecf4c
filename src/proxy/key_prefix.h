// proxy/key_prefix.h
//
// KeyPrefix is the namespace of --namespace: every key of a client stands behind it in the cluster,
// and the client sees none of it, nor of what stands elsewhere.
//
// Threads: a value. Errors: EmptyKey for a key that is not given, which would be the prefix itself.
// Source: etcd v3.7.1, client/v3/namespace. There a transaction's keys may be empty.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "proto/rpc.pb.h"

namespace keelson::proxy {

class KeyPrefix {
 public:
  explicit KeyPrefix(std::string prefix) : prefix_(std::move(prefix)) {}

  bool empty() const { return prefix_.empty(); }

  // Makes of a client's request the cluster's.
  absl::Status add_to(etcdserverpb::RangeRequest* request) const;
  absl::Status add_to(etcdserverpb::PutRequest* request) const;
  absl::Status add_to(etcdserverpb::DeleteRangeRequest* request) const;
  absl::Status add_to(etcdserverpb::TxnRequest* request) const;
  void add_to(etcdserverpb::WatchCreateRequest* request) const;

  // And back. Keys of others are left out where the cluster names any.
  void take_from(etcdserverpb::RangeResponse* response) const;
  void take_from(etcdserverpb::PutResponse* response) const;
  void take_from(etcdserverpb::DeleteRangeResponse* response) const;
  void take_from(etcdserverpb::TxnResponse* response) const;
  void take_from(etcdserverpb::LeaseTimeToLiveResponse* response) const;
  void take_from(mvccpb::Event* event) const;
  void take_from(mvccpb::KeyValue* kv) const;

 private:
  absl::Status add_to(etcdserverpb::RequestOp* op) const;
  absl::Status add_interval(std::string* key, std::string* end) const;
  std::string end_of(std::string_view end) const;

  const std::string prefix_;
};

}  // namespace keelson::proxy
