// backend/rocks/space_use.h
//
// SpaceUse measures what the store takes and how much of that is dead: records that a later delete
// covers and that no merge has dropped yet.
//
// What counts (backend.h states it for everybody): the files of the newest version and the write
//   buffers that are not flushed. Files that only an iterator or a snapshot still holds do not
//   count: nobody can act on them, and they go by themselves.
// What is alive: the owner of the records says so (set_live_bytes); the files say, in their
//   properties, how much was put into them. Both before compression, so their ratio is the share
//   that is alive.
// Threads: any. Cost: a few properties of RocksDB; the files' own only after their set has changed.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "backend/rocks/reader.h"

namespace keelson::backend::rocks {

// Of the key family. Bytes.
struct KeySpace {
  uint64_t on_disk = 0;    // files of the newest version
  uint64_t buffered = 0;   // write buffers not flushed
  uint64_t raw = 0;        // put into the two above, before compression
  uint64_t deletions = 0;  // records in the two above that delete others

  uint64_t physical() const { return on_disk + buffered; }
  // raw bytes that nobody can read any more, when `live` are alive. 0 without a deletion: then
  // nothing can be dead, and what looks like it is the buffers' own overhead.
  uint64_t dead(uint64_t live) const { return deletions == 0 || live >= raw ? 0 : raw - live; }
};

class SpaceUse {
 public:
  // Both outlive this.
  SpaceUse(rocksdb::DB* db, const Families& families) : db_(*db), families_(families) {}

  // Of the key family's records, keys and values; UINT64_MAX: not known, all counts as alive.
  void set_live_bytes(uint64_t bytes) { live_.store(bytes, std::memory_order_relaxed); }
  uint64_t live_bytes() const { return live_.load(std::memory_order_relaxed); }

  uint64_t size() const;
  uint64_t size_in_use() const;
  KeySpace key_space() const;

 private:
  struct Files {
    uint64_t version = UINT64_MAX;  // of the set of files and buffers
    uint64_t raw = 0;
    uint64_t deletions = 0;
  };
  Files key_files() const;
  uint64_t property(rocksdb::ColumnFamilyHandle* family, const char* name) const;
  uint64_t sum(const char* name) const;

  rocksdb::DB& db_;
  const Families& families_;
  std::atomic<uint64_t> live_{UINT64_MAX};
  mutable std::mutex mutex_;
  mutable Files files_;
};

}  // namespace keelson::backend::rocks
