#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/accept_gate.h"
#include "net/address.h"
#include "net/client_number.h"
#include "net/connection.h"
#include "net/loop_impl.h"
#include "net/protocol.h"
#include "net/tcp.h"

namespace keelson::net {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerTurn = 64;  // of the loop that accepts
// Between attempts when the process is out of descriptors (as Go's net/http: 5 ms, doubled to 1 s).
constexpr Duration kFirstBackoff = std::chrono::milliseconds(5);
constexpr Duration kLongestBackoff = std::chrono::seconds(1);
// How often a gate that is shut is tried again.
constexpr Duration kGatePause = std::chrono::milliseconds(100);
// How long the end waits for loops to cut what they hold; a turn of a loop is far shorter.
constexpr Duration kCutPatience = std::chrono::seconds(2);

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

// Made with socket(), closed unless given away.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::StatusOr<int> listen_on(Address address, const ListenerOptions& options) {
  int family = address.family();
  Descriptor fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return socket_error("socket");
  int on = 1;
  if (family != AF_UNIX) {
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (options.reuse_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  }
  if (::bind(fd.get(), address.get(), address.size) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return socket_error(cat("listen ", address.text()));
  }
  return fd.release();
}

}  // namespace

class Listener::Impl final : public std::enable_shared_from_this<Listener::Impl>,
                             private Timer,
                             private Watch {
 public:
  Impl(int fd, LoopPool* loops, std::shared_ptr<const ServerContext> server)
      : loops_(*loops),
        server_(std::move(server)),
        accept_loop_(loops->at(0)),
        socket_(fd),
        per_loop_(static_cast<size_t>(loops->size())) {}

  void start() {
    accept_loop_.post([self = shared_from_this()] {
      if (self->stopped_) return;
      self->watch(&self->accept_loop_.impl().poller(), self->socket_);
      self->accept_some();
    });
  }

  // Stops accepting. What happens on the loops happens in the order of the calls.
  void stop_accepting();
  void each_connection(void (Connection::*what)());
  // Until accepting has stopped and no connection is left.
  bool wait_until_empty(std::chrono::steady_clock::time_point until);

  std::string address_;
  std::string unix_path_;
  uint16_t port_ = 0;
  std::atomic<size_t> open_{0};

 private:
  using Connections = std::unordered_map<Connection*, std::shared_ptr<Connection>>;

  void accept_some();
  std::string local_address(int fd) const;
  void adopt(int fd, PeerInfo peer);
  void add(size_t number, int fd, PeerInfo peer);
  void remove(size_t number, Connection* connection);
  void on_timer() override { accept_some(); }
  void on_ready(uint32_t) override {
    auto keep = shared_from_this();
    if (!Timer::armed()) accept_some();
  }

  LoopPool& loops_;
  const std::shared_ptr<const ServerContext> server_;
  Loop& accept_loop_;
  int socket_;                         // accept_loop_'s from start() on
  std::vector<Connections> per_loop_;  // each its loop's own
  size_t next_loop_ = 0;
  Duration backoff_ = kFirstBackoff;
  std::atomic<bool> stopped_{false};
  bool accepting_ = true;  // under mutex_
  std::mutex mutex_;
  std::condition_variable changed_;
};

