#include "apply/txn.h"

#include <utility>
#include <vector>

#include "apply/body.h"
#include "base/check.h"
#include "base/errors.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;
using Ops = google::protobuf::RepeatedPtrField<pb::RequestOp>;

enum OpField : uint32_t { kRangeOp = 1, kPutOp = 2, kDeleteOp = 3, kTxnOp = 4 };

template <typename Number>
int order(const Number& a, const Number& b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

// How what is stored stands to what the compare names.
int order(const pb::Compare& compare, const mvcc::KeyValueView& kv) {
  switch (compare.target()) {
    case pb::Compare::VALUE:
      return order(kv.value, std::string_view(compare.value()));
    case pb::Compare::CREATE:
      return order(kv.create_revision, compare.create_revision());
    case pb::Compare::MOD:
      return order(kv.mod_revision, compare.mod_revision());
    case pb::Compare::VERSION:
      return order(kv.version, compare.version());
    case pb::Compare::LEASE:
      return order(kv.lease, compare.lease());
    default:
      return 0;
  }
}

bool holds(const pb::Compare& compare, const mvcc::KeyValueView& kv) {
  int result = order(compare, kv);
  switch (compare.result()) {
    case pb::Compare::EQUAL:
      return result == 0;
    case pb::Compare::NOT_EQUAL:
      return result != 0;
    case pb::Compare::GREATER:
      return result > 0;
    case pb::Compare::LESS:
      return result < 0;
    default:
      return true;
  }
}

// A missing key compares as all zeros, but never by value: an empty value is not a missing one.
template <typename View>
absl::StatusOr<bool> holds(const View& view, const pb::Compare& compare) {
  // The index knows revisions and versions; values and leases are in the key-value itself.
  bool from_index =
      compare.target() != pb::Compare::VALUE && compare.target() != pb::Compare::LEASE;
  absl::StatusOr<mvcc::RangeResult> found =
      view.range(compare.key(), compare.range_end(), {.keys_only = from_index});
  if (!found.ok()) return found.status();
  if (found->kvs.empty()) {
    return compare.target() != pb::Compare::VALUE && holds(compare, mvcc::KeyValueView{});
  }
  for (const Bytes& encoded : found->kvs) {
    mvcc::KeyValueView kv;
    CHECK(mvcc::decode_key_value(encoded, &kv));
    if (!holds(compare, kv)) return false;
  }
  return true;
}

// Which branch each level takes, in the order the levels are met.
class Path {
 public:
  template <typename View>
  absl::Status decide(const View& view, const pb::TxnRequest& txn, TxnOps& ops) {
    bool succeeded = true;
    for (const pb::Compare& compare : txn.compare()) {
      ++ops.ranges;
      absl::StatusOr<bool> ok = holds(view, compare);
      if (!ok.ok()) return ok.status();
      succeeded = *ok;
      if (!succeeded) break;
    }
    branches_.push_back(succeeded);
    for (const pb::RequestOp& op : succeeded ? txn.success() : txn.failure()) {
      if (!op.has_request_txn()) continue;
      if (absl::Status s = decide(view, op.request_txn(), ops); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // Walks the decisions again in the same order.
  bool next() { return branches_[at_++]; }
  void rewind() { at_ = 0; }

 private:
  std::vector<bool> branches_;
  size_t at_ = 0;
};

// etcd looks at what was there before.
bool reads_before(const pb::PutRequest& put) {
  return put.ignore_value() || put.ignore_lease() || put.prev_kv();
}

template <typename View>
absl::Status check_put(const View& view, const lease::LeaseTable& leases, const pb::PutRequest& put,
                       TxnOps& ops) {
  if (put.lease() != 0 && !leases.exists(LeaseId(put.lease()))) return errors::LeaseNotFound();
  if (reads_before(put)) ++ops.ranges;
  if (!put.ignore_value() && !put.ignore_lease()) return absl::OkStatus();
  absl::StatusOr<mvcc::RangeResult> found = view.range(put.key(), {}, {.keys_only = true});
  if (!found.ok()) return found.status();
  return found->kvs.empty() ? errors::KeyNotFound() : absl::OkStatus();
}

// Everything that could fail is looked at before the first change. The revision bounds for a read
// of an old revision are tried with a range of one key at that revision.
template <typename View>
absl::Status check_ops(const View& view, const lease::LeaseTable* leases, const pb::TxnRequest& txn,
                       Path& path, TxnOps& ops) {
  for (const pb::RequestOp& op : path.next() ? txn.success() : txn.failure()) {
    absl::Status status;
    if (op.has_request_range()) {
      const pb::RangeRequest& range = op.request_range();
      if (range.revision() != 0) {
        status = view.range(range.key(), {}, {.revision = range.revision(), .count_only = true})
                     .status();
      }
    } else if (op.has_request_put()) {
      CHECK(leases != nullptr);
      status = check_put(view, *leases, op.request_put(), ops);
    } else if (op.has_request_txn()) {
      status = check_ops(view, leases, op.request_txn(), path, ops);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Runs the operations of one level. Reading transactions instantiate it with a view, where the
// writing branches are unreachable: rpc/ sends only transactions of ranges there.
template <typename View>
class Runner {
 public:
  Runner(View& view, Path& path, bool wanted, TxnOps& ops)
      : view_(view), path_(path), wanted_(wanted), ops_(ops) {}

  absl::StatusOr<Parts> run(const pb::TxnRequest& txn) {
    bool succeeded = path_.next();
    std::vector<Parts> ops;
    for (const pb::RequestOp& op : succeeded ? txn.success() : txn.failure()) {
      absl::StatusOr<Parts> answer = run_op(op);
      if (!answer.ok()) return answer.status();
      ops.push_back(*std::move(answer));
    }
    return txn_body(succeeded, std::move(ops));
  }

 private:
  absl::StatusOr<Parts> run_op(const pb::RequestOp& op) {
    switch (op.request_case()) {
      case pb::RequestOp::kRequestRange:
        return range(op.request_range());
      case pb::RequestOp::kRequestPut:
        return put(op.request_put());
      case pb::RequestOp::kRequestDeleteRange:
        return delete_range(op.request_delete_range());
      case pb::RequestOp::kRequestTxn: {
        absl::StatusOr<Parts> body = run(op.request_txn());
        if (!body.ok()) return body.status();
        // etcd gives a nested transaction an empty header.
        return response_op(kTxnOp, 0, *std::move(body));
      }
      default:
        return Parts();
    }
  }

  absl::StatusOr<Parts> range(const pb::RangeRequest& request) {
    if (!wanted_) return response_op(kRangeOp, view_.revision(), {});
    ++ops_.ranges;
    absl::StatusOr<mvcc::RangeResult> found =
        view_.range(request.key(), request.range_end(), range_options(request));
    if (!found.ok()) return found.status();
    return response_op(kRangeOp, found->revision, range_body(*found));
  }

  absl::StatusOr<Parts> put(const pb::PutRequest& request) {
    if constexpr (std::is_same_v<View, mvcc::WriteTxn>) {
      absl::StatusOr<mvcc::PutResult> put = view_.put({.key = request.key(),
                                                       .value = request.value(),
                                                       .lease = LeaseId(request.lease()),
                                                       .ignore_value = request.ignore_value(),
                                                       .ignore_lease = request.ignore_lease(),
                                                       .prev_kv = request.prev_kv()});
      if (!put.ok()) return put.status();
      if (reads_before(request)) ++ops_.ranges;
      ++ops_.puts;
      ops_.put_bytes += request.key().size() + put->value_size;
      return response_op(kPutOp, put->revision, put_body(put->prev_kv));
    } else {
      return absl::InternalError("a put in a transaction that only reads");
    }
  }

  absl::StatusOr<Parts> delete_range(const pb::DeleteRangeRequest& request) {
    if constexpr (std::is_same_v<View, mvcc::WriteTxn>) {
      absl::StatusOr<mvcc::DeleteResult> deleted =
          view_.delete_range(request.key(), request.range_end(), request.prev_kv());
      if (!deleted.ok()) return deleted.status();
      if (request.prev_kv()) ++ops_.ranges;
      ++ops_.deletes;
      return response_op(kDeleteOp, deleted->revision, delete_body(*deleted));
    } else {
      return absl::InternalError("a delete in a transaction that only reads");
    }
  }

  View& view_;
  Path& path_;
  const bool wanted_;
  TxnOps& ops_;
};

}  // namespace

mvcc::RangeOptions range_options(const pb::RangeRequest& request) {
  return {
      .limit = request.limit(),
      .revision = request.revision(),
      .sort_order = static_cast<mvcc::SortOrder>(request.sort_order()),
      .sort_target = static_cast<mvcc::SortTarget>(request.sort_target()),
      .keys_only = request.keys_only(),
      .count_only = request.count_only(),
      .min_mod_revision = request.min_mod_revision(),
      .max_mod_revision = request.max_mod_revision(),
      .min_create_revision = request.min_create_revision(),
      .max_create_revision = request.max_create_revision(),
  };
}

absl::StatusOr<Reply> run_range(const mvcc::ReadView& view, const pb::RangeRequest& request) {
  absl::StatusOr<mvcc::RangeResult> found =
      view.range(request.key(), request.range_end(), range_options(request));
  if (!found.ok()) return found.status();
  return Reply{absl::OkStatus(), found->revision, range_body(*found)};
}

absl::StatusOr<Reply> run_read_only_txn(const mvcc::ReadView& view, const pb::TxnRequest& request,
                                        OpCounts& counts) {
  TxnOps ops;
  Path path;
  absl::Status status = path.decide(view, request, ops);
  if (status.ok()) status = check_ops(view, nullptr, request, path, ops);
  absl::StatusOr<Parts> body = absl::InternalError("not run");
  if (status.ok()) {
    path.rewind();
    body = Runner<const mvcc::ReadView>(view, path, true, ops).run(request);
  } else {
    body = std::move(status);
  }
  if (!absl::IsAborted(body.status())) counts.add(ops);
  if (!body.ok()) return body.status();
  return Reply{absl::OkStatus(), view.revision(), *std::move(body)};
}

// etcd looks first in a transaction that only reads, then writes in another: two to count.
Reply run_txn(mvcc::WriteTxn& txn, const lease::LeaseTable& leases, const pb::TxnRequest& request,
              bool wanted, OpCounts& counts) {
  TxnOps before, ops;
  Path path;
  absl::Status status = path.decide(txn, request, before);
  if (status.ok()) status = check_ops(txn, &leases, request, path, before);
  counts.add(before);
  if (!status.ok()) return {std::move(status)};
  path.rewind();
  absl::StatusOr<Parts> body = Runner<mvcc::WriteTxn>(txn, path, wanted, ops).run(request);
  counts.add(ops);
  if (!body.ok()) return {body.status()};
  return {absl::OkStatus(), txn.revision(), *std::move(body)};
}

}  // namespace keelson::apply
