// interchange/database_writer.h
//
// A state of ours as etcd's database file: equal in content to what an etcd with this state has.
// The records are etcd's already (docs/formats/mvcc.md); what is added is what etcd keeps and we do
// not: the storage version (the cluster's, from 3.6 on), and the auth revision that etcd begins
// with.
//
// DatabaseWriter works in steps, so that whoever drives it sets the pace, stops when nobody wants
// it any more, and goes no faster than the receiver takes. Every step does what `bytes` of records
// cost, and one record at least:
//
//   DatabaseWriter writer(backend->snapshot());
//   while (!*writer.plan_step(kStep)) pause();      // one walk over the state: its size
//   tell(writer.size());
//   while (!*writer.write_step(kStep, sink)) pause();  // and one more: its bytes
//
// Two walks because a database's first page names its root and its length, which is all that lets
// it be a stream (boltfile/planner.h).
//
// Threads: one caller at a time; any thread.
// Lifetime: the snapshot is held, and with it the store's files; its Backend must outlive this.
// Memory: a page for each level of a tree, and one record.
// Errors: those of the backend (DataLoss: a block that does not read); InvalidArgument for a record
//   that no database can hold; those of the sink. After an error every step answers the same.
// Format: docs/formats/bolt.md.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "boltfile/planner.h"
#include "boltfile/sink.h"

namespace keelson::interchange {

struct DatabaseOptions {
  boltfile::Layout layout;
  // For an etcd 3.<minor>, which refuses what is newer: a cluster version above it becomes this
  // one. nullopt: as the state has it. REQUIRES: 5 to kNewestMinor.
  std::optional<int> minor;
};

class DatabaseWriter {
 public:
  explicit DatabaseWriter(std::shared_ptr<const backend::Snapshot> state,
                          const DatabaseOptions& options = {});
  ~DatabaseWriter();

  // True: size() is known.
  absl::StatusOr<bool> plan_step(uint64_t bytes);
  // Of the whole file. REQUIRES: plan_step() said true.
  uint64_t size() const;
  // "3.7.0"; empty: the file has none. REQUIRES: as size().
  std::string storage_version() const;
  // Hands the next pieces to `sink`, perhaps none; true: those were the last. In all exactly size()
  // bytes. REQUIRES: plan_step() said true, and write_step() has not.
  absl::StatusOr<bool> write_step(uint64_t bytes, boltfile::Sink& sink);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All at once. To a sink that cannot go back the state is walked twice, to one that can once.
// `state` is only read until this returns.
absl::Status write_database(const backend::Snapshot& state, const DatabaseOptions& options,
                            boltfile::Sink* sink);
absl::Status write_database(const backend::Snapshot& state, const DatabaseOptions& options,
                            boltfile::SeekableSink* sink);

}  // namespace keelson::interchange
