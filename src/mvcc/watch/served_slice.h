// mvcc/watch/served_slice.h
//
// ServedSlice is a run of events that lagging watchers are being given, with what they are sent of
// it, encoded once for all who see the same. It is kept between turns of the lane: a stream that
// stalls in the middle of it goes on there when it resumes.
//
// Threads: one lane. Memory: the slice, and encoded events of about kBlockBytes.

#pragma once

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "mvcc/watch/event_window.h"
#include "mvcc/watch/response.h"
#include "mvcc/watch/slice_events.h"
#include "mvcc/watch/watcher.h"

namespace keelson::watch {

class ServedSlice {
 public:
  explicit ServedSlice(Slice slice);
  ServedSlice(const ServedSlice&) = delete;
  ServedSlice& operator=(const ServedSlice&) = delete;

  int64_t from() const { return slice_.from; }
  int64_t through() const { return slice_.through; }
  bool covers(int64_t revision) const { return from() <= revision && revision <= through(); }
  bool with_previous() const { return slice_.with_previous; }
  // It keeps a revision from being compacted.
  bool holds_back() const { return slice_.late != nullptr; }

  // What the watcher may see of it, from its cursor on and perhaps from before; what is lacking is
  // at its cursor or later. Adds to `cost` the bytes that were encoded, and a kilobyte for each
  // value looked up. Valid until the next call. REQUIRES: covers(watcher.cursor).
  const EventBlock& block_for(const Watcher& watcher, WatchSource& source, size_t* cost);

 private:
  static constexpr size_t kBlockBytes = 4 * 1024 * 1024;

  struct Encoded {
    int64_t from = 0;  // the lowest cursor that it is good for
    EventBlock block;
    bool good_for(int64_t cursor) const {
      return from <= cursor && (block.lacking == 0 || cursor <= block.lacking);
    }
  };
  // A group's serial number, and the variant's bits.
  using Key = std::pair<uint64_t, unsigned>;

  const Slice slice_;
  SliceEvents events_;
  absl::flat_hash_map<Key, Encoded> blocks_;
  size_t bytes_ = 0;  // of blocks_
};

}  // namespace keelson::watch
