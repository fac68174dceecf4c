// mvcc/held_range.h
//
// HeldRange is what a range found when its KeyValues are too many to be read into memory at once:
// which they are and how long each is. They are read a few at a time, when they are wanted.
//
// It pins the revision at which they are visible, so that no compaction removes them; whoever holds
// it for a client therefore bounds the time that the client may take.
// Bounds: what all of a store's take beside the values is at most kMostBytes, or one alone is more.
//   Whoever sends answers holds less of it in usual times, and puts an end to those that are not
//   taken (net/held_bytes.h); this is for what has not come to it.
// Threads: any, one at a time; several at once if no entry came with its KeyValue. Lifetime: gone
// before the store is.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "mvcc/store_impl.h"

namespace keelson::mvcc {

class HeldRange {
 public:
  struct Entry {
    Bytes kv;  // empty: in the backend, or there is none
    Revision revision;
    uint32_t size = 0;  // 0: there is none
  };
  using Elsewhere = std::function<void(absl::AnyInvocable<void()>)>;

  static constexpr uint64_t kMostBytes = uint64_t{1536} << 20;

  // Room for `count` entries, and the pin; to be filled next. Null: a compaction has begun to pass
  // the revision, and only the caller's own pin keeps it. errors::RequestTooManyRequests(): too
  // much is held already. REQUIRES: `revision` is pinned by the caller.
  static absl::StatusOr<std::shared_ptr<HeldRange>> begin(const StoreImpl& store, int64_t revision,
                                                          size_t count);
  ~HeldRange();
  HeldRange(const HeldRange&) = delete;
  HeldRange& operator=(const HeldRange&) = delete;

  // Once. REQUIRES: no more entries than were announced.
  void fill(std::vector<Entry> entries, Elsewhere elsewhere);

  // What it takes itself, and what of the values it keeps in memory.
  size_t bytes() const { return bytes_; }
  size_t shared_bytes() const { return shared_bytes_; }

  size_t count() const { return entries_.size(); }
  size_t size(size_t i) const { return entries_[i].size; }
  bool in_memory(size_t from, size_t to) const;
  // The KeyValues [from, to), which are let go of here: to be asked for once, if they came with
  // their entries. May wait for a disk unless in_memory(). kDataLoss as a range's.
  absl::StatusOr<std::vector<Bytes>> take(size_t from, size_t to);

  // Runs something that may wait for a disk.
  const Elsewhere& elsewhere() const { return elsewhere_; }

 private:
  HeldRange(const StoreImpl& store, uint64_t bytes)
      : store_(store.shared_from_this()), bytes_(bytes), slot_(store.epochs()) {}

  const std::shared_ptr<const StoreImpl> store_;
  const uint64_t bytes_;  // counted in the store's held_bytes() while this lives
  const OwnSlot slot_;
  RevisionPin pin_;
  std::vector<Entry> entries_;
  size_t shared_bytes_ = 0;  // of entries_, when they came
  Elsewhere elsewhere_;
};

}  // namespace keelson::mvcc
