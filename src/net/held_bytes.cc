#include "net/held_bytes.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "net/loop_impl.h"

namespace keelson::net {
namespace {

// Connections that would hold no more than the one are never refused for what others hold, those
// that would hold no more than the other only when the whole budget is used up.
constexpr size_t kNextToNothing = 16 << 10;
constexpr size_t kLittle = 1 << 20;

constexpr Duration kPatience = std::chrono::seconds(1);
// Waiting longer than this is no worse.
constexpr Duration kLongest = std::chrono::minutes(1);
// Between two looks of a loop at who could give up what.
constexpr Duration kPause = std::chrono::milliseconds(100);
// What is given up in one task.
constexpr size_t kAtOnce = 1000;

size_t much(size_t most) { return most - most / 4; }
size_t relief_from(size_t most) { return most / 8 * 5; }
size_t relief_to(size_t most) { return most / 2; }

// The room that something needs. What is larger than all there is has it nearly alone.
size_t room_for(size_t more, size_t limit) { return std::min(more, limit - limit / 8); }

// In byte-seconds; 0: the client has its time still.
double weight(const HeldItem& item, MonotonicTime now) {
  const Duration waited = now - item.since;
  if (waited < kPatience) return 0;
  const std::chrono::duration<double> seconds = std::min(waited, kLongest);
  return static_cast<double>(item.bytes) * seconds.count();
}

}  // namespace

struct HeldBudget::Stalled {
  HeldBytes* account;
  double weight;  // of all it holds
};

// ---- HeldBudget

HeldBudget::HeldBudget(HeldSort sort, size_t most, int loops)
    : sort_(sort), most_(most), lanes_(static_cast<size_t>(loops)) {}

HeldBudget::~HeldBudget() {
  for (const Lane& lane : lanes_) CHECK(lane.first == nullptr);
}

size_t HeldBudget::total() const {
  size_t sum = 0;
  for (const Lane& lane : lanes_) sum += lane.bytes.load(std::memory_order_relaxed);
  return sum;
}

HeldBudget::Lane& HeldBudget::lane_of(Loop* loop) {
  const auto number = static_cast<size_t>(loop->number());
  CHECK(number < lanes_.size());
  lanes_[number].loop.store(loop, std::memory_order_release);
  return lanes_[number];
}

void HeldBudget::look(Lane& lane) {
  const size_t all = total();
  // The sum is not taken in one instant.
  const size_t own = lane.bytes.load(std::memory_order_relaxed);
  lane.others = all > own ? all - own : 0;
  lane.added = 0;
  if (all > relief_from(most_)) ask_for_relief(0);
}

bool HeldBudget::admits(Lane& lane, size_t own, size_t more) {
  if (own + more <= kNextToNothing) return true;
  if (more >= HeldBytes::kStep) look(lane);
  const size_t limit = own + more <= kLittle ? most_ : much(most_);
  const auto fits = [&] {
    const size_t all = lane.others + lane.bytes.load(std::memory_order_relaxed);
    return all + room_for(more, limit) <= limit;
  };
  if (fits()) return true;
  look(lane);  // the others may hold less by now
  if (fits()) return true;
  ask_for_relief(more);
  return refuse();
}

void HeldBudget::ask_for_relief(size_t wanted) {
  for (Lane& lane : lanes_) {
    Loop* loop = lane.loop.load(std::memory_order_acquire);
    if (!loop) continue;
    if (wanted > lane.wanted.load(std::memory_order_relaxed)) lane.wanted.store(wanted);
    if (lane.asked.exchange(true, std::memory_order_relaxed)) continue;
    loop->post([self = shared_from_this(), &lane] { self->relieve(lane); });
  }
}

size_t HeldBudget::share(Lane& lane) const {
  const size_t room = room_for(lane.wanted.exchange(0), much(most_));
  const size_t target = std::min(relief_to(most_), much(most_) - room);
  const size_t all = total();
  if (all <= target) return 0;
  const double part =
      static_cast<double>(lane.bytes.load(std::memory_order_relaxed)) / static_cast<double>(all);
  return static_cast<size_t>(static_cast<double>(all - target) * std::min(part, 1.0));
}

void HeldBudget::relieve(Lane& lane) {
  Loop& loop = *lane.loop.load(std::memory_order_relaxed);
  const MonotonicTime now = loop.now();
  lane.asked.store(false, std::memory_order_relaxed);
  if (lane.relieved + kPause > now) return;  // whoever still needs it asks again
  lane.relieved = now;
  const size_t wanted = share(lane);
  GivenUp gone;
  for (const Stalled& one : stalled(lane, now)) {
    if (gone.bytes >= wanted || gone.times >= kAtOnce) break;
    const GivenUp more = give_up(*one.account, wanted - gone.bytes, now);
    gone.times += more.times;
    gone.bytes += more.bytes;
  }
  if (gone.times > 0) {
    given_up_.fetch_add(gone.times, std::memory_order_relaxed);
    log::warn("clients that do not go on make the member hold too much; some of it is given up",
              {{"what", sort_ == HeldSort::kIncoming ? "requests" : "answers"},
               {"given-up", gone.times},
               {"given-up-bytes", gone.bytes},
               {"held-bytes", total()},
               {"limit", most_}});
  }
  look(lane);
}

// Whose clients do not go on, the worst first.
std::vector<HeldBudget::Stalled> HeldBudget::stalled(Lane& lane, MonotonicTime now) const {
  std::vector<Stalled> out;
  for (HeldBytes* account = lane.first; account;) {
    HeldBytes* const next = account->next_;
    if (account->bytes_ == 0) {
      account->unlist();
    } else {
      Stalled one{account, 0};
      account->holder_.each_held(sort_,
                                 [&](const HeldItem& item) { one.weight += weight(item, now); });
      if (one.weight > 0) out.push_back(one);
    }
    account = next;
  }
  std::sort(out.begin(), out.end(),
            [](const Stalled& a, const Stalled& b) { return a.weight > b.weight; });
  return out;
}

HeldBudget::GivenUp HeldBudget::give_up(HeldBytes& account, size_t bytes, MonotonicTime now) const {
  std::vector<std::pair<double, HeldItem>> items;
  account.holder_.each_held(sort_, [&](const HeldItem& item) {
    if (const double w = weight(item, now); w > 0) items.emplace_back(w, item);
  });
  std::sort(items.begin(), items.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  GivenUp gone;
  for (const auto& [w, item] : items) {
    if (gone.bytes >= bytes || gone.times >= kAtOnce) break;
    ++gone.times;
    gone.bytes += item.bytes;
    account.holder_.give_up(sort_, item.id);
    if (account.bytes_ == 0) break;  // all of it has gone
  }
  return gone;
}

// ---- HeldBytes

HeldBytes::HeldBytes(std::shared_ptr<HeldBudget> budget, Loop* loop, size_t most, Holder* holder)
    : budget_(std::move(budget)), lane_(budget_->lane_of(loop)), most_(most), holder_(*holder) {}

HeldBytes::~HeldBytes() {
  CHECK(bytes_ == 0);
  if (listed_) unlist();
}

void HeldBytes::list() {
  CHECK(!listed_);
  listed_ = true;
  prev_ = nullptr;
  next_ = lane_.first;
  if (next_) next_->prev_ = this;
  lane_.first = this;
}

void HeldBytes::unlist() {
  CHECK(listed_);
  listed_ = false;
  (prev_ ? prev_->next_ : lane_.first) = next_;
  if (next_) next_->prev_ = prev_;
}

}  // namespace keelson::net
