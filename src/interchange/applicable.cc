#include "interchange/applicable.h"

#include <algorithm>

#include "base/text.h"
#include "membership/v2_request.h"
#include "proto/rpc.pb.h"
#include "wire/internal_request.h"

namespace keelson::interchange {
namespace {

// Whatever a log holds is shown to people: the part that tells what it is of.
std::string shown(std::string_view path) {
  constexpr size_t kMost = 100;
  std::string text(path.substr(0, kMost));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return path.size() > kMost ? text + "…" : text;
}

std::string of_version_2(std::string_view body, AppliedBy by) {
  const auto request = membership::read_v2_request(body);
  if (!request) return "cannot be read";
  const bool of_the_cluster = request->about != membership::V2Request::About::kElse;
  if (of_the_cluster && by != AppliedBy::kEtcd37) return "";
  return cat("is of the API of version 2 (", shown(request->method), " ", shown(request->path),
             ")");
}

}  // namespace

bool may_be_done_otherwise(const raft::Entry& entry, bool rights_count) {
  if (entry.data.empty() || entry.type != raft::EntryType::kNormal) return false;
  const absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
  if (!request.ok() || request->kind != wire::InternalKind::kTxn) return false;
  etcdserverpb::TxnRequest txn;
  if (!txn.ParseFromArray(request->body.data(), static_cast<int>(request->body.size()))) {
    return true;
  }
  const auto refusable = [rights_count](const etcdserverpb::RequestOp& op) {
    return op.has_request_range() && (rights_count || op.request_range().revision() != 0);
  };
  return std::any_of(txn.success().begin(), txn.success().end(), refusable) ||
         std::any_of(txn.failure().begin(), txn.failure().end(), refusable);
}

bool turns_rights_on(const raft::Entry& entry) {
  if (entry.data.empty() || entry.type != raft::EntryType::kNormal) return false;
  const absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
  return request.ok() && request->kind == wire::InternalKind::kAuthEnable;
}

std::string cannot_be_applied(const raft::Entry& entry, AppliedBy by) {
  if (by == AppliedBy::kEtcd35 || entry.data.empty()) return "";
  if (entry.type != raft::EntryType::kNormal) return "";
  const absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
  if (!request.ok()) return "cannot be read";
  if (request->kind == wire::InternalKind::kV2) return of_version_2(request->body, by);
  if (request->kind == wire::InternalKind::kNone) return "asks for nothing";
  if (wire::name_of(request->kind) != "unknown") return "";
  return cat("has the number ", static_cast<uint32_t>(request->kind), ", which is not known here");
}

}  // namespace keelson::interchange
