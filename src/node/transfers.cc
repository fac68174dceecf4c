#include "node/transfers.h"

#include <utility>

#include "base/check.h"
#include "base/errors.h"

namespace keelson::node {

absl::Status transfer_too_long() {
  return absl::UnknownError("etcdserver: request timed out, leader transfer took too long");
}

void Transfers::begin(raft::RawNode& core, const Standing& standing, MemberId to,
                      MonotonicTime deadline, Done done) {
  CHECK(done != nullptr);
  CHECK(!standing.leads || standing.leader != raft::kNobody);
  if (standing.leader == to) return done(absl::OkStatus());
  if (!standing.leads) return done(errors::NotLeader());
  core.transfer_leader(to);
  under_way_.push_back({to, deadline, std::move(done)});
}

// With the core's own standing: by what the member heard last, a leader that has just given its
// vote away would seem to lead and to have given the transfer up.
void Transfers::look(const raft::RawNode& core, const Standing& standing, MonotonicTime now) {
  if (under_way_.empty()) return;
  const MemberId transferee = core.basic_status().lead_transferee;
  CHECK(standing.leads || transferee == raft::kNobody);
  std::vector<Transfer> pending;
  for (Transfer& transfer : std::exchange(under_way_, {})) {
    const bool elsewhere =
        standing.leads ? transferee != transfer.to : standing.leader != raft::kNobody;
    if (standing.leader == transfer.to) {
      transfer.done(absl::OkStatus());
    } else if (elsewhere || transfer.deadline <= now) {
      transfer.done(transfer_too_long());
    } else {
      pending.push_back(std::move(transfer));
    }
  }
  CHECK(under_way_.empty());  // none is begun by being told
  under_way_ = std::move(pending);
}

void Transfers::fail_all(const absl::Status& status) {
  CHECK(!status.ok());
  for (Transfer& transfer : std::exchange(under_way_, {})) transfer.done(status);
  CHECK(under_way_.empty());
}

}  // namespace keelson::node
