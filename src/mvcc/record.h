// mvcc/record.h
//
// What the key index knows of one key: a KeyRecord with a chain of Versions, newest first. A reader
// at revision R walks to the first version whose main is <= R; the writer only ever pushes at the
// head, cuts at the tail (compaction) and takes values away.
//
// Threads: one writer, any number of readers inside an epoch section. Fields without atomics are
//   set before the object is reachable and stay.

#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"

namespace keelson::mvcc {

// One revision of a key. 32 bytes: there are several per key.
struct Version {
  // Older, or null. Readers may find null where they expected more: compaction passed them.
  std::atomic<Version*> prev;
  int64_t main;
  uint32_t sub;
  uint32_t size;  // of the encoded KeyValue; 0: a tombstone
  // The encoded KeyValue as Bytes::give() made it, or 0: read it from the backend. Bit 0: was read
  // since the clock hand last passed.
  std::atomic<uintptr_t> value;

  static constexpr uintptr_t kTouched = 1;

  bool tombstone() const { return size == 0; }
  Revision revision() const { return {main, sub}; }
  void* block() const {
    return reinterpret_cast<void*>(value.load(std::memory_order_acquire) & ~kTouched);
  }
  // Empty when the value is not in memory.
  Bytes bytes() const {
    void* held = block();
    return held ? Bytes::share(held, size) : Bytes();
  }
  void touch() {
    uintptr_t now = value.load(std::memory_order_relaxed);
    if (now == 0 || (now & kTouched)) return;
    value.compare_exchange_strong(now, now | kTouched, std::memory_order_relaxed);
  }
};
static_assert(sizeof(Version) == 32);

// What a version takes in the backend, before compression: its key there, with what the backend
// adds to each, and its KeyValue. (A tombstone's holds the user's key, which is left out here.)
inline uint64_t stored_bytes(const Version& version) {
  constexpr uint64_t kRevisionKey = 17 + 8;
  return kRevisionKey + version.size;
}

// One key. Its bytes follow the struct.
struct KeyRecord {
  static constexpr uint32_t kNoClock = UINT32_MAX;

  std::atomic<Version*> head;
  // Of the generation that the head belongs to; the writer stores them after the head, so a reader
  // that sees the same head before and after reading them has the head's.
  std::atomic<int64_t> create;
  std::atomic<int64_t> version;
  int64_t lease;   // the writer's
  uint32_t clock;  // the writer's: place in the value cache's clock, or kNoClock
  uint32_t key_size;

  std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size}; }
  static size_t bytes_for(size_t key_size) { return sizeof(KeyRecord) + key_size; }

  // What a reader at `revision` sees: null when the key does not exist then.
  Version* visible(int64_t revision) const {
    Version* v = newest_at(revision);
    return v && !v->tombstone() ? v : nullptr;
  }
  // The same, tombstones included.
  Version* newest_at(int64_t revision) const {
    Version* v = head.load(std::memory_order_acquire);
    while (v && v->main > revision) v = v->prev.load(std::memory_order_acquire);
    return v;
  }
};
static_assert(sizeof(KeyRecord) == 40);

}  // namespace keelson::mvcc
