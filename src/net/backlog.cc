#include "net/backlog.h"

#include <utility>

#include "net/http2_call.h"

namespace keelson::net {
namespace {

// Of each turn, for one connection: less than a turn's part, so that several have theirs in one.
constexpr Duration kSlice = std::chrono::microseconds(500);

}  // namespace

void Backlog::add(Http2Call* call) {
  calls_.emplace_back(call);
  if (!std::exchange(posted_, true)) loop_.post_work(this);
}

void Backlog::abandon() {
  host_ = nullptr;
  calls_.clear();
  if (!posted_) delete this;
}

void Backlog::run() {
  until_ = loop_.impl().clock().now() + kSlice;
  running_ = true;
  while (!calls_.empty()) {
    CallRef call = std::move(calls_.front());
    calls_.pop_front();
    static_cast<Http2Call&>(*call).go_on();
    if (loop_.impl().clock().now() >= until_) break;
  }
  running_ = false;
  if (!host_) return drop();
  if (calls_.empty()) {
    posted_ = false;
  } else {
    loop_.post_work(this);
  }
  host_->wake();  // for the next read, if this was all
}

void Backlog::drop() {
  posted_ = false;
  if (!host_) delete this;
}

}  // namespace keelson::net
