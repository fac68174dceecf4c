#include "load/poller.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace keelson::bench {

void fail(const char* what, const char* why) {
  std::fprintf(stderr, "keelson_load: %s%s%s\n", what, why ? ": " : "", why ? why : "");
  std::exit(1);
}

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) fail("epoll_create1", std::strerror(errno));
}
Poller::~Poller() { close(epoll_); }

void Poller::control(int operation, int fd, uint32_t events, Pollable* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  if (epoll_ctl(epoll_, operation, fd, &event) != 0) fail("epoll_ctl", std::strerror(errno));
}
void Poller::add(int fd, uint32_t events, Pollable* target) {
  control(EPOLL_CTL_ADD, fd, events, target);
}
void Poller::change(int fd, uint32_t events, Pollable* target) {
  control(EPOLL_CTL_MOD, fd, events, target);
}

void Poller::run_once(int timeout_ms) {
  std::array<epoll_event, 256> ready;
  int n = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), timeout_ms);
  if (n < 0 && errno != EINTR) fail("epoll_wait", std::strerror(errno));
  for (int i = 0; i < n; ++i) {
    static_cast<Pollable*>(ready[i].data.ptr)->on_ready(ready[i].events);
  }
}

Ticker::Ticker(Poller* poller, uint64_t period_ns, Owner* owner)
    : owner_(owner), timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (timer_ < 0) fail("timerfd_create", std::strerror(errno));
  itimerspec when{};
  when.it_interval.tv_sec = static_cast<time_t>(period_ns / 1'000'000'000);
  when.it_interval.tv_nsec = static_cast<long>(period_ns % 1'000'000'000);
  when.it_value = when.it_interval;
  if (timerfd_settime(timer_, 0, &when, nullptr) != 0) fail("timerfd", std::strerror(errno));
  poller->add(timer_, EPOLLIN, this);
}
Ticker::~Ticker() { close(timer_); }

void Ticker::on_ready(uint32_t) {
  uint64_t periods = 0;
  if (read(timer_, &periods, sizeof periods) == sizeof periods) owner_->on_tick(periods);
}

}  // namespace keelson::bench
