// membership/v2_store.h
//
// The members as etcd's old store of keys has them, in JSON: what etcd puts into a raft snapshot
// beside the database, and what its members up to 3.5 read from there (later ones do not look).
//
// Threads: pure functions.
// Source: etcd v3.5.21 and v3.7.1, server/etcdserver/api/v2store and
//   server/etcdserver/api/membership.

#pragma once

#include <string>

#include "membership/cluster.h"

namespace keelson::membership {

std::string v2_store_json(const View& view);

}  // namespace keelson::membership
