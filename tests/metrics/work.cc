#include "tests/metrics/work.h"

#include <google/protobuf/text_format.h>

#include "base/text.h"
#include "proto/rpc.pb.h"

namespace keelson::metrics {
namespace {

namespace pb = etcdserverpb;
using harness::Milliseconds;

template <typename Request, typename Answer>
Answer ask(harness::Client& client, const std::string& method, const std::string& text) {
  Request request;
  Answer answer;
  google::protobuf::TextFormat::ParseFromString(text, &request);
  client.unary("/etcdserverpb." + method, request, &answer);
  return answer;
}

void do_put(harness::Client& client, const std::string& text) {
  ask<pb::PutRequest, pb::PutResponse>(client, "KV/Put", text);
}
void do_delete(harness::Client& client, const std::string& text) {
  ask<pb::DeleteRangeRequest, pb::DeleteRangeResponse>(client, "KV/DeleteRange", text);
}
void do_range(harness::Client& client, const std::string& text) {
  ask<pb::RangeRequest, pb::RangeResponse>(client, "KV/Range", text);
}
void do_txn(harness::Client& client, const std::string& text) {
  ask<pb::TxnRequest, pb::TxnResponse>(client, "KV/Txn", text);
}

void keep_alive(harness::Client& client, int64_t id) {
  auto stream = client.stream("/etcdserverpb.Lease/LeaseKeepAlive");
  pb::LeaseKeepAliveRequest request;
  request.set_id(id);
  stream->send(request.SerializeAsString());
  stream->receive(Milliseconds(5000));
  stream->half_close();
  stream->finish();
}

void leases(harness::Client& client) {
  ask<pb::LeaseGrantRequest, pb::LeaseGrantResponse>(client, "Lease/LeaseGrant", "ID: 7 TTL: 60");
  ask<pb::LeaseGrantRequest, pb::LeaseGrantResponse>(client, "Lease/LeaseGrant", "ID: 7 TTL: 60");
  ask<pb::LeaseGrantRequest, pb::LeaseGrantResponse>(client, "Lease/LeaseGrant", "ID: 8 TTL: 600");
  do_put(client, "key: 'l1' value: 'v' lease: 7");
  do_put(client, "key: 'l2' value: 'v' lease: 7");
  do_put(client, "key: 'l3' value: 'v' lease: 99");
  keep_alive(client, 7);
  ask<pb::LeaseRevokeRequest, pb::LeaseRevokeResponse>(client, "Lease/LeaseRevoke", "ID: 7");
}

}  // namespace

void put(harness::Client& client, const std::string& key, const std::string& value) {
  do_put(client, cat("key: '", key, "' value: '", value, "'"));
}

void delete_key(harness::Client& client, const std::string& key) {
  do_delete(client, cat("key: '", key, "'"));
}

void watch_and_cancel(harness::Client& client, const std::string& key) {
  auto stream = client.stream("/etcdserverpb.Watch/Watch");
  pb::WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_start_revision(1);
  stream->send(request.SerializeAsString());
  stream->receive(Milliseconds(5000));
  stream->receive(Milliseconds(5000));
  stream->cancel();
  stream->finish();
}

void mixed_work(harness::Client& client) {
  do_range(client, "key: 'a'");
  do_range(client, "key: 'a' range_end: 'z' serializable: true");
  do_range(client, "key: 'a' revision: 1000000");
  do_put(client, "key: 'm' value: 'four'");
  do_put(client, "key: 'm' value: 'five5' prev_kv: true");
  do_put(client, "key: 'm' ignore_value: true");
  do_put(client, "key: 'nothing' ignore_value: true");
  do_delete(client, "key: 'nothing'");
  do_delete(client, "key: 'm' prev_kv: true");
  do_txn(client, "success { request_range { key: 'a' } }");
  do_txn(client,
         "compare { key: 'a' target: VERSION result: EQUAL version: 0 }"
         "compare { key: 'b' target: VERSION result: EQUAL version: 0 }"
         "success { request_range { key: 'a' serializable: true } }");
  do_txn(client, "success { request_put { key: 'a' value: 'x' } }");
  do_txn(client,
         "compare { key: 'a' target: VERSION result: EQUAL version: 1 }"
         "success { request_put { key: 'a' value: 'x' prev_kv: true } }"
         "success { request_put { key: 'b' value: 'xyz' } }"
         "success { request_range { key: 'a' } }"
         "success { request_delete_range { key: 'd' prev_kv: true } }"
         "failure { request_put { key: 'f' value: 'x' } }");
  do_txn(client,
         "compare { key: 'q' target: MOD result: GREATER mod_revision: 5 }"
         "compare { key: 'never' target: MOD result: GREATER mod_revision: 5 }"
         "failure { request_txn { compare { key: 'a' target: CREATE result: GREATER"
         " create_revision: 0 } success { request_put { key: 'n' value: 'nested' } } } }");
  leases(client);
  ask<pb::CompactionRequest, pb::CompactionResponse>(client, "KV/Compact",
                                                     "revision: 5 physical: true");
  ask<pb::HashRequest, pb::HashResponse>(client, "Maintenance/Hash", "");
  ask<pb::HashKVRequest, pb::HashKVResponse>(client, "Maintenance/HashKV", "");
}

void physical_compaction(harness::Client& client, int times) {
  for (int i = 0; i < times; ++i) do_put(client, "key: 'same' value: 'v'");
  pb::RangeResponse found =
      ask<pb::RangeRequest, pb::RangeResponse>(client, "KV/Range", "key: 'x'");
  ask<pb::CompactionRequest, pb::CompactionResponse>(
      client, "KV/Compact", cat("revision: ", found.header().revision(), " physical: true"));
}

}  // namespace keelson::metrics
