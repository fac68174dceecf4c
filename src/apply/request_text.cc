#include "apply/request_text.h"

#include <array>
#include <cstdio>
#include <utility>

#include "apply/body.h"
#include "apply/decode.h"
#include "apply/go_text.h"
#include "base/check.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace etcd = etcdserverpb;
using wire::InternalKind;

enum TxnField : uint32_t { kCompare = 1, kSuccess = 2, kFailure = 3 };
enum OpField : uint32_t { kRangeOp = 1, kPutOp = 2, kDeleteOp = 3, kTxnOp = 4 };

void add_txn(GoText& out, std::string_view request);

template <typename Message>
void add_message(GoText& out, std::string_view bytes) {
  Message message;
  if (decode(bytes, &message).ok()) out.message(message);
}

void add_put(GoText& out, std::string_view bytes) {
  mvcc::PutRequest put;
  if (!decode(bytes, &put).ok()) return;
  out.old_bytes("key", put.key);
  out.old_number("value_size", static_cast<int64_t>(put.value.size()));
  out.old_number("lease", put.lease.value);
  out.old_true("prev_kv", put.prev_kv);
  out.old_true("ignore_value", put.ignore_value);
  out.old_true("ignore_lease", put.ignore_lease);
}

template <typename Enum>
std::string word_for(Enum value, const std::string& name) {
  if (static_cast<int>(value) == 0) return "";
  return name.empty() ? cat(static_cast<int>(value)) : name;
}

void add_compare(GoText& out, std::string_view bytes) {
  etcd::Compare compare;
  if (!compare.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  if (compare.target_union_case() != etcd::Compare::kValue) return out.message(compare);
  out.old_word("result",
               word_for(compare.result(), etcd::Compare::CompareResult_Name(compare.result())));
  out.old_word("target",
               word_for(compare.target(), etcd::Compare::CompareTarget_Name(compare.target())));
  out.old_bytes("key", compare.key());
  out.old_number("value_size", static_cast<int64_t>(compare.value().size()));
  out.old_bytes("range_end", compare.range_end());
}

// The one that the operation is: of several the last.
void add_op(GoText& out, std::string_view bytes) {
  pb::Reader reader(bytes);
  pb::Field op;
  for (pb::Field field; reader.next(&field);) {
    if (field.type == pb::kBytes && field.number >= kRangeOp && field.number <= kTxnOp) op = field;
  }
  switch (op.number) {
    case kRangeOp:
      out.raw("request_range:{");
      add_message<etcd::RangeRequest>(out, op.bytes);
      return out.raw("}");
    case kPutOp:
      out.raw("request_put:<");
      add_put(out, op.bytes);
      return out.raw(">");
    case kDeleteOp:
      out.raw("request_delete_range:{");
      add_message<etcd::DeleteRangeRequest>(out, op.bytes);
      return out.raw("}");
    case kTxnOp:
      out.raw("request_txn:<");
      add_txn(out, op.bytes);
      return out.raw(">");
    default:
      return;
  }
}

// All of one field of a transaction, which every operation makes longer: so full() ends what nests
// too deep.
void add_all(GoText& out, std::string_view request, uint32_t number,
             void (*add)(GoText&, std::string_view)) {
  bool first = true;
  pb::Reader reader(request);
  for (pb::Field field; !out.full() && reader.next(&field);) {
    if (!field.is(number, pb::kBytes)) continue;
    if (!std::exchange(first, false)) out.raw(" ");
    add(out, field.bytes);
  }
}

void add_txn(GoText& out, std::string_view request) {
  out.raw("compare:<");
  add_all(out, request, kCompare, add_compare);
  out.raw("> success:<");
  add_all(out, request, kSuccess, add_op);
  out.raw("> failure:<");
  add_all(out, request, kFailure, add_op);
  out.raw(">");
}

void add_request(GoText& out, InternalKind kind, std::string_view request) {
  switch (kind) {
    case InternalKind::kRange:
      return add_message<etcd::RangeRequest>(out, request);
    case InternalKind::kPut:
      return add_put(out, request);
    case InternalKind::kDeleteRange:
      return add_message<etcd::DeleteRangeRequest>(out, request);
    case InternalKind::kTxn:
      return add_txn(out, request);
    default:
      return;
  }
}

std::string hex16(int64_t id) {
  std::array<char, 17> out;
  std::snprintf(out.data(), out.size(), "%016llx", static_cast<unsigned long long>(id));
  return out.data();
}

// What etcd writes by hand; false: nothing of the kind, the message is printed whole.
bool add_redacted(GoText& out, const etcd::InternalRaftRequest& request) {
  if (request.has_lease_grant()) {
    out.raw(cat("lease_grant:<ttl:", request.lease_grant().ttl(),
                "-second id:", hex16(request.lease_grant().id()), ">"));
  } else if (request.has_lease_revoke()) {
    out.raw(cat("lease_revoke:<id:", hex16(request.lease_revoke().id()), ">"));
  } else if (request.has_authenticate()) {
    out.raw(cat("authenticate:<name:", request.authenticate().name(), ">"));
  } else if (request.has_auth_user_add()) {
    out.raw(cat("auth_user_add:<name:", request.auth_user_add().name(), ">"));
  } else if (request.has_auth_user_change_password()) {
    out.raw(
        cat("auth_user_change_password:<name:", request.auth_user_change_password().name(), ">"));
  } else {
    return false;
  }
  return true;
}

// The start of a message that may be huge and not made yet: as much as holds the header and the
// number behind it.
std::string beginning(const Parts& message) {
  std::string out;
  for (const Bytes& part : message.parts()) {
    if (part.empty() || out.size() >= 96) break;
    out.append(part.view().substr(0, 96));
  }
  return out;
}

// A response's field of this number, if it stands right behind the header.
uint64_t number_behind_header(const Parts& response, uint32_t number) {
  const std::string start = beginning(response);
  pb::Reader reader(start);
  for (pb::Field field; reader.next(&field) && field.number <= number;) {
    if (field.is(number, pb::kVarint)) return field.value;
  }
  return 0;
}

void count_ops(RequestStats& stats, std::string_view request, uint32_t branch) {
  pb::Reader reader(request);
  for (pb::Field field; reader.next(&field);) {
    if (!field.is(branch, pb::kBytes)) continue;
    ++stats.request_count;
    stats.request_size += static_cast<int64_t>(field.bytes.size());
  }
}

}  // namespace

