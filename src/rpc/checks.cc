#include "rpc/checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "apply/decode.h"
#include "base/errors.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using Ops = google::protobuf::RepeatedPtrField<pb::RequestOp>;

// The keys that a transaction's deletes cover. Ranges are kept disjoint and sorted. A range whose
// end is not above its begin covers nothing here, as in etcd; that includes "from this key on"
// (end "\0"), which etcd does not look at twice either.
class DeletedKeys {
 public:
  void add(const pb::DeleteRangeRequest& request) {
    const std::string& begin = request.key();
    const std::string& end = request.range_end();
    if (end.empty()) {
      points_.insert(begin);
    } else if (end > begin) {
      add_range(begin, end);
    }
  }

  void add(const DeletedKeys& other) {
    points_.insert(other.points_.begin(), other.points_.end());
    for (const auto& [begin, end] : other.ranges_) add_range(begin, end);
  }

  bool contains(const std::string& key) const {
    if (points_.contains(key)) return true;
    auto after = ranges_.upper_bound(key);
    return after != ranges_.begin() && key < std::prev(after)->second;
  }

 private:
  void add_range(std::string begin, std::string end) {
    auto it = ranges_.upper_bound(begin);
    if (it != ranges_.begin() && std::prev(it)->second >= begin) --it;
    while (it != ranges_.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = ranges_.erase(it);
    }
    ranges_.emplace(std::move(begin), std::move(end));
  }

  std::set<std::string> points_;
  std::map<std::string, std::string> ranges_;
};

struct ChangedKeys {
  std::set<std::string> puts;
  DeletedKeys deletes;
};

// Adds one key put to the level, unless it is changed already.
absl::Status add_put(ChangedKeys& level, const std::string& key, bool may_repeat) {
  if (level.puts.contains(key) && !may_repeat) return errors::DuplicateKey();
  if (level.deletes.contains(key)) return errors::DuplicateKey();
  level.puts.insert(key);
  return absl::OkStatus();
}

absl::Status collect(const Ops& ops, ChangedKeys& level);

// A nested transaction: its two branches exclude each other, so both may put the same key.
absl::Status collect_nested(const pb::TxnRequest& txn, ChangedKeys& level) {
  ChangedKeys then, otherwise;
  if (absl::Status s = collect(txn.success(), then); !s.ok()) return s;
  if (absl::Status s = collect(txn.failure(), otherwise); !s.ok()) return s;
  for (const std::string& key : then.puts) {
    if (absl::Status s = add_put(level, key, false); !s.ok()) return s;
  }
  for (const std::string& key : otherwise.puts) {
    if (absl::Status s = add_put(level, key, then.puts.contains(key)); !s.ok()) return s;
  }
  level.deletes.add(then.deletes);
  level.deletes.add(otherwise.deletes);
  return absl::OkStatus();
}

// The order matters and is etcd's: this level's deletes, then nested transactions, then its puts.
absl::Status collect(const Ops& ops, ChangedKeys& level) {
  for (const pb::RequestOp& op : ops) {
    if (op.has_request_delete_range()) level.deletes.add(op.request_delete_range());
  }
  for (const pb::RequestOp& op : ops) {
    if (!op.has_request_txn()) continue;
    if (absl::Status s = collect_nested(op.request_txn(), level); !s.ok()) return s;
  }
  for (const pb::RequestOp& op : ops) {
    if (!op.has_request_put()) continue;
    if (absl::Status s = add_put(level, op.request_put().key(), false); !s.ok()) return s;
  }
  return absl::OkStatus();
}

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
