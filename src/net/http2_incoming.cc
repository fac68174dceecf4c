// What calls hold of messages that are not complete, or not served yet, and what is done when that
// is too much: what of Http2Call deals with it.

#include <utility>

#include "base/errors.h"
#include "net/http2_session.h"

namespace keelson::net {

void Http2Call::count_incoming() {
  const size_t before =
      std::exchange(told_incoming_, reader_.held() + request_.size() + held_.size());
  if (!session_ || told_incoming_ == before) return;
  if (before == 0) incoming_since_ = loop_->impl().now();
  if (session_->incoming_.change(before, told_incoming_)) return;
  // What is complete is served at once, or soon, which gives room.
  if (!reader_.in_message() && held_.empty()) return;
  finish(errors::RequestTooManyRequests());
  drop_incoming();
}

void Http2Call::drop_incoming() {
  if (told_incoming_ == 0 && !reader_.in_message() && held_.empty()) return;
  reader_.reset(0, false);
  request_ = Bytes();
  if (session_) {
    session_->used(held_.size() - arriving_);
    session_->incoming_.change(told_incoming_, 0);
  }
  std::string().swap(held_);
  told_incoming_ = 0;
}

// With the room goes whatever it was for: an answer ends as a stream that broke, since some of it
// may have been sent.
void Http2Call::give_up(HeldSort sort) {
  if (sort == HeldSort::kOutgoing) return reset_stream(Http2Error::kEnhanceYourCalm);
  if (finished_) return;  // it ends as soon as its status is out
  finish(errors::RequestTooManyRequests());
  drop_incoming();
}

}  // namespace keelson::net
