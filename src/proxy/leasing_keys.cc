#include "proxy/leasing_keys.h"

#include "base/text.h"
#include "ctl/keys.h"

namespace keelson::proxy {

namespace pb = etcdserverpb;

std::string LeasingKeys::of(std::string_view key) const { return cat(prefix_, key); }

KeySpan LeasingKeys::of(const KeySpan& keys) const {
  if (keys.is_one()) return {of(keys.begin), ""};
  const bool to_the_end = keys.end == ctl::zero_byte();
  return {of(keys.begin), to_the_end ? ctl::prefix_end(prefix_) : of(keys.end)};
}

KeySpan LeasingKeys::all() const { return {prefix_, ctl::prefix_end(prefix_)}; }

std::optional<std::string> LeasingKeys::key_of(std::string_view leasing_key) const {
  if (!leasing_key.starts_with(prefix_)) return std::nullopt;
  return std::string(leasing_key.substr(prefix_.size()));
}

pb::Compare created_up_to(const KeySpan& keys, int64_t last) {
  pb::Compare compare;
  compare.set_key(keys.begin);
  compare.set_range_end(keys.end);
  compare.set_target(pb::Compare::CREATE);
  compare.set_result(pb::Compare::LESS);
  compare.set_create_revision(last + 1);
  return compare;
}

pb::TxnRequest LeasingKeys::acquire(const std::string& key, int64_t lease) const {
  pb::TxnRequest txn;
  *txn.add_compare() = created_up_to({of(key), ""}, 0);
  pb::Compare& no_lease = *txn.add_compare();
  no_lease.set_key(key);
  no_lease.set_target(pb::Compare::LEASE);
  no_lease.set_result(pb::Compare::EQUAL);
  no_lease.set_lease(0);
  txn.add_success()->mutable_request_range()->set_key(key);
  pb::PutRequest& put = *txn.add_success()->mutable_request_put();
  put.set_key(of(key));
  put.set_lease(lease);
  txn.add_failure()->mutable_request_range()->set_key(key);
  txn.add_failure()->mutable_request_range()->set_key(of(key));
  return txn;
}

pb::TxnRequest LeasingKeys::revoke(const std::string& leasing_key, int64_t created) const {
  pb::TxnRequest txn;
  pb::Compare& same = *txn.add_compare();
  same = created_up_to({leasing_key, ""}, created);
  same.set_result(pb::Compare::EQUAL);
  same.set_create_revision(created);
  pb::PutRequest& put = *txn.add_success()->mutable_request_put();
  put.set_key(leasing_key);
  put.set_value(std::string(kRevoke));
  put.set_ignore_lease(true);
  return txn;
}

pb::TxnRequest LeasingKeys::release(const std::string& key, int64_t before) const {
  pb::TxnRequest txn;
  *txn.add_compare() = created_up_to({of(key), ""}, before - 1);
  txn.add_success()->mutable_request_delete_range()->set_key(of(key));
  return txn;
}

std::optional<Acquired> read_acquired(const pb::TxnResponse& response, int64_t lease) {
  if (response.responses_size() != 2 || !response.responses(0).has_response_range()) {
    return std::nullopt;
  }
  Acquired acquired{.revision = response.header().revision()};
  const pb::RangeResponse& read = response.responses(0).response_range();
  if (read.kvs_size() > 0) acquired.value = read.kvs(0);
  if (response.succeeded()) {
    acquired.created = response.header().revision();
    return acquired;
  }
  // Ours from before: what became of the answer then, we do not know.
  const pb::RangeResponse& held = response.responses(1).response_range();
  if (held.kvs_size() > 0 && held.kvs(0).lease() == lease &&
      held.kvs(0).value() != LeasingKeys::kRevoke) {
    acquired.created = held.kvs(0).create_revision();
  }
  return acquired;
}

}  // namespace keelson::proxy
