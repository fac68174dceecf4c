// ctl/kv_requests.h
//
// From a parsed command line to a request: get, put, del. Used by the commands of that name and by
// the lines of a transaction. Pure but for put reading a missing value from `in`.
//
// Errors carry etcdctl's texts and exit codes.

#pragma once

#include <iosfwd>

#include "absl/status/statusor.h"
#include "ctl/flags.h"
#include "proto/rpc.pb.h"

namespace keelson::ctl {

namespace pb = etcdserverpb;

std::vector<Flag> get_flags();
std::vector<Flag> put_flags();
std::vector<Flag> del_flags();

// True for "s" (serializable), false for "l"; an error for anything else.
absl::StatusOr<bool> is_serializable(const std::string& consistency);

absl::StatusOr<pb::RangeRequest> range_request(const FlagSet& flags);

// `in` is where a missing value is read from; nullptr: nowhere.
absl::StatusOr<pb::PutRequest> put_request(const FlagSet& flags, std::istream* in);

// `warning` is set when etcd asks to pause first: an explicit range without --range.
absl::StatusOr<pb::DeleteRangeRequest> delete_request(const FlagSet& flags, std::string* warning);

}  // namespace keelson::ctl
