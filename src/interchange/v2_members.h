// interchange/v2_members.h
//
// What etcd up to 3.7 puts into a raft snapshot and its .snap file: the members and the cluster's
// version as the tree of its second API, in JSON. Members of etcd 3.5 know nothing else of them;
// later ones read the database, and write this for the older ones.
//
// Threads: pure functions.
// Source: etcd v3.7.1, server/etcdserver (GetMembershipInfoInV2Format), v2store.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "membership/cluster.h"
#include "raft/types.h"

namespace keelson::interchange {

// `cluster_version`: "3.5.0"; empty: not decided yet.
std::string v2_members(const std::vector<membership::Member>& members,
                       const std::vector<MemberId>& removed, std::string_view cluster_version);

// "<term>-<index>.snap", 16 digits of hexadecimal each.
std::string snap_file_name(Term term, Index index);
// The bytes of such a file: `metadata`, and `data` as above.
Bytes snap_file(const raft::SnapshotMetadata& metadata, std::string_view data);

}  // namespace keelson::interchange
