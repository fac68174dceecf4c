#include "rpc/checks.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "apply/decode.h"
#include "base/errors.h"
#include "base/key_set.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using Ops = google::protobuf::RepeatedPtrField<pb::RequestOp>;

// Of one level and those within it.
struct ChangedKeys {
  std::set<std::string_view> puts;
  KeySet deletes;
};

absl::Status collect(const Ops& ops, ChangedKeys& level);

// The larger one takes in the smaller: however deep a key stands, it moves a few times only.
void merge(std::set<std::string_view>& into, std::set<std::string_view>&& other) {
  if (other.size() > into.size()) std::swap(into, other);
  into.merge(other);
}

bool intersect(const std::set<std::string_view>& a, const std::set<std::string_view>& b) {
  if (a.size() > b.size()) return intersect(b, a);
  return std::any_of(a.begin(), a.end(), [&](std::string_view key) { return b.contains(key); });
}

// A nested transaction: its two branches exclude each other, so both may put the same key.
absl::Status collect_nested(const pb::TxnRequest& txn, ChangedKeys& level) {
  ChangedKeys nested, otherwise;
  if (absl::Status s = collect(txn.success(), nested); !s.ok()) return s;
  if (absl::Status s = collect(txn.failure(), otherwise); !s.ok()) return s;
  merge(nested.puts, std::move(otherwise.puts));
  nested.deletes.merge(std::move(otherwise.deletes));
  if (intersect(level.puts, nested.puts) || level.deletes.contains_any(nested.puts)) {
    return errors::DuplicateKey();
  }
  merge(level.puts, std::move(nested.puts));
  level.deletes.merge(std::move(nested.deletes));
  return absl::OkStatus();
}

// The order matters and is etcd's: this level's deletes, then nested transactions, then its puts.
// A delete from a key on (its end "\0") is not looked at, as in etcd, which takes it for a range
// that ends before it begins.
absl::Status collect(const Ops& ops, ChangedKeys& level) {
  for (const pb::RequestOp& op : ops) {
    if (!op.has_request_delete_range()) continue;
    const KeyRange range{op.request_delete_range().key(), op.request_delete_range().range_end()};
    if (!range.open_ended()) level.deletes.add(range);
  }
  for (const pb::RequestOp& op : ops) {
    if (!op.has_request_txn()) continue;
    if (absl::Status s = collect_nested(op.request_txn(), level); !s.ok()) return s;
  }
  for (const pb::RequestOp& op : ops) {
    if (!op.has_request_put()) continue;
    const std::string& key = op.request_put().key();
    if (level.deletes.contains(key) || !level.puts.insert(key).second) {
      return errors::DuplicateKey();
    }
  }
  return absl::OkStatus();
}

// What a few bytes make large: comparing and operating on ranges of keys, writing values that are
// there. Of each a transaction with all that is nested in it has no more than one without may have.
struct Large {
  int64_t compares = 0;
  int64_t operations = 0;
  int64_t kept_values = 0;

  void add(const pb::TxnRequest& txn) {
    for (const pb::Compare& compare : txn.compare()) compares += !compare.range_end().empty();
    for (const Ops* branch : {&txn.success(), &txn.failure()}) {
      for (const pb::RequestOp& op : *branch) add(op);
    }
  }
  bool any_above(int64_t most) const {
    return compares > most || operations > 2 * most || kept_values > 2 * most;
  }

 private:
  void add(const pb::RequestOp& op) {
    if (op.has_request_txn()) return add(op.request_txn());
    kept_values += op.has_request_put() && op.request_put().ignore_value();
    operations += (op.has_request_range() && !op.request_range().range_end().empty()) ||
                  (op.has_request_delete_range() && !op.request_delete_range().range_end().empty());
  }
};

absl::Status check_shape(const pb::TxnRequest& request, int64_t max_ops);

absl::Status check_op(const pb::RequestOp& op, int64_t max_ops) {
  switch (op.request_case()) {
    case pb::RequestOp::kRequestRange:
      return check(op.request_range());
    case pb::RequestOp::kRequestPut:
      return check(apply::put_of(op.request_put()));
    case pb::RequestOp::kRequestDeleteRange:
      return check(op.request_delete_range());
    case pb::RequestOp::kRequestTxn:
      return check_shape(op.request_txn(), max_ops);
    case pb::RequestOp::REQUEST_NOT_SET:
      break;
  }
  return errors::KeyNotFound();
}

absl::Status check_shape(const pb::TxnRequest& request, int64_t max_ops) {
  int64_t ops = std::max({request.compare_size(), request.success_size(), request.failure_size()});
  if (ops > max_ops) return errors::TooManyOps();
  for (const pb::Compare& compare : request.compare()) {
    if (compare.key().empty()) return errors::EmptyKey();
  }
  for (const Ops* branch : {&request.success(), &request.failure()}) {
    for (const pb::RequestOp& op : *branch) {
      if (absl::Status s = check_op(op, max_ops - ops); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

template <typename Predicate>
bool all_ranges(const pb::TxnRequest& request, Predicate&& holds) {
  for (const Ops* branch : {&request.success(), &request.failure()}) {
    for (const pb::RequestOp& op : *branch) {
      if (!op.has_request_range() || !holds(op.request_range())) return false;
    }
  }
  return true;
}

}  // namespace

absl::Status check(const pb::RangeRequest& request) {
  if (request.key().empty()) return errors::EmptyKey();
  if (!pb::RangeRequest::SortOrder_IsValid(request.sort_order()) ||
      !pb::RangeRequest::SortTarget_IsValid(request.sort_target())) {
    return errors::InvalidSortOption();
  }
  return absl::OkStatus();
}

absl::Status check_range_stream(const pb::RangeRequest& request) {
  if (absl::Status s = check(request); !s.ok()) return s;
  bool by_key = request.sort_order() == pb::RangeRequest::NONE ||
                (request.sort_target() == pb::RangeRequest::KEY &&
                 request.sort_order() == pb::RangeRequest::ASCEND);
  if (!by_key) {
    return absl::UnimplementedError("RangeStream does not support custom sort orders");
  }
  if (request.min_mod_revision() != 0 || request.max_mod_revision() != 0 ||
      request.min_create_revision() != 0 || request.max_create_revision() != 0) {
    return absl::UnimplementedError("RangeStream does not support revision filters");
  }
  return absl::OkStatus();
}

absl::Status check(const mvcc::PutRequest& request) {
  if (request.key.empty()) return errors::EmptyKey();
  if (request.ignore_value && !request.value.empty()) return errors::ValueProvided();
  if (request.ignore_lease && request.lease.value != 0) return errors::LeaseProvided();
  return absl::OkStatus();
}

absl::Status check(const pb::DeleteRangeRequest& request) {
  return request.key().empty() ? errors::EmptyKey() : absl::OkStatus();
}

absl::Status check(const pb::TxnRequest& request, int64_t max_ops) {
  if (absl::Status s = check_shape(request, max_ops); !s.ok()) return s;
  Large large;
  large.add(request);
  if (large.any_above(max_ops)) return errors::TooManyOps();
  ChangedKeys then, otherwise;
  if (absl::Status s = collect(request.success(), then); !s.ok()) return s;
  return collect(request.failure(), otherwise);
}

bool is_read_only(const pb::TxnRequest& request) {
  return all_ranges(request, [](const pb::RangeRequest&) { return true; });
}

bool is_serializable(const pb::TxnRequest& request) {
  return all_ranges(request, [](const pb::RangeRequest& range) { return range.serializable(); });
}

}  // namespace keelson::rpc
