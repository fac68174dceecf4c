// The gateway over real sockets: what passes through, how it ends, and where it does not start.

#include "proxy/tcp_gateway.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/quiet_log.h"
#include "base/text.h"
#include "net/tls/test_server.h"
#include "outbound/test_name_server.h"

namespace keelson::proxy {
namespace {

using outbound::TestNameServer;
using testing::HasSubstr;

// A blocking socket; what does not happen within twenty seconds has failed.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    const timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() { close(); }
  static Socket to(uint16_t port) {
    Socket socket(::socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    return socket;
  }
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  int fd() const { return fd_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // So many bytes, or as many as come before the end or a failure (then `errno`).
  std::string receive(size_t count) {
    std::string out(count, '\0');
    size_t got = 0;
    errno = 0;
    while (got < count) {
      const ssize_t n = ::recv(fd_, out.data() + got, count - got, 0);
      if (n <= 0) break;
      got += static_cast<size_t>(n);
    }
    out.resize(got);
    return out;
  }
  void end() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

// A server of which the test has both ends in hand.
class Door {
 public:
  Door() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const sockaddr_in address = Socket::loopback(0);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 1024), 0);
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size);
    port_ = ntohs(bound.sin_port);
  }
  ~Door() { shut(); }
  uint16_t port() const { return port_; }
  std::string address() const { return cat("127.0.0.1:", port_); }
  Socket accept() { return Socket(::accept(fd_, nullptr, nullptr)); }
  void shut() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

class TcpGatewayTest : public testing::Test {
 protected:
  void start(std::vector<std::string> endpoints) {
    auto gateway =
        TcpGateway::start({.listen_address = "127.0.0.1:0", .endpoints = std::move(endpoints)});
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    const std::string& address = gateway_->address();
    port_ = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  bool empties() {
    for (int i = 0; i < 2000 && gateway_->clients() > 0; ++i) usleep(10'000);
    return gateway_->clients() == 0;
  }

  log::QuietLog quiet_;
  std::unique_ptr<TcpGateway> gateway_;
  uint16_t port_ = 0;
};

TEST_F(TcpGatewayTest, BytesAndEndsPassBothWays) {
  Door door;
  start({"http://" + door.address()});
  Socket client = Socket::to(port_);
  Socket server = door.accept();
  client.send("question");
  client.end();
  EXPECT_EQ(server.receive(100), "question");
  EXPECT_EQ(errno, 0);  // an end, and no failure
  server.send("answer");
  EXPECT_EQ(client.receive(6), "answer");
  server.end();
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(errno, 0);
  EXPECT_TRUE(empties());
}

TEST_F(TcpGatewayTest, AFailurePassesAsOne) {
  Door door;
  start({door.address()});
  Socket client = Socket::to(port_);
  Socket server = door.accept();
  client.send("half");
  EXPECT_EQ(server.receive(4), "half");
  client.reset();
  EXPECT_EQ(server.receive(1), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_TRUE(empties());
}

// A server that does not read holds its client up, whatever that has to say; then all arrives.
TEST_F(TcpGatewayTest, NothingGathersInBetween) {
  Door door;
  start({door.address()});
  Socket client = Socket::to(port_);
  Socket server = door.accept();
  const std::string text(1 << 20, 'x');
  size_t sent = 0;
  pollfd ready{client.fd(), POLLOUT, 0};
  while (::poll(&ready, 1, 500) > 0) {
    const ssize_t n = ::send(client.fd(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    ASSERT_LT(sent, size_t{100} << 20);
  }
  client.end();
  EXPECT_EQ(server.receive(sent + 1).size(), sent);
}

TEST_F(TcpGatewayTest, ManyAtOnce) {
  Door one, other;
  start({one.address(), other.address()});
  constexpr size_t kClients = 300;
  std::vector<Socket> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(Socket::to(port_));
    clients.back().send(cat(100000 + i));
  }
  // Each server answers what it heard.
  std::atomic<size_t> served = 0;
  std::vector<std::thread> servers;
  for (Door* door : {&one, &other}) {
    servers.emplace_back([&, door] {
      for (size_t i = 0; i < kClients / 2; ++i) {
        Socket server = door->accept();
        server.send(server.receive(6));
        ++served;
      }
    });
  }
  for (size_t i = 0; i < kClients; ++i) EXPECT_EQ(clients[i].receive(7), cat(100000 + i));
  for (std::thread& server : servers) server.join();
  EXPECT_EQ(served, kClients);
  clients.clear();
  EXPECT_TRUE(empties());
}

TEST_F(TcpGatewayTest, GoesElsewhereWhereNobodyListens) {
  Door gone, there;
  gone.shut();
  start({gone.address(), there.address()});
  for (int i = 0; i < 3; ++i) {
    Socket client = Socket::to(port_);
    Socket server = there.accept();
    client.send("hello");
    EXPECT_EQ(server.receive(5), "hello");
  }
  there.shut();
  Socket client = Socket::to(port_);
  EXPECT_EQ(client.receive(1), "");
  EXPECT_TRUE(empties());
}

// Each client takes two descriptors; whoever is too many waits outside.
TEST_F(TcpGatewayTest, AsManyAsThereAreDescriptorsFor) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = {160, before.rlim_max};
  std::vector<std::string> few;
  Door door;
  // The gateway raises the soft limit; so it is the hard one that is low, in a child.
  const pid_t child = ::fork();
  if (child == 0) {
    tight.rlim_max = 160;
    if (setrlimit(RLIMIT_NOFILE, &tight) != 0) ::_exit(2);
    start({door.address()});
    if (!gateway_) ::_exit(3);
    std::vector<Socket> clients, servers;
    for (int i = 0; i < 8; ++i) clients.push_back(Socket::to(port_));
    for (int i = 0; i < 4; ++i) servers.push_back(door.accept());  // (160 - 151) / 2
    clients[7].send("late");
    pollfd more{-1, POLLIN, 0};
    (void)::poll(&more, 1, 200);
    if (gateway_->clients() != 4) ::_exit(4);
    clients.erase(clients.begin(), clients.begin() + 7);
    servers.clear();
    for (int i = 0; i < 3; ++i) servers.push_back(door.accept());
    Socket last = door.accept();
    ::_exit(last.receive(4) == "late" ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(TcpGatewayTest, EndsInOrder) {
  Door door;
  start({door.address()});
  Socket client = Socket::to(port_);
  Socket server = door.accept();
  client.send("said before");
  EXPECT_EQ(server.receive(11), "said before");
  std::thread ender([&] { gateway_->stop(std::chrono::seconds(20)); });
  EXPECT_EQ(server.receive(1), "");
  EXPECT_EQ(errno, 0);
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(errno, 0);
  client.close();
  server.close();
  ender.join();
  Socket late(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = Socket::loopback(port_);
  EXPECT_NE(::connect(late.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST_F(TcpGatewayTest, WhoDoesNotGoIsCut) {
  Door door;
  start({door.address()});
  Socket client = Socket::to(port_);
  Socket server = door.accept();
  gateway_->stop(std::chrono::milliseconds(1));
  EXPECT_EQ(gateway_->clients(), 0u);
}

std::string refusal(const TcpGatewayConfig& config) {
  auto gateway = TcpGateway::start(config);
  return gateway.ok() ? "" : std::string(message_of(gateway.status()));
}

TEST_F(TcpGatewayTest, WhatIsRefused) {
  EXPECT_EQ(refusal({.endpoints = {"bad"}}), "error parsing endpoint \"bad\"");
  EXPECT_EQ(refusal({.endpoints = {}}), "no endpoints found");
  EXPECT_EQ(refusal({.listen_address = "foo"}), "failed to validate listen address: foo");
  EXPECT_EQ(refusal({.listen_address = ":0"}), "failed to resolve listen host: ");
  EXPECT_EQ(refusal({.listen_address = "127.0.0.1:0", .endpoints = {"nowhere.invalid:1"}}),
            "failed to resolve endpoint host: nowhere.invalid");
  EXPECT_EQ(refusal({.endpoints = {"localhost:23790"}}),
            "SRV or endpoint (localhost:23790->127.0.0.1:23790) should not resolve to the gateway "
            "listen addr (127.0.0.1:23790)");
  EXPECT_EQ(refusal({.listen_address = "0.0.0.0:23790", .endpoints = {"127.0.0.1:23790"}}),
            "SRV or endpoint (127.0.0.1:23790->127.0.0.1:23790) should not resolve to the gateway "
            "listen addr (0.0.0.0:23790)");
  EXPECT_NE(refusal({.listen_address = "127.0.0.1:0", .retry_delay = std::chrono::seconds(-1)}),
            "");
  Door taken;
  EXPECT_EQ(refusal({.listen_address = taken.address()}),
            cat("listen tcp ", taken.address(), ": bind: address already in use"));
}

// ---- SRV records

class DiscoveryTest : public net::TlsTest {
 protected:
  Discovery asked(bool insecure = false) const {
    return {.domain = "example.test", .trusted_ca_file = path("ca.pem"), .insecure = insecure};
  }
  // Files of its own, for they are looked at with each handshake.
  uint16_t serve(const std::string& sans) {
    const net::TestCertificate certificate = ca_.issue({.common_name = "server", .sans = sans});
    settings_.cert_file = path(cat("cert", ++servers_));
    settings_.key_file = path(cat("key", servers_));
    net::put_file(settings_.cert_file, certificate.pem());
    net::put_file(settings_.key_file, certificate.key_pem());
    const absl::Status started = start();
    EXPECT_TRUE(started.ok()) << started;
    return listener_->port();
  }
  static std::string found(const Discovery& asked, const TestNameServer& names) {
    absl::StatusOr<std::vector<Endpoint>> endpoints = discover(asked, names.address());
    if (!endpoints.ok()) return std::string(message_of(endpoints.status()));
    std::string text;
    for (const Endpoint& one : *endpoints) {
      text += cat(one.address(), "/", one.priority, "/", one.weight, " ");
    }
    return text;
  }

  log::QuietLog quiet_;
  int servers_ = 0;
};

TEST_F(DiscoveryTest, ThoseWhoProveThatTheyAreOfTheDomain) {
  const uint16_t good = serve("DNS:example.test,DNS:localhost");
  auto kept = std::move(listener_);
  auto kept_handshakes = std::move(handshakes_);
  const uint16_t stranger = serve("DNS:elsewhere.test,IP:127.0.0.1");
  Door silent, gone;
  gone.shut();
  const TestNameServer names(
      {{"_etcd-client-ssl._tcp.example.test",
        {{2, good, "127.0.0.1", 30}, {1, stranger, "127.0.0.1", 7}, {3, gone.port(), "127.0.0.1"}}},
       {"_etcd-client._tcp.example.test", {{1, silent.port(), "127.0.0.1"}}}});
  EXPECT_EQ(found(asked(), names), cat("127.0.0.1:", good, "/2/30 "));
  EXPECT_EQ(found(asked(true), names),
            cat("127.0.0.1:", stranger, "/1/7 127.0.0.1:", good, "/2/30 127.0.0.1:", gone.port(),
                "/3/0 127.0.0.1:", silent.port(), "/1/0 "));
  // Of an authority that is not trusted.
  net::put_file(path("ca.pem"), net::TestCa("other").pem());
  EXPECT_EQ(found(asked(), names), "");
  kept.reset();
}

TEST_F(DiscoveryTest, WhoAsksForCertificatesProvesItselfToo) {
  settings_.trusted_ca_file = path("ca.pem");
  settings_.client_cert_auth = true;
  const uint16_t port = serve("DNS:example.test");
  const TestNameServer names({{"_etcd-client-ssl._tcp.example.test", {{0, port, "127.0.0.1"}}}});
  EXPECT_EQ(found(asked(), names), cat("127.0.0.1:", port, "/0/0 "));
}

TEST_F(DiscoveryTest, WhatIsRefused) {
  const TestNameServer names({{"_etcd-client._tcp.example.test", {{0, 1, "127.0.0.1"}}}});
  Discovery nowhere = asked();
  nowhere.domain = "elsewhere.test";
  EXPECT_THAT(found(nowhere, names), HasSubstr("dns lookup errors: lookup _etcd-client-ssl._tcp."));
  Discovery without_ca = asked();
  without_ca.trusted_ca_file = path("absent");
  EXPECT_THAT(found(without_ca, names), HasSubstr("absent: no such file or directory"));
  EXPECT_EQ(found({}, names), "");
}

// As in etcd: if nobody may be used, the endpoints that were given are.
TEST_F(DiscoveryTest, FallsBackToWhatWasGiven) {
  Door door;
  const TestNameServer names({{"_etcd-client._tcp.example.test", {{0, 1, "127.0.0.1"}}}});
  auto gateway = TcpGateway::start(
      {.listen_address = "127.0.0.1:0", .endpoints = {door.address()}, .discovery = asked()},
      names.address());
  ASSERT_TRUE(gateway.ok()) << gateway.status();
  const std::string& address = (*gateway)->address();
  Socket client =
      Socket::to(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  client.send("hello");
  EXPECT_EQ(door.accept().receive(5), "hello");
}

}  // namespace
}  // namespace keelson::proxy
