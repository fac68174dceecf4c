#include "mvcc/watch/stream_state.h"

#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "mvcc/watch/lane_engine.h"

namespace keelson::watch {

namespace {

// etcd's texts (server/storage/mvcc/watcher.go); clients match them.
constexpr std::string_view kEmptyRange = "mvcc: watcher range is empty";
constexpr std::string_view kDuplicateId = "mvcc: duplicate watch ID provided on the WatchStream";

WatchedKeys range_of(const CreateRequest& request) {
  using namespace std::string_view_literals;
  WatchedKeys range;
  // An empty key means the smallest one.
  range.begin = request.key.empty() ? "\0"sv : request.key;
  if (request.range_end == "\0"sv) {
    range.kind = WatchedKeys::Kind::kFrom;
  } else if (!request.range_end.empty()) {
    range.kind = WatchedKeys::Kind::kBounded;
    range.end = request.range_end;
  }
  return range;
}

}  // namespace

StreamState::StreamState(LaneEngine& engine, WatchSink& sink) : engine_(engine), sink_(sink) {
  engine_.stream_opened(*this);
}

StreamState::~StreamState() {
  for (auto& [id, watcher] : watchers_) engine_.remove(*watcher);
  watchers_.clear();
  engine_.metrics().pending_events.add(-pending_events_);
  engine_.stream_closed(*this);
}

std::optional<int64_t> StreamState::create(const CreateRequest& request) {
  const auto refused = [this](std::string_view reason) {
    refuse(reason);
    return std::nullopt;
  };
  if (request.start_revision < 0) return refused(message_of(errors::Compacted()));
  engine_.take_all_new();
  WatchedKeys range = range_of(request);
  if (range.kind == WatchedKeys::Kind::kBounded && range.begin >= range.end) {
    return refused(kEmptyRange);
  }
  if (request.watch_id != 0 && watchers_.contains(request.watch_id)) return refused(kDuplicateId);

  auto watcher = std::make_unique<Watcher>();
  watcher->stream = this;
  watcher->id = request.watch_id != 0 ? request.watch_id : choose_id();
  watcher->variant = {request.no_put, request.no_delete, request.prev_kv};
  watcher->fragment = request.fragment;
  watcher->progress_notify = request.progress_notify;
  watcher->start_revision = request.start_revision;
  send_head({.watch_id = watcher->id, .created = true}, engine_.position());
  if (request.progress_notify) start_progress_timer();
  Watcher& added = *(watchers_[watcher->id] = std::move(watcher));
  engine_.add(added, range);
  return added.id;
}

int64_t StreamState::choose_id() {
  while (watchers_.contains(next_id_)) ++next_id_;
  return next_id_++;
}

void StreamState::refuse(std::string_view reason) {
  engine_.take_all_new();
  send_head({.watch_id = kNoWatchId, .created = true, .canceled = true, .cancel_reason = reason},
            engine_.position());
}

void StreamState::cancel(int64_t watch_id) {
  auto it = watchers_.find(watch_id);
  if (it == watchers_.end()) return;
  engine_.take_all_new();
  engine_.remove(*it->second);
  watchers_.erase(it);
  send_head({.watch_id = watch_id, .canceled = true}, engine_.position());
}

bool StreamState::synced(const Watcher& watcher) const {
  return watcher.state == Watcher::State::kSynced && engine_.position() >= watcher.start_revision;
}

void StreamState::request_progress() {
  KEELSON_FAILPOINT("watch_before_progress");
  engine_.take_all_new();
  if (watchers_.empty()) return;
  for (const auto& [id, watcher] : watchers_) {
    if (!synced(*watcher)) return;
  }
  send_head({.watch_id = kNoWatchId}, engine_.position());
}

void StreamState::on_writable() {
  if (sink_.pending_bytes() == 0) {
    engine_.metrics().pending_events.add(-std::exchange(pending_events_, 0));
  }
  if (!stalled_ || congested()) return;
  KEELSON_FAILPOINT("watch_before_resume");
  stalled_ = false;
  engine_.update_turns(*this);
  engine_.schedule_catch_up();
}

bool StreamState::congested() const {
  return sink_.pending_bytes() > engine_.options().stream_pending;
}

bool StreamState::stalled() {
  if (!stalled_ && congested()) {
    stalled_ = true;
    engine_.update_turns(*this);
  }
  return stalled_;
}

void StreamState::send_events(Bytes head, Parts events, size_t count) {
  WatchMetrics& metrics = engine_.metrics();
  int64_t settled = sink_.pending_bytes() == 0 ? std::exchange(pending_events_, 0) : 0;
  pending_events_ += static_cast<int64_t>(count);
  metrics.pending_events.add(static_cast<int64_t>(count) - settled);
  metrics.events_sent.add(static_cast<int64_t>(count));
  metrics.responses_sent.add(1);
  Parts response(std::move(head));
  response.add(std::move(events));
  KEELSON_FAILPOINT("watch_before_send");
  sink_.send(std::move(response));
}

void StreamState::send_head(ResponseHead head, int64_t revision) {
  head.cluster = engine_.options().cluster;
  head.member = engine_.options().member;
  head.term = engine_.source().raft_term();
  head.revision = revision;
  engine_.metrics().responses_sent.add(1);
  if (!head.created) KEELSON_FAILPOINT("watch_before_send");
  sink_.send(encode_head(head));
}

// etcd leaves the header's revision out here.
void StreamState::send_compacted(const Watcher& watcher, int64_t compact_revision) {
  send_head({.watch_id = watcher.id, .canceled = true, .compact_revision = compact_revision}, 0);
}

void StreamState::send_failed(const Watcher& watcher, std::string_view reason) {
  send_head({.watch_id = watcher.id, .canceled = true, .cancel_reason = reason},
            engine_.position());
}

// The interval is per stream and has a random part, so that clients that came together are not
// notified together for ever (as in etcd).
void StreamState::start_progress_timer() {
  if (progress_interval_ == Duration(0)) {
    progress_interval_ = engine_.options().progress_interval;
    auto tenth = static_cast<uint64_t>(progress_interval_.count()) / 10;
    if (tenth > 0) progress_interval_ += Duration(engine_.random().below(tenth));
  }
  if (std::exchange(progress_timer_, true)) return;
  engine_.lane().post_after(progress_interval_, [alive = std::weak_ptr(alive_)] {
    if (auto stream = alive.lock()) (*stream)->progress_tick();
  });
}

void StreamState::progress_tick() {
  progress_timer_ = false;
  engine_.take_all_new();
  bool wanted = false;
  for (auto& [id, watcher] : watchers_) {
    if (!watcher->progress_notify) continue;
    wanted = true;
    if (watcher->progress_due && synced(*watcher) && !congested()) {
      send_head({.watch_id = id}, engine_.position());
    }
    watcher->progress_due = true;
  }
  if (wanted) start_progress_timer();
}

}  // namespace keelson::watch
