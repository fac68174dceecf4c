// mvcc/held_range.h
//
// HeldRange is what a range found when its KeyValues are too many to be read into memory at once:
// which they are and how long each is. They are read a few at a time, when they are wanted.
//
// It pins the revision at which they are visible, so that no compaction removes them; whoever holds
// it for a client therefore bounds the time that the client may take.
// Threads: any, one at a time. Lifetime: gone before the store is.

#pragma once

#include <functional>
#include <vector>

#include "mvcc/store_impl.h"

namespace keelson::mvcc {

class HeldRange {
 public:
  struct Entry {
    Bytes kv;  // empty: in the backend
    Revision revision;
    uint32_t size;
  };
  using Elsewhere = std::function<void(absl::AnyInvocable<void()>)>;

  // REQUIRES: `revision` is pinned by the caller.
  HeldRange(const StoreImpl& store, int64_t revision, std::vector<Entry> entries,
            Elsewhere elsewhere)
      : store_(store),
        slot_(store.epochs().register_slot()),
        pin_(slot_.slot(), revision),
        entries_(std::move(entries)),
        elsewhere_(std::move(elsewhere)) {}

  size_t count() const { return entries_.size(); }
  size_t size(size_t i) const { return entries_[i].size; }
  bool in_memory(size_t from, size_t to) const;
  // The KeyValues [from, to), which are let go of here: to be asked for once. May wait for a disk
  // unless in_memory(). kDataLoss as a range's.
  absl::StatusOr<std::vector<Bytes>> take(size_t from, size_t to);

  // Runs something that may wait for a disk.
  const Elsewhere& elsewhere() const { return elsewhere_; }

 private:
  const StoreImpl& store_;
  const SlotHandle slot_;
  const RevisionPin pin_;
  std::vector<Entry> entries_;
  const Elsewhere elsewhere_;
};

}  // namespace keelson::mvcc
