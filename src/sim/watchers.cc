#include "sim/watchers.h"

#include <algorithm>
#include <utility>

#include "base/key_range.h"
#include "base/text.h"

namespace keelson::sim {
namespace {

namespace pb = etcdserverpb;

struct Range {
  std::string key, end;
  bool contains(const std::string& k) const { return KeyRange{key, end}.contains(k); }
};

Range some_range(Random& random) {
  switch (random.below(5)) {
    case 0:
      return {cat("k", random.below(6)), ""};
    case 1:
      return {"k1", "k4"};
    case 2:
      return {"a", "c"};
    case 3:
      return {"lock", "locl"};
    default:
      return {std::string(1, '\0'), std::string(1, '\0')};
  }
}

}  // namespace

class Watchers::Watch final : public watch::WatchSink {
 public:
  Watch(Watchers& all, World& world) : all_(all), world_(world), range_(some_range(random())) {
    const uint64_t kind = random().below(8);
    wanted_.no_delete = kind == 0;
    wanted_.no_put = kind == 1;
    wanted_.fragment = random().below(3) == 0;
    wanted_.prev_kv = random().below(3) == 0;
  }

  // ---- the member's side
  void send(Parts response) override {
    unread_bytes_ += response.size();
    unread_.push_back(response.flat());
  }
  size_t pending_bytes() const override { return unread_bytes_; }

  // ---- the client's
  bool connected() const { return stream_ != nullptr; }
  bool is_with(int member) const { return connected() && member_ == member; }

  void connect(int member) {
    member_ = member;
    stream_ = world_.watches(member).open(*this);
    wanted_.key = range_.key;
    wanted_.range_end = range_.end;
    wanted_.start_revision = next_;
    created_ = false;
    stream_->create(wanted_);
  }

  // What was sent and not read is lost.
  void disconnect() {
    stream_.reset();
    unread_.clear();
    unread_bytes_ = 0;
    gathered_.Clear();
  }

  void ask_progress() { stream_->request_progress(); }

  void read(size_t most) {
    for (; most > 0 && !unread_.empty() && connected(); --most) {
      pb::WatchResponse response;
      const bool parses = response.ParseFromString(unread_.front());
      unread_bytes_ -= unread_.front().size();
      unread_.pop_front();
      if (!parses) return violated("is sent what does not parse");
      take(response);
    }
    if (connected() && unread_.empty()) stream_->on_writable();
  }

  bool up_to_date() const {
    return next_ > 0 && created_ && !first_match(next_, world_.history().newest());
  }

 private:
  Random& random() { return world_.random(); }
  void violated(std::string_view what) {
    world_.verdict().violated(cat("a watch of ", range_.key, " through member ", member_,
                                  ", next revision ", next_, ", ", what));
  }

  void take(const pb::WatchResponse& response) {
    if (response.canceled()) return take_cancel(response);
    if (response.created()) {
      created_ = true;
      if (next_ == 0) next_ = response.header().revision() + 1;
      return;
    }
    gathered_.MergeFrom(response);
    if (response.fragment()) return;
    const pb::WatchResponse whole = std::exchange(gathered_, {});
    if (whole.events_size() == 0) return take_progress(response);
    take_events(whole);
    if (response.header().revision() + 1 < next_) violated("gets a header of the past");
  }

  void take_cancel(const pb::WatchResponse& response) {
    const int64_t compacted = response.compact_revision();
    if (compacted == 0) return violated(cat("is cancelled: ", response.cancel_reason()));
    if (compacted > world_.history().highest_compaction())
      violated("hears of a compaction of none");
    if (next_ >= compacted) violated(cat("is cancelled by a compaction at ", compacted));
    next_ = compacted;
    disconnect();
  }

  void take_progress(const pb::WatchResponse& response) {
    const int64_t through = response.header().revision();
    if (std::optional<int64_t> missed = first_match(next_, through)) {
      return violated(cat("hears that all is sent up to ", through, " without ", *missed));
    }
    next_ = std::max(next_, through + 1);
  }

