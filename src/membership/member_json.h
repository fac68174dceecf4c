// membership/member_json.h
//
// A member's record, and those of a downgrade and of the raft configuration, in etcd's JSON (fields
// in etcd's order).

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "membership/cluster.h"

namespace keelson::membership {

std::string member_json(const Member& member);
// DataLoss when it is not one.
absl::StatusOr<Member> parse_member(std::string_view text);

std::string downgrade_json(const Downgrade& downgrade);
absl::StatusOr<Downgrade> parse_downgrade(std::string_view text);
std::string conf_state_json(const std::vector<MemberId>& voters,
                            const std::vector<MemberId>& learners);

}  // namespace keelson::membership
