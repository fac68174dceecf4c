// Answers that are long, or whose parts are made while they are sent: what of Http2Call deals with
// those.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "net/http2_session.h"

namespace keelson::net {
namespace {

// How much is made before the client has taken what there is.
constexpr size_t kMadeAhead = 256 << 10;
// How long the client may take in all: what makes the parts holds a revision of the store.
constexpr Duration kLongest = std::chrono::minutes(2);
constexpr Duration kLongestPerMb = std::chrono::seconds(1);
constexpr Duration kLook = std::chrono::seconds(1);

}  // namespace

void Http2Call::watch_over() {
  const auto mb = static_cast<int64_t>(queued_ >> 20);
  late_until_ = loop_->impl().now() + kLongest + mb * kLongestPerMb;
  look_again();
  want_part();
}

// A call that has not ended shares the timer with its deadline.
void Http2Call::look_again() {
  MonotonicTime at = loop_->impl().now() + kLook;
  if (!finished_ && deadline_) at = std::min(at, *deadline_);
  loop_->impl().timers().arm(this, at);
}

void Http2Call::look_after() {
  const MonotonicTime now = loop_->impl().now();
  if (late_parts_ && now >= late_until_) {
    return fail_late(absl::DeadlineExceededError("the client takes it too slowly"));
  }
  bool whole = queued_ == 0;
  // Of a stream, each message counts by itself from the first.
  const bool alone = finished_ && out_.size() - out_first_ == 1;
  if (queued_ > 0 && alone && now - out_pace_.since >= kLook) {
    // Nobody knows for how long: the store may hold newer values long before this has gone.
    CHECK(out_first_ < out_.size());
    whole = true;
    const size_t before = std::exchange(told_outgoing_, whole_cost_of(out_[out_first_].parts));
    session_->outgoing_.change(before, told_outgoing_);
  }
  if (late_parts_ || (alone && !whole)) return look_again();
  if (!finished_ && deadline_) loop_->impl().timers().arm(this, *deadline_);
}

Http2Call::OutMessage* Http2Call::first_unmade() {
  for (size_t i = out_first_; i < out_.size(); ++i) {
    if (out_[i].parts.first_late()) return &out_[i];
  }
  return nullptr;
}

size_t Http2Call::sendable() const {
  if (!late_parts_) return queued_;
  size_t ready = 0;
  for (size_t i = out_first_; i < out_.size(); ++i) {
    const Parts::Late* late = out_[i].parts.first_late();
    ready += kGrpcPrefix + (late ? late->offset : out_[i].parts.size());
    if (late) break;
  }
  CHECK(ready >= out_offset_);
  return ready - out_offset_;
}

void Http2Call::want_part() {
  if (!late_parts_ || making_ || sendable() >= kMadeAhead) return;
  const Parts::Late* late = first_unmade()->parts.first_late();
  making_ = true;
  late->maker->make(late->number, [call = CallRef(this), maker = late->maker,
                                   this](absl::StatusOr<Bytes> part) mutable {
    loop_->post([call = std::move(call), this, part = std::move(part)]() mutable {
      part_made(std::move(part));
    });
  });
}

void Http2Call::part_made(absl::StatusOr<Bytes> part) {
  making_ = false;
  if (!session_ || !late_parts_) return;
  if (!part.ok()) return fail_late(part.status());
  first_unmade()->parts.made(*std::move(part));
  late_parts_ = first_unmade() != nullptr;
  session_->framing_.resume(this);
  session_->host_.wake();
  want_part();
}

// Part of the message has been sent; what is left is to end the stream without a status.
void Http2Call::fail_late(const absl::Status& why) {
  log::warn("an answer ends before it was complete",
            {{"method", entry_->info.path}, {"error", message_of(why)}});
  reset_stream(Http2Error::kInternal);
}

}  // namespace keelson::net
