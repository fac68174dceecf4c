// apply/slow_request.h
//
// etcd's lines about a request that took longer than --warning-apply-duration, and about an entry
// that was refused (source: etcd v3.7.1, server/etcdserver/txn/util.go).
//
// Bounds: a LineBudget, which all such lines share.
//
// Threads: any.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "apply/reply.h"
#include "base/clock.h"
#include "base/line_budget.h"

namespace keelson::apply {

struct SlowRequest {
  Duration took{0};
  Duration expected{0};
  std::string_view prefix = {};  // "read-only range ", "read-only txn ", or none
  std::string request = {};      // of apply/request_text.h
  std::string response = {};     // of below
  absl::Status status = absl::OkStatus();
};

// REQUIRES: may_warn(lines), which is to be asked before a request is described.
void warn_slow(const SlowRequest& slow, LineBudget* lines);

struct FailedRequest {
  Duration took{0};
  std::string_view request = {};  // of apply/request_text.h
  absl::Status status;            // !ok()
};
// The same.
void warn_failed(const FailedRequest& failed, LineBudget* lines);

// What the line says of an answer: "size:4", "range_response_count:2 size:71",
// "responses:<range_response_count:2> size:80". The header counts with its revision alone, as it
// has no more where etcd measures.
std::string answer_text(const Reply& reply);
std::string range_answer_text(const Reply& reply);
// Above a megabyte the ranges in it are not counted: it is not in one piece.
std::string txn_answer_text(const Reply& reply);

}  // namespace keelson::apply
