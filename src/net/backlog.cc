#include "net/backlog.h"

#include <utility>

#include "net/http2_stream.h"

namespace keelson::net {
namespace {

// Of each turn, for one connection: less than a turn's part, so that several have theirs in one.
constexpr Duration kSlice = std::chrono::microseconds(500);

}  // namespace

void Backlog::add(Http2Stream* stream) {
  stream->keep();
  streams_.push_back(stream);
  if (!std::exchange(posted_, true)) loop_.post_work(this);
}

void Backlog::abandon() {
  host_ = nullptr;
  for (Http2Stream* stream : std::exchange(streams_, {})) stream->let_go();
  if (!posted_) delete this;
}

void Backlog::run() {
  until_ = loop_.impl().clock().now() + kSlice;
  running_ = true;
  while (!streams_.empty()) {
    Http2Stream* stream = streams_.front();
    streams_.pop_front();
    stream->go_on();
    stream->let_go();
    if (loop_.impl().clock().now() >= until_) break;
  }
  running_ = false;
  if (!host_) return drop();
  if (streams_.empty()) {
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
