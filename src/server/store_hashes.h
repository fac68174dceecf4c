// server/store_hashes.h
//
// StoreHashes computes hashes of the store for those who compare members: this one when it leads,
// and others that ask. On the background lane, slice by slice (node/hash_queue.h).
//
// Threads: any; `done` is called once, on the background lane.
// Errors: TooManyRequests when too many wait; those of mvcc::Store::hash_kv().
// Lifetime: the node outlives it. What is under way when the lane stops is not answered.

#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "mvcc/store.h"
#include "node/hash_queue.h"
#include "node/node.h"

namespace keelson::server {

class StoreHashes {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<mvcc::KvHash>)>;

  explicit StoreHashes(node::Node& node);

  // Of everything up to `revision`; 0: the newest.
  void hash(int64_t revision, Done done);

 private:
  mvcc::Store& store_;
  node::HashQueue queue_;
};

}  // namespace keelson::server
