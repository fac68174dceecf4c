// mvcc/record_table.h
//
// RecordTable finds records by key while the index is rebuilt: open addressing over (hash, record),
// made so that a batch of look-ups can be spread over the memory's latency: prefetch the slots of
// all, then the records of all, then find each.
//
// Threads: one. Does not own the records.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "mvcc/record.h"

namespace keelson::mvcc {

class RecordTable {
 public:
  RecordTable() : slots_(1 << 12) {}

  void prefetch_slot(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask()]); }

  // The first record of that hash, most likely the one that find() will answer.
  void prefetch_record(uint64_t hash) const {
    size_t at = hash & mask();
    while (slots_[at].record && slots_[at].hash != hash) at = (at + 1) & mask();
    const KeyRecord* record = slots_[at].record;
    if (!record) return;
    __builtin_prefetch(record);
    __builtin_prefetch(reinterpret_cast<const char*>(record) + 64);
  }

  KeyRecord* find(uint64_t hash, std::string_view key) const {
    for (size_t at = hash & mask(); slots_[at].record; at = (at + 1) & mask()) {
      if (slots_[at].hash == hash && slots_[at].record->key() == key) return slots_[at].record;
    }
    return nullptr;
  }

  // REQUIRES: no record with that key is in the table.
  void insert(uint64_t hash, KeyRecord* record) {
    if (++size_ * 2 > slots_.size()) grow();
    place({hash, record});
  }

  size_t size() const { return size_; }

  // Takes all records out, in no order.
  std::vector<KeyRecord*> take() {
    std::vector<KeyRecord*> out;
    out.reserve(size_);
    for (const Slot& slot : slots_) {
      if (slot.record) out.push_back(slot.record);
    }
    slots_ = std::vector<Slot>(1);
    size_ = 0;
    return out;
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    KeyRecord* record = nullptr;
  };

  size_t mask() const { return slots_.size() - 1; }

  void place(Slot slot) {
    size_t at = slot.hash & mask();
    while (slots_[at].record) at = (at + 1) & mask();
    slots_[at] = slot;
  }

  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.record) place(slot);
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t size_ = 0;
};

}  // namespace keelson::mvcc
