#include "net/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace keelson::net {

// ---- Watch

void Watch::watch(Poller* poller, int fd) {
  CHECK(!poller_);
  poller_ = poller;
  fd_ = fd;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = this;
  CHECK(::epoll_ctl(poller->epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Watch::unwatch() {
  if (Poller* poller = std::exchange(poller_, nullptr)) poller->forget(this);
}

void Watch::call_again() {
  CHECK(poller_);
  if (!next) poller_->later_.push(this);
}

// ---- Poller

void Poller::List::push(WatchLink* link) {
  link->prev = prev;
  link->next = this;
  prev->next = link;
  prev = link;
}

void Poller::List::take_all(List* other) {
  if (other->empty()) return;
  other->next->prev = prev;
  prev->next = other->next;
  other->prev->next = this;
  prev = other->prev;
  other->prev = other->next = other;
}

void Poller::unlink(WatchLink* link) {
  link->prev->next = link->next;
  link->next->prev = link->prev;
  link->prev = link->next = nullptr;
}

Poller::Poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(epoll_ >= 0);
  CHECK(wake_ >= 0);
  // By edges, too: each write is one, so nobody has to read it.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
}

Poller::~Poller() {
  ::close(wake_);
  ::close(epoll_);
}

void Poller::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full: then the edge is there already.
  const ssize_t ignored = ::write(wake_, &one, sizeof(one));
  (void)ignored;
}

void Poller::forget(Watch* who) {
  // Fails when the descriptor was closed before its time; then the kernel has forgotten it.
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, who->fd_, nullptr);
  for (size_t i = next_; i < end_; ++i) {
    if (events_[i].data.ptr == who) events_[i].data.ptr = nullptr;
  }
  if (who->next) unlink(who);
}

void Poller::look(std::optional<Duration> wait) {
  due_.take_all(&later_);
  if (next_ < end_) return;  // those first
  int milliseconds = -1;
  if (!due_.empty()) {
    milliseconds = 0;
  } else if (wait) {
    // Rounded up: who is woken early finds nothing to do, and waits again.
    const auto up = std::chrono::ceil<std::chrono::milliseconds>(std::max(*wait, Duration(0)));
    milliseconds = static_cast<int>(std::min<int64_t>(up.count(), INT32_MAX));
  }
  const int found =
      ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), milliseconds);
  CHECK(found >= 0 || errno == EINTR);
  next_ = 0;
  end_ = static_cast<size_t>(std::max(found, 0));
}

bool Poller::run_one() {
  bool again = false;
  if (next_ < end_ && !due_.empty()) again = std::exchange(again_next_, !again_next_);
  while (!again && next_ < end_) {
    const epoll_event event = events_[next_++];
    // Null: the wake-up, or one that has ended meanwhile.
    if (!event.data.ptr) continue;
    static_cast<Watch*>(event.data.ptr)->on_ready(event.events);
    return true;
  }
  if (due_.empty()) return false;
  auto* who = static_cast<Watch*>(due_.next);
  unlink(who);
  who->on_ready(0);
  return true;
}

}  // namespace keelson::net
