#include "proxy/watch_group.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::proxy {

namespace {

constexpr char kPath[] = "/etcdserverpb.Watch/Watch";
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::seconds(1);
// Questions for progress that wait to be asked: what is beyond is left out.
constexpr size_t kMostToAsk = 64;
constexpr char kDuplicateId[] = "mvcc: duplicate watch ID provided on the WatchStream";

// What the stream to the cluster says, told to the group as long as it is there.
class GroupEvents final : public outbound::RpcStreamEvents {
 public:
  GroupEvents(std::weak_ptr<WatchGroup> group, uint64_t number)
      : group_(std::move(group)), number_(number) {}
  void on_message(Parts message) override {
    if (auto group = group_.lock()) group->on_message(number_, message);
  }
  void on_written() override {
    if (auto group = group_.lock()) group->on_written(number_);
  }
  void on_end(absl::Status status) override {
    if (auto group = group_.lock()) group->on_end(number_, status);
  }

 private:
  const std::weak_ptr<WatchGroup> group_;
  const uint64_t number_;
};

}  // namespace

WatchGroup::~WatchGroup() { close(); }

void WatchGroup::close() {
  closed_ = true;
  if (stream_) std::exchange(stream_, nullptr)->cancel();
}

void WatchGroup::add(std::unique_ptr<GroupClient> client) {
  const uint64_t number = client->number;
  clients_[number] = std::move(client);
}

void WatchGroup::remove(GroupClient* client) {
  for (auto& [id, watcher] : client->watchers) detach(*watcher);
  std::erase(waiting_for_progress_, client);
  clients_.erase(client->number);
}

// ---- what clients ask for

void WatchGroup::refuse(GroupClient& client, std::string_view reason) {
  client.sink->send(watch_refused(reason));
  client.sink->answered();
}

void WatchGroup::create(GroupClient& client, WatchWish wish) {
  if (wish.start < 0) return refuse(client, message_of(errors::Compacted()));
  if (wish.is_empty_range()) return refuse(client, "");
  if (wish.id != 0 && client.watchers.count(wish.id) > 0) return refuse(client, kDuplicateId);
  while (wish.id == 0 && client.watchers.count(client.next_id) > 0) ++client.next_id;
  const int64_t id = wish.id != 0 ? wish.id : client.next_id++;
  auto watcher = std::make_unique<Watcher>();
  watcher->client = &client;
  watcher->id = id;
  watcher->next = wish.start;
  watcher->wish = std::move(wish);
  Watcher& made = *(client.watchers[id] = std::move(watcher));
  if (!client.paused) attach(made);
}

void WatchGroup::cancel(GroupClient& client, int64_t id) {
  const auto found = client.watchers.find(id);
  if (found == client.watchers.end()) return;
  Watcher& watcher = *found->second;
  detach(watcher);
  if (!watcher.created) client.sink->answered();
  client.watchers.erase(found);
  client.sink->send(watch_cancelled(last_header_, id));
}

void WatchGroup::ask_progress(GroupClient& client) {
  // A server that cannot tell yet says nothing, and clients ask again.
  if (client.paused || !stream_ || to_ask_progress_ >= kMostToAsk) return;
  ++to_ask_progress_;
  std::erase(waiting_for_progress_, &client);
  waiting_for_progress_.push_back(&client);
  write_next();
}

void WatchGroup::resume(uint64_t number) {
  const auto found = clients_.find(number);
  if (found == clients_.end() || !std::exchange(found->second->paused, false)) return;
  for (auto& [id, watcher] : found->second->watchers) attach(*watcher);
}

void WatchGroup::pause(GroupClient& client) {
  client.paused = true;
  std::erase(waiting_for_progress_, &client);
  for (auto& [id, watcher] : client.watchers) detach(*watcher);
  client.sink->when_read([group = weak_from_this(), number = client.number] {
    if (const auto self = group.lock()) self->resume(number);
  });
}

// ---- watchers and broadcasts