std::string request_text(InternalKind kind, std::string_view request, size_t limit) {
  GoText out(limit);
  add_request(out, kind, request);
  return out.take();
}

std::string entry_text(std::string_view payload) {
  absl::StatusOr<wire::InternalRequest> parts = wire::unwrap_internal(payload);
  if (!parts.ok()) return "";
  if (parts->kind == InternalKind::kV2) return std::string(wire::name_of(parts->kind));
  GoText out(kMostText);
  // Puts and transactions are not decoded whole: their values are not wanted.
  etcd::RequestHeader header;
  header.set_id(parts->id);
  header.set_username(std::string(parts->username));
  header.set_auth_revision(parts->auth_revision);
  if (parts->kind == InternalKind::kPut || parts->kind == InternalKind::kTxn) {
    out.raw("header:<");
    out.message(header);
    out.raw(cat("> ", wire::name_of(parts->kind), ":<"));
    add_request(out, parts->kind, parts->body);
    out.raw(">");
    return out.take();
  }
  etcd::InternalRaftRequest request;
  if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return "";
  GoText redacted(kMostText);
  if (!add_redacted(redacted, request)) {
    out.message(request);
    return out.take();
  }
  out.raw("header:<");
  out.message(header);
  out.raw("> ");
  out.raw(redacted.take());
  return out.take();
}

RequestStats request_stats(InternalKind kind, std::string_view request, size_t size,
                           const Parts* response) {
  CHECK(request.empty() || request.size() == size);
  RequestStats stats{.request_count = 0,
                     .request_size = static_cast<int64_t>(size),
                     .response_count = 0,
                     .response_size = response ? static_cast<int64_t>(response->size()) : 0};
  switch (kind) {
    case InternalKind::kRange:
      if (response) stats.response_count = range_count(*response);
      break;
    case InternalKind::kPut:
      stats.request_count = 1;
      break;
    case InternalKind::kDeleteRange:
      if (response) {
        stats.response_count = static_cast<int64_t>(number_behind_header(*response, 2));
      }
      break;
    case InternalKind::kTxn:
      if (request.size() < size) {
        stats.request_count = -1;
        return stats;
      }
      // Only what was done counts, and of what was refused nothing is said.
      stats.request_size = 0;
      if (!response) return stats;
      count_ops(stats, request, number_behind_header(*response, 2) != 0 ? kSuccess : kFailure);
      break;
    default:
      return {};
  }
  stats.content = request_text(kind, request);
  return stats;
}

}  // namespace keelson::apply
