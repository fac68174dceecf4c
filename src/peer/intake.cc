#include "peer/intake.h"

#include <utility>

namespace keelson::peer {

void Intake::hand_over(std::vector<raft::Message> messages, size_t bytes, Receiver& receiver) {
  const size_t count = messages.size();
  messages_ += count;
  bytes_ += bytes;
  receiver.receive(std::move(messages),
                   [self = shared_from_this(), count, bytes] { self->taken(count, bytes); });
}

bool Intake::full() {
  if (!is_over()) return false;
  // In this order: whoever takes the last message sees that somebody waits, or we that it is taken.
  waited_for_ = true;
  return is_over() || !waited_for_.exchange(false);
}

void Intake::taken(size_t messages, size_t bytes) {
  messages_ -= messages;
  bytes_ -= bytes;
  if (is_over() || !waited_for_.load() || !waited_for_.exchange(false)) return;
  loop_.post([self = shared_from_this()] {
    if (self->resume_) self->resume_();
  });
}

}  // namespace keelson::peer
