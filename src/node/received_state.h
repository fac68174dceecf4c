// node/received_state.h
//
// ReceivedState is what a leader's snapshot brought, ready to take the place of all that this
// member has: durable in a place of its own beside the present store, open, and indexed. Nobody
// reads the present store's place any more once this is installed, nor the new one's before.
//
// Whoever makes it has noted in it that there is a log (Backend::note_log()), and has asked
// Node::check() whether the member can go on with it: once the log is marked there is no way back.
// Threads: made on any thread, since all of it takes long; then handed over.
// Crashes (docs/decisions/0013): until the log has a mark at `index` a start finds the old store;
//   afterwards it finds this one. See choose_state() in node/recovery.h.

#pragma once

#include <memory>

#include "absl/status/status.h"
#include "auth/auth_store.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/ids.h"
#include "mvcc/store.h"

namespace keelson::node {

struct ReceivedState {
  Index index;  // of the last entry in it; backend->consistent_index()
  Term term;
  std::shared_ptr<backend::Backend> backend;
  std::unique_ptr<mvcc::Store> store;  // on it; goes first
};

// Whether a member can read what of `state` it keeps in tables: alarms, leases, users and roles,
// members, the cluster's version. DataLoss, FailedPrecondition and whatever reading it says. (Keys
// were read by whoever made the store.) Any thread.
absl::Status check_tables(const backend::Reader& state, const auth::StoreOptions& auth,
                          const Clock* clock);

// Whether `state` can follow on `revision`, which a member showed its clients before entry
// state.index, and others on it: DataLoss when not, for then one of the two members holds something
// wrong.
absl::Status check_follows(const ReceivedState& state, int64_t revision);

}  // namespace keelson::node
