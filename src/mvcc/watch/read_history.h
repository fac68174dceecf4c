// mvcc/watch/read_history.h
//
// What a WatchSource::read() over the store does, on a thread that may wait for a disk.
//
// Threads: that of `slot`.

#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "mvcc/held_range.h"
#include "mvcc/store.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

// Runs something that may wait for a disk.
using Elsewhere = mvcc::HeldRange::Elsewhere;

class HeldPrevious final : public LatePrevious {
 public:
  HeldPrevious(std::span<const mvcc::Event> events, std::shared_ptr<mvcc::HeldRange> held,
               Elsewhere elsewhere)
      : revision_(events.front().revision.main),
        held_(std::move(held)),
        elsewhere_(std::move(elsewhere)) {
    CHECK(held_->count() == events.size());
    subs_.reserve(events.size());
    for (const mvcc::Event& event : events) subs_.push_back(event.revision.sub);
    CHECK(std::is_sorted(subs_.begin(), subs_.end()));
  }
  // A million entries are not freed on an io lane.
  ~HeldPrevious() override {
    const Elsewhere elsewhere = std::move(elsewhere_);
    elsewhere([held = std::move(held_), subs = std::move(subs_)] {});
  }

  int64_t revision() const override { return revision_; }

  Place place_of(const mvcc::Event& event) const override {
    const auto at = std::lower_bound(subs_.begin(), subs_.end(), event.revision.sub);
    CHECK(at != subs_.end());
    CHECK(*at == event.revision.sub);
    const auto number = static_cast<size_t>(at - subs_.begin());
    return {.number = number, .size = held_->size(number)};
  }

  void take(std::vector<size_t> numbers, Done done) override {
    elsewhere_([held = held_, numbers = std::move(numbers), done = std::move(done)]() mutable {
      done(values(*held, numbers));
    });
  }

 private:
  static absl::StatusOr<std::vector<Bytes>> values(mvcc::HeldRange& held,
                                                   std::span<const size_t> numbers) {
    std::vector<Bytes> out;
    while (!numbers.empty()) {
      // As many as follow each other.
      size_t run = 1;
      while (run < numbers.size() && numbers[run] == numbers[0] + run) ++run;
      absl::StatusOr<std::vector<Bytes>> some = held.take(numbers[0], numbers[0] + run);
      if (!some.ok()) return some.status();
      std::move(some->begin(), some->end(), std::back_inserter(out));
      numbers = numbers.subspan(run);
    }
    return out;
  }

  const int64_t revision_;
  std::shared_ptr<mvcc::HeldRange> held_;
  std::vector<int64_t> subs_;  // rising; of the events of the revision
  Elsewhere elsewhere_;
};

// Gives the events of one revision their previous values, or the slice the means to read them.
inline absl::StatusOr<size_t> read_previous(const mvcc::Store& store, mvcc::ReaderSlot& slot,
                                            const HistoryRequest& request,
                                            std::span<mvcc::Event> events,
                                            const Elsewhere& elsewhere, HistorySlice* slice) {
  size_t bytes = 0;
  std::vector<Bytes> values;
  for (const mvcc::Event& event : events) {
    absl::StatusOr<Bytes> previous = store.previous_kv(slot, event);
    if (!previous.ok()) {
      // etcd sends the event without the value, too.
      log::error("cannot read the previous value of a watched key",
                 {{"revision", event.revision.main}, {"error", message_of(previous.status())}});
    }
    values.push_back(previous.ok() ? *std::move(previous) : Bytes());
    bytes += values.back().size();
    if (bytes <= request.previous_bytes || events.size() == 1) continue;
    values.clear();
    absl::StatusOr<std::shared_ptr<mvcc::HeldRange>> held = store.hold_previous(slot, events);
    if (!held.ok()) return held.status();
    if (*held) {
      slice->late = std::make_shared<HeldPrevious>(events, *std::move(held), elsewhere);
    }
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) events[i].prev_kv = std::move(values[i]);
  return bytes;
}

// As many revisions as are asked for and their previous values allow.
inline absl::Status read_previous(const mvcc::Store& store, mvcc::ReaderSlot& slot,
                                  const HistoryRequest& request, const Elsewhere& elsewhere,
                                  HistorySlice* slice) {
  size_t bytes = 0;
  auto begin = slice->events.begin();
  while (begin != slice->events.end()) {
    const int64_t revision = begin->revision.main;
    auto end = std::find_if(begin, slice->events.end(), [&](const mvcc::Event& event) {
      return event.revision.main != revision;
    });
    absl::StatusOr<size_t> read =
        read_previous(store, slot, request, {begin, end}, elsewhere, slice);
    if (absl::IsResourceExhausted(read.status()) && begin != slice->events.begin()) {
      slice->events.erase(begin, slice->events.end());
      slice->through = revision - 1;
      break;
    }
    if (!read.ok()) return read.status();
    bytes += *read;
    if (end != slice->events.end() && (slice->late || bytes >= request.max_bytes)) {
      slice->events.erase(end, slice->events.end());
      slice->through = revision;
      break;
    }
    begin = end;
  }
  return absl::OkStatus();
}

// `elsewhere` is kept with what comes late, and must not be called when the store has gone.
inline absl::StatusOr<HistorySlice> read_history(const mvcc::Store& store, mvcc::ReaderSlot& slot,
                                                 const HistoryRequest& request,
                                                 const Elsewhere& elsewhere) {
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
  if (request.previous) {
    absl::Status read = read_previous(store, slot, request, elsewhere, &slice);
    if (!read.ok()) return read;
  }
  return slice;
}

}  // namespace keelson::watch