Broadcast* WatchGroup::fitting(const Watcher& watcher) {
  if (watcher.next == 0) return nullptr;
  Broadcast* best = nullptr;
  const auto found = by_range_.find({watcher.wish.key, watcher.wish.end, watcher.wish.prev_kv});
  if (found == by_range_.end()) return nullptr;
  for (Broadcast* one : found->second) {
    const bool fits = one->created && one->next != 0 && one->next <= watcher.next;
    if (fits && (!best || one->next > best->next)) best = one;
  }
  return best;
}

void WatchGroup::enter(Watcher& watcher, Broadcast& broadcast) {
  CHECK(watcher.broadcast == nullptr);
  if (!broadcast.watchers.empty()) deps_.metrics.watchers_coalescing.add(1);
  broadcast.watchers.insert(&watcher);
  watcher.broadcast = &broadcast;
}

void WatchGroup::attach(Watcher& watcher) {
  if (Broadcast* broadcast = fitting(watcher)) {
    enter(watcher, *broadcast);
    if (std::exchange(watcher.created, true)) return;
    watcher.client->sink->send(watch_created(last_header_, watcher.id));
    return watcher.client->sink->answered();
  }
  auto made = std::make_unique<Broadcast>();
  Broadcast& broadcast = *made;
  broadcast.id = ++last_id_;
  broadcast.range = {watcher.wish.key, watcher.wish.end, watcher.wish.prev_kv};
  broadcast.next = watcher.next;
  broadcasts_[broadcast.id] = std::move(made);
  by_range_[broadcast.range].insert(&broadcast);
  enter(watcher, broadcast);
  if (stream_) {
    ask_for(broadcast);
  } else if (!reopening_) {
    open();
  }
}

void WatchGroup::detach(Watcher& watcher) {
  Broadcast* broadcast = std::exchange(watcher.broadcast, nullptr);
  if (!broadcast) return;
  broadcast->watchers.erase(&watcher);
  if (!broadcast->watchers.empty()) {
    deps_.metrics.watchers_coalescing.add(-1);
    return;
  }
  if (stream_ && broadcast->asked) to_cancel_.push_back(broadcast->id);
  end(*broadcast);
  write_next();
}

void WatchGroup::end(Broadcast& broadcast) {
  CHECK(broadcast.watchers.empty());
  const auto range = by_range_.find(broadcast.range);
  range->second.erase(&broadcast);
  if (range->second.empty()) by_range_.erase(range);
  to_create_.erase(broadcast.id);
  broadcasts_.erase(broadcast.id);
}

// Who has caught up with another goes on with it.
void WatchGroup::merge(Broadcast& broadcast) {
  for (Broadcast* other : by_range_[broadcast.range]) {
    const bool fits = other != &broadcast && other->created && other->caught_up &&
                      other->next != 0 && other->next <= broadcast.next;
    if (!fits) continue;
    const std::set<Watcher*> watchers = broadcast.watchers;
    for (Watcher* watcher : watchers) {
      detach(*watcher);
      enter(*watcher, *other);
    }
    return;  // and the last of them has ended it
  }
}

void WatchGroup::forget(GroupClient& client, int64_t id) {
  const auto found = client.watchers.find(id);
  Watcher& watcher = *found->second;
  if (watcher.broadcast) {
    if (watcher.broadcast->watchers.size() > 1) deps_.metrics.watchers_coalescing.add(-1);
    watcher.broadcast->watchers.erase(&watcher);
  }
  client.watchers.erase(found);
}

// ---- the stream to the cluster

void WatchGroup::open() {
  CHECK(!stream_);
  if (closed_) return;
  reopening_ = false;
  writing_ = false;
  to_create_.clear();
  to_cancel_.clear();
  to_ask_progress_ = 0;
  unanswered_.clear();
  waiting_for_progress_.clear();
  outbound::RpcRequest request{.path = kPath, .metadata = metadata_};
  const uint64_t number = ++stream_number_;
  stream_ = deps_.client.stream(std::move(request), &deps_.lane,
                                std::make_unique<GroupEvents>(weak_from_this(), number));
  if (!silent_since_) silent_since_ = deps_.clock.now();
  for (auto& [id, broadcast] : broadcasts_) {
    broadcast->asked = broadcast->created = false;
    ask_for(*broadcast);
  }
  stream_->read();
}