  void take_events(const pb::WatchResponse& response) {
    int i = 0;
    while (i < response.events_size()) {
      const int64_t revision = response.events(i).kv().mod_revision();
      if (revision < next_) return violated(cat("gets ", revision, " again, or too early"));
      if (std::optional<int64_t> missed = first_match(next_, revision - 1)) {
        return violated(cat("gets ", revision, " without ", *missed));
      }
      for (const Change& change : matches(revision)) {
        if (i == response.events_size() || !is(response.events(i), revision, change)) {
          return violated(cat("gets ", revision, " not as it was"));
        }
        ++i;
        ++all_.events_;
      }
      if (i < response.events_size() && response.events(i).kv().mod_revision() == revision) {
        return violated(cat("gets more of ", revision, " than there was"));
      }
      next_ = revision + 1;
    }
  }

  bool is(const mvccpb::Event& event, int64_t revision, const Change& change) const {
    if (event.kv().key() != change.key || event.kv().mod_revision() != revision) return false;
    if ((event.type() == mvccpb::Event::DELETE) != change.deleted) return false;
    if (!change.deleted && event.kv().value() != change.value) return false;
    return !wanted_.prev_kv || replaces(event, revision, change);
  }

  // The value before may be compacted away, or lost with a disk that is about to end the member.
  bool replaces(const mvccpb::Event& event, int64_t revision, const Change& change) const {
    const History::State before = world_.history().state(revision - 1);
    auto held = before.find(change.key);
    if (held == before.end()) return !event.has_prev_kv();
    if (!event.has_prev_kv()) {
      return revision - 1 < world_.history().highest_compaction() || world_.excused(member_);
    }
    return event.prev_kv().mod_revision() == held->second.revision &&
           event.prev_kv().value() == held->second.value;
  }

  bool matches(const Change& change) const {
    return range_.contains(change.key) && !(change.deleted ? wanted_.no_delete : wanted_.no_put);
  }
  std::vector<Change> matches(int64_t revision) const {
    std::vector<Change> out;
    for (const Change& change : *world_.history().at(revision)) {
      if (matches(change)) out.push_back(change);
    }
    return out;
  }
  std::optional<int64_t> first_match(int64_t from, int64_t to) const {
    for (int64_t r = std::max<int64_t>(from, 2); r <= std::min(to, world_.history().newest());
         ++r) {
      if (!matches(r).empty()) return r;
    }
    return std::nullopt;
  }

  Watchers& all_;
  World& world_;
  const Range range_;
  watch::CreateRequest wanted_;
  int64_t next_ = 0;  // the first revision that it has not been told of; 0: it was never created
  int member_ = -1;
  std::unique_ptr<watch::WatchStream> stream_;  // null: not connected
  bool created_ = false;
  std::deque<std::string> unread_;
  size_t unread_bytes_ = 0;
  pb::WatchResponse gathered_;  // the fragments of one response
};

Watchers::Watchers(World& world, int count) : world_(world) {
  for (int i = 0; i < count; ++i) watches_.push_back(std::make_unique<Watch>(*this, world));
  world.on_death([this](int member) {
    for (auto& watch : watches_) {
      if (watch->is_with(member)) watch->disconnect();
    }
  });
}

Watchers::~Watchers() = default;

void Watchers::act() {
  Random& random = world_.random();
  Watch& watch = *watches_[random.below(watches_.size())];
  if (!watch.connected()) {
    const int member = static_cast<int>(random.below(static_cast<uint64_t>(world_.size())));
    if (world_.serves(member)) watch.connect(member);
    return;
  }
  switch (random.below(12)) {
    case 0:
      return random.below(8) == 0 ? watch.disconnect() : watch.ask_progress();
    case 1:
      return watch.read(1);
    default:
      return watch.read(SIZE_MAX);
  }
}

bool Watchers::up_to_date(int member) {
  bool all = true;
  for (auto& watch : watches_) {
    if (!watch->connected()) watch->connect(member);
    watch->read(SIZE_MAX);
    all = watch->up_to_date() && all;
  }
  return all;
}

}  // namespace keelson::sim
