// node/received_state.h
//
// ReceivedState is what a leader's snapshot brought, ready to take the place of all that this
// member has: durable in a place of its own beside the present store, open, and indexed. Nobody
// reads the present store's place any more once this is installed, nor the new one's before.
//
// Whoever makes it has noted in it that there is a log (Backend::note_log()).
// Threads: made on any thread, since all of it takes long; then handed over.
// Crashes (docs/decisions/0013): until the log has a mark at `index` a start finds the old store;
//   afterwards it finds this one. See choose_state() in node/recovery.h.

#pragma once

#include <memory>

#include "backend/backend.h"
#include "base/ids.h"
#include "mvcc/store.h"

namespace keelson::node {

struct ReceivedState {
  Index index;  // of the last entry in it; backend->consistent_index()
  Term term;
  std::shared_ptr<backend::Backend> backend;
  std::unique_ptr<mvcc::Store> store;  // on it; goes first
};

}  // namespace keelson::node
