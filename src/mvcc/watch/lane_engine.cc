#include "mvcc/watch/lane_engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "mvcc/watch/lane_match.h"
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
  lag_all();
  window_.clear();
  position_ = revision;
  activate_future();
  schedule_catch_up();
}

void LaneEngine::lag_all() {
  for (StreamState* stream : streams_) {
    for (const auto& [id, watcher] : stream->watchers()) {
      if (watcher->state == Watcher::State::kSynced) lag(*watcher, position_ + 1);
    }
  }
}

void LaneEngine::deliver_new(const Slice& slice) {
  for (const mvcc::EventBatchPtr& batch : slice.batches) window_.add(batch);
  position_ = slice.through;
  match(slice, [](const WatchGroup& group) { return group.synced_count > 0; });
  for (WatchGroup* group : touched_) {
    for (WatchGroup::Members& members : group->members) {
      if (!members.synced.empty()) deliver_synced(*group, members);
    }
  }
  forget_matches();
  activate_future();
}

void LaneEngine::deliver_synced(WatchGroup& group, WatchGroup::Members& members) {
  EventBlock block = encode_events(group.matched, members.variant, source_);
  if (block.size() == 0) return;
  // From the back: a watcher that lags from here on leaves the list, and the one that takes its
  // place has been served already.
  for (size_t i = members.synced.size(); i-- > 0;) {
    Watcher& watcher = *members.synced[i];
    size_t sent = send(watcher, block, 0, 0);
    if (sent < block.size()) lag(watcher, block.revisions[sent]);
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
    watcher.state = Watcher::State::kLagging;
    metrics_.slow_watchers.add(1);
    if (watcher.stream->known_stalled()) return;
    lagging_.insert(&watcher);
    schedule_catch_up();
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
      metrics_.slow_watchers.add(-1);
      lagging_.erase(&watcher);  // not in it if its stream is stalled
      return;
    case Watcher::State::kGone:
      CHECK(false);
  }
}

void LaneEngine::lag(Watcher& watcher, int64_t cursor) {
  CHECK(cursor <= position_ + 1);
  displace(watcher);
  watcher.cursor = cursor;
  watcher.state = Watcher::State::kLagging;
  metrics_.slow_watchers.add(1);
  if (watcher.stream->known_stalled()) return;
  lagging_.insert(&watcher);
  schedule_catch_up();
}

void LaneEngine::stall(StreamState& stream) {
  for (const auto& [id, watcher] : stream.watchers()) {
    if (watcher->state == Watcher::State::kLagging) lagging_.erase(watcher.get());
  }
}

void LaneEngine::resume(StreamState& stream) {
  for (const auto& [id, watcher] : stream.watchers()) {
    if (watcher->state == Watcher::State::kLagging) lagging_.insert(watcher.get());
  }
  schedule_catch_up();
}

void LaneEngine::forget_matches() {
  for (WatchGroup* group : touched_) group->matched.clear();
  touched_.clear();
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
  size_t lagging = 0, future = 0;
  int64_t slow = 0;
  for (const StreamState* stream : streams_) {
    for (const auto& [id, watcher] : stream->watchers()) {
      CHECK(watcher->id == id);
      CHECK(watcher->stream == stream);
      CHECK((watcher->group == nullptr) == (watcher->state == Watcher::State::kGone));
      bool is_lagging = watcher->state == Watcher::State::kLagging;
      bool in_lagging = lagging_.contains(watcher.get());
      CHECK(in_lagging == (is_lagging && !stream->known_stalled()));
      lagging += in_lagging;
      slow += is_lagging;
      if (is_lagging) CHECK(watcher->cursor <= position_);
      if (watcher->state == Watcher::State::kFuture) {
        CHECK(watcher->cursor > position_ + 1);
        CHECK(future_.contains(watcher.get()));
        ++future;
      }
      if (watcher->state == Watcher::State::kSynced) {
        CHECK(watcher->group->members_of(watcher->variant).synced[watcher->slot] == watcher.get());
      }
    }
  }
  CHECK(lagging == lagging_.size());
  CHECK(future == future_.size());
  CHECK(slow == metrics_.slow_watchers.get());
  CHECK(touched_.empty());
  if (!lagging_.empty()) CHECK(catch_up_posted_);
}

}  // namespace keelson::watch
