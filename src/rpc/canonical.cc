#include "rpc/canonical.h"

#include "base/protobuf.h"

namespace keelson::rpc {
namespace {

namespace pb = keelson::pb;

// The fields of etcdserverpb.PutRequest.
enum : uint32_t {
  kKey = 1,
  kValue = 2,
  kLease = 3,
  kPrevKv = 4,
  kIgnoreValue = 5,
  kIgnoreLease = 6
};

size_t text_size(uint32_t field, std::string_view text) {
  return text.empty() ? 0 : pb::bytes_field_size(field, text.size());
}

void append_text(std::string& out, uint32_t field, std::string_view text) {
  if (!text.empty()) pb::append_bytes_field(out, field, text);
}

// Those of ranges have been checked; what a compare asks for is for the state machine.
bool has_negative_enumerators(const etcdserverpb::TxnRequest& request) {
  for (const etcdserverpb::Compare& compare : request.compare()) {
    if (compare.result() < 0 || compare.target() < 0) return true;
  }
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const etcdserverpb::RequestOp& op : *branch) {
      if (op.has_request_txn() && has_negative_enumerators(op.request_txn())) return true;
    }
  }
  return false;
}

}  // namespace

bool is_canonical(std::string_view bytes, const mvcc::PutRequest& request) {
  return bytes.size() ==
         text_size(kKey, request.key) + text_size(kValue, request.value) +
             pb::varint_field_size(kLease, static_cast<uint64_t>(request.lease.value)) +
             pb::varint_field_size(kPrevKv, request.prev_kv) +
             pb::varint_field_size(kIgnoreValue, request.ignore_value) +
             pb::varint_field_size(kIgnoreLease, request.ignore_lease);
}

bool is_canonical(std::string_view bytes, const etcdserverpb::DeleteRangeRequest& request) {
  return bytes.size() == request.ByteSizeLong();
}

bool is_canonical(std::string_view bytes, const etcdserverpb::TxnRequest& request) {
  return bytes.size() == request.ByteSizeLong() && !has_negative_enumerators(request);
}

std::string canonical(const mvcc::PutRequest& request) {
  std::string out;
  append_text(out, kKey, request.key);
  append_text(out, kValue, request.value);
  pb::append_varint_field(out, kLease, static_cast<uint64_t>(request.lease.value));
  pb::append_varint_field(out, kPrevKv, request.prev_kv);
  pb::append_varint_field(out, kIgnoreValue, request.ignore_value);
  pb::append_varint_field(out, kIgnoreLease, request.ignore_lease);
  return out;
}

std::string canonical(const etcdserverpb::TxnRequest& request) {
  return request.SerializeAsString();
}

std::string canonical(google::protobuf::Message& request) {
  request.DiscardUnknownFields();
  return request.SerializeAsString();
}

}  // namespace keelson::rpc
