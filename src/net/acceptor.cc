#include "net/acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/address.h"
#include "net/tcp.h"

namespace keelson::net {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerTurn = 64;
// Between attempts when the process is out of descriptors (as Go's net/http: 5 ms, doubled to 1 s).
constexpr Duration kFirstBackoff = std::chrono::milliseconds(5);
constexpr Duration kLongestBackoff = std::chrono::seconds(1);
// How often it is asked again whether there is room.
constexpr Duration kRoomPause = std::chrono::milliseconds(100);

absl::StatusOr<Address> tcp_address(std::string_view host_port) {
  size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos) {
    return absl::InvalidArgumentError(cat("missing port in address: ", host_port));
  }
  std::string host(host_port.substr(0, colon));
  std::string port(host_port.substr(colon + 1));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int result = getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (result != 0) {
    return absl::InvalidArgumentError(cat("bad address ", host_port, ": ", gai_strerror(result)));
  }
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

// In Go's words.
absl::Status listen_error(std::string_view what, const Address& address) {
  const int error = errno;
  return absl::UnavailableError(cat("listen ", address.family() == AF_UNIX ? "unix " : "tcp ",
                                    address.text(), ": ", what, ": ", errno_text(error)));
}

absl::Status set_up(int fd, Address& address, const Acceptor::Options& options) {
  const int on = 1;
  if (address.family() != AF_UNIX) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (options.reuse_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  }
  if (::bind(fd, address.get(), address.size) != 0) return listen_error("bind", address);
  if (::listen(fd, kBacklog) != 0) return listen_error("listen", address);
  if (address.family() != AF_UNIX || !options.unix_socket_mode) return absl::OkStatus();
  if (::chmod(address.text().c_str(), *options.unix_socket_mode) == 0) return absl::OkStatus();
  absl::Status failed = socket_error(cat("cannot set the mode of ", address.text()));
  ::unlink(address.text().c_str());
  return failed;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Acceptor>> Acceptor::bind(std::string_view url,
                                                         const Options& options) {
  std::string_view rest = url;
  const bool is_unix = rest.starts_with("unix://");
  if (is_unix) rest.remove_prefix(7);
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.find("://") != std::string_view::npos) {
    return absl::InvalidArgumentError(cat("unsupported scheme: ", url));
  }
  absl::StatusOr<Address> address = is_unix ? unix_address(rest) : tcp_address(rest);
  if (!address.ok()) return address.status();
  // A socket file that a killed process left behind is in the way (etcd removes it too).
  if (is_unix) ::unlink(std::string(rest).c_str());
  const int fd = ::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error("socket");
  auto acceptor = std::make_shared<Acceptor>(fd);  // which closes it
  if (absl::Status s = set_up(fd, *address, options); !s.ok()) return s;
  if (is_unix) {
    acceptor->unix_path_ = acceptor->address_ = std::string(rest);
    return acceptor;
  }
  Address bound;
  bound.size = sizeof(bound.storage);
  ::getsockname(fd, bound.get(), &bound.size);
  acceptor->address_ = bound.text();
  // The port is at the same place for IPv6.
  acceptor->port_ = ntohs(reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port);
  return acceptor;
}

Acceptor::~Acceptor() { close_socket(); }

void Acceptor::start(Loop* loop, Room room, Take take) {
  CHECK(!loop_);
  loop_ = loop;
  room_ = std::move(room);
  take_ = std::move(take);
  backoff_ = kFirstBackoff;
  loop->post([self = shared_from_this()] {
    if (self->stopped_) return;
    self->watch(&self->loop_->impl().poller(), self->socket_);
    self->accept_some();
  });
}

void Acceptor::pause(Duration time) { loop_->impl().timers().arm(this, loop_->now() + time); }

void Acceptor::accept_some() {
  for (int round = 0; round < kAcceptsPerTurn; ++round) {
    if (stopped_) return;
    if (!room_(socket_)) return pause(kRoomPause);
    Address address;
    address.size = sizeof(address.storage);
    const int fd = ::accept4(socket_, address.get(), &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      backoff_ = kFirstBackoff;
      if (unix_path_.empty()) set_tcp_options(fd);
      take_(fd, address);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    log::warn("accepting a connection failed; trying again",
              {{"address", address_}, {"error", std::strerror(errno)}});
    pause(backoff_);
    backoff_ = std::min(backoff_ * 2, kLongestBackoff);
    return;
  }
  call_again();
}

void Acceptor::stop(Task done) {
  CHECK(loop_);
  if (stopped_.exchange(true)) return;
  loop_->post([self = shared_from_this(), done = std::move(done)]() mutable {
    self->Timer::cancel();
    self->close_socket();
    done();
  });
}

void Acceptor::close_socket() {
  if (socket_ < 0) return;
  unwatch();
  ::close(std::exchange(socket_, -1));
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

}  // namespace keelson::net
