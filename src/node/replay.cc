#include "node/replay.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "wire/wal_record.h"

namespace keelson::node {
namespace {

absl::Status mismatch(std::string_view what) {
  return absl::DataLossError(
      cat("the log and the store do not belong together: ", what,
          "; put both back from the same backup, or remove the member and add it anew"));
}

absl::StatusOr<Replay> start_new(const ReplayOptions& options, const backend::Backend& backend) {
  if (backend.consistent_index() != Index(0)) {
    return mismatch("there is a store but no log in " + options.wal_dir);
  }
  absl::StatusOr<membership::Bootstrap> group =
      membership::bootstrap(options.initial_cluster, options.initial_cluster_token);
  if (!group.ok()) return group.status();
  auto self = std::find_if(group->members.begin(), group->members.end(),
                           [&](const membership::Member& m) { return m.name == options.name; });
  if (self == group->members.end()) {
    return absl::InvalidArgumentError(cat("couldn't find local name \"", options.name,
                                          "\" in the initial cluster configuration"));
  }
  Replay replay;
  replay.member = self->id;
  replay.cluster = group->cluster;
  absl::StatusOr<std::unique_ptr<wal::Wal>> log = wal::Wal::create(
      options.wal_dir, wire::encode(wire::WalMetadata{self->id, group->cluster}), options.wal);
  if (!log.ok()) return log.status();
  replay.wal = *std::move(log);
  replay.storage = std::make_unique<LogStorage>();
  replay.bootstrap = std::move(group->members);
  return replay;
}

// Takes the entries of the log as they are read. Those that the store has applied already pass
// through: of them a bounded tail stays. Those past it stay all; they are as many as the store's
// write buffers held.
class ReplayWindow {
 public:
  // Bytes of applied entries held at most, but for the last one.
  static constexpr uint64_t kMostApplied = 16 << 20;

  ReplayWindow(LogStorage& storage, Index applied) : storage_(storage), applied_(applied) {}

  absl::Status take(raft::Entry entry) {
    const Index index = entry.index;
    CHECK(index > taken_);
    taken_ = index;
    const uint64_t bytes = entry.data.size();
    storage_.append(raft::Entries{std::move(entry)});
    if (index > applied_) return absl::OkStatus();
    held_ += bytes;
    if (held_ <= kMostApplied) return absl::OkStatus();
    held_ = 0;
    return storage_.compact(index);
  }

 private:
  LogStorage& storage_;
  const Index applied_;
  Index taken_;  // the last one; each comes once, in order
  uint64_t held_ =
      0;  // of entries at or below applied_ in the storage; <= kMostApplied after take()
};

absl::Status fill(LogStorage& storage, wal::SnapshotMark mark, const raft::ConfState& conf) {
  storage.set_conf_state(conf);
  if (mark.index == Index(0)) return absl::OkStatus();
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = {conf, mark.index, mark.term};
  return storage.apply_snapshot(snapshot);
}

}  // namespace

absl::StatusOr<raft::Storage::InitialState> LogStorage::initial_state() {
  absl::StatusOr<InitialState> state = raft::MemoryStorage::initial_state();
  if (state.ok()) state->conf_state = conf_;
  return state;
}

raft::ConfState conf_state_of(const std::vector<membership::Member>& members) {
  raft::ConfState conf;
  for (const membership::Member& member : members) {
    (member.is_learner ? conf.learners : conf.voters).push_back(member.id);
  }
  std::sort(conf.voters.begin(), conf.voters.end());
  std::sort(conf.learners.begin(), conf.learners.end());
  return conf;
}

absl::StatusOr<Replay> replay(const ReplayOptions& options, const backend::Backend& backend) {
  absl::StatusOr<bool> there = wal::exists(options.wal_dir, options.wal.fs);
  if (!there.ok()) return there.status();
  if (!*there) return start_new(options, backend);
  Replay replay;
  replay.applied = backend.consistent_index();
  absl::StatusOr<wire::WalSnapshot> found =
      wal::newest_mark(options.wal_dir, replay.applied, options.wal.fs);
  if (!found.ok()) return found.status();
  const wal::SnapshotMark mark{found->index, found->term};

  membership::Cluster members(ClusterId(0));
  if (absl::Status s = members.restore(backend); !s.ok()) return s;
  replay.storage = std::make_unique<LogStorage>();
  LogStorage& storage = *replay.storage;
  absl::Status filled = fill(storage, mark, conf_state_of(members.view()->members));
  if (!filled.ok()) return filled;

  ReplayWindow window(storage, replay.applied);
  absl::StatusOr<wal::Opened> opened =
      wal::Wal::open(options.wal_dir, mark, options.wal,
                     [&](raft::Entry entry) { return window.take(std::move(entry)); });
  if (!opened.ok()) return opened.status();
  absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(opened->metadata);
  if (!metadata.ok()) return metadata.status();
  replay.member = metadata->node_id;
  replay.cluster = metadata->cluster_id;
  replay.wal = std::move(opened->wal);

  Index last = *storage.last_index();
  if (replay.applied > last) {
    return mismatch(cat("the store holds the effects of entry ", replay.applied.value,
                        ", the log ends at ", last.value));
  }
  // What the backend holds was committed, even if the last hard state did not reach the disk.
  raft::HardState state = opened->state;
  state.commit = std::max(state.commit, replay.applied);
  storage.set_hard_state(state);
  log::info("read the log", {{"entries", opened->entries},
                             {"last-index", last.value},
                             {"commit-index", state.commit.value},
                             {"applied-index", replay.applied.value}});
  // A new group whose first entries never reached the disk starts over; so does one of which only
  // entries did, and not the state behind them that says they are committed: nobody has seen them.
  if (state.empty()) {
    replay.storage = std::make_unique<LogStorage>();
    absl::StatusOr<membership::Bootstrap> group =
        membership::bootstrap(options.initial_cluster, options.initial_cluster_token);
    if (!group.ok()) return group.status();
    replay.bootstrap = std::move(group->members);
  }
  return replay;
}

}  // namespace keelson::node
