#include "apply/hidden_ranges.h"

#include <algorithm>

#include "apply/decode.h"
#include "base/check.h"

namespace keelson::apply {

namespace pb = etcdserverpb;

namespace {

// A transaction is one message; each that is in it is two more, and so is the range within the last
// one.
constexpr int kMostLevels = (kMostNested - 3) / 2;

// Of transactions around nothing but one range; 0: it is something else.
int hidden_levels(const pb::RequestOp& op) {
  const pb::RequestOp* at = &op;
  int levels = 0;
  for (; at->has_request_txn(); ++levels) {
    const pb::TxnRequest& txn = at->request_txn();
    if (!txn.compare().empty() || !txn.failure().empty() || txn.success_size() != 1) return 0;
    at = &txn.success(0);
  }
  return at->has_request_range() ? levels : 0;
}

}  // namespace

bool looks_hidden(const pb::RequestOp& op) { return hidden_levels(op) > 0; }

absl::StatusOr<bool> hide_ranges(pb::TxnRequest& txn, Refusable ranges) {
  const auto hides = [ranges](const pb::RequestOp& op) {
    if (!op.has_request_range()) return false;
    return ranges == Refusable::kForKeys || op.request_range().revision() != 0;
  };
  const auto any = [&](const auto& branch) {
    return std::any_of(branch.begin(), branch.end(), hides);
  };
  if (!any(txn.success()) && !any(txn.failure())) return false;
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (pb::RequestOp& op : *branch) {
      const int levels = hidden_levels(op);
      CHECK(levels <= kMostLevels);
      if (!hides(op) && levels == 0) continue;
      if (levels == kMostLevels) return too_deep();
      pb::RequestOp whole;
      whole.Swap(&op);
      op.mutable_request_txn()->add_success()->Swap(&whole);
    }
  }
  return true;
}

}  // namespace keelson::apply
