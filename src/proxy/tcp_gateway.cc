#include "proxy/tcp_gateway.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/accept_gate.h"
#include "net/acceptor.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "proxy/dialer.h"
#include "proxy/gateway.h"
#include "proxy/log_lists.h"
#include "proxy/places.h"

namespace keelson::proxy {
namespace {

constexpr Duration kDefaultRetryDelay = std::chrono::minutes(5);
constexpr size_t kMostClients = size_t{1} << 17;
// How long cutting what is left may take; a turn of a loop is far shorter.
constexpr Duration kCutPatience = std::chrono::seconds(2);

// Each has two descriptors: its own, and the one to its server, or to a server that is being tried
// again.
size_t most_clients(size_t endpoints) {
  const rlim_t limit = net::AcceptGate::limit();
  const rlim_t kept = net::AcceptGate::kReserve + endpoints;
  if (limit <= kept) return 1;
  return std::clamp<size_t>((limit - kept) / 2, 1, kMostClients);
}

absl::StatusOr<std::vector<Endpoint>> endpoints_of(const TcpGatewayConfig& config,
                                                   const outbound::NameServer& name_server) {
  absl::StatusOr<std::vector<Endpoint>> found = discover(config.discovery, name_server);
  if (!found.ok() || !found->empty()) return found;
  if (!config.discovery.domain.empty()) {
    log::warn("no endpoint was discovered that may be used; using those that were given",
              {listed("endpoints", config.endpoints)});
  }
  std::vector<Endpoint> given;
  for (const std::string& text : config.endpoints) {
    absl::StatusOr<Endpoint> endpoint = parse_endpoint(text);
    if (!endpoint.ok()) return endpoint.status();
    given.push_back(*std::move(endpoint));
  }
  return given;
}

uint64_t seed() {
  std::random_device source;
  return (uint64_t{source()} << 32) | source();
}

}  // namespace

// In the order in which they are made.
struct TcpGateway::Parts {
  explicit Parts(int loop_count)
      : loops(loop_count, "gateway"), random(seed()), dialer(&loops.at(0), &resolver) {}

  std::vector<net::Loop*> all_loops() {
    std::vector<net::Loop*> all;
    for (int i = 0; i < loops.size(); ++i) all.push_back(&loops.at(i));
    return all;
  }

  net::LoopPool loops;
  net::Resolver resolver;
  SeededRandom random;
  SocketDialer dialer;
  std::shared_ptr<Gateway> gateway;
  std::shared_ptr<net::Acceptor> acceptor;
  bool stopped = false;
};

absl::StatusOr<std::unique_ptr<TcpGateway>> TcpGateway::start(
    TcpGatewayConfig config, const outbound::NameServer& name_server) {
  if (config.retry_delay < Duration(0)) {
    return absl::InvalidArgumentError("the retry delay must not be negative");
  }
  if (config.retry_delay == Duration(0)) config.retry_delay = kDefaultRetryDelay;
  if (absl::Status s = net::AcceptGate::raise_limit(); !s.ok()) return s;
  absl::StatusOr<std::vector<Endpoint>> endpoints = endpoints_of(config, name_server);
  if (!endpoints.ok()) return endpoints.status();
  if (absl::Status s = check_places(config.listen_address, *endpoints); !s.ok()) return s;
  if (endpoints->empty()) return absl::InvalidArgumentError("no endpoints found");
  absl::StatusOr<std::shared_ptr<net::Acceptor>> acceptor =
      net::Acceptor::bind(config.listen_address, {});
  if (!acceptor.ok()) return acceptor.status();

  std::vector<std::string> addresses;
  for (const Endpoint& endpoint : *endpoints) addresses.push_back(endpoint.address());
  const size_t most = most_clients(endpoints->size());
  auto parts =
      std::make_unique<Parts>(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  parts->gateway = std::make_shared<Gateway>(
      parts->all_loops(), *std::move(endpoints), &parts->dialer, &parts->random,
      Gateway::Options{.retry_delay = config.retry_delay, .most = most});
  parts->acceptor = *std::move(acceptor);
  Gateway* gateway = parts->gateway.get();
  parts->acceptor->start(
      &parts->loops.at(0), [gateway](int) { return gateway->room(); },
      [gateway](int fd, const net::Address&) { gateway->admit(socket_line(fd)); });
  log::info("ready to proxy client requests", {listed("endpoints", addresses)});
  return std::unique_ptr<TcpGateway>(new TcpGateway(std::move(parts)));
}

TcpGateway::TcpGateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TcpGateway::~TcpGateway() { stop(Duration(0)); }

const std::string& TcpGateway::address() const { return parts_->acceptor->address(); }
size_t TcpGateway::clients() const { return parts_->gateway->clients(); }

std::vector<Executor*> TcpGateway::lanes() const {
  std::vector<Executor*> lanes;
  for (net::Loop* loop : parts_->all_loops()) lanes.push_back(loop);
  return lanes;
}

void TcpGateway::stop(Duration time) {
  Parts& parts = *parts_;
  if (std::exchange(parts.stopped, true)) return;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  parts.acceptor->stop([] {});
  parts.gateway->begin_drain();
  if (!parts.gateway->wait_until_empty(now() + time)) {
    log::info("cutting connections that did not end in time", {{"clients", clients()}});
    parts.gateway->cut();
    parts.gateway->wait_until_empty(now() + kCutPatience);
  }
  parts.loops.stop();
  parts.resolver.stop();
}

}  // namespace keelson::proxy