void WatchGroup::ask_for(Broadcast& broadcast) {
  to_create_.insert(broadcast.id);
  write_next();
}

void WatchGroup::write_next() {
  if (!stream_ || writing_) return;
  if (to_create_.empty() && to_cancel_.empty() && to_ask_progress_ == 0) return;
  writing_ = true;
  stream_->write(next_message());
}

// Whoever asks for progress hears of it behind what it asked for before. Cancellations come first,
// so that there is never more to cancel than the cluster has.
Bytes WatchGroup::next_message() {
  if (!to_cancel_.empty()) {
    const int64_t id = to_cancel_.front();
    to_cancel_.pop_front();
    return cancel_watch(id);
  }
  if (to_create_.empty()) {
    CHECK(to_ask_progress_ > 0);
    --to_ask_progress_;
    return proxy::ask_progress();
  }
  Broadcast& broadcast = *broadcasts_.at(to_create_.extract(to_create_.begin()).value());
  broadcast.asked = true;
  unanswered_.push_back(broadcast.id);
  const auto& [key, end, prev_kv] = broadcast.range;
  return create_watch({.key = key, .end = end, .prev_kv = prev_kv}, broadcast.id, broadcast.next);
}

void WatchGroup::on_written(uint64_t stream) {
  if (stream != stream_number_ || !stream_) return;
  writing_ = false;
  write_next();
}

void WatchGroup::on_end(uint64_t stream, const absl::Status& status) {
  if (stream != stream_number_ || !stream_ || closed_) return;
  stream_.reset();
  const absl::Status why =
      status.ok() ? absl::UnavailableError("the cluster ended its watch stream") : status;
  if (broadcasts_.empty()) return silent_since_.reset();  // nobody waits
  const bool over = !absl::IsUnavailable(why) || why == errors::NoLeader() ||
                    (silent_since_ && deps_.clock.now() - *silent_since_ >= WatchHub::kPatience);
  over ? give_up(why) : reopen_later(why);
}

void WatchGroup::reopen_later(const absl::Status& why) {
  if (!silent_since_) {
    silent_since_ = deps_.clock.now();
    pause_ = Duration(0);
    log::warn("lost a watch stream to the cluster", {{"error", message_of(why)}});
  }
  pause_ = std::clamp<Duration>(pause_ * 2, kFirstPause, kLongestPause);
  reopening_ = true;
  deps_.lane.post_after(pause_, [group = weak_from_this()] {
    const auto self = group.lock();
    if (!self || self->closed_ || self->stream_) return;
    self->reopening_ = false;
    if (!self->broadcasts_.empty()) return self->open();
    self->silent_since_.reset();  // nobody waits
  });
}

void WatchGroup::give_up(const absl::Status& why) {
  silent_since_.reset();
  pause_ = Duration(0);
  for (auto& [at, client] : clients_) {
    if (client->watchers.empty()) continue;
    for (auto& [id, watcher] : client->watchers) detach(*watcher);
    client->watchers.clear();
    client->sink->end(why);
  }
  CHECK(broadcasts_.empty());
}

void WatchGroup::on_message(uint64_t stream, const Parts& bytes) {
  if (stream != stream_number_ || !stream_) return;
  const auto self = shared_from_this();
  silent_since_.reset();
  pause_ = Duration(0);
  const absl::StatusOr<WatchMessage> message = WatchMessage::read(bytes, deps_.prefix);
  if (!message.ok()) {
    std::exchange(stream_, nullptr)->cancel();
    return give_up(message.status());
  }
  if (!message->header().empty()) last_header_ = message->header();
  if (message->id() == -1 && message->is_progress()) {
    if (!waiting_for_progress_.empty()) {
      waiting_for_progress_.front()->sink->send(message->control(-1, false));
      waiting_for_progress_.pop_front();
    }
  } else if (Broadcast* broadcast = meant(*message)) {
    take(*broadcast, *message);
  }
  if (stream_) stream_->read();
}

