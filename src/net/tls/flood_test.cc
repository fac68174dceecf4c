// Handshakes under TLS that come in floods, in pieces, or end half-way.

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/tls/handshakes.h"
#include "net/tls/test_server.h"

namespace keelson::net {
namespace {

// Keeps the pool's thread until it is told to let go.
class Blocker final : public HandshakeStep {
 public:
  explicit Blocker(TlsHandshakes* pool) : pool_(*pool) {
    pool_.begin(this, 0, Newcomer::kProven);
    shared_->running.wait(false);
  }
  ~Blocker() {
    pool_.end(this);
    shared_->let_go = true;
    shared_->let_go.notify_one();
  }
  void run_step(bool) override {
    const std::shared_ptr<Shared> shared = shared_;  // which may outlive us
    shared->running = true;
    shared->running.notify_one();
    shared->let_go.wait(false);
  }
  void put_out() override {}

 private:
  struct Shared {
    std::atomic<bool> running{false}, let_go{false};
  };
  TlsHandshakes& pool_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

TEST_F(TlsTest, WhoDoesNotSpeakTlsIsHungUpOn) {
  ASSERT_TRUE(start().ok());
  Blocker blocker(handshakes_.get());  // no handshake is needed to see that
  for (const std::string hello : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"}) {
    TlsClient client(listener_->port());
    ::send(client.fd(), hello.data(), hello.size(), MSG_NOSIGNAL);
    char byte = 0;
    EXPECT_LE(::recv(client.fd(), &byte, 1, 0), 0);
  }
}

TEST_F(TlsTest, HalfAClientHelloCostsAPlaceToNobody) {
  ASSERT_TRUE(start(false, /*most=*/2).ok());
  std::vector<std::unique_ptr<TlsClient>> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(std::make_unique<TlsClient>(listener_->port()));
  EXPECT_EQ(get(), "tls");
  EXPECT_EQ(handshakes_->running(), 0u);
}

std::string first_flight(TlsClient* client) {
  BIO* out = BIO_new(BIO_s_mem());
  BIO* in = BIO_new(BIO_s_mem());
  SSL* ssl = SSL_new(SSL_get_SSL_CTX(client->ssl()));
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  SSL_do_handshake(ssl);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);  // NOLINT: OpenSSL's type
  std::string flight(data, static_cast<size_t>(size));
  SSL_free(ssl);
  return flight;
}

// And nothing after it.
void send_hello(TlsClient* client) {
  const std::string flight = first_flight(client);
  EXPECT_EQ(::send(client->fd(), flight.data(), flight.size(), MSG_NOSIGNAL), ssize(flight));
}

TEST_F(TlsTest, WhoBeginsAndDoesNotGoOnMakesRoom) {
  ASSERT_TRUE(start(false, /*most=*/4).ok());
  std::vector<std::unique_ptr<TlsClient>> stuck;
  for (int i = 0; i < 16; ++i) {
    stuck.push_back(std::make_unique<TlsClient>(listener_->port()));
    send_hello(stuck.back().get());
  }
  // Far within the ten seconds of a handshake.
  auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(get(), "tls");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
  EXPECT_LE(handshakes_->running(), 4u);
}

TEST_F(TlsTest, WhoHangsUpDoesNotWaitForItsTurn) {
  ASSERT_TRUE(start().ok());
  {
    Blocker blocker(handshakes_.get());
    std::vector<std::unique_ptr<TlsClient>> clients;
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<TlsClient>(listener_->port()));
      send_hello(clients.back().get());
    }
    while (handshakes_->waiting() < 20) usleep(1000);
    const auto begun = std::chrono::steady_clock::now();
    clients.clear();
    while (listener_->connections() > 0) usleep(1000);
    // Far within the ten seconds of a handshake.
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
    EXPECT_EQ(handshakes_->waiting(), 0u);
  }
  EXPECT_EQ(get(), "tls");
}

// A flood that says hello and no more is in front of clients of every kind, from their own address.
TEST_F(TlsTest, InAFloodWhoSaysHelloAgainGetsIn) {
  settings_.client_cert_auth = true;
  ask_clients();
  ASSERT_TRUE(start(false, /*most=*/4).ok());
  const TestCertificate certificate = ca_.issue({.common_name = "honest", .sans = ""});
  SessionPtr session;
  {
    TlsClient first(listener_->port(), {.certificate = &certificate});
    EXPECT_EQ(first.get("/"), "tls cn=honest");
    EXPECT_EQ(first.server_hellos(), 1);
    session = first.session();
  }
  const std::pair<ClientOptions, int> kinds[] = {
      {{.certificate = &certificate}, 2},
      {{.certificate = &certificate, .groups = "P-521:P-256"}, 2},
      {{.certificate = &certificate, .groups = "P-384"}, 2},
      {{.certificate = &certificate, .session = session.get()}, 2},
      {{.certificate = &certificate, .max_version = TLS1_2_VERSION}, 1}};
  auto blocker = std::make_unique<Blocker>(handshakes_.get());
  std::vector<std::unique_ptr<TlsClient>> flood;
  for (size_t i = 0; i < TlsHandshakes::kCrowd; ++i) {
    flood.push_back(std::make_unique<TlsClient>(listener_->port()));
    send_hello(flood.back().get());
  }
  while (handshakes_->waiting() < flood.size()) usleep(1000);
  std::vector<std::thread> threads;
  for (const auto& [options, hellos] : kinds) {
    threads.emplace_back([this, &options = options, hellos = hellos] {
      TlsClient client(listener_->port(), options);
      EXPECT_EQ(client.get("/"), "tls cn=honest");
      EXPECT_EQ(client.server_hellos(), hellos);
    });
  }
  while (handshakes_->waiting() < flood.size() + threads.size()) usleep(1000);
  blocker.reset();
  for (std::thread& thread : threads) thread.join();
  // All of the flood was asked, and none of it has a place.
  while (handshakes_->waiting() > 0) usleep(1000);
  while (handshakes_->running() > 0) usleep(1000);
  EXPECT_GT(listener_->connections(), flood.size() - 1);
}

TEST_F(TlsTest, AHelloInPiecesHasNoTurnUntilItIsWhole) {
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port());
  const std::string hello = first_flight(&client);
  for (const char byte : hello.substr(0, hello.size() - 1)) {
    ASSERT_EQ(::send(client.fd(), &byte, 1, MSG_NOSIGNAL), 1);
  }
  EXPECT_EQ(get(), "tls");
  EXPECT_EQ(handshakes_->running(), 0u);
  EXPECT_EQ(handshakes_->waiting(), 0u);
  ASSERT_EQ(::send(client.fd(), hello.data() + hello.size() - 1, 1, MSG_NOSIGNAL), 1);
  char byte = 0;
  EXPECT_EQ(::recv(client.fd(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 0x16);
}

TEST_F(TlsTest, ManyAtOnceAllGetIn) {
  ASSERT_TRUE(start(false, /*most=*/3).ok());
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 24; ++i) {
    threads.emplace_back([&] { good += get() == "tls"; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 24);
}

TEST_F(TlsTest, ConnectionsThatGoAwayMidway) {
  ASSERT_TRUE(start().ok());
  for (int i = 0; i < 100; ++i) {
    TlsClient client(listener_->port());
    if (i % 2) send_hello(&client);
  }
  EXPECT_EQ(get(), "tls");
  TlsClient open(listener_->port());
  send_hello(&open);
  listener_.reset();  // with handshakes under way
}

}  // namespace
}  // namespace keelson::net
