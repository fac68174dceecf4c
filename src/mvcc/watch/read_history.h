// mvcc/watch/read_history.h
//
// What a WatchSource::read() over the store does, on a thread that may wait for a disk.
//
// Threads: that of `slot`.

#pragma once

#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "mvcc/store.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

inline void read_previous(const mvcc::Store& store, mvcc::ReaderSlot& slot, HistorySlice* slice) {
  for (mvcc::Event& event : slice->events) {
    absl::StatusOr<Bytes> previous = store.previous_kv(slot, event);
    if (previous.ok()) {
      event.prev_kv = *std::move(previous);
      continue;
    }
    // etcd sends the event without the value, too.
    log::error("cannot read the previous value of a watched key",
               {{"revision", event.revision.main}, {"error", message_of(previous.status())}});
  }
}

inline absl::StatusOr<HistorySlice> read_history(const mvcc::Store& store, mvcc::ReaderSlot& slot,
                                                 const HistoryRequest& request) {
  HistorySlice slice;
  slice.through = request.to;
  for (const mvcc::EventBatchPtr& batch : request.batches) {
    for (const mvcc::Event& event : batch->events) {
      const bool asked = request.from <= event.revision.main && event.revision.main <= request.to;
      if (asked) slice.events.push_back(event);
    }
  }
  if (request.batches.empty()) {
    absl::StatusOr<mvcc::History> read =
        store.history(slot, request.from, request.to, request.max_bytes);
    if (!read.ok()) return read.status();
    slice.events = std::move(read->events);
    slice.through = read->next_revision - 1;
  }
  if (request.previous) read_previous(store, slot, &slice);
  return slice;
}

}  // namespace keelson::watch
