#include "apply/txn.h"

#include <string>
#include <utility>
#include <vector>

#include "apply/body.h"
#include "apply/decode.h"
#include "apply/hidden_ranges.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/key_set.h"
#include "mvcc/held_range.h"

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

// Of the key-values that a compare names, so many are looked at together: it may name all that
// there are, and what does not fit into memory would end every member, at each start again.
constexpr int64_t kComparedAtOnce = 128;

// Whether the compare holds for all of `found`, which are not none.
bool holds(const pb::Compare& compare, const mvcc::RangeResult& found, std::string* last_key) {
  CHECK(found.held == nullptr);  // it was not asked to hold
  mvcc::KeyValueView kv;
  for (const Bytes& encoded : found.kvs) {
    CHECK(mvcc::decode_key_value(encoded, &kv));  // encoded here, or read back and looked at
    if (!holds(compare, kv)) return false;
  }
  last_key->assign(kv.key);
  return true;
}

// What may take long asks this now and then.
class Patience {
 public:
  explicit Patience(const std::atomic<bool>* given_up) : given_up_(given_up) {}
  absl::Status left() const {
    if (given_up_ == nullptr || !given_up_->load(std::memory_order_relaxed)) {
      return absl::OkStatus();
    }
    return absl::CancelledError("given up");
  }

 private:
  const std::atomic<bool>* const given_up_;  // null: never
};

// A missing key compares as all zeros, but never by value: an empty value is not a missing one.
template <typename View>
absl::StatusOr<bool> holds(const View& view, const pb::Compare& compare, const Patience& patience) {
  // The index knows revisions and versions; values and leases are in the key-value itself.
  bool from_index =
      compare.target() != pb::Compare::VALUE && compare.target() != pb::Compare::LEASE;
  const mvcc::RangeOptions some{
      .limit = kComparedAtOnce, .keys_only = from_index, .total_count = false};
  std::string key = compare.key();
  for (bool first = true;; first = false) {
    if (absl::Status s = patience.left(); !s.ok()) return s;
    absl::StatusOr<mvcc::RangeResult> found = view.range(key, compare.range_end(), some);
    if (!found.ok()) return found.status();
    if (first && found->kvs.empty()) {
      return compare.target() != pb::Compare::VALUE && holds(compare, mvcc::KeyValueView{});
    }
    CHECK(found->kvs.size() <= static_cast<size_t>(kComparedAtOnce));
    if (!found->kvs.empty() && !holds(compare, *found, &key)) return false;
    if (found->kvs.size() < static_cast<size_t>(kComparedAtOnce)) return true;
    key.push_back('\0');
  }
}

// Which branch each level takes, in the order the levels are met.
class Path {
 public:
  explicit Path(Patience patience) : patience_(patience) {}

