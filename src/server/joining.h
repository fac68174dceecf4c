// server/joining.h
//
// What a new member asks of others before it has a log: whether it is one that there was before,
// and, when it joins a cluster that there is, who it is there.
//
// Threads: one caller, at start; blocks.
// Errors: for the operator, in etcd's words (v3.7.1, server/etcdserver/bootstrap.go).

#pragma once

#include "absl/status/statusor.h"
#include "membership/cluster.h"
#include "peer/ask.h"
#include "server/config.h"

namespace keelson::server {

// With --initial-cluster-state=existing: the cluster's id and members as one of them tells, this
// one with its name. What --initial-cluster says of them has to be the same.
absl::StatusOr<membership::Bootstrap> join_cluster(const Config& config, peer::Ask& ask);

// Whether there are no more learners than --max-learners; asked at every start.
absl::Status check_learners(const std::vector<membership::Member>& members, int64_t most);

// With --initial-cluster-state=new: nobody has heard of this member before.
absl::Status check_not_bootstrapped(const Config& config, peer::Ask& ask);

}  // namespace keelson::server
