// raft/sim/disk.h
//
// Disk: one member's stable storage and its append thread's queue. Writes are issued in order,
// become visible to raft in order, and durable in order, each at its own time. A crash keeps what
// is durable and, of what was visible, any first part.

#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/random.h"
#include "raft/memory_storage.h"
#include "raft/plant.h"

namespace keelson::raft::sim {

class Disk {
 public:
  explicit Disk(Plant plant) : plant_(plant), visible_(std::make_unique<MemoryStorage>()) {}

  // What raft reads. Replaced by crash().
  MemoryStorage* storage() { return visible_.get(); }
  MemoryStorage* durable() { return &durable_; }
  const HardState& durable_hard_state() const { return durable_hard_state_; }

  // The state a member of the first configuration starts from.
  void start_from(const SnapshotPtr& snapshot, const HardState& state);

  // The work of a MsgStorageAppend, or of a Ready's storage part.
  void issue(Message append);
  bool can_write() const { return visible_writes_ < writes_.size(); }
  bool can_sync() const { return visible_writes_ > 0; }
  // The oldest write not yet visible becomes so. Returns what may be said only now because of a
  // planted bug; empty otherwise.
  std::vector<Message> write();
  // The oldest visible write becomes durable. Returns its responses.
  std::vector<Message> sync();

  // Power is lost.
  void crash(Random& random);

  // A snapshot of the application's state at `index`, and, if `compact_to` is not 0, no log up to
  // there; at once and durably. False if that is not possible now.
  bool snapshot(Index index, const ConfState& conf, Bytes data, Index compact_to);

 private:
  void perform(const Message& write, MemoryStorage* on, HardState* state);

  Plant plant_;
  MemoryStorage durable_;
  HardState durable_hard_state_;
  HardState visible_hard_state_;
  std::unique_ptr<MemoryStorage> visible_;
  // The first visible_writes_ of writes_ are in visible_, none of them in durable_.
  std::deque<Message> writes_;
  size_t visible_writes_ = 0;
};

}  // namespace keelson::raft::sim
