// mvcc/watch/slice_events.h
//
// SliceEvents finds those events of a slice that fall into a range. A few ranges are looked for
// event by event; for more of them the events are put in order of their keys, once. So a slice
// costs each watcher that it is offered to what it finds, be the watchers of one range or of as
// many. (Rejected: matching all events against the index of ranges, as new events are. Of a hundred
// thousand watchers that a slice is for, a client's window may let two have it.)
//
// Threads: one lane. Lifetime: the slice lives longer.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mvcc/watch/event_window.h"
#include "mvcc/watch/range_index.h"

namespace keelson::watch {

class SliceEvents {
 public:
  explicit SliceEvents(const Slice& slice);

  // Those of `range` at `from` or later, in order of revision. Valid until the next call.
  std::span<const mvcc::Event* const> find(const WatchedKeys& range, int64_t from);

 private:
  // An event's place in events_, and the eight bytes of its key that follow what all keys share.
  struct ByKey {
    uint64_t prefix;
    uint32_t event;
  };

  void sort();
  std::vector<ByKey>::const_iterator first_not_below(std::string_view key) const;

  std::vector<const mvcc::Event*> events_;  // in order of revision
  std::vector<ByKey> by_key_;
  size_t shared_ = 0;  // of all keys, so many bytes are the same
  int scans_ = 0;
  std::vector<const mvcc::Event*> found_;
};

}  // namespace keelson::watch
