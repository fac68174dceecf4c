#include "node/recovery.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "node/force_new_cluster.h"
#include "wire/wal_record.h"

namespace keelson::node {
namespace {

absl::Status mismatch(std::string_view what) {
  return absl::DataLossError(
      cat("the log and the store do not belong together: ", what,
          "; put both back from the same backup, or remove the member and add it anew"));
}

// Who the members are that a new one begins with.
absl::StatusOr<membership::Bootstrap> group_of(const RecoveryOptions& options) {
  if (options.joins) return *options.joins;
  return membership::bootstrap(options.initial_cluster, options.initial_cluster_token);
}

const membership::Member* by_name(const membership::Bootstrap& group, std::string_view name) {
  for (const membership::Member& member : group.members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

absl::StatusOr<Recovered> start_new(const RecoveryOptions& options,
                                    const backend::Backend& backend) {
  if (backend.consistent_index() != Index(0)) {
    return mismatch("there is a store but no log in " + options.wal_dir);
  }
  absl::StatusOr<membership::Bootstrap> group = group_of(options);
  if (!group.ok()) return group.status();
  const membership::Member* self = by_name(*group, options.name);
  if (!self) {
    return absl::InvalidArgumentError(cat("couldn't find local name \"", options.name,
                                          "\" in the initial cluster configuration"));
  }
  Recovered out;
  out.member = self->id;
  out.cluster = group->cluster;
  absl::StatusOr<std::unique_ptr<wal::Wal>> log = wal::Wal::create(
      options.wal_dir, wire::encode(wire::WalMetadata{self->id, group->cluster}), options.wal);
  if (!log.ok()) return log.status();
  out.wal = *std::move(log);
  out.storage = std::make_unique<LogStorage>();
  if (!options.joins) out.bootstrap = std::move(group->members);
  return out;
}

// A member that was founded or joined and of which nothing but that reached the disk starts over.
// Whether it founded its cluster the ids tell: those of who joins are made of a time.
void start_over(const RecoveryOptions& options, Recovered* out) {
  out->storage = std::make_unique<LogStorage>();
  if (options.joins) return;
  absl::StatusOr<membership::Bootstrap> group = group_of(options);
  if (!group.ok() || group->cluster != out->cluster) return;
  const membership::Member* self = by_name(*group, options.name);
  if (self && self->id == out->member) out->bootstrap = std::move(group->members);
}

// etcd says so where its database is older than a snapshot that the log names, and looks in vain
// for the file that the snapshot came as.
constexpr std::string_view kNoDatabase =
    "failed to find database snapshot file (snap: snapshot file doesn't exist)";

// The newest mark that the store covers; the log is read from there.
absl::StatusOr<wal::SnapshotMark> starting_mark(const RecoveryOptions& options, Index applied) {
  absl::StatusOr<wire::WalSnapshot> found =
      wal::newest_mark(options.wal_dir, applied, options.wal.fs);
  if (absl::IsNotFound(found.status())) {
    return mismatch(cat(kNoDatabase, ": the store holds the effects of the log up to entry ",
                        applied.value, ", but the log begins later (", message_of(found.status()),
                        ")"));
  }
  if (!found.ok()) return found.status();
  return wal::SnapshotMark{found->index, found->term};
}

absl::StatusOr<std::unique_ptr<LogStorage>> storage_behind(wal::SnapshotMark mark,
                                                           const backend::Backend& backend) {
  membership::Cluster members(ClusterId(0));
  if (absl::Status s = members.restore(backend); !s.ok()) return s;
  auto storage = std::make_unique<LogStorage>();
  storage->set_conf_state(conf_state_of(members.view()->members));
  if (mark.index == Index(0)) return storage;
  if (absl::Status s = storage->start_behind(mark.index, mark.term); !s.ok()) return s;
  return storage;
}

// No leader puts an entry behind one of a later term. Only the log as it is in the end shows it:
// what was replaced may have been of any term.
absl::Status damaged_order(const raft::Entry& entry, Term newest) {
  return absl::DataLossError(
      cat("entry ", entry.index.value, " of the log is of term ", entry.term.value,
          ", but stands behind one of term ", newest.value,
          "; restore the member from a backup, or remove it from its cluster and add it anew"));
}

// Reads the log past `mark` into the storage, holding on to no more of what is applied than asked.
absl::StatusOr<wal::Opened> read_log(const RecoveryOptions& options, wal::SnapshotMark mark,
                                     Recovered* out) {
  LogStorage& storage = *out->storage;
  Term newest = mark.term;
  return wal::Wal::open(options.wal_dir, mark, options.wal, [&](raft::Entry entry) -> absl::Status {
    const Index index = entry.index;
    if (entry.term < newest) return damaged_order(entry, newest);
    newest = entry.term;
    const uint64_t bytes = size_of(entry);
    storage.append(raft::Entries{std::move(entry)});
    if (index > out->applied) return absl::OkStatus();
    (index <= out->durable ? out->unmarked_bytes : out->undurable_bytes) += bytes;
    storage.trim(std::min(index, out->durable), options.keep);
    return absl::OkStatus();
  });
}

// The state that raft starts with, when log and store fit together.
absl::StatusOr<raft::HardState> fitting_state(const Recovered& found, raft::HardState state) {
  const Index last = found.storage->last();
  if (found.applied > last) {
    return mismatch(cat("the store holds the effects of entry ", found.applied.value,
                        ", the log ends at ", last.value));
  }
  // What the store holds was committed, even if the last hard state did not reach the disk.
  CHECK(found.durable <= found.applied);
  state.commit = std::max(state.commit, found.applied);
  if (state.commit > last) {
    return mismatch(
        cat("entries up to ", state.commit.value, " were committed, the log ends at ", last.value));
  }
  return state;
}

}  // namespace

raft::ConfState conf_state_of(const std::vector<membership::Member>& members) {
  raft::ConfState conf;
  for (const membership::Member& member : members) {
    (member.is_learner ? conf.learners : conf.voters).push_back(member.id);
  }
  std::sort(conf.voters.begin(), conf.voters.end());
  std::sort(conf.learners.begin(), conf.learners.end());
  return conf;
}

absl::StatusOr<size_t> choose_store(const RecoveryOptions& options,
                                    const std::vector<Index>& consistent) {
  Index marked;
  absl::StatusOr<bool> there = wal::exists(options.wal_dir, options.wal.fs);
  if (!there.ok()) return there.status();
  if (*there) {
    absl::StatusOr<wire::WalSnapshot> mark =
        wal::newest_mark(options.wal_dir, Index(UINT64_MAX), options.wal.fs);
    if (!mark.ok()) return mark.status();
    marked = mark->index;
  }
  size_t chosen = consistent.size();
  for (size_t i = 0; i < consistent.size(); ++i) {
    if (consistent[i] < marked) continue;
    if (chosen == consistent.size() || consistent[i] < consistent[chosen]) chosen = i;
  }
  if (chosen == consistent.size()) {
    return absl::NotFoundError(
        cat(kNoDatabase, ": no store reaches the log's newest mark, ", marked.value));
  }
  return chosen;
}

absl::StatusOr<Recovered> recover(const RecoveryOptions& options, const backend::Backend& backend) {
  absl::StatusOr<bool> there = wal::exists(options.wal_dir, options.wal.fs);
  if (!there.ok()) return there.status();
  if (!*there) return start_new(options, backend);

  Recovered out;
  out.applied = backend.consistent_index();
  absl::StatusOr<wal::SnapshotMark> mark = starting_mark(options, out.applied);
  if (!mark.ok()) return mark.status();
  out.marked = mark->index;
  CHECK(out.marked <= out.applied);
  // A mark says that the store was durable up to it.
  out.durable = std::min(std::max(backend.durable_index(), out.marked), out.applied);
  CHECK(out.durable >= out.marked);
  absl::StatusOr<std::unique_ptr<LogStorage>> storage = storage_behind(*mark, backend);
  if (!storage.ok()) return storage.status();
  out.storage = *std::move(storage);

  absl::StatusOr<wal::Opened> opened = read_log(options, *mark, &out);
  if (!opened.ok()) return opened.status();
  absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(opened->metadata);
  if (!metadata.ok()) return metadata.status();
  out.member = metadata->node_id;
  out.cluster = metadata->cluster_id;
  out.wal = std::move(opened->wal);
  absl::StatusOr<raft::HardState> state = fitting_state(out, opened->state);
  if (!state.ok()) return state.status();
  if (options.force_new_cluster) {
    if (absl::Status s = force_new_cluster(backend, &out, &*state); !s.ok()) return s;
  }
  out.storage->set_hard_state(*state);
  CHECK(out.applied <= state->commit);
  CHECK(state->commit <= out.storage->last());
  CHECK(out.marked <= out.durable);
  CHECK(out.storage->first() <= out.durable + 1);
  log::info("read the log", {{"marked-index", out.marked.value},
                             {"applied-index", out.applied.value},
                             {"commit-index", state->commit.value},
                             {"last-index", out.storage->last().value},
                             {"entries", opened->entries},
                             {"bytes-kept", out.storage->bytes()}});
  // A new group whose first entries never reached the disk starts over; so does one of which only
  // entries did, and not the state behind them that says they are committed: nobody has seen them.
  if (state->empty()) start_over(options, &out);
  return out;
}

}  // namespace keelson::node
