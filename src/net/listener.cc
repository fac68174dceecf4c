#include "net/listener.h"

#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <unordered_map>

#include "net/accept_gate.h"
#include "net/acceptor.h"
#include "net/address.h"
#include "net/client_number.h"
#include "net/connection.h"
#include "net/protocol.h"

namespace keelson::net {
namespace {

// How long the end waits for loops to cut what they hold; a turn of a loop is far shorter.
constexpr Duration kCutPatience = std::chrono::seconds(2);

}  // namespace

class Listener::Impl final : public std::enable_shared_from_this<Listener::Impl> {
 public:
  Impl(std::shared_ptr<Acceptor> acceptor, LoopPool* loops,
       std::shared_ptr<const ServerContext> server)
      : acceptor_(std::move(acceptor)),
        loops_(*loops),
        server_(std::move(server)),
        per_loop_(static_cast<size_t>(loops->size())) {}

  void start();

  // Stops accepting. What happens on the loops happens in the order of the calls.
  void stop_accepting();
  void each_connection(void (Connection::*what)());
  // Until accepting has stopped and no connection is left.
  bool wait_until_empty(std::chrono::steady_clock::time_point until);

  const Acceptor& acceptor() const { return *acceptor_; }
  std::atomic<size_t> open_{0};

 private:
  using Connections = std::unordered_map<Connection*, std::shared_ptr<Connection>>;

  std::string local_address(int fd) const;
  void adopt(int fd, PeerInfo peer);
  void add(size_t number, int fd, PeerInfo peer);
  void remove(size_t number, Connection* connection);

  const std::shared_ptr<Acceptor> acceptor_;
  LoopPool& loops_;
  const std::shared_ptr<const ServerContext> server_;
  std::vector<Connections> per_loop_;  // each its loop's own
  size_t next_loop_ = 0;
  std::atomic<bool> stopped_{false};
  bool accepting_ = true;  // under mutex_
  std::mutex mutex_;
  std::condition_variable changed_;
};

// The acceptor does not hold us, who hold it.
void Listener::Impl::start() {
  AcceptGate* gate = server_->options.gate;
  acceptor_->start(
      &loops_.at(0), [gate](int any) { return gate == nullptr || gate->open(any); },
      [weak = weak_from_this()](int fd, const Address& peer) {
        const auto self = weak.lock();
        if (!self) {
          ::close(fd);
          return;
        }
        self->adopt(
            fd,
            {.address = peer.text(), .local = self->local_address(fd), .client = client_at(peer)});
      });
}

// Where a connection came in is of interest to spans only.
std::string Listener::Impl::local_address(int fd) const {
  if (!server_->options.tracer) return {};
  if (acceptor_->port() == 0) return acceptor_->address();
  Address address;
  address.size = sizeof(address.storage);
  if (::getsockname(fd, address.get(), &address.size) != 0) return {};
  return address.text();
}

void Listener::Impl::adopt(int fd, PeerInfo peer) {
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
  acceptor_->stop([self = shared_from_this()] {
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
  absl::StatusOr<std::shared_ptr<Acceptor>> acceptor = Acceptor::bind(
      url, {.reuse_port = options.reuse_port, .unix_socket_mode = options.unix_socket_mode});
  if (!acceptor.ok()) return acceptor.status();
  if (!options.budgets) options.budgets = std::make_shared<HeldBudgets>(loops->size());
  auto server = std::make_shared<ServerContext>(ServerContext{router, observer, options});
  auto impl = std::make_shared<Impl>(*std::move(acceptor), loops, std::move(server));
  impl->start();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() { close(); }

const std::string& Listener::address() const { return impl_->acceptor().address(); }
uint16_t Listener::port() const { return impl_->acceptor().port(); }
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
