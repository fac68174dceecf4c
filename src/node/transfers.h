// node/transfers.h
//
// Transfers hands the leadership over to a member that somebody chose, and tells when that member
// leads, or will not.
//
// Threads: the consensus lane; so are the answers.

#pragma once

#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/ids.h"
#include "node/proposals.h"
#include "raft/raw_node.h"

namespace keelson::node {

// "etcdserver: request timed out, leader transfer took too long"
absl::Status transfer_too_long();

class Transfers {
 public:
  // Once: ok when `to` leads.
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // Errors: NotLeader; transfer_too_long() when raft has given it up, somebody else leads, or the
  // time is up. One to another member ends those before.
  void begin(raft::RawNode& core, const Standing& standing, MemberId to, MonotonicTime deadline,
             Done done);
  // On every tick, and when the leader changes.
  void look(const raft::RawNode& core, const Standing& standing, MonotonicTime now);
  void fail_all(const absl::Status& status);

 private:
  struct Transfer {
    MemberId to;
    MonotonicTime deadline;
    Done done;
  };
  std::vector<Transfer> under_way_;
};

}  // namespace keelson::node