void Listener::Impl::accept_some() {
  for (int round = 0; round < kAcceptsPerTurn; ++round) {
    if (stopped_) return;
    if (AcceptGate* gate = server_->options.gate; gate && !gate->open(socket_)) {
      accept_loop_.impl().timers().arm(this, accept_loop_.now() + kGatePause);
      return;
    }
    Address address;
    address.size = sizeof(address.storage);
    int fd = ::accept4(socket_, address.get(), &address.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      backoff_ = kFirstBackoff;
      adopt(fd,
            {.address = address.text(), .local = local_address(fd), .client = client_at(address)});
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    log::warn("accepting a connection failed; trying again",
              {{"address", address_}, {"error", std::strerror(errno)}});
    accept_loop_.impl().timers().arm(this, accept_loop_.now() + backoff_);
    backoff_ = std::min(backoff_ * 2, kLongestBackoff);
    return;
  }
  call_again();
}

// Where a connection came in is of interest to spans only.
std::string Listener::Impl::local_address(int fd) const {
  if (!server_->options.tracer) return {};
  if (!unix_path_.empty()) return unix_path_;
  Address address;
  address.size = sizeof(address.storage);
  if (::getsockname(fd, address.get(), &address.size) != 0) return {};
  return address.text();
}

void Listener::Impl::adopt(int fd, PeerInfo peer) {
  if (unix_path_.empty()) set_tcp_options(fd);
  size_t number = next_loop_;
  next_loop_ = (next_loop_ + 1) % per_loop_.size();
  open_.fetch_add(1);
  loops_.at(static_cast<int>(number))
      .post([self = shared_from_this(), number, fd, peer = std::move(peer)]() mutable {
        self->add(number, fd, std::move(peer));
      });
}

void Listener::Impl::add(size_t number, int fd, PeerInfo peer) {
  auto connection = std::make_shared<Connection>(
      server_, &loops_.at(static_cast<int>(number)), fd, std::move(peer),
      [this, number](Connection* c) { remove(number, c); });
  per_loop_[number].emplace(connection.get(), connection);
  connection->start();
  if (stopped_) connection->drain();  // it was on its way here when the others were told
}

void Listener::Impl::remove(size_t number, Connection* connection) {
  per_loop_[number].erase(connection);
  std::lock_guard lock(mutex_);
  open_.fetch_sub(1);
  changed_.notify_all();
}

void Listener::Impl::stop_accepting() {
  if (stopped_.exchange(true)) return;
  accept_loop_.post([self = shared_from_this()] {
    self->Timer::cancel();
    self->unwatch();
    ::close(self->socket_);
    if (!self->unix_path_.empty()) ::unlink(self->unix_path_.c_str());
    std::lock_guard lock(self->mutex_);
    self->accepting_ = false;
    self->changed_.notify_all();
  });
}

void Listener::Impl::each_connection(void (Connection::*what)()) {
  for (size_t number = 0; number < per_loop_.size(); ++number) {
    loops_.at(static_cast<int>(number)).post([self = shared_from_this(), number, what] {
      // A copy: ending one takes it out of the map.
      Connections connections = self->per_loop_[number];
      for (auto& [key, connection] : connections) (connection.get()->*what)();
    });
  }
}

bool Listener::Impl::wait_until_empty(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [this] { return !accepting_ && open_.load() == 0; });
}

// ---- Listener

absl::StatusOr<std::unique_ptr<Listener>> Listener::start(std::string_view url, LoopPool* loops,
                                                          const Router* router,
                                                          CallObserver* observer,
                                                          ListenerOptions options) {
  std::string_view rest = url;
  bool is_unix = rest.starts_with("unix://");
  if (is_unix) rest.remove_prefix(7);
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.find("://") != std::string_view::npos) {
    return absl::InvalidArgumentError(cat("unsupported scheme: ", url));
  }
  absl::StatusOr<Address> address = is_unix ? unix_address(rest) : tcp_address(rest);
  if (!address.ok()) return address.status();
  // A socket file that a killed process left behind is in the way (etcd removes it too).
  if (is_unix) ::unlink(std::string(rest).c_str());
  auto fd = listen_on(*address, options);
  if (!fd.ok()) return fd.status();
  if (is_unix && options.unix_socket_mode) {
    const std::string path(rest);
    if (::chmod(path.c_str(), *options.unix_socket_mode) != 0) {
      absl::Status failed = socket_error(cat("cannot set the mode of ", path));
      ::close(*fd);
      ::unlink(path.c_str());
      return failed;
    }
  }
  if (!options.budgets) options.budgets = std::make_shared<HeldBudgets>(loops->size());
  auto server = std::make_shared<ServerContext>(ServerContext{router, observer, options});
  auto impl = std::make_shared<Impl>(*fd, loops, std::move(server));
  Address bound;
  bound.size = sizeof(bound.storage);
  getsockname(*fd, bound.get(), &bound.size);
  impl->address_ = is_unix ? std::string(rest) : bound.text();
  if (is_unix) {
    impl->unix_path_ = rest;
  } else {
    impl->port_ = ntohs(reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port);
  }
  impl->start();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() { close(); }

const std::string& Listener::address() const { return impl_->address_; }
uint16_t Listener::port() const { return impl_->port_; }
size_t Listener::connections() const { return impl_->open_.load(); }

void Listener::begin_drain() {
  impl_->stop_accepting();
  impl_->each_connection(&Connection::drain);
}

bool Listener::finish_drain(std::chrono::steady_clock::time_point until) {
  if (impl_->wait_until_empty(until)) return true;
  return close();
}

bool Listener::drain(Duration deadline) {
  begin_drain();
  return finish_drain(std::chrono::steady_clock::now() + deadline);
}

bool Listener::close() {
  impl_->stop_accepting();
  impl_->each_connection(&Connection::close);
  return impl_->wait_until_empty(std::chrono::steady_clock::now() + kCutPatience);
}

}  // namespace keelson::net
