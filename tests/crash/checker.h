// tests/crash/checker.h
//
// Checker knows everything that was asked and answered, and judges what a restarted server holds:
// every acknowledged write at its revision, each write in doubt whole or not at all, nothing else.
//
// How: the events since the last check, from a watch, are explained revision by revision. The keys
// say whose write it is; an acknowledged write of that client must claim that revision, or it is
// the client's one write in doubt. The model applies the write and must come to the same events.
// Then all history that is left, keys, leases and hashes are compared with the model.
//
// Threads: one caller at a time.
// Errors: DataLoss says what is wrong; any other code is a call that the server did not answer.

#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/crash/load.h"
#include "tests/crash/model.h"
#include "tests/harness/client.h"

namespace keelson::crash {

class Checker {
 public:
  // Takes what each client did since the last check, in its order, and what a watcher was told of
  // it, and checks the server.
  absl::Status check(harness::Client& client, const std::vector<std::vector<Write>>& writes,
                     const std::vector<mvccpb::Event>& watched = {});

  int64_t revision() const { return model_.revision(); }
  int acknowledged() const { return acknowledged_; }
  int in_doubt() const { return in_doubt_; }
  int survived() const { return survived_; }  // of the writes in doubt
  int watched() const { return watched_; }    // events that a watcher saw before a crash
  // The lease that the client owns, 0 for none.
  int64_t lease_of(int client) const;

 private:
  using Events = std::vector<mvccpb::Event>;
  using Writes = std::vector<std::vector<Write>>;

  absl::StatusOr<std::vector<Events>> history(harness::Client& client, int64_t from) const;
  absl::Status explain(int64_t revision, const Events& events, const Writes& writes);
  absl::Status check_watched(const std::vector<Events>& fresh,
                             const std::vector<mvccpb::Event>& watched);
  absl::Status nothing_lost(const Writes& writes) const;
  absl::Status check_history(harness::Client& client) const;
  absl::Status check_keys(harness::Client& client) const;
  absl::Status check_leases(harness::Client& client, const Writes& writes);
  absl::Status check_lease_keys(harness::Client& client, int64_t lease) const;
  absl::Status check_hashes(harness::Client& client, const Writes& writes);

  Model model_;
  std::set<int64_t> leases_;
  std::set<const Write*> explained_;  // of the writes under check
  int64_t compacted_ = -1;
  int acknowledged_ = 0;
  int in_doubt_ = 0;
  int survived_ = 0;
  int watched_ = 0;
};

}  // namespace keelson::crash