// Null: one that has ended meanwhile.
Broadcast* WatchGroup::meant(const WatchMessage& message) {
  int64_t id = message.id();
  if (message.created()) {
    if (unanswered_.empty()) return nullptr;
    id = unanswered_.front();
    unanswered_.pop_front();
  }
  const auto found = broadcasts_.find(id);
  return found == broadcasts_.end() ? nullptr : found->second.get();
}

void WatchGroup::take(Broadcast& broadcast, const WatchMessage& message) {
  if (message.cancelled()) return cancelled(broadcast, message);
  if (message.created()) return created(broadcast, message);
  if (message.has_events()) return events(broadcast, message);
  if (message.is_progress()) progress(broadcast, message);
}

void WatchGroup::created(Broadcast& broadcast, const WatchMessage& message) {
  broadcast.created = true;
  broadcast.revision_then = message.revision();
  broadcast.caught_up = broadcast.next == 0 || broadcast.next > message.revision();
  if (broadcast.next == 0) broadcast.next = message.revision() + 1;
  const std::set<Watcher*> watchers = broadcast.watchers;
  for (Watcher* watcher : watchers) {
    if (watcher->next == 0) watcher->next = broadcast.next;
    if (std::exchange(watcher->created, true)) continue;
    watcher->client->sink->send(message.control(watcher->id, true));
    watcher->client->sink->answered();
  }
  merge(broadcast);
}

void WatchGroup::cancelled(Broadcast& broadcast, const WatchMessage& message) {
  const std::set<Watcher*> watchers = broadcast.watchers;
  for (Watcher* watcher : watchers) {
    GroupClient& client = *watcher->client;
    const bool known = watcher->created;
    client.sink->send(known ? message.control(watcher->id, false) : message.control(-1, true));
    if (!known) client.sink->answered();
    forget(client, watcher->id);
  }
  end(broadcast);
}

void WatchGroup::events(Broadcast& broadcast, const WatchMessage& message) {
  const int64_t next = message.last_revision() + 1;
  if (broadcast.watchers.size() > 1) {
    deps_.metrics.events_coalescing.add(broadcast.watchers.size() - 1);
  }
  broadcast.next = std::max(broadcast.next, next);
  if (message.last_revision() > broadcast.revision_then) broadcast.caught_up = true;
  const int64_t id = broadcast.id;
  const std::set<Watcher*> watchers = broadcast.watchers;
  for (Watcher* watcher : watchers) {
    // Others of its client may have taken it out.
    if (watcher->broadcast != &broadcast) continue;
    const int64_t from = watcher->next;
    watcher->next = std::max(from, next);
    std::optional<Parts> wanted = message.events(watcher->id, from, watcher->wish);
    if (wanted) deliver(*watcher, *std::move(wanted));
  }
  if (const auto found = broadcasts_.find(id); found != broadcasts_.end()) merge(*found->second);
}

void WatchGroup::progress(Broadcast& broadcast, const WatchMessage& message) {
  broadcast.next = std::max(broadcast.next, message.revision() + 1);
  broadcast.caught_up = true;
  const int64_t id = broadcast.id;
  const std::set<Watcher*> watchers = broadcast.watchers;
  for (Watcher* watcher : watchers) {
    if (watcher->broadcast != &broadcast || watcher->next > message.revision() + 1) continue;
    watcher->next = message.revision() + 1;
    if (watcher->wish.progress) deliver(*watcher, message.control(watcher->id, false));
  }
  if (const auto found = broadcasts_.find(id); found != broadcasts_.end()) merge(*found->second);
}

void WatchGroup::deliver(Watcher& watcher, Parts message) {
  GroupClient& client = *watcher.client;
  client.sink->send(std::move(message));
  if (client.sink->unread() > WatchHub::kMostUnread) pause(client);
}

}  // namespace keelson::proxy
