#include "rpc/leader_bound.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace keelson::rpc {
namespace {

constexpr int kMostLooks = 3;

}  // namespace

void LeaderBounds::Bound::release() {
  if (of_) of_->streams_.erase(place_);
  of_ = nullptr;
}

void LeaderBounds::bind(const net::ServerCall& call, Cut cut, Bound* bound) {
  if (call.over() || call.metadata("hasleader") != "true") return;
  CHECK(bound->of_ == nullptr);
  bound->of_ = this;
  bound->place_ = streams_.insert(streams_.end(), std::move(cut));
  watch();
}

void LeaderBounds::watch() {
  if (std::exchange(watching_, true)) return;
  loop_.post_after(election_timeout_, [this] { look(); });
}

void LeaderBounds::look() {
  watching_ = false;
  const bool leader = state_.leader.load(std::memory_order_relaxed) != 0;
  without_leader_ = leader ? 0 : without_leader_ + 1;
  if (without_leader_ >= kMostLooks) {
    // What is cut may go, and take its place in the list with it.
    std::vector<Cut> cut(streams_.begin(), streams_.end());
    for (Cut& stream : cut) stream();
  }
  if (streams_.empty()) {
    without_leader_ = 0;
    return;
  }
  watch();
}

}  // namespace keelson::rpc
