// mvcc/epoch.h
//
// Epochs tells the one writer when memory that it unlinked can be used again: when every reader
// that was inside a section at that time has left it. Readers pay two atomic stores per section, no
// reference counts, no locks; the writer never waits for them.
//
//   reader: { EpochSection s(slot); … follow pointers … }     short: no socket, no disk inside
//   writer: unlink(x); epochs.retire(x); …; publish the new root (seq_cst store); epochs.advance();
//
// Why it is safe: advance() stamps what was retired with a new epoch E after the root is published.
//   A reader whose slot shows an epoch >= E entered after that and can only find the new root; one
//   that shows less, or is seen entering, holds back everything stamped later than it.
// Pins: a slot also names the oldest revision that is being read through it. Before the writer cuts
//   versions that readers of a revision below C may want, it shows C and then looks at the pins:
//
//     reader: pin(R);    c = the compact revision shown; c > R: too late, else R can be read whole
//     writer: show C;    lowest_pin() < C: look again later, else nobody reads below C any more
//
//   All four are seq_cst, so of two that meet at least one sees the other. A pin holds no memory
//   but the versions that a compaction would cut; it may stay for as long as a request takes.
// Threads: retire(), advance() and the destructor: the writer. register_slot(): any. A slot: one
//   thread at a time.

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "mvcc/slab.h"

namespace keelson::mvcc {

class Epochs {
 public:
  static constexpr int64_t kNoPin = INT64_MAX;

  struct alignas(64) Slot {
    std::atomic<uint64_t> entered{0};     // 0: outside
    std::atomic<int64_t> pinned{kNoPin};  // the lowest revision pinned
    uint32_t pins = 0;                    // how many pins there are; the reader's own
    std::atomic<bool> taken{true};
    Slot* next = nullptr;  // in the list of all slots, which only grows
  };

  explicit Epochs(Slab* slab) : slab_(slab) {}
  // REQUIRES: no reader is left.
  ~Epochs();

  Slot* register_slot() const;
  static void unregister(Slot* slot) { slot->taken.store(false, std::memory_order_release); }

  void enter(Slot* slot) const {
    slot->entered.exchange(now_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
  }
  static void leave(Slot* slot) { slot->entered.store(0, std::memory_order_release); }

  // Pins nest: the lowest revision counts until the last one is gone.
  static void pin(Slot* slot, int64_t revision) {
    if (slot->pins++ == 0 || revision < slot->pinned.load(std::memory_order_relaxed)) {
      slot->pinned.store(revision, std::memory_order_seq_cst);
    }
  }
  static void unpin(Slot* slot) {
    CHECK(slot->pins > 0);
    if (--slot->pins == 0) slot->pinned.store(kNoPin, std::memory_order_release);
  }
  // kNoPin: nothing is pinned.
  int64_t lowest_pin() const;

  // A piece of the slab; a Bytes block (one reference of it).
  void retire_piece(void* piece, size_t size) { retired_.push_back({piece, size}); }
  void retire_block(void* block) { retired_.push_back({block, 0}); }

  // Starts a new epoch and frees what no reader can reach any more.
  // REQUIRES: a root without what was retired has been published since.
  void advance();

  uint64_t waiting() const { return retired_.size(); }

 private:
  struct Retired {
    void* memory;
    size_t size;  // 0: a Bytes block
  };
  struct Stamp {
    uint64_t epoch;
    size_t count;  // how many entries of retired_ carry it
  };
  uint64_t oldest_reader() const;
  void free(const Retired& retired);

  Slab* slab_;
  std::atomic<uint64_t> now_{1};
  mutable std::mutex registering_;
  mutable std::atomic<Slot*> slots_{nullptr};
  std::deque<Retired> retired_;
  std::deque<Stamp> stamps_;
  size_t stamped_ = 0;
};

// A slot for as long as it lives.
class OwnSlot {
 public:
  explicit OwnSlot(const Epochs& epochs) : slot_(epochs.register_slot()) {}
  ~OwnSlot() { Epochs::unregister(slot_); }
  OwnSlot(const OwnSlot&) = delete;
  OwnSlot& operator=(const OwnSlot&) = delete;
  Epochs::Slot* get() const { return slot_; }

 private:
  Epochs::Slot* const slot_;
};

// A reader's stay. A null slot is the writer itself, who needs no protection.
class EpochSection {
 public:
  EpochSection(const Epochs& epochs, Epochs::Slot* slot) : slot_(slot) {
    if (slot_) epochs.enter(slot_);
  }
  ~EpochSection() {
    if (slot_) Epochs::leave(slot_);
  }
  EpochSection(const EpochSection&) = delete;
  EpochSection& operator=(const EpochSection&) = delete;

 private:
  Epochs::Slot* slot_;
};

// A revision held readable; see Pins above. Movable, goes with its scope.
class RevisionPin {
 public:
  RevisionPin() = default;
  RevisionPin(Epochs::Slot* slot, int64_t revision) : slot_(slot) { Epochs::pin(slot, revision); }
  RevisionPin(RevisionPin&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  RevisionPin& operator=(RevisionPin&& other) noexcept {
    if (this != &other) release();
    slot_ = std::exchange(other.slot_, nullptr);
    return *this;
  }
  ~RevisionPin() { release(); }

  void release() {
    if (Epochs::Slot* slot = std::exchange(slot_, nullptr)) Epochs::unpin(slot);
  }

 private:
  Epochs::Slot* slot_ = nullptr;
};

}  // namespace keelson::mvcc
