// Attacks on handshakes, and newcomers who want one.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/attack/attacks.h"

namespace keelson::attack {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslPtr = std::unique_ptr<SSL, FreeSsl>;
using ContextPtr = std::unique_ptr<SSL_CTX, FreeSsl>;

class Socket {
 public:
  // From `source`, which is an address of the loopback.
  Socket(const std::string& address, const char* source) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in from{}, to{};
    from.sin_family = to.sin_family = AF_INET;
    inet_pton(AF_INET, source, &from.sin_addr);
    const size_t colon = address.rfind(':');
    to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    const int on = 1;
    setsockopt(fd_, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    connected_ = ::bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof from) == 0 &&
                 ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  Socket(const Socket&) = delete;
  int fd() const { return fd_; }
  bool connected() const { return connected_; }

 private:
  int fd_ = -1;
  bool connected_ = false;
};

// A client's first flight.
std::string client_hello(SSL_CTX* context) {
  SslPtr ssl(SSL_new(context));
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(ssl.get());
  SSL_do_handshake(ssl.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);  // NOLINT: OpenSSL's type
  return {data, static_cast<size_t>(size)};
}

// Keeps so many connections open that have said hello, and nothing else; the oldest make room.
void say_hello(const Target& target, const std::string& hello, size_t open) {
  std::deque<Socket> all;
  while (!target.over) {
    all.emplace_back(target.address, "127.0.0.1");
    if (all.back().connected()) ::send(all.back().fd(), hello.data(), hello.size(), MSG_NOSIGNAL);
    if (all.size() > open) all.pop_front();
  }
}

bool shake_hands(const std::string& address, const char* source, SSL_CTX* context) {
  Socket socket(address, source);
  const timeval patience{10, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  SslPtr ssl(SSL_new(context));
  SSL_set_fd(ssl.get(), socket.fd());
  return socket.connected() && SSL_connect(ssl.get()) == 1;
}

// Comes again and again; who is refused tries again at once.
void newcomers(Target& target, const char* source, SSL_CTX* context) {
  target.wait(milliseconds(500));
  while (!target.over) {
    const auto start = Clock::now();
    while (!shake_hands(target.address, source, context) && !target.over) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    const std::chrono::duration<double, std::milli> took = Clock::now() - start;
    target.newcomer_ms = std::max(target.newcomer_ms.load(), took.count());
    target.wait(milliseconds(50));
  }
}

void flood(Target& target, const char* newcomers_source) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  const std::string hello = client_hello(context.get());
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] { say_hello(target, hello, 3000); });
  }
  newcomers(target, newcomers_source, context.get());
  for (std::thread& thread : threads) thread.join();
}

void hellos(Target& target) { flood(target, "127.0.0.2"); }
void hellos_from_beside(Target& target) { flood(target, "127.0.0.1"); }

// A byte of a hello now and then, on each of a thousand connections.
void slow_handshakes(Target& target) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  const std::string hello = client_hello(context.get());
  std::vector<Socket> all;
  for (int i = 0; i < 1000; ++i) all.emplace_back(target.address, "127.0.0.1");
  for (size_t at = 0; at + 1 < hello.size(); ++at) {
    for (const Socket& socket : all) {
      ::send(socket.fd(), hello.data() + at, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (target.wait(milliseconds(100))) return;
  }
}

// Connected, and complete; null when that fails.
SslPtr connected(const Socket& socket, SSL_CTX* context) {
  const timeval patience{10, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  SslPtr ssl(SSL_new(context));
  SSL_set_fd(ssl.get(), socket.fd());
  return socket.connected() && SSL_connect(ssl.get()) == 1 ? std::move(ssl) : nullptr;
}

// TLS 1.2, whose clients may ask for a new handshake within the old one. OpenSSL's asks once.
void renegotiations(Target& target) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  auto attacker = [&] {
    while (!target.over) {
      const Socket socket(target.address, "127.0.0.1");
      const SslPtr ssl = connected(socket, context.get());
      if (!ssl) continue;
      char byte = 0;
      if (SSL_renegotiate(ssl.get()) == 1 && SSL_do_handshake(ssl.get()) == 1) {
        SSL_read(ssl.get(), &byte, 1);
      }
    }
  };
  std::thread other(attacker);
  attacker();
  other.join();
}

// They have asked for the metrics, said that they have no more to say, and do not read.
void half_closed(Target& target) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  std::vector<std::pair<Socket, SslPtr>> all;
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  while (all.size() < 500 && !target.over) {
    Socket socket(target.address, "127.0.0.1");
    SslPtr ssl = connected(socket, context.get());
    if (!ssl) continue;
    for (int i = 0; i < 20; ++i) {
      SSL_write(ssl.get(), request.data(), static_cast<int>(request.size()));
    }
    SSL_shutdown(ssl.get());
    ::shutdown(socket.fd(), SHUT_WR);
    all.emplace_back(std::move(socket), std::move(ssl));
  }
  target.wait(std::chrono::hours(1));
}

}  // namespace

std::vector<Attack> tls_attacks() {
  return {
      {"client-hellos",
       "6000 connections that begin a handshake and do not go on, again and again",
       hellos,
       {.grown_mb = 250, .left_mb = 60, .newcomer_ms = 1000},
       {},
       true},
      {"hellos-from-beside",
       "the same, and newcomers from the same address",
       hellos_from_beside,
       {.grown_mb = 250, .left_mb = 60, .newcomer_ms = 1500},
       {},
       true},
      {"slow-handshakes",
       "1000 hellos that come a byte at a time",
       slow_handshakes,
       {.grown_mb = 60, .left_mb = 40},
       {},
       true},
      {"renegotiations",
       "TLS 1.2, and at once a new handshake within it, again and again",
       renegotiations,
       {.grown_mb = 60, .left_mb = 40},
       {},
       true},
      {"half-closed-tls",
       "500 clients of TLS with 20 requests for metrics each, half-closed, that do not read",
       half_closed,
       {.grown_mb = 200, .left_mb = 60},
       {},
       true},
  };
}

}  // namespace keelson::attack
