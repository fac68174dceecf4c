#include "proxy/key_prefix.h"

#include "base/errors.h"
#include "base/text.h"
#include "ctl/keys.h"

namespace keelson::proxy {

namespace pb = etcdserverpb;

// The end of the key space becomes that of the namespace.
std::string KeyPrefix::end_of(std::string_view end) const {
  if (end.empty()) return "";
  if (end != ctl::zero_byte()) return cat(prefix_, end);
  return ctl::prefix_end(prefix_);
}

absl::Status KeyPrefix::add_interval(std::string* key, std::string* end) const {
  if (key->empty()) return errors::EmptyKey();
  key->insert(0, prefix_);
  if (end) *end = end_of(*end);
  return absl::OkStatus();
}

absl::Status KeyPrefix::add_to(pb::RangeRequest* request) const {
  return add_interval(request->mutable_key(), request->mutable_range_end());
}
absl::Status KeyPrefix::add_to(pb::PutRequest* request) const {
  return add_interval(request->mutable_key(), nullptr);
}
absl::Status KeyPrefix::add_to(pb::DeleteRangeRequest* request) const {
  return add_interval(request->mutable_key(), request->mutable_range_end());
}

absl::Status KeyPrefix::add_to(pb::RequestOp* op) const {
  switch (op->request_case()) {
    case pb::RequestOp::kRequestRange:
      return add_to(op->mutable_request_range());
    case pb::RequestOp::kRequestPut:
      return add_to(op->mutable_request_put());
    case pb::RequestOp::kRequestDeleteRange:
      return add_to(op->mutable_request_delete_range());
    case pb::RequestOp::kRequestTxn:
      return add_to(op->mutable_request_txn());
    case pb::RequestOp::REQUEST_NOT_SET:
      break;
  }
  return absl::OkStatus();
}

absl::Status KeyPrefix::add_to(pb::TxnRequest* request) const {
  for (pb::Compare& compare : *request->mutable_compare()) {
    if (absl::Status s = add_interval(compare.mutable_key(), compare.mutable_range_end()); !s.ok())
      return s;
  }
  for (auto* ops : {request->mutable_success(), request->mutable_failure()}) {
    for (pb::RequestOp& op : *ops) {
      if (absl::Status s = add_to(&op); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

void KeyPrefix::add_to(pb::WatchCreateRequest* request) const {
  // A server takes no key for the first there is.
  if (request->key().empty()) request->set_key(std::string(1, '\0'));
  request->mutable_key()->insert(0, prefix_);
  request->set_range_end(end_of(request->range_end()));
}

void KeyPrefix::take_from(mvccpb::KeyValue* kv) const {
  if (std::string_view(kv->key()).starts_with(prefix_)) kv->mutable_key()->erase(0, prefix_.size());
}

void KeyPrefix::take_from(pb::RangeResponse* response) const {
  for (mvccpb::KeyValue& kv : *response->mutable_kvs()) take_from(&kv);
}
void KeyPrefix::take_from(pb::PutResponse* response) const {
  if (response->has_prev_kv()) take_from(response->mutable_prev_kv());
}
void KeyPrefix::take_from(pb::DeleteRangeResponse* response) const {
  for (mvccpb::KeyValue& kv : *response->mutable_prev_kvs()) take_from(&kv);
}

void KeyPrefix::take_from(pb::TxnResponse* response) const {
  for (pb::ResponseOp& op : *response->mutable_responses()) {
    switch (op.response_case()) {
      case pb::ResponseOp::kResponseRange:
        take_from(op.mutable_response_range());
        break;
      case pb::ResponseOp::kResponsePut:
        take_from(op.mutable_response_put());
        break;
      case pb::ResponseOp::kResponseDeleteRange:
        take_from(op.mutable_response_delete_range());
        break;
      case pb::ResponseOp::kResponseTxn:
        take_from(op.mutable_response_txn());
        break;
      case pb::ResponseOp::RESPONSE_NOT_SET:
        break;
    }
  }
}

void KeyPrefix::take_from(pb::LeaseTimeToLiveResponse* response) const {
  google::protobuf::RepeatedPtrField<std::string> all;
  all.Swap(response->mutable_keys());
  for (std::string& key : all) {
    if (!std::string_view(key).starts_with(prefix_)) continue;
    key.erase(0, prefix_.size());
    *response->add_keys() = std::move(key);
  }
}

void KeyPrefix::take_from(mvccpb::Event* event) const {
  take_from(event->mutable_kv());
  if (event->has_prev_kv()) take_from(event->mutable_prev_kv());
}

}  // namespace keelson::proxy
