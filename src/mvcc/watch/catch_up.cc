// How lagging watchers are brought up to the position. Part of LaneEngine.
//
// They are served in two sweeps over the revisions, one through the window and one through the
// store, each from low to high and then from the lowest again. A slice serves everyone whose cursor
// it meets, so watchers that lag together are read for once. The two sweeps take turns: a client
// that is a million revisions behind does not keep one that is ten behind from its events.
//
// What the store's sweep needs is read elsewhere, one slice at a time, and nothing waits for it but
// those whom it is for: their events, and the previous values that some want of events that the
// window has.
//
// A slice is given to one stream after the other, to each until it stalls, and to so many watchers
// in one turn of the lane; the others stay in line untouched.

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "mvcc/watch/lane_engine.h"
#include "mvcc/watch/stream_state.h"

namespace keelson::watch {

namespace {

// Encoding so many bytes costs about what moving a watcher on does.
constexpr size_t kBytesPerMove = 256;

// A slice that many watchers wait for is the longer, so that each is touched less often for what
// it does not want to see: by a slice's length for so many watchers, up to so many lengths.
constexpr size_t kWatchersPerSlice = 1024;
constexpr size_t kMostSlices = 4;

}  // namespace

bool LaneEngine::can_catch_up() const {
  return !sweep(Watcher::Way::kWindow).order.empty() ||
         (!sweep(Watcher::Way::kStore).order.empty() && !reading_);
}

void LaneEngine::schedule_catch_up() {
  if (catch_up_posted_ || !can_catch_up()) return;
  catch_up_posted_ = true;
  lane_.post([alive = std::weak_ptr(alive_)] {
    if (auto engine = alive.lock()) (*engine)->catch_up();
  });
}

void LaneEngine::catch_up() {
  catch_up_posted_ = false;
  KEELSON_FAILPOINT("watch_before_catch_up");
  Budget budget = new_budget();
  cancel_compacted(budget);
  if (budget.left()) {
    serve_from_window();
    serve_from_store();
  }
  schedule_catch_up();
}

// etcd: a watcher may still start at the compact revision itself.
void LaneEngine::cancel_compacted(Budget& budget) {
  const int64_t compact_revision = source_.compact_revision();
  for (; budget.left(); --budget.moves) {
    StreamState* stream = oldest_.first();
    if (stream == nullptr || stream->lag().oldest >= compact_revision) return;
    Watcher* oldest = nullptr;
    for (const LagQueue& queue : stream->lag().queues) {
      if (queue.empty()) continue;
      if (oldest == nullptr || queue.first().cursor < oldest->cursor) oldest = &queue.first();
    }
    CHECK(oldest != nullptr);
    retire(*oldest);
    stream->send_compacted(*oldest, compact_revision);
  }
}

size_t LaneEngine::slice_bytes(const Sweep& sweep) const {
  const size_t slices = std::clamp<size_t>(sweep.watchers / kWatchersPerSlice, 1, kMostSlices);
  return slices * options_.slice_bytes;
}

void LaneEngine::serve_from_window() {
  Sweep& window = sweep(Watcher::Way::kWindow);
  Budget budget = new_budget();
  StreamState* stream = next_in_window(budget);
  if (stream == nullptr) return;
  const int64_t from = stream->lag().turns[static_cast<size_t>(Watcher::Way::kWindow)];
  if (!window.served || !window.served->covers(from)) {
    metrics_.window_slices.add(1);
    window.served.emplace(window_.slice(from, slice_bytes(window)));
  }
  serve(Watcher::Way::kWindow, budget);
}

// Streams whose turn has dropped out of the window are told so when they are met. Null: no stream
// is left, or no budget.
StreamState* LaneEngine::next_in_window(Budget& budget) {
  constexpr auto kWindow = Watcher::Way::kWindow;
  while (budget.left()) {
    StreamState* stream = sweep(kWindow).order.next(sweep(kWindow).next);
    if (stream == nullptr) return nullptr;
    if (window_.covers(stream->lag().turns[static_cast<size_t>(kWindow)])) return stream;
    leave_window(*stream, budget);
  }
  return nullptr;
}

void LaneEngine::leave_window(StreamState& stream, Budget& budget) {
  const LagQueue& queue = stream.lag().queue(Watcher::Way::kWindow);
  while (budget.left() && !queue.empty() && !window_.covers(queue.first().cursor)) {
    Watcher& watcher = queue.first();
    dequeue(watcher);
    enqueue(watcher, Watcher::Way::kStore);
    --budget.moves;
  }
  drop_unwanted(Watcher::Way::kWindow);
  update_turns(stream);
}

void LaneEngine::serve_from_store() {
  if (reading_) return;
  const Sweep& store = sweep(Watcher::Way::kStore);
  const StreamState* stream = store.order.next(store.next);
  if (stream == nullptr) return;
  const int64_t from = stream->lag().turns[static_cast<size_t>(Watcher::Way::kStore)];
  if (!store.served || !store.served->covers(from)) return start_reading(from);
  Budget budget = new_budget();
  serve(Watcher::Way::kStore, budget);
}

// Who is on this way although the window has its events lacks the values before them.
void LaneEngine::start_reading(int64_t from) {
  Sweep& store = sweep(Watcher::Way::kStore);
  store.served.reset();
  const bool previous = store.want_previous > 0;
  HistoryRequest request{.from = from,
                         .to = position_,
                         .max_bytes = slice_bytes(store),
                         .previous = previous,
                         .previous_bytes = options_.previous_bytes};
  if (window_.covers(from)) {
    Slice known = window_.slice(from, request.max_bytes);
    request.to = known.through;
    request.batches = std::move(known.batches);
  } else if (!window_.empty()) {
    request.to = window_.first_revision() - 1;
  }
  metrics_.disk_slices.add(1);
  reading_ = true;
  auto done = [lane = &lane_, alive = std::weak_ptr(alive_), from,
               previous](absl::StatusOr<HistorySlice> read) {
    lane->post([alive, from, previous, read = std::move(read)]() mutable {
      if (auto engine = alive.lock()) (*engine)->read_done(from, previous, std::move(read));
    });
  };
  source_.read(std::move(request), std::move(done));
}

void LaneEngine::read_done(int64_t from, bool previous, absl::StatusOr<HistorySlice> read) {
  CHECK(reading_);
  if (absl::IsResourceExhausted(read.status())) return read_later(from);
  reading_ = false;
  told_busy_ = false;
  Sweep& store = sweep(Watcher::Way::kStore);
  if (!read.ok()) {
    reading_failed(from, read.status());
  } else if (store.watchers > 0) {
    CHECK(read->through >= from);
    CHECK(read->through <= position_);
    Slice slice;
    slice.from = from;
    slice.through = read->through;
    slice.with_previous = previous;
    slice.events = std::move(read->events);
    slice.late = std::move(read->late);
    slice.runs.emplace_back(slice.events);
    store.served.emplace(std::move(slice));
    drop_unwanted(Watcher::Way::kStore);  // those it was read for may have gone, or stalled
  }
  schedule_catch_up();
}

void LaneEngine::reading_failed(int64_t from, const absl::Status& status) {
  // A compaction that passed meanwhile is met by cancel_compacted() in the next round.
  if (from < source_.compact_revision()) return;
  // Whom the read was for may have gone.
  StreamState* stream = sweep(Watcher::Way::kStore).order.next_in(from, from, {});
  if (stream == nullptr) return;
  log::error("cannot read the history for a watcher",
             {{"revision", from}, {"error", message_of(status)}});
  Watcher* first = stream->lag().queue(Watcher::Way::kStore).first_in(from, from);
  CHECK(first != nullptr);
  retire(*first);
  stream->send_failed(*first, message_of(status));
}

// Nobody is told: room comes. Those who need other revisions have their turn before.
void LaneEngine::read_later(int64_t from) {
  CHECK(reading_);
  if (!std::exchange(told_busy_, true)) {
    log::warn("a watcher's history has to wait: reads hold too much", {{"revision", from}});
  }
  sweep(Watcher::Way::kStore).next = {from + 1, 0};
  lane_.post_after(options_.read_again, [alive = std::weak_ptr(alive_)] {
    auto engine = alive.lock();
    if (!engine) return;
    (*engine)->reading_ = false;
    (*engine)->schedule_catch_up();
  });
}

// Gives the slice that is being served to those whose cursors lie in it.
void LaneEngine::serve(Watcher::Way way, Budget& budget) {
  Sweep& sweep = this->sweep(way);
  const ServedSlice& slice = *sweep.served;
  while (budget.left() && !sweep.spent) {
    StreamState* stream = sweep.order.next_in(slice.from(), slice.through(), sweep.next);
    if (stream == nullptr) {
      sweep.next = {slice.through() + 1, 0};
      break;
    }
    const StreamLag& lag = stream->lag();
    sweep.next = {lag.turns[static_cast<size_t>(way)], lag.serial + 1};
    serve_stream(*stream, way, budget);
  }
  if (std::exchange(sweep.spent, false)) sweep.served.reset();
  drop_unwanted(way);
}

void LaneEngine::serve_stream(StreamState& stream, Watcher::Way way, Budget& budget) {
  LagQueue& queue = stream.lag().queue(way);
  ServedSlice& slice = *sweep(way).served;
  const int64_t enough =
      std::max<int64_t>(budget.moves - static_cast<int64_t>(options_.stream_watchers), 0);
  int64_t passed = slice.through() + 1;
  while (Watcher* watcher = queue.first_in(slice.from(), slice.through())) {
    if (budget.moves <= enough || sweep(way).spent || stream.stalled()) {
      passed = watcher->cursor;
      break;
    }
    serve_watcher(*watcher, slice, budget);
  }
  queue.pass(passed);
  update_turns(stream);
}

void LaneEngine::serve_watcher(Watcher& watcher, ServedSlice& slice, Budget& budget) {
  size_t cost = 0;
  const EventBlock& block = slice.block_for(watcher, source_, &cost);
  budget.moves -= 1 + static_cast<int64_t>(cost / kBytesPerMove);
  const bool whole = block.lacking == 0;
  const int64_t cursor = watcher.cursor;
  const size_t sent = send(watcher, block, block.first_at(cursor), whole ? slice.through() : 0);
  const bool lacks = sent == block.size() && !whole;
  int64_t next = slice.through() + 1;
  if (sent < block.size()) next = block.revisions[sent];
  if (lacks) next = block.lacking;
  dequeue(watcher);
  watcher.cursor = next;
  if (!lacks) return place(watcher);
  // Of a slice of the store's it can have no more; the next one comes with previous values.
  if (watcher.way == Watcher::Way::kStore) sweep(watcher.way).spent = true;
  enqueue(watcher, Watcher::Way::kStore);
}

}  // namespace keelson::watch
