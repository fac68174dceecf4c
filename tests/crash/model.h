// tests/crash/model.h
//
// A slow, obvious model of etcd's revision store: a list of every version that was ever written, in
// order, never compacted away; and etcd's hash over it. It shares no code with src/mvcc.
// Source of the hash: etcd v3.7.1, server/storage/mvcc/hash.go (facts: what is hashed, in what
// order).
//
// Threads: a plain value.

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proto/rpc.pb.h"

namespace keelson::crash {

// One change of one key.
struct Version {
  int64_t main = 0;
  int64_t sub = 0;
  bool tombstone = false;
  mvccpb::KeyValue kv;  // of a tombstone: the key alone
};

class Model {
 public:
  // Applies a write as the next revision; false, and nothing changes, when it changes nothing.
  bool apply(const etcdserverpb::TxnRequest& request);
  // Deletes the lease's keys, in order, as one revision.
  bool revoke(int64_t lease);

  int64_t revision() const { return revision_; }
  std::vector<Version> changes_at(int64_t revision) const;
  // The keys there are now, in order.
  const std::map<std::string, mvccpb::KeyValue>& keys() const { return keys_; }
  std::vector<std::string> keys_of(int64_t lease) const;
  // etcd's HashKV at `revision`, of a store compacted at `compacted` (-1: never).
  uint32_t hash(int64_t revision, int64_t compacted) const;

 private:
  void run(const google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& ops);
  bool holds(const etcdserverpb::Compare& compare) const;
  void put(const etcdserverpb::PutRequest& request);
  void remove(const std::string& key);
  bool commit();
  std::set<std::pair<int64_t, int64_t>> kept(int64_t revision) const;

  int64_t revision_ = 1;
  int64_t sub_ = 0;  // changes so far in the revision under way
  std::map<std::string, mvccpb::KeyValue> keys_;
  std::vector<Version> versions_;
};

}  // namespace keelson::crash