  template <typename View>
  absl::Status decide(const View& view, const pb::TxnRequest& txn, TxnOps& ops) {
    CHECK(at_ == 0);
    bool succeeded = true;
    for (const pb::Compare& compare : txn.compare()) {
      ++ops.ranges;
      absl::StatusOr<bool> ok = holds(view, compare, patience_);
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
  bool next() {
    CHECK(at_ < branches_.size());
    return branches_[at_++];
  }
  // REQUIRES: finished().
  void rewind() {
    CHECK(finished());
    at_ = 0;
  }
  bool finished() const { return at_ == branches_.size(); }

 private:
  const Patience patience_;
  std::vector<bool> branches_;
  size_t at_ = 0;  // <= branches_.size(); 0 while they are decided
};

// etcd looks at what was there before.
bool reads_before(const pb::PutRequest& put) {
  return put.ignore_value() || put.ignore_lease() || put.prev_kv();
}

bool keeps_something(const pb::PutRequest& put) { return put.ignore_value() || put.ignore_lease(); }

// Everything that may be refused is looked at before the first change; the index alone tells, so
// this reads nothing that could fail. Its errors are the client's, the same on every member.
template <typename View>
class Checker {
 public:
  // `leases` null for a transaction that only reads.
  Checker(const View& view, const lease::LeaseTable* leases, Path& path, TxnOps& ops)
      : view_(view), leases_(leases), path_(path), ops_(ops) {
    CHECK((leases_ != nullptr) == kWrites);
    CHECK(view_.compact_revision() <= view_.revision());
  }

  absl::Status check(const pb::TxnRequest& txn) {
    for (const pb::RequestOp& op : path_.next() ? txn.success() : txn.failure()) {
      absl::Status status;
      if (op.has_request_range()) {
        status = check_range(op.request_range());
      } else if (op.has_request_put()) {
        status = check_put(op.request_put());
      } else if (op.has_request_delete_range()) {
        const pb::DeleteRangeRequest& range = op.request_delete_range();
        deleted_.add({range.key(), range.range_end()});
      } else if (op.has_request_txn()) {
        status = check(op.request_txn());
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  static constexpr bool kWrites = std::is_same_v<View, mvcc::WriteTxn>;

  // Not what a range outside a transaction is asked: there a negative revision is the newest, here
  // it is compacted as soon as there was a compaction.
  absl::Status check_range(const pb::RangeRequest& range) const {
    if (range.revision() == 0) return absl::OkStatus();
    if (range.revision() > view_.revision()) return errors::FutureRev();
    if (range.revision() < view_.compact_revision()) return errors::Compacted();
    return absl::OkStatus();
  }

  absl::Status check_put(const pb::PutRequest& put) const {
    if constexpr (kWrites) {
      if (put.lease() != 0 && !leases_->exists(LeaseId(put.lease()))) {
        return errors::LeaseNotFound();
      }
      if (reads_before(put)) ++ops_.ranges;
      if (!keeps_something(put)) return absl::OkStatus();
      // What an operation before it deletes is not there to be kept. (etcd does not look, and ends
      // itself when it comes to the put: an open-ended delete passes its check for duplicates.)
      if (!view_.exists(put.key()) || deleted_.contains(put.key())) return errors::KeyNotFound();
    }
    return absl::OkStatus();
  }

  const View& view_;
  const lease::LeaseTable* leases_;
  Path& path_;
  TxnOps& ops_;
  KeySet deleted_;  // so far, on the path taken
};

void check_range_result(const mvcc::RangeResult& found, const mvcc::RangeOptions& options) {
  const auto returned = static_cast<int64_t>(found.held ? found.held->count() : found.kvs.size());
  CHECK(returned <= found.count);
  CHECK(options.limit <= 0 || returned <= options.limit);
  CHECK(!options.count_only || returned == 0);
  CHECK(found.held == nullptr || found.kvs.empty());
  CHECK(found.held == nullptr || options.may_hold);
}

// Runs the operations of one level. Reading transactions instantiate it with a view, where the
// writing branches are unreachable: rpc/ sends only transactions of ranges there.
template <typename View>
class Runner {
 public:
  Runner(View& view, Path& path, bool wanted, TxnOps& ops, Patience patience)
      : view_(view), path_(path), wanted_(wanted), ops_(ops), patience_(patience) {}

  // `hidden`: of ranges of this level that were hidden the answer is what it would be.
  absl::StatusOr<Parts> run(const pb::TxnRequest& txn, bool hidden = false) {
    bool succeeded = path_.next();
    std::vector<Parts> ops;
    for (const pb::RequestOp& op : succeeded ? txn.success() : txn.failure()) {
      if (absl::Status s = patience_.left(); !s.ok()) return s;
      const bool unfolds = hidden && looks_hidden(op);
      if (unfolds) CHECK(path_.next());  // no compare fails where there is none
      absl::StatusOr<Parts> answer = run_op(unfolds ? op.request_txn().success(0) : op);
      if (!answer.ok()) return answer.status();
      ops.push_back(*std::move(answer));
    }
    CHECK(ops.size() == static_cast<size_t>((succeeded ? txn.success() : txn.failure()).size()));
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
    mvcc::RangeOptions options = range_options(request);
    options.may_hold = true;
    absl::StatusOr<mvcc::RangeResult> found =
        view_.range(request.key(), request.range_end(), options);
    if (!found.ok()) return found.status();
    check_range_result(*found, options);
    CHECK(found->revision == view_.revision());
    return response_op(kRangeOp, found->revision, range_body(*found));
  }

  absl::StatusOr<Parts> put(const pb::PutRequest& request) {
    if constexpr (std::is_same_v<View, mvcc::WriteTxn>) {
      mvcc::PutRequest made = put_of(request);
      made.prev_kv &= wanted_;
      const size_t before = view_.changes();
      absl::StatusOr<mvcc::PutResult> put = view_.put(made);
      if (!put.ok()) return put.status();
      CHECK(view_.changes() == before + 1);
      CHECK(put->revision == view_.revision());
      CHECK(made.prev_kv || put->prev_kv.empty());
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
      const size_t before = view_.changes();
      const bool show = wanted_ && request.prev_kv();
      absl::StatusOr<mvcc::DeleteResult> deleted =
          view_.delete_range(request.key(), request.range_end(), show);
      if (!deleted.ok()) return deleted.status();
      CHECK(view_.changes() == before + static_cast<size_t>(deleted->deleted));
      CHECK(deleted->revision == view_.revision());
      CHECK(deleted->prev_kvs.size() == (show ? static_cast<size_t>(deleted->deleted) : 0));
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
  const Patience patience_;
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
  mvcc::RangeOptions options = range_options(request);
  options.may_hold = true;
  absl::StatusOr<mvcc::RangeResult> found = view.range(request.key(), request.range_end(), options);
  if (!found.ok()) return found.status();
  check_range_result(*found, options);
  CHECK(found->revision == view.revision());
  const size_t shown = found->held ? found->held->count() : found->kvs.size();
  return Reply{absl::OkStatus(), found->revision, range_body(*found), static_cast<int64_t>(shown)};
}

absl::StatusOr<Reply> run_read_only_txn(const mvcc::ReadView& view, const pb::TxnRequest& request,
                                        TxnOps& ops) {
  const Patience patience(nullptr);  // its view has bounds
  Path path(patience);
  absl::Status status = path.decide(view, request, ops);
  if (status.ok()) status = Checker(view, nullptr, path, ops).check(request);
  if (!status.ok()) return status;
  path.rewind();
  absl::StatusOr<Parts> body =
      Runner<const mvcc::ReadView>(view, path, true, ops, patience).run(request);
  if (!body.ok()) return body.status();
  CHECK(path.finished());
  return Reply{absl::OkStatus(), view.revision(), *std::move(body)};
}

// etcd looks first in a transaction that only reads, then writes in another: two to count.
absl::StatusOr<Reply> run_txn(mvcc::WriteTxn& txn, const lease::LeaseTable& leases,
                              const pb::TxnRequest& request, bool wanted, bool hidden,
                              OpCounts& counts, const std::atomic<bool>* given_up) {
  TxnOps before, ops;
  const Patience patience(given_up);
  Path path(patience);
  if (absl::Status s = path.decide(txn, request, before); !s.ok()) return s;
  CHECK(txn.changes() == 0);
  absl::Status refused = Checker(txn, &leases, path, before).check(request);
  counts.add(before);
  if (!refused.ok()) return Reply{std::move(refused)};
  path.rewind();
  absl::StatusOr<Parts> body =
      Runner<mvcc::WriteTxn>(txn, path, wanted, ops, patience).run(request, hidden);
  counts.add(ops);
  if (!body.ok()) return body.status();
  CHECK(path.finished());
  return Reply{absl::OkStatus(), txn.revision(), *std::move(body)};
}

}  // namespace keelson::apply
