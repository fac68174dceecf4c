#include "apply/hidden_ranges.h"

#include <algorithm>

namespace keelson::apply {

namespace pb = etcdserverpb;

bool looks_hidden(const pb::RequestOp& op) {
  const pb::RequestOp* at = &op;
  bool within = false;
  for (; at->has_request_txn(); within = true) {
    const pb::TxnRequest& txn = at->request_txn();
    if (!txn.compare().empty() || !txn.failure().empty() || txn.success_size() != 1) return false;
    at = &txn.success(0);
  }
  return within && at->has_request_range();
}

bool hide_ranges(pb::TxnRequest& txn) {
  const auto ranges = [](const auto& branch) {
    return std::any_of(branch.begin(), branch.end(),
                       [](const pb::RequestOp& op) { return op.has_request_range(); });
  };
  if (!ranges(txn.success()) && !ranges(txn.failure())) return false;
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (pb::RequestOp& op : *branch) {
      if (!op.has_request_range() && !looks_hidden(op)) continue;
      pb::RequestOp whole;
      whole.Swap(&op);
      op.mutable_request_txn()->add_success()->Swap(&whole);
    }
  }
  return true;
}

}  // namespace keelson::apply
