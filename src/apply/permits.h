// apply/permits.h
//
// Permits says what one request may do, by the rules and by who asks: for each kind of operation,
// with everything in it that reads or writes, nested transactions and both of their branches.
//
// Source: etcd v3.7.1, server/etcdserver/apply/auth.go.
// Threads: a value for one request, made where the rules and leases may be read: on the apply lane,
//   or without leases on any lane, for what does not put.
// Lifetime: refers to its arguments.
// Cost: a put under a lease asks for every key of the lease, once for each user and whenever the
//   user's rules have changed; then for those that have come since.

#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "auth/rules.h"
#include "base/ids.h"
#include "lease/lease_table.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

class Permits {
 public:
  // `leases` null: nothing is put, attached or revoked.
  Permits(const auth::Rules& rules, const auth::Identity& who, lease::LeaseTable* leases)
      : rules_(rules), who_(who), leases_(leases) {}

  absl::Status range(std::string_view key, std::string_view range_end) const {
    return rules_.may(who_, auth::Access::kRead, key, range_end);
  }
  // A key may be attached to a lease only by who may write all keys that die with it; and the value
  // before is read.
  absl::Status put(std::string_view key, LeaseId lease, bool prev_kv) const;
  absl::Status delete_range(std::string_view key, std::string_view range_end, bool prev_kv) const;
  absl::Status txn(const etcdserverpb::TxnRequest& request) const;
  // To revoke a lease: every key that hangs on it may be written.
  absl::Status write_lease(LeaseId id) const;

 private:
  absl::Status operation(const etcdserverpb::RequestOp& op) const;

  const auth::Rules& rules_;
  const auth::Identity& who_;
  lease::LeaseTable* const leases_;
};

}  // namespace keelson::apply
