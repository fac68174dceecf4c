// node/log_lane.h
//
// LogLane makes what raft wants kept durable: it appends everything that waits to the write-ahead
// log and shares one fdatasync among it, then reports back to the consensus lane.
//
// Threads: the posted work runs on the log lane, which owns the Wal; append(), mark_snapshot() and
//   stop() are called on any lane.
// Full disk: the append that meets it is tried again until there is space; meanwhile
//   MemberState::disk_full makes the gateways refuse what takes space. Nothing was acknowledged,
//   nothing is lost. `space_changed` is told when it begins and when it ends.
// Failure: anything else means the log cannot be trusted; `fatal` is told and nothing more is
//   written or acknowledged.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/executor.h"
#include "node/member_state.h"
#include "raft/types.h"
#include "wal/wal.h"

namespace keelson::node {

class LogLane {
 public:
  // MsgStorageAppend messages whose entries and state are durable now, in order.
  using Durable = std::function<void(std::vector<raft::Message>)>;
  using Fatal = std::function<void(absl::Status)>;
  using SpaceChanged = std::function<void()>;
  // Whether the mark that was asked for is durable. Not: there was no space for it.
  using Marked = std::function<void(bool made)>;

  LogLane(Executor& lane, std::unique_ptr<wal::Wal> wal, MemberState& state, Durable durable,
          Marked marked, SpaceChanged space_changed, Fatal fatal);

  // `messages` are MsgStorageAppend, handed over in order.
  void append(std::vector<raft::Message> messages);

  // The store is durable up to `mark`: marks it in the log, syncs, and lets older segments go.
  // `marked` follows. REQUIRES: the entry at `mark` was reported durable, and is committed.
  void mark_snapshot(wal::SnapshotMark mark, raft::ConfState conf);

  // Space is short, or is not any more: Wal::be_frugal().
  void be_frugal(bool on);

  // Writes what waits, syncs and closes the log; what comes later is dropped: nobody was promised
  // it. Runs on the lane after all that was posted before; `done` follows.
  void close(std::function<void(absl::Status)> done);

 private:
  void schedule_flush();
  void flush();
  void retry_later();
  absl::Status make_mark(wal::SnapshotMark mark, const raft::ConfState& conf);
  void release_to(Index index);
  bool append_waiting();
  bool matters(const raft::Message& message);
  void fail(absl::Status status);

  Executor& lane_;
  std::unique_ptr<wal::Wal> wal_;
  MemberState& state_;
  const Durable durable_;
  const Marked marked_;
  const SpaceChanged space_changed_;
  const Fatal fatal_;

  // On the log lane. waiting_[0, appended_) are in the log's buffer, the rest not yet:
  // appended_ <= waiting_.size(). Once failed_ or closed_, neither changes back.
  std::vector<raft::Message> waiting_;
  size_t appended_ = 0;
  bool must_sync_ = false;  // what was appended since the last sync has to be durable
  raft::HardState synced_;  // term and vote as last handed to the log
  bool flush_scheduled_ = false;
  bool failed_ = false;
  bool closed_ = false;
};

}  // namespace keelson::node
