// ctl/txn_grammar.h
//
// The language of `txn`: blocks of lines for conditions, requests if they hold, requests if not;
// an empty line ends a block.
//   mod("key") > "0"                 a condition
//   put key1 "a value" --lease 7b    a request, quoted as described at argify()
//
// Pure. Errors carry exit code kInvalidInput unless a request's own arguments are wrong (kBadArgs).

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/rpc.pb.h"

namespace keelson::ctl {

namespace pb = etcdserverpb;

// Splits a line into words. A word in double quotes is a Go string literal, one in single quotes
// is taken as it is, any other reaches to the next blank.
absl::StatusOr<std::vector<std::string>> argify(std::string_view line);

absl::StatusOr<pb::Compare> parse_compare(std::string_view line);

// `warning` as in delete_request().
absl::StatusOr<pb::RequestOp> parse_request(std::string_view line, std::string* warning);

}  // namespace keelson::ctl
