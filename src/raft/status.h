// raft/status.h
//
// What an observer may see of a RawNode: copies, taken on the lane that owns it.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "raft/tracker/config.h"
#include "raft/tracker/progress.h"
#include "raft/types.h"

namespace keelson::raft {

struct BasicStatus {
  MemberId id{};
  HardState hard_state{};
  SoftState soft_state{};
  Index applied{};
  Index last_index{};
  MemberId lead_transferee{};  // kNobody unless leader and transferring
  // At the leader: a membership change in its log, or one that it may not know of, is not applied;
  // a further one would be made an empty entry.
  bool change_pending = false;
};

struct Status : BasicStatus {
  tracker::Config config{};
  // Sorted by id; only at the leader.
  tracker::ProgressMap progress{};
};

// etcd-raft's JSON of a status (members in hexadecimal).
std::string to_json(const Status& status);

}  // namespace keelson::raft
