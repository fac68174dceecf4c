// archive/replay.h
//
// Replay makes a later state of an earlier one: it applies archived entries to a store, by the
// member's own state machine, up to the one that is asked for.
//
// Threads: one caller; the store is its alone meanwhile.
// Determinism: apply/applier.h. What a member's flags have a say in does not change the state (a
//   quota only changes answers), but for one: leases shorter than the election timeout allows are
//   lengthened. That is left to the member that goes on with the state, and reads them so; here
//   they stay as they were asked for.
// Memory: the key index of the state, and a batch of entries.
// Errors: DataLoss for entries that cannot be read or applied; those of the store. The state is
//   of no use then.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apply/applier.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/ids.h"
#include "lease/lease_table.h"
#include "membership/cluster.h"
#include "mvcc/store.h"
#include "wal/follower.h"

namespace keelson::archive {

class Replay {
 public:
  // Where to end: at the entry that makes this revision, or at this index; one of them.
  struct End {
    std::optional<int64_t> revision;
    std::optional<Index> index;
  };
  struct Progress {
    Index index;
    int64_t revision = 0;
  };

  // `store` holds the state, and outlives this.
  static absl::StatusOr<std::unique_ptr<Replay>> create(backend::Backend* store, ClusterId cluster);
  ~Replay();

  Index index() const { return index_; }
  int64_t revision() const { return keys_->revision(); }
  const mvcc::Store& keys() const { return *keys_; }

  // Applies what `log` gives, which is what comes behind index(). True: the end was reached, and is
  // committed. False: the log ends before. REQUIRES: the end is not before the state.
  absl::StatusOr<bool> run(wal::Follower& log, const End& end,
                           const std::function<void(const Progress&)>& progress = {});

 private:
  Replay() = default;

  bool is_at(const End& end) const;
  absl::StatusOr<bool> run_batch(wal::Follower& log, const End& end);
  absl::Status apply(const raft::Entry& entry);
  absl::Status publish();

  const SystemClock clock_;
  std::unique_ptr<mvcc::Store> keys_;
  std::unique_ptr<membership::Cluster> members_;
  std::unique_ptr<lease::LeaseTable> leases_;
  std::unique_ptr<apply::Applier> applier_;
  Index index_;  // applied and published, between two batches
  Term term_;
};

}  // namespace keelson::archive
