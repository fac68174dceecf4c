#include "proxy/client_stream.h"

#include <utility>

#include "base/check.h"

namespace keelson::proxy {

bool ClientStream::is_full() const {
  return requests_ >= kMostRequests || call_->pending_bytes() > kMostPending;
}

// What the loop does with a change of what waits.
void ClientStream::look() {
  pending_ = call_->pending_bytes();
  if (reading_ && is_full()) {
    reading_ = false;
    call_->set_reading(false);
  } else if (!reading_ && requests_ <= kMostRequests / 2 && pending_ <= kMostPending) {
    reading_ = true;
    call_->set_reading(true);
  }
}

void ClientStream::requested() {
  ++requests_;
  look();
}

void ClientStream::on_writable() {
  look();
  if (told_) lane_.post(std::exchange(told_, nullptr));
}

void ClientStream::finish_when_answered() {
  finishing_ = true;
  if (requests_ == 0) call_->finish(absl::OkStatus());
}

void ClientStream::send(Parts message) {
  const size_t size = message.size();
  handed_ += size;
  call_->loop().post([self = shared_from_this(), message = std::move(message), size]() mutable {
    self->handed_ -= size;
    self->call_->send(std::move(message));
    self->look();
  });
}

// Behind everything that was sent.
void ClientStream::when_read(Task told) {
  call_->loop().post([self = shared_from_this(), told = std::move(told)]() mutable {
    self->pending_ = self->call_->pending_bytes();
    if (self->pending_ < kMostPending / 4) return self->lane_.post(std::move(told));
    self->told_ = std::move(told);
  });
}

void ClientStream::answered() {
  call_->loop().post([self = shared_from_this()] {
    CHECK(self->requests_ > 0);
    --self->requests_;
    self->look();
    if (self->finishing_ && self->requests_ == 0) self->call_->finish(absl::OkStatus());
  });
}

void ClientStream::end(absl::Status why) {
  call_->loop().post(
      [self = shared_from_this(), why = std::move(why)] { self->call_->finish(why); });
}

}  // namespace keelson::proxy
