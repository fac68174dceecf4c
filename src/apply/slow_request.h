// apply/slow_request.h
//
// etcd's line about a request that took longer than --warning-apply-duration
// (source: etcd v3.7.1, server/etcdserver/txn/util.go).
//
// Threads: any.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "apply/reply.h"
#include "base/clock.h"

namespace keelson::apply {

struct SlowRequest {
  Duration took{0};
  Duration expected{0};
  std::string_view prefix = {};  // "read-only range ", "read-only txn ", or none
  std::string request = {};      // of apply/request_text.h
  std::string response = {};     // of below
  absl::Status status = absl::OkStatus();
};

void warn_slow(const SlowRequest& slow);

// What the line says of an answer: "size:4", "range_response_count:2 size:71",
// "responses:<range_response_count:2> size:80". The header counts with its revision alone, as it
// has no more where etcd measures.
std::string answer_text(const Reply& reply);
std::string range_answer_text(const Reply& reply);
// Above a megabyte the ranges in it are not counted: it is not in one piece.
std::string txn_answer_text(const Reply& reply);

}  // namespace keelson::apply
