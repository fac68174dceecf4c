// HttpClient under TLS against our own listener: whom it believes, what it shows, and what changes
// while it runs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "net/listener.h"
#include "net/test_http_client.h"
#include "net/tls/client_context.h"
#include "net/tls/test_ca.h"
#include "net/tls/transport.h"

namespace keelson::net {
namespace {

using ::testing::HasSubstr;

// Says who asks; to a body, the same body; "/big": much.
class WhoAsks final : public HttpHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    HttpResponse response;
    if (request.path() == "/big") {
      response.body = MessageParts::copy(std::string(24 << 20, 'b'));
    } else if (!request.body.empty()) {
      response.body = MessageParts(request.body);
    } else {
      const PeerInfo& peer = request.peer;
      response.body = MessageParts::copy(peer.identity ? peer.identity->common_name : "nobody");
    }
    reply->send(std::move(response));
  }
};

class TlsClientTest : public testing::Test {
 protected:
  TlsClientTest() : dir_(cat(testing::TempDir(), "keelson_tls_client_", getpid())) {
    std::filesystem::create_directories(dir_);
    put("server", ca_.issue({.common_name = "server"}));
    put("client", ca_.issue({.common_name = "client", .sans = ""}));
    put_file(path("ca.pem"), ca_.pem());
    router_.http_prefix("/", &handler_, {.max_body_bytes = 64 << 20});
    serves_.cert_file = path("server.pem");
    serves_.key_file = path("server.key");
    asks_.trusted_ca_file = path("ca.pem");
  }
  ~TlsClientTest() override {
    client_.reset();
    listener_.reset();
    handshakes_.reset();
    std::filesystem::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void put(const std::string& name, const TestCertificate& certificate) {
    put_file(path(name + ".pem"), certificate.pem());
    put_file(path(name + ".key"), certificate.key_pem());
  }
  void show(const std::string& name) {
    asks_.cert_file = path(name + ".pem");
    asks_.key_file = path(name + ".key");
  }

  // A server and a client with the settings as they are now.
  void start(const std::string& url = "127.0.0.1:0") {
    serve(url);
    auto context = TlsClientContext::create(asks_);
    ASSERT_TRUE(context.ok()) << context.status();
    HttpClientOptions options;
    options.tls = *context;
    options.connect_timeout = connect_timeout_;
    client_ = std::make_unique<TestHttpClient>(options);
  }
  // Connections from before are closed.
  void serve(const std::string& url = "127.0.0.1:0") {
    listener_.reset();
    auto context = TlsContext::create(serves_);
    ASSERT_TRUE(context.ok()) << context.status();
    handshakes_ = std::make_unique<TlsHandshakes>(1);
    auto tls = std::make_shared<ListenerTls>();
    tls->context = *context;
    tls->handshakes = handshakes_.get();
    if (asks_names_) tls->client_names = &resolver_;
    ListenerOptions options;
    options.tls = tls;
    auto listener = Listener::start(url, &pool_, &router_, nullptr, options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  HttpPlace place(const std::string& host = "127.0.0.1") const {
    if (listener_->port() == 0) return {.host = listener_->address(), .tls = true};
    return {.host = host, .port = cat(listener_->port()), .tls = true};
  }
  std::string get(const std::string& host = "127.0.0.1") {
    return client_->get(place(host)).result();
  }
  std::string refusal() {
    auto context = TlsClientContext::create(asks_);
    return context.ok() ? "" : std::string(context.status().message());
  }

  const std::string dir_;
  TestCa ca_{"ca"};
  TestCa other_ca_{"other"};
  WhoAsks handler_;
  Router router_;
  TlsSettings serves_, asks_;
  Duration connect_timeout_ = std::chrono::seconds(20);
  bool asks_names_ = false;
  LoopPool pool_{2};
  Resolver resolver_;
  std::unique_ptr<TlsHandshakes> handshakes_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<TestHttpClient> client_;
};

TEST_F(TlsClientTest, SettingsThatCannotBe) {
  asks_.cert_file = "c";
  EXPECT_EQ(refusal(), "KeyFile and CertFile must both be present[key: , cert: c]");
  asks_.cert_file = "";
  asks_.allowed_cns = {"a"};
  asks_.allowed_hostnames = {"b"};
  EXPECT_THAT(refusal(), HasSubstr("are mutually exclusive"));
  asks_.allowed_cns = {};
  asks_.trusted_ca_file = path("absent");
  EXPECT_EQ(refusal(), "open " + path("absent") + ": no such file or directory");
  put_file(path("absent"), "rubbish");
  EXPECT_NE(refusal(), "");
}

// ---- whom a server of members believes

TEST_F(TlsClientTest, AMemberMustComeFromWhereItsCertificateSays) {
  put("here", ca_.issue({.common_name = "here", .sans = "IP:10.1.2.3,IP:127.0.0.1"}));
  put("there", ca_.issue({.common_name = "there", .sans = "IP:10.1.2.3"}));
  put("named", ca_.issue({.common_name = "named", .sans = "DNS:nowhere.invalid,DNS:localhost"}));
  put("mixed", ca_.issue({.common_name = "mixed", .sans = "IP:10.1.2.3,DNS:localhost"}));
  put("nowhere", ca_.issue({.common_name = "nowhere", .sans = "DNS:nowhere.invalid"}));
  serves_.trusted_ca_file = path("ca.pem");
  const auto shown = [&](const std::string& name) {
    show(name);
    start();
    return get();
  };
  for (bool asks : {false, true}) {
    asks_names_ = asks;
    for (const char* name : {"here", "named", "mixed", "client"}) {
      EXPECT_EQ(shown(name), cat("200 ", name)) << asks;
    }
    for (const char* name : {"there", "nowhere"}) {
      const std::string result = shown(name);
      EXPECT_EQ(result.starts_with(asks ? "UNAVAILABLE: " : "200 "), true) << result;
    }
  }
}

// ---- whom it believes

TEST_F(TlsClientTest, AServerOfTheAuthority) {
  start();
  EXPECT_EQ(get(), "200 nobody");
  EXPECT_EQ(get("localhost"), "200 nobody");
  put_file(path("ca.pem"), other_ca_.pem());
  start();
  EXPECT_EQ(get(),
            "UNAVAILABLE: tls: failed to verify certificate: x509: certificate signed by unknown "
            "authority");
  // The system's roots do not have it, either.
  asks_.trusted_ca_file = "";
  start();
  EXPECT_THAT(get(), HasSubstr("certificate signed by unknown authority"));
  asks_.insecure_skip_verify = true;
  start();
  EXPECT_EQ(get(), "200 nobody");
}

TEST_F(TlsClientTest, AServerThatIsWhoWasAskedFor) {
  put("server", ca_.issue({.common_name = "127.0.0.1", .sans = "DNS:localhost"}));
  start();
  EXPECT_EQ(get("localhost"), "200 nobody");
  EXPECT_EQ(get(),
            "UNAVAILABLE: tls: failed to verify certificate: x509: cannot validate certificate for "
            "127.0.0.1 because it doesn't contain any IP SANs");
  put("server", ca_.issue({.sans = "IP:127.0.0.1,DNS:a.example,DNS:*.b.example"}));
  start();
  EXPECT_EQ(get(), "200 nobody");
  EXPECT_EQ(get("localhost"),
            "UNAVAILABLE: tls: failed to verify certificate: x509: certificate is valid for "
            "a.example, *.b.example, not localhost");
  put("server", ca_.issue({.sans = "IP:127.0.0.2"}));
  start();
  EXPECT_THAT(get(), HasSubstr("certificate is valid for 127.0.0.2, not 127.0.0.1"));
}

// Whatever host it is at.
TEST_F(TlsClientTest, AServerThatIsWhoIsWantedOfAll) {
  put("server", ca_.issue({.sans = "DNS:a.example,IP:127.0.0.1"}));
  asks_.server_name = "a.example";
  start();
  EXPECT_EQ(get(), "200 nobody");
  EXPECT_EQ(get("localhost"), "200 nobody");
  put("server", ca_.issue({.sans = "DNS:localhost,IP:127.0.0.1"}));
  start();
  for (const char* host : {"127.0.0.1", "localhost"}) {
    EXPECT_EQ(get(host),
              "UNAVAILABLE: tls: failed to verify certificate: x509: certificate is valid for "
              "localhost, not a.example");
  }
}

TEST_F(TlsClientTest, AServerWhoseTimeIsOver) {
  put("server", ca_.issue({.seconds = -10}));
  start();
  EXPECT_THAT(get(), HasSubstr("certificate has expired or is not yet valid"));
}

TEST_F(TlsClientTest, NamesThatAreAllowedAndRevocations) {
  asks_.allowed_cns = {"server", "b"};
  start();
  EXPECT_EQ(get(), "200 nobody");
  asks_.allowed_cns = {"b"};
  start();
  EXPECT_EQ(get(), "UNAVAILABLE: client certificate authentication failed");
  asks_.allowed_cns = {};
  asks_.crl_file = path("crl");
  TestCertificate server = ca_.issue({.common_name = "server"});
  put("server", server);
  put_file(path("crl"), ca_.revoke({}));
  start();
  EXPECT_EQ(get(), "200 nobody");
  put_file(path("crl"), ca_.revoke({&server}));
  serve();
  EXPECT_THAT(get(), HasSubstr(" revoked"));
}

// ---- what it shows

TEST_F(TlsClientTest, ItsCertificate) {
  serves_.trusted_ca_file = path("ca.pem");
  serves_.client_cert_auth = true;
  start();
  // TLS 1.3's server says so when the client has long begun.
  EXPECT_THAT(get(), HasSubstr("certificate required"));
  show("client");
  start();
  EXPECT_EQ(get(), "200 client");
  put("client", other_ca_.issue({.common_name = "stranger"}));
  start();
  EXPECT_THAT(get(), HasSubstr("UNAVAILABLE: remote error: tls: unknown certificate authority"));
  // That for clients comes before that for servers.
  put("client", ca_.issue({.common_name = "as a client", .sans = ""}));
  asks_.client_cert_file = path("client.pem");
  asks_.client_key_file = path("client.key");
  show("server");
  start();
  EXPECT_EQ(get(), "200 as a client");
}

// ---- what changes while it runs

TEST_F(TlsClientTest, NewFilesCountForNewConnections) {
  serves_.trusted_ca_file = path("ca.pem");
  show("client");
  start();
  EXPECT_EQ(get(), "200 client");
  put("client", ca_.issue({.common_name = "renewed", .sans = ""}));
  EXPECT_EQ(get(), "200 client");  // on the connection from before
  serve();
  EXPECT_EQ(get(), "200 renewed");
  // Files that cannot be used change nothing …
  put_file(path("ca.pem"), "rubbish");
  put_file(path("client.pem"), "rubbish");
  serves_.trusted_ca_file = "";
  serve();
  EXPECT_EQ(get(), "200 nobody");
  // … and a new authority is believed instead of the old.
  put("client", ca_.issue({.common_name = "client", .sans = ""}));
  put_file(path("ca.pem"), other_ca_.pem());
  serve();
  EXPECT_THAT(get(), HasSubstr("certificate signed by unknown authority"));
  put("server", other_ca_.issue({}));
  serve();
  EXPECT_EQ(get(), "200 nobody");
}

// ---- servers that misbehave

TEST_F(TlsClientTest, WhoDoesNotSpeakTls) {
  connect_timeout_ = std::chrono::seconds(1);
  start();
  ScriptedServer server;
  HttpPlace place = server.place();
  place.tls = true;
  {
    Asked asked = client_->get(place);
    ScriptedConnection connection = server.accept();
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    EXPECT_THAT(asked.result(), HasSubstr("UNAVAILABLE: tls: "));
  }
  {
    Asked asked = client_->get(place);
    server.accept().close();
    EXPECT_TRUE(asked.result() == "UNAVAILABLE: EOF" ||
                asked.result() == "UNAVAILABLE: connection reset by peer")
        << asked.result();
  }
  EXPECT_EQ(client_->get(place).result(), "DEADLINE_EXCEEDED: net/http: TLS handshake timeout");
  Asked cancelled = client_->get(place);
  server.accept();
  ScriptedConnection connection = server.accept();
  client_->on_loop([&] { cancelled.exchange->cancel(); });
  client_->stop();
  EXPECT_FALSE(cancelled.outcome->over());
}

// ---- bodies

TEST_F(TlsClientTest, LongBodiesBothWays) {
  start();
  std::string body(20 << 20, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 24);
  HttpClientRequest request;
  request.place = place();
  request.method = "POST";
  request.body = MessageParts::copy(body);
  Asked echo = client_->ask(std::move(request));
  request = {};
  request.place = place();
  request.target = "/big";
  Asked big = client_->ask(std::move(request));
  // Taken bit by bit.
  for (size_t got = 0; got < (24u << 20); got = big.outcome->body_size()) {
    client_->on_loop([&] { big.exchange->resume(); });
    ASSERT_TRUE(big.outcome->wait_for_body(std::min<size_t>(24 << 20, got + (1 << 20))));
    client_->on_loop([&] { big.exchange->pause(); });
  }
  client_->on_loop([&] { big.exchange->resume(); });
  EXPECT_EQ(big.result(), "200 " + std::string(24 << 20, 'b'));
  EXPECT_TRUE(echo.result() == "200 " + body);
  EXPECT_EQ(client_->connections(), 2u);
}

TEST_F(TlsClientTest, OverAUnixSocket) {
  start("unix://" + path("socket"));
  EXPECT_EQ(get(), "200 nobody");
}

}  // namespace
}  // namespace keelson::net
