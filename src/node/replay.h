// node/replay.h
//
// What a member finds when it starts: its log on disk, or none yet. Opens or makes the log and
// brings raft's storage to where the backend's state and the log together are.
//
// Threads: before the lanes start.
// Errors: DataLoss when log and backend do not belong together, saying what to do; the log's own.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "membership/cluster.h"
#include "raft/memory_storage.h"
#include "wal/wal.h"

namespace keelson::node {

// Raft's stable log in memory, with the membership as the backend has it: etcd, too, takes the
// configuration from the applied state and not from the log's marks.
class LogStorage final : public raft::MemoryStorage {
 public:
  void set_conf_state(raft::ConfState conf) { conf_ = std::move(conf); }
  absl::StatusOr<InitialState> initial_state() override;

 private:
  raft::ConfState conf_;
};

struct ReplayOptions {
  std::string wal_dir;
  wal::Options wal;
  std::string initial_cluster;  // for a new member
  std::string initial_cluster_token;
  std::string name;
  uint64_t catchup_entries = 5000;
};

struct Replay {
  std::unique_ptr<wal::Wal> wal;
  std::unique_ptr<LogStorage> storage;
  MemberId member;
  ClusterId cluster;
  Index applied;                              // what the backend holds
  std::vector<membership::Member> bootstrap;  // not empty: the group is new and has these members
};

absl::StatusOr<Replay> replay(const ReplayOptions& options, const backend::Backend& backend);

// The raft configuration that a set of members makes.
raft::ConfState conf_state_of(const std::vector<membership::Member>& members);

}  // namespace keelson::node
