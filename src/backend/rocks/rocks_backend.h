// backend/rocks/rocks_backend.h
//
// The Backend on RocksDB: one column family per bucket, the write-ahead log off, flushes atomic
// over all families. RocksDB's headers are included under backend/rocks/ and nowhere else.
//
// Why no log: the raft log is the redo log. After a crash the store is at some earlier commit and
//   the node replays from its consistent index.
// Memory: write buffers + block cache as given below, and a little per open file.
// Full disk, exceeded quota, no more file handles: commits go on into the write buffers while there
//   is room in them (then they wait), flushes wait for room, and health() says so meanwhile. Merges
//   are given up and started again later. No open and no close waits: end_patience(); nor does a
//   store that is not patient.
//   Before anything waits for space, what is kept in reserve is given away; until it could be taken
//   back health() is kResourceExhausted, and flushes, merges and reclaim() go on.
// Damage: every block carries a checksum that is verified whenever it is read from the disk, so
//   nothing wrong is served; read_through() finds what nobody reads.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/clock.h"

namespace rocksdb {
class FileSystem;
}

namespace keelson::backend {

struct RocksOptions {
  // Most memory for changes that are not on disk yet, in bytes.
  uint64_t write_buffers = uint64_t{64} << 20;
  // Data, index blocks of the files; also what reads of evicted values are served from.
  uint64_t block_cache = uint64_t{32} << 20;
  // Near it, dead data is given back sooner. UINT64_MAX: there is none.
  uint64_t quota_bytes = UINT64_MAX;
  // Giving space back reads about so much at a time: what stop has to wait for, and room that is
  // needed beside what is there.
  uint64_t reclaim_step = uint64_t{256} << 20;
  // Of the disk, kept back in a file for the moment in which it is full. 0: nothing.
  uint64_t reserve_bytes = 0;
  // What is kept apart from the records, for a start that does not read them. `of` null: nothing.
  HeadFormat heads = {};
  // False: a lack of space is an error until begin_patience(). For a store whose making can be
  // given up: what it has taken by then may be what is lacking.
  bool patient = true;
  // Threads that flush and merge files.
  int background_threads = 2;
  // Threads that open the files of each family at start.
  int opening_threads = 16;
  // False: closing loses what was not flushed, as a crash does. For tests.
  bool flush_on_close = true;
  // False: the directory must hold a database already.
  bool create_if_missing = true;
  // Nothing is ever written (tools).
  bool read_only = false;
  // Every wait of the store's threads is so many times shorter (rocks/waits.h). For tests.
  int haste = 1;
  // What to keep the files in; null: the machine's. For tests (backend/rocks/fault_files.h).
  std::shared_ptr<rocksdb::FileSystem> files = {};
  // Told how long each commit took, on the committing thread; for metrics.
  std::function<void(Duration)> committed = {};
};

// Opens or creates the database in directory `path` (<data-dir>/member/keelson).
// Errors: kDataLoss with advice when files are damaged or missing; kFailedPrecondition when another
// process has it open; kNotFound; kUnavailable.
absl::StatusOr<std::unique_ptr<Backend>> open_rocks_backend(const std::string& path,
                                                            const RocksOptions& options = {});

// A store that was not patient is so from now on. Any thread. REQUIRES: it was opened here.
void begin_patience(Backend& store);

// What makes the files of a store that is opened so: a checkpoint of it can be opened by whoever
// says the same. Text without line breaks.
std::string store_form(const RocksOptions& options);

// Reads every block of every table: DataLoss for one that is not as it was written. For files that
// came from elsewhere; what is in memory is not looked at. `goes_on` is asked before each table;
// false: Cancelled. Any thread; takes long. REQUIRES: the store was opened here.
absl::Status check_blocks(Backend& store, const std::function<bool()>& goes_on);

}  // namespace keelson::backend
