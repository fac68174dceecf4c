// node/recovery.h
//
// What a member finds when it starts: its log on disk, or none yet. Opens or makes the log and
// brings raft's storage to where the store and the log together are.
//
// What is durable, what a mark promises, what may be released and in which order the disk sees it,
// for store and log together (the log's own part of it is in wal/wal.h):
//   1. An entry is applied only once it is durable in this member's log. So the log, from its
//      newest mark on, holds every entry whose effects the store has:
//          mark <= durable <= applied <= committed <= last durable entry of the log,
//      durable being what the store keeps in a crash, applied what it answers from.
//   2. A mark at i is written after the store is durable up to i, behind a commit index that covers
//      i; both are synced before anything is released. Whatever a crash cuts off, the newest mark
//      that is left is covered by the store and by the log's commit index.
//   3. Released are segments that hold nothing past the newest durable mark, and nothing else. So
//      what the store lost in a crash, (durable, last], is always in the log.
//   4. At the start the store is at its durable index (its twin in memory, of which only the
//      process died, may be past it), and it may be ahead of the commit index that the log knows
//      (that is written lazily): what the store holds was committed, and the commit index is raised
//      to it.
//   5. The end of a member needs no flush: the log has everything.
//
// Bounds: entries up to the store's index are read past, all but the last of them
//   (LogStorage::Keep) at most one by one. Entries beyond are kept: what a store may lose is
//   bounded while the member runs (LogDebt, docs/decisions/0007). Reading begins in the segment of
//   the newest mark.
// Threads: before the lanes start.
// Errors: DataLoss when log and store do not belong together, saying what to do; the log's own.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "membership/cluster.h"
#include "node/log_storage.h"
#include "wal/wal.h"

namespace keelson::node {

struct RecoveryOptions {
  std::string wal_dir;
  wal::Options wal;
  std::string initial_cluster;  // for a member that founds a cluster
  std::string initial_cluster_token;
  std::string name;
  // For a new member of a cluster that there is already: who its members are, as they say; this one
  // among them, by its name. What the log brings counts from then on.
  std::optional<membership::Bootstrap> joins;
  bool force_new_cluster = false;  // node/force_new_cluster.h; a log must be there
  LogStorage::Keep keep;           // of what the store holds already, for followers that are behind
};

struct Recovered {
  std::unique_ptr<wal::Wal> wal;
  std::unique_ptr<LogStorage> storage;
  MemberId member;
  ClusterId cluster;
  // marked <= durable <= applied <= storage->last(), and storage->first() <= durable + 1.
  Index marked;                               // the newest mark in the log
  Index durable;                              // what the store cannot lose any more
  Index applied;                              // what the store holds
  uint64_t unmarked_bytes = 0;                // of entries in (marked, durable]
  uint64_t undurable_bytes = 0;               // of entries in (durable, applied]
  std::vector<membership::Member> bootstrap;  // not empty: the group is new and has these members
};

// Which of several stores the member goes on with, given how far each got: the one it had, and what
// snapshots brought beside it, some of which came to nothing. The lowest that the newest mark
// allows: a store below the mark was replaced; one that came and was not marked is above the one
// that the log goes with, or is as good. NotFound: none is.
absl::StatusOr<size_t> choose_store(const RecoveryOptions& options,
                                    const std::vector<Index>& consistent);

absl::StatusOr<Recovered> recover(const RecoveryOptions& options, const backend::Backend& backend);

// The raft configuration that a set of members makes.
raft::ConfState conf_state_of(const std::vector<membership::Member>& members);

}  // namespace keelson::node
