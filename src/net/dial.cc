#include "net/dial.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "net/tcp.h"

namespace keelson::net {
namespace {

// No attempt is given less, as long as there is so much (Go's net.Dialer).
constexpr Duration kLeastForOne = std::chrono::seconds(2);

// Of a call that failed with `error`.
absl::StatusCode code_of(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:  // no ports left
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

Dial::Dial(Loop* loop, std::string network, Duration time, Done done)
    : loop_(*loop),
      network_(std::move(network)),
      due_(loop->now() + time),
      done_(std::move(done)) {}

Dial::~Dial() { give_up_attempt(); }

std::shared_ptr<Dial> Dial::start_tcp(Loop* loop, Resolver* resolver, const std::string& host,
                                      const std::string& port, Duration time,
                                      std::optional<Address> from, Done done) {
  auto dial = std::make_shared<Dial>(loop, "tcp", time, std::move(done));
  dial->from_ = from;
  dial->trying_ = cat(host, ":", port);
  loop->impl().timers().arm(dial.get(), dial->due_);
  resolver->resolve(host, port, loop,
                    [dial](Resolver::Addresses found) { dial->found(std::move(found)); });
  return dial;
}

std::shared_ptr<Dial> Dial::start_unix(Loop* loop, const std::string& path, Duration time,
                                       Done done) {
  auto dial = std::make_shared<Dial>(loop, "unix", time, std::move(done));
  loop->impl().timers().arm(dial.get(), dial->due_);
  loop->post([dial, address = unix_address(path)] {
    if (!address.ok()) return dial->found(address.status());
    dial->found(std::vector<Address>{*address});
  });
  return dial;
}

void Dial::forget() {
  done_ = nullptr;
  Timer::cancel();
  give_up_attempt();
}

std::string Dial::named(std::string_view what) const {
  return cat("dial ", network_, trying_.empty() ? "" : " ", trying_, ": ", what);
}

void Dial::found(Resolver::Addresses addresses) {
  if (!done_) return;
  if (!addresses.ok()) {
    trying_.clear();
    return finish(absl::Status(addresses.status().code(), named(message_of(addresses.status()))));
  }
  addresses_ = *std::move(addresses);
  if (from_) {
    std::erase_if(addresses_, [&](const Address& to) { return to.family() != from_->family(); });
  }
  if (addresses_.empty()) {
    trying_.clear();
    return finish(absl::UnavailableError(
        named(cat("address ", from_->text(), ": no suitable address found"))));
  }
  try_next();
}

void Dial::try_next() {
  while (next_ < addresses_.size()) {
    Address& address = addresses_[next_++];
    trying_ = cat(from_ ? cat(from_->text(), "->") : "", address.text());
    const size_t left = addresses_.size() - next_ + 1;
    const Duration time = due_ - loop_.now();
    const Duration share =
        std::max(time / static_cast<int64_t>(left), std::min(time, kLeastForOne));
    absl::Status begun = begin(address);
    if (begun.ok()) return loop_.impl().timers().arm(this, loop_.now() + share);
    note(std::move(begun));
  }
  CHECK(!failure_.ok());
  finish(failure_);
}

bool is_refused(const absl::Status& failure) {
  return message_of(failure).ends_with(cat("connect: ", errno_text(ECONNREFUSED)));
}

// The port is chosen when the connection is made: the same one does for several other ends.
absl::Status Dial::bind(int fd) {
  if (!from_) return absl::OkStatus();
  const int yes = 1;
  if (::setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes)) != 0 ||
      ::bind(fd, from_->get(), from_->size) != 0) {
    return absl::UnavailableError(named(cat("bind: ", errno_text(errno))));
  }
  return absl::OkStatus();
}

absl::Status Dial::begin(Address& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return {code_of(errno), named(cat("socket: ", errno_text(errno)))};
  if (address.family() != AF_UNIX) set_tcp_options(fd);
  if (absl::Status bound = bind(fd); !bound.ok()) {
    ::close(fd);
    return bound;
  }
  if (::connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    ::close(fd);
    return {code_of(error), named(cat("connect: ", errno_text(error)))};
  }
  fd_ = fd;
  watch(&loop_.impl().poller(), fd);
  return absl::OkStatus();
}

// The first one is told; but what says something of the other side, before what does not.
void Dial::note(absl::Status failure) {
  if (failure_.ok() || absl::IsResourceExhausted(failure_)) failure_ = std::move(failure);
}

void Dial::give_up_attempt() {
  if (fd_ < 0) return;
  unwatch();
  ::close(std::exchange(fd_, -1));
}

void Dial::on_ready(uint32_t events) {
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) return;
  auto keep = shared_from_this();
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0) {
    unwatch();
    return finish(std::exchange(fd_, -1));
  }
  note({code_of(error), named(cat("connect: ", errno_text(error)))});
  give_up_attempt();
  try_next();
}

void Dial::on_timer() {
  auto keep = shared_from_this();
  give_up_attempt();
  note(absl::DeadlineExceededError(named("i/o timeout")));
  if (next_ < addresses_.size() && loop_.now() < due_) return try_next();
  finish(failure_);
}

void Dial::finish(absl::StatusOr<int> result) {
  Timer::cancel();
  Done done = std::exchange(done_, nullptr);
  CHECK(done);
  done(std::move(result));
}

}  // namespace keelson::net
