#include "apply/permits.h"

#include "base/check.h"
#include "base/errors.h"

namespace keelson::apply {

namespace pb = etcdserverpb;
using auth::Access;

absl::Status Permits::put(std::string_view key, LeaseId lease, bool prev_kv) const {
  if (!rules_.enabled()) return absl::OkStatus();
  if (absl::Status s = rules_.may(who_, Access::kWrite, key, {}); !s.ok()) return s;
  if (lease != lease::kNoLease) {
    if (absl::Status s = write_lease(lease); !s.ok()) return s;
  }
  return prev_kv ? range(key, {}) : absl::OkStatus();
}

absl::Status Permits::delete_range(std::string_view key, std::string_view range_end,
                                   bool prev_kv) const {
  if (absl::Status s = rules_.may(who_, Access::kWrite, key, range_end); !s.ok()) return s;
  return prev_kv ? range(key, range_end) : absl::OkStatus();
}

absl::Status Permits::txn(const pb::TxnRequest& request) const {
  if (!rules_.enabled()) return absl::OkStatus();
  for (const pb::Compare& compare : request.compare()) {
    if (absl::Status s = range(compare.key(), compare.range_end()); !s.ok()) return s;
  }
  for (const auto* branch : {&request.success(), &request.failure()}) {
    for (const pb::RequestOp& op : *branch) {
      if (absl::Status s = operation(op); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

absl::Status Permits::operation(const pb::RequestOp& op) const {
  switch (op.request_case()) {
    case pb::RequestOp::kRequestRange:
      return range(op.request_range().key(), op.request_range().range_end());
    case pb::RequestOp::kRequestPut:
      return put(op.request_put().key(), LeaseId(op.request_put().lease()),
                 op.request_put().prev_kv());
    case pb::RequestOp::kRequestDeleteRange:
      return delete_range(op.request_delete_range().key(), op.request_delete_range().range_end(),
                          op.request_delete_range().prev_kv());
    case pb::RequestOp::kRequestTxn:
      return txn(op.request_txn());
    case pb::RequestOp::REQUEST_NOT_SET:
      break;
  }
  return absl::OkStatus();
}

absl::Status Permits::write_lease(LeaseId id) const {
  CHECK(leases_ != nullptr);
  if (rules_.may_administrate(who_).ok() || !leases_->has_keys(id)) return absl::OkStatus();
  const absl::StatusOr<const auth::UserRules*> rules = rules_.rules_for(who_);
  if (!rules.ok()) return rules.status();
  const bool all = leases_->all_have(id, (*rules)->number, [&](std::string_view key) {
    return (*rules)->may(Access::kWrite, key, {});
  });
  return all ? absl::OkStatus() : errors::PermissionDenied();
}

}  // namespace keelson::apply
