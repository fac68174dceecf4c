#include "mvcc/watch/lane_engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "mvcc/watch/stream_state.h"

namespace keelson::watch {

LaneEngine::LaneEngine(Executor& lane, EventFeed& feed, WatchSource& source, Random& random,
                       const WatchOptions& options)
    : lane_(lane),
      feed_(feed),
      source_(source),
      random_(random),
      options_(options),
      window_(options.window_bytes, options.window_batches) {
  CHECK(options_.progress_interval > Duration(0));
  CHECK(options_.response_revisions > 0);
  CHECK(options_.turn_watchers > 0);
  CHECK(options_.stream_watchers > 0);
  inbox_ = feed_.subscribe(lane_, [this] { on_wake(); });
  position_ = feed_.revision();
}

LaneEngine::~LaneEngine() {
  CHECK(streams_.empty());
  inbox_->close();
}

void LaneEngine::stream_opened(StreamState& stream) {
  if (streams_.empty()) inbox_->set_interested(true);
  streams_.insert(&stream);
  stream.lag().serial = next_stream_++;
  metrics_.streams.add(1);
}

void LaneEngine::stream_closed(StreamState& stream) {
  streams_.erase(&stream);
  metrics_.streams.add(-1);
  if (streams_.empty()) inbox_->set_interested(false);
}

void LaneEngine::on_wake() {
  take_slice();
  if (position_ == feed_.revision()) return;
  // More has come than one slice: let others on this lane have their turn first.
  lane_.post([alive = std::weak_ptr(alive_)] {
    if (auto engine = alive.lock()) (*engine)->on_wake();
  });
}

void LaneEngine::take_all_new() {
  const int64_t published = feed_.revision();
  while (position_ < published) CHECK(take_slice());
}

// One slice of new batches, or a step over a gap; false if there is nothing new.
bool LaneEngine::take_slice() {
  const int64_t published = feed_.revision();  // before looking into the inbox
  Slice slice;
  slice.from = position_ + 1;
  slice.through = position_;
  while (slice.bytes < options_.slice_bytes) {
    if (!ahead_) ahead_ = inbox_->pop();
    if (!ahead_) break;
    CHECK(ahead_->first_revision > slice.through);
    if (ahead_->first_revision != slice.through + 1) break;
    slice.add(std::exchange(ahead_, nullptr));
  }
  if (slice.through > position_) {
    deliver_new(slice);
  } else if (ahead_) {
    skip_to(ahead_->first_revision - 1);
  } else if (position_ < published) {
    skip_to(published);
  } else {
    return false;
  }
  return true;
}

// Batches up to `revision` were missed, or never published: whoever wants them reads them back.
void LaneEngine::skip_to(int64_t revision) {
  const int64_t missed = position_ + 1;
  position_ = revision;
  window_.clear();
  std::vector<StreamState*> streams(streams_.begin(), streams_.end());
  std::sort(streams.begin(), streams.end(),
            [](StreamState* a, StreamState* b) { return a->lag().serial < b->lag().serial; });
  for (StreamState* stream : streams) {
    for (const auto& [id, watcher] : stream->watchers()) {
      if (watcher->state == Watcher::State::kSynced) lag(*watcher, missed);
    }
  }
  activate_future();
}

void LaneEngine::deliver_new(const Slice& slice) {
  for (const mvcc::EventBatchPtr& batch : slice.batches) window_.add(batch);
  position_ = slice.through;
  for (WatchGroup* group : match(slice)) {
    for (WatchGroup::Members& members : group->members) {
      if (!members.synced.empty()) deliver_synced(*group, members);
    }
    group->matched.clear();
  }
  activate_future();
  drop_unwanted(Watcher::Way::kStore);  // by what was sent, streams may have stalled
}

std::vector<WatchGroup*> LaneEngine::match(const Slice& slice) {
  std::vector<WatchGroup*> touched;
  for (std::span<const mvcc::Event> run : slice.runs) {
    for (const mvcc::Event& event : run) {
      index_.match(event.key, [&](WatchGroup& group) {
        if (group.synced_count == 0) return;
        if (group.matched.empty()) touched.push_back(&group);
        group.matched.push_back(&event);
      });
    }
  }
  return touched;
}

void LaneEngine::deliver_synced(WatchGroup& group, WatchGroup::Members& members) {
  Previous previous{.source = &source_};
  EventBlock block = encode_events(group.matched, members.variant, previous);
  if (block.size() == 0 && block.lacking == 0) return;
  // From the back: a watcher that lags from here on leaves the list, and the one that takes its
  // place has been served already.
  for (size_t i = members.synced.size(); i-- > 0;) {
    Watcher& watcher = *members.synced[i];
    size_t sent = send(watcher, block, 0, 0);
    if (sent < block.size()) {
      lag(watcher, block.revisions[sent]);
    } else if (block.lacking != 0) {
      lag_on(watcher, block.lacking, Watcher::Way::kStore);
    }
  }
}

void LaneEngine::activate_future() {
  while (!future_.empty() && (*future_.begin())->cursor <= position_ + 1) {
    Watcher& watcher = **future_.begin();
    displace(watcher);
    place(watcher);
  }
}

void LaneEngine::add(Watcher& watcher, const WatchedKeys& range) {
  watcher.serial = next_serial_++;
  watcher.group = &index_.obtain(range);
  watcher.cursor = watcher.start_revision == 0 ? position_ + 1 : watcher.start_revision;
  metrics_.watchers.add(1);
  place(watcher);
}

void LaneEngine::remove(Watcher& watcher) {
  if (watcher.state != Watcher::State::kGone) retire(watcher);
  metrics_.watchers.add(-1);
}

void LaneEngine::retire(Watcher& watcher) {
  displace(watcher);
  index_.release(*std::exchange(watcher.group, nullptr));
  watcher.state = Watcher::State::kGone;
}

void LaneEngine::place(Watcher& watcher) {
  if (watcher.cursor > position_ + 1) {
    watcher.state = Watcher::State::kFuture;
    future_.insert(&watcher);
  } else if (watcher.cursor == position_ + 1) {
    watcher.state = Watcher::State::kSynced;
    std::vector<Watcher*>& synced = watcher.group->members_of(watcher.variant).synced;
    watcher.slot = static_cast<uint32_t>(synced.size());
    synced.push_back(&watcher);
    ++watcher.group->synced_count;
  } else {
    enqueue(watcher, way_from(watcher.cursor));
  }
}

void LaneEngine::displace(Watcher& watcher) {
  switch (watcher.state) {
    case Watcher::State::kFuture:
      future_.erase(&watcher);
      return;
    case Watcher::State::kSynced: {
      std::vector<Watcher*>& synced = watcher.group->members_of(watcher.variant).synced;
      CHECK(synced[watcher.slot] == &watcher);
      synced[watcher.slot] = synced.back();
      synced[watcher.slot]->slot = watcher.slot;
      synced.pop_back();
      --watcher.group->synced_count;
      return;
    }
    case Watcher::State::kLagging:
      dequeue(watcher);
      update_turns(*watcher.stream);
      drop_unwanted(watcher.way);
      return;
    case Watcher::State::kGone:
      CHECK(false);
  }
}

void LaneEngine::lag(Watcher& watcher, int64_t cursor) {
  lag_on(watcher, cursor, way_from(cursor));
}

void LaneEngine::lag_on(Watcher& watcher, int64_t cursor, Watcher::Way way) {
  displace(watcher);
  watcher.cursor = cursor;
  enqueue(watcher, way);
}

Watcher::Way LaneEngine::way_from(int64_t cursor) const {
  return window_.covers(cursor) ? Watcher::Way::kWindow : Watcher::Way::kStore;
}

void LaneEngine::enqueue(Watcher& watcher, Watcher::Way way) {
  CHECK(watcher.cursor <= position_);
  watcher.state = Watcher::State::kLagging;
  watcher.way = way;
  watcher.stream->lag().queue(way).insert(watcher);
  ++sweep(way).watchers;
  sweep(way).want_previous += watcher.variant.prev_kv;
  metrics_.slow_watchers.add(1);
  metrics_.lag_moves.add(1);
  update_turns(*watcher.stream);
  schedule_catch_up();
}

// The caller sees to update_turns() and drop_unwanted().
void LaneEngine::dequeue(Watcher& watcher) {
  watcher.stream->lag().queue(watcher.way).erase(watcher);
  Sweep& from = sweep(watcher.way);
  CHECK(from.watchers > 0);
  --from.watchers;
  from.want_previous -= watcher.variant.prev_kv;
  CHECK(from.want_previous <= from.watchers);
  metrics_.slow_watchers.add(-1);
}

void LaneEngine::drop_unwanted(Watcher::Way way) {
  Sweep& sweep = this->sweep(way);
  if (!sweep.served) return;
  const ServedSlice& slice = *sweep.served;
  if (sweep.watchers == 0 ||
      (slice.holds_back() && sweep.order.next_in(slice.from(), slice.through(), {}) == nullptr)) {
    sweep.served.reset();
  }
}

void LaneEngine::update_turns(StreamState& stream) {
  StreamLag& lag = stream.lag();
  int64_t oldest = 0;
  for (size_t i = 0; i < std::size(lag.queues); ++i) {
    const LagQueue& queue = lag.queues[i];
    const bool served = !queue.empty() && !stream.known_stalled();
    sweeps_[i].order.move(stream, lag.serial, &lag.turns[i], served ? queue.next() : 0);
    if (!served) continue;
    const int64_t lowest = queue.first().cursor;
    oldest = oldest == 0 ? lowest : std::min(oldest, lowest);
  }
  oldest_.move(stream, lag.serial, &lag.oldest, oldest);
}

size_t LaneEngine::send(Watcher& watcher, const EventBlock& block, size_t first, int64_t through) {
  while (first < block.size()) {
    if (watcher.stream->stalled()) return first;
    size_t last = response_end(block, first, options_);
    bool names_through = through != 0 && last == block.size();
    send_response(watcher, block, first, last, names_through ? through : block.revisions[last - 1]);
    first = last;
  }
  return first;
}

void LaneEngine::send_response(Watcher& watcher, const EventBlock& block, size_t first, size_t last,
                               int64_t revision) {
  StreamState& stream = *watcher.stream;
  watcher.progress_due = false;
  ResponseHead head = head_of(watcher, revision, false);
  size_t events_size = block.ends[last - 1] - block.begin_of(first);
  bool whole = !watcher.fragment || last - first < 2 ||
               encoded_head_size(head) + events_size < options_.fragment_bytes;
  if (whole) {
    stream.send_events(encoded_head(head), block.part(first, last), last - first);
    return;
  }
  head.fragment = true;
  const size_t head_size = encoded_head_size(head);
  while (first < last) {
    size_t end = fragment_end(block, first, last, head_size, options_.fragment_bytes);
    head.fragment = end < last;
    stream.send_events(encoded_head(head), block.part(first, end), end - first);
    first = end;
  }
}

ResponseHead LaneEngine::head_of(const Watcher& watcher, int64_t revision, bool fragment) const {
  ResponseHead head;
  head.cluster = options_.cluster;
  head.member = options_.member;
  head.term = source_.raft_term();
  head.revision = revision;
  head.watch_id = watcher.id;
  head.fragment = fragment;
  return head;
}

const Bytes& LaneEngine::encoded_head(const ResponseHead& head) {
  if (last_head_bytes_.empty() || !(head == last_head_)) {
    last_head_ = head;
    last_head_bytes_ = encode_head(head);
  }
  return last_head_bytes_;
}

void LaneEngine::check_invariants() const {
  index_.check_invariants();
  if (!window_.empty()) CHECK(window_.last_revision() == position_);
  size_t lagging = 0, future = 0, in_order[2] = {0, 0};
  for (const StreamState* stream : streams_) {
    for (const auto& [id, watcher] : stream->watchers()) {
      CHECK(watcher->id == id);
      CHECK(watcher->stream == stream);
      check_invariants(*watcher);
      lagging += watcher->state == Watcher::State::kLagging;
      future += watcher->state == Watcher::State::kFuture;
    }
    check_turns(*stream);
    for (size_t i = 0; i < 2; ++i) in_order[i] += stream->lag().turns[i] != 0;
  }
  CHECK(lagging == sweeps_[0].watchers + sweeps_[1].watchers);
  for (const Sweep& sweep : sweeps_) {
    if (!sweep.served || !sweep.served->holds_back()) continue;
    CHECK(sweep.order.next_in(sweep.served->from(), sweep.served->through(), {}) != nullptr);
  }
  CHECK(static_cast<int64_t>(lagging) == metrics_.slow_watchers.get());
  CHECK(future == future_.size());
  for (size_t i = 0; i < 2; ++i) {
    CHECK(in_order[i] == sweeps_[i].order.size());
    if (sweeps_[i].watchers == 0) CHECK(!sweeps_[i].served);
  }
  if (can_catch_up()) CHECK(catch_up_posted_);
}

void LaneEngine::check_invariants(const Watcher& watcher) const {
  CHECK((watcher.group == nullptr) == (watcher.state == Watcher::State::kGone));
  switch (watcher.state) {
    case Watcher::State::kSynced:
      CHECK(watcher.group->members_of(watcher.variant).synced[watcher.slot] == &watcher);
      return;
    case Watcher::State::kLagging:
      CHECK(watcher.cursor <= position_);
      return;
    case Watcher::State::kFuture:
      CHECK(watcher.cursor > position_ + 1);
      CHECK(future_.contains(const_cast<Watcher*>(&watcher)));
      return;
    case Watcher::State::kGone:
      return;
  }
}

// That the queues hold just the lagging ones follows from the sum of them all.
void LaneEngine::check_turns(const StreamState& stream) const {
  const StreamLag& lag = stream.lag();
  int64_t oldest = 0;
  for (size_t i = 0; i < std::size(lag.queues); ++i) {
    const LagQueue& queue = lag.queues[i];
    queue.check_invariants();
    const bool served = !queue.empty() && !stream.known_stalled();
    CHECK(lag.turns[i] == (served ? queue.next() : 0));
    if (!served) continue;
    CHECK(sweeps_[i].order.has({lag.turns[i], lag.serial}));
    const int64_t lowest = queue.first().cursor;
    oldest = oldest == 0 ? lowest : std::min(oldest, lowest);
  }
  CHECK(lag.oldest == oldest);
  if (oldest != 0) CHECK(oldest_.has({oldest, lag.serial}));
}

}  // namespace keelson::watch
