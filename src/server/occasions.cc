#include "server/occasions.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"

namespace keelson::server {

Occasions::Occasions() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  bell_ = ::eventfd(0, EFD_CLOEXEC);
  CHECK(signals_ >= 0);
  CHECK(bell_ >= 0);
}

Occasions::~Occasions() {
  ::close(signals_);
  ::close(bell_);
}

void Occasions::say(Kind kind) {
  said_.fetch_or(kind);
  const uint64_t one = 1;
  CHECK(::write(bell_, &one, sizeof one) == sizeof one);
}

Occasions::Kind Occasions::wait() {
  while (true) {
    if (take_signal()) return kSignal;
    for (Kind kind : {kRemoved, kReady}) {
      if (said_.fetch_and(~uint64_t{kind}) & kind) return kind;
    }
    pollfd fds[] = {{signals_, POLLIN, 0}, {bell_, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;  // EINTR
    uint64_t rings = 0;
    if (fds[1].revents != 0) CHECK(::read(bell_, &rings, sizeof rings) == sizeof rings);
  }
}

bool Occasions::signal_waits() {
  pollfd fd = {signals_, POLLIN, 0};
  return ::poll(&fd, 1, 0) == 1;
}

bool Occasions::take_signal() {
  signalfd_siginfo info = {};
  if (!signal_waits() || ::read(signals_, &info, sizeof info) != sizeof info) return false;
  signal_ = static_cast<int>(info.ssi_signo);
  return true;
}

}  // namespace keelson::server
