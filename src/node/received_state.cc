#include "node/received_state.h"

#include "apply/alarms.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "lease/lease_record.h"
#include "membership/cluster.h"

namespace keelson::node {

absl::Status check_tables(const backend::Reader& state, const auth::StoreOptions& auth,
                          const Clock* clock) {
  membership::Cluster members(ClusterId(0));
  if (absl::Status s = members.restore(state); !s.ok()) return s;
  apply::Alarms alarms;
  if (absl::Status s = alarms.restore(state); !s.ok()) return s;
  if (absl::Status s = lease::check_records(state); !s.ok()) return s;
  return auth::AuthStore(auth, clock).restore(state);
}

absl::Status check_follows(const ReceivedState& state, int64_t revision) {
  const int64_t theirs = state.store->revision();
  if (theirs > kMaxTakenRevision) {
    return absl::DataLossError(cat("the state at entry ", state.index.value, " is at revision ",
                                   theirs, ", which no store comes to"));
  }
  if (theirs >= revision) return absl::OkStatus();
  return absl::DataLossError(
      cat("the state at entry ", state.index.value, " is at revision ", theirs,
          ", but this member was at revision ", revision,
          " before: one of the two members holds something wrong; compare what they hash, and "
          "replace the one that differs"));
}

}  // namespace keelson::node
