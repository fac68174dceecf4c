// interchange/applicable.h
//
// Whether those who go on with a log can apply an entry of it. Asked of every entry past the state
// before anything is made of either: found out later it would be a member that ends at each start,
// its former program's files put aside.
//
// Of the second API etcd 3.5 applies everything, Keelson and etcd 3.6 what members say of
// themselves and the cluster's version, etcd 3.7 nothing. Of other requests a Keelson knows those
// of etcd 3.7.
//
// Threads: pure functions.
// Source: etcd v3.5.21, v3.6.5, v3.7.1, server/etcdserver (applyEntryNormal, apply_v2.go).

#pragma once

#include <string>

#include "raft/types.h"

namespace keelson::interchange {

enum class AppliedBy { kKeelson, kEtcd35, kEtcd36, kEtcd37 };

// Whether etcd 3.5 and 3.6 might carry out a request of the entry's that all others refuse: they
// leave ranges out of a transaction before they look at it, unless they were asked for it
// (apply/hidden_ranges.h). `rights_count`: users and roles are in force.
bool may_be_done_otherwise(const raft::Entry& entry, bool rights_count);
// From here on they are, unless it is refused.
bool turns_rights_on(const raft::Entry& entry);

// Why it cannot, of the entry's request: "is of the API of version 2 (PUT /1/key)". "": it can.
std::string cannot_be_applied(const raft::Entry& entry, AppliedBy by);

}  // namespace keelson::interchange
