// Listeners under TLS, over real sockets, with clients made of OpenSSL: the rules about
// certificates, what changes while the server runs, resumption, and the bytes themselves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/random.h"
#include "base/test_seeds.h"
#include "net/test_memory.h"
#include "net/tls/self_signed.h"
#include "net/tls/test_server.h"

namespace keelson::net {
namespace {

using ::testing::HasSubstr;

// ---- what is refused at the start

TEST_F(TlsTest, SettingsThatEtcdRefuses) {
  settings_.key_file = "";
  EXPECT_EQ(refusal(),
            "KeyFile and CertFile must both be present[key: , cert: " + path("cert.pem") + "]");
  settings_.key_file = path("key.pem");
  settings_.client_cert_file = "c";
  EXPECT_EQ(
      refusal(),
      "ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: c]");
  settings_.client_cert_file = "";
  settings_.allowed_cns = {"a"};
  settings_.allowed_hostnames = {"b", "c"};
  EXPECT_EQ(refusal(),
            "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\"], "
            "hostnames=[\"b\" \"c\"])");
  settings_.allowed_cns = settings_.allowed_hostnames = {};
  settings_.cipher_suites = {"TLS_NULL"};
  EXPECT_EQ(refusal(), "unexpected TLS cipher suite \"TLS_NULL\"");
  settings_.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"};
  EXPECT_THAT(refusal(), HasSubstr("missing an HTTP/2-required AES_128_GCM_SHA256 cipher"));
  settings_.cipher_suites = {"TLS_RSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_THAT(refusal(), HasSubstr("is not supported by this build"));
}

TEST_F(TlsTest, FilesThatCannotBeUsedStopTheStart) {
  settings_.trusted_ca_file = path("ca.pem");
  settings_.crl_file = path("crl");
  EXPECT_EQ(refusal(), "open " + path("crl") + ": no such file or directory");
  put_file(path("crl"), "rubbish");
  EXPECT_THAT(refusal(), HasSubstr("malformed crl"));
  put_file(path("crl"), "-----BEGIN X509 CRL-----\n");
  EXPECT_THAT(refusal(), HasSubstr("DER"));
  put_file(path("crl"), ca_.revoke({}));
  EXPECT_EQ(refusal(), "");
  put_file(path("ca.pem"), "nothing");
  EXPECT_THAT(refusal(), HasSubstr("no certificate in it"));
  put_file(path("ca.pem"), "");
  EXPECT_THAT(refusal(), HasSubstr("no certificate in it"));
  put_file(path("ca.pem"), ca_.pem());
  put_file(path("key.pem"), ca_.issue({}).key_pem());
  EXPECT_THAT(refusal(), HasSubstr("tls: private key does not match public key"));
  put_file(path("key.pem"), "");
  EXPECT_THAT(refusal(), HasSubstr("failed to find any usable PEM data in key input"));
  put_file(path("cert.pem"), "");
  EXPECT_THAT(refusal(), HasSubstr("failed to find any PEM data in certificate input"));
}

// ---- the handshake

TEST_F(TlsTest, ProtocolsAreChosenByAlpn) {
  ASSERT_TRUE(start().ok());
  const std::tuple<std::vector<std::string>, bool, std::string> cases[] = {
      {{}, true, ""},
      {{"http/1.1"}, true, "http/1.1"},
      {{"h2"}, true, "h2"},
      {{"http/1.1", "h2"}, true, "h2"},
      {{"spdy/3", "http/1.1"}, true, "http/1.1"},
      {{"spdy/3"}, false, ""}};
  for (const auto& [offered, works, chosen] : cases) {
    TlsClient client(listener_->port(), {.alpn = offered});
    EXPECT_EQ(client.connect(), works);
    if (!works) continue;
    EXPECT_EQ(client.alpn(), chosen);
  }
}

TEST_F(TlsTest, VersionsAndSuites) {
  put_server(ca_.issue({.common_name = "rsa", .rsa = true}));
  settings_.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"};
  ASSERT_TRUE(start().ok());
  EXPECT_EQ(get({.max_version = TLS1_2_VERSION}), "tls");
  EXPECT_THAT(get({.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES256-GCM-SHA384"}),
              HasSubstr("no handshake"));
  EXPECT_THAT(get({.max_version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"}),
              HasSubstr("no handshake"));
  settings_.cipher_suites.clear();
  settings_.min_version = TlsVersion::kTls13;
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.max_version = TLS1_2_VERSION}), HasSubstr("no handshake"));
  EXPECT_EQ(get(), "tls");
  settings_.min_version = TlsVersion::kTls12;
  settings_.max_version = TlsVersion::kTls12;
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port());
  EXPECT_EQ(client.get("/"), "tls");
  EXPECT_EQ(SSL_version(client.ssl()), TLS1_2_VERSION);
  // RSA key exchange is not among what Go offers.
  EXPECT_THAT(get({.ciphers = "AES128-GCM-SHA256"}), HasSubstr("no handshake"));
}

TEST_F(TlsTest, PlaintextOnATlsPort) {
  ASSERT_TRUE(start().ok());
  auto plain = [&] {
    TlsClient client(listener_->port());
    std::string request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_GT(::send(client.fd(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    std::string answer;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(client.fd(), buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
    return answer;
  };
  EXPECT_THAT(plain(), ::testing::Not(HasSubstr("HTTP/1.1 200")));
  ASSERT_TRUE(start(/*plaintext_too=*/true).ok());
  EXPECT_THAT(plain(), HasSubstr("plain"));
  EXPECT_EQ(get(), "tls");
}

// ---- client certificates

TEST_F(TlsTest, ClientsMustShowACertificateOfTheAuthority) {
  ask_clients();
  ASSERT_TRUE(start().ok());
  TestCa other("other");
  TestCertificate good = ca_.issue({.common_name = "root", .sans = "DNS:a.b,IP:10.0.0.1,IP:::1"});
  TestCertificate foreign = other.issue({.common_name = "root"});
  TestCertificate old = ca_.issue({.common_name = "root", .seconds = -5});
  TestCertificate server_only = ca_.issue({.common_name = "root", .usage = "serverAuth"});
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const char* none = version == TLS1_2_VERSION ? "handshake failure" : "certificate required";
    EXPECT_EQ(get({.certificate = &good, .max_version = version}),
              "tls cn=root dns=a.b ip=10.0.0.1 ip=::1");
    EXPECT_THAT(get({.max_version = version}), HasSubstr(none));
    EXPECT_THAT(get({.certificate = &foreign, .max_version = version}), HasSubstr("unknown ca"));
    EXPECT_THAT(get({.certificate = &old, .max_version = version}), HasSubstr("expired"));
    EXPECT_THAT(get({.certificate = &server_only, .max_version = version}),
                HasSubstr("unsupported certificate"));
  }
}

TEST_F(TlsTest, NamesAndRevocationsAreHeld) {
  ask_clients();
  TestCertificate a = ca_.issue({.common_name = "a", .sans = "DNS:*.example.com"});
  TestCertificate b = ca_.issue({.common_name = "x.example.com", .sans = "IP:10.0.0.1"});
  settings_.allowed_cns = {"z", "a"};
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.certificate = &a}), HasSubstr("cn=a"));
  EXPECT_THAT(get({.certificate = &b}), HasSubstr("bad certificate"));
  settings_.allowed_cns = {};
  settings_.allowed_hostnames = {"x.example.com"};
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.certificate = &a}), HasSubstr("cn=a"));
  EXPECT_THAT(get({.certificate = &b}), HasSubstr("bad certificate"));  // a common name is no host
  settings_.allowed_hostnames = {"x.y.example.com", "10.0.0.1"};
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.certificate = &a}), HasSubstr("bad certificate"));
  EXPECT_THAT(get({.certificate = &b}), HasSubstr("cn=x.example.com"));
  settings_.allowed_hostnames = {};
  settings_.crl_file = path("crl");
  put_file(path("crl"), ca_.revoke({&b}));
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.certificate = &a}), HasSubstr("cn=a"));
  EXPECT_THAT(get({.certificate = &b}), HasSubstr("certificate revoked"));
}

// ---- what changes while the server runs

TEST_F(TlsTest, FilesAreReadAgain) {
  ask_clients();
  TestCertificate client = ca_.issue({.common_name = "c"});
  settings_.crl_file = path("crl");
  put_file(path("crl"), ca_.revoke({}));
  ASSERT_TRUE(start().ok());
  auto name = [&] {
    TlsClient c(listener_->port(), {.certificate = &client});
    return c.connect() ? c.server_name() : "none";
  };
  EXPECT_EQ(name(), "first");
  put_server(ca_.issue({.common_name = "second"}));
  EXPECT_EQ(name(), "second");
  // A pair that does not fit, or is gone, changes nothing.
  put_file(path("key.pem"), ca_.issue({}).key_pem());
  EXPECT_EQ(name(), "second");
  std::filesystem::remove(path("cert.pem"));
  EXPECT_EQ(name(), "second");
  put_server(ca_.issue({.common_name = "third"}));
  EXPECT_EQ(name(), "third");
  // The authorities, where etcd needs a restart.
  TestCa next("next");
  TestCertificate new_client = next.issue({.common_name = "n"});
  EXPECT_THAT(get({.certificate = &new_client}), HasSubstr("unknown ca"));
  put_file(path("ca.pem"), ca_.pem() + next.pem());
  EXPECT_EQ(get({.certificate = &new_client}, "/").substr(0, 8), "tls cn=n");
  put_file(path("ca.pem"), "-----BEGIN CERTIFICATE-----\nbroken\n");
  EXPECT_EQ(get({.certificate = &new_client}, "/").substr(0, 8), "tls cn=n");
  put_file(path("ca.pem"), next.pem());
  EXPECT_THAT(get({.certificate = &client}), HasSubstr("unknown ca"));
  // And the revocations.
  put_file(path("crl"), next.revoke({&new_client}));
  EXPECT_THAT(get({.certificate = &new_client}), HasSubstr("certificate revoked"));
  put_file(path("crl"), "broken");
  EXPECT_THAT(get({.certificate = &new_client}), HasSubstr("certificate revoked"));
}

TEST_F(TlsTest, ResumedSessionsAreCheckedToo) {
  ask_clients();
  settings_.crl_file = path("crl");
  put_file(path("crl"), ca_.revoke({}));
  TestCertificate client = ca_.issue({.common_name = "c", .sans = ""});
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    put_file(path("crl"), ca_.revoke({}));
    ASSERT_TRUE(start().ok());
    ClientOptions options{.certificate = &client, .max_version = version};
    TlsClient first(listener_->port(), options);
    EXPECT_EQ(first.get("/"), "tls cn=c");
    SessionPtr session = first.session();
    options.session = session.get();
    TlsClient second(listener_->port(), options);
    EXPECT_EQ(second.get("/"), "tls cn=c");
    EXPECT_TRUE(second.resumed());
    put_file(path("crl"), ca_.revoke({&client}));
    EXPECT_THAT(get(options), HasSubstr("certificate revoked"));
    // Not by leaving the certificate at home, either.
    options.certificate = nullptr;
    EXPECT_THAT(get(options), HasSubstr(version == TLS1_2_VERSION ? "handshake failure"
                                                                  : "certificate required"));
  }
}

TEST_F(TlsTest, ASessionOfAnotherListenerIsNotResumed) {
  ask_clients();
  TestCertificate client = ca_.issue({.common_name = "c", .sans = ""});
  ASSERT_TRUE(start().ok());
  TlsClient first(listener_->port(), {.certificate = &client});
  EXPECT_EQ(first.get("/"), "tls cn=c");
  SessionPtr session = first.session();
  settings_.allowed_cns = {"d"};
  ASSERT_TRUE(start().ok());
  EXPECT_THAT(get({.certificate = &client, .session = session.get()}),
              HasSubstr("bad certificate"));
}

TEST_F(TlsTest, ASessionEndsWithTheCertificate) {
  ask_clients();
  TestCertificate client = ca_.issue({.common_name = "c", .sans = "", .seconds = 2});
  ASSERT_TRUE(start().ok());
  TlsClient first(listener_->port(), {.certificate = &client});
  EXPECT_EQ(first.get("/"), "tls cn=c");
  SessionPtr session = first.session();
  // The certificate's own clock decides; nothing else tells when it is over.
  while (X509_cmp_current_time(X509_get0_notAfter(client.x509.get())) > 0) usleep(20'000);
  EXPECT_THAT(get({.certificate = &client, .session = session.get()}), HasSubstr("expired"));
}

// ---- clients that misbehave

TEST_F(TlsTest, RenegotiationIsRefused) {
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port(), {.max_version = TLS1_2_VERSION});
  ASSERT_TRUE(client.connect());
  SSL_renegotiate(client.ssl());
  EXPECT_NE(SSL_do_handshake(client.ssl()) == 1 && SSL_renegotiate_pending(client.ssl()) == 0 &&
                client.read_all().empty() && SSL_num_renegotiations(client.ssl()) > 0 &&
                SSL_get_shutdown(client.ssl()) == 0,
            true);
  EXPECT_EQ(get(), "tls");
}

// ---- the bytes

TEST_F(TlsTest, LongAnswersReachASlowClientWhole) {
  ASSERT_TRUE(start().ok());
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(listener_->port(), {.max_version = version});
    int small = 64 << 10;
    setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    const std::string answer = client.get("/big");
    ASSERT_EQ(answer.size(), size_t{24} << 20);
    EXPECT_EQ(answer.find_first_not_of('b'), std::string::npos);
  }
}

TEST_F(TlsTest, BodiesOfAnySizeInPiecesOfAnySize) {
  ASSERT_TRUE(start().ok());
  for_each_seed(8, [&](uint64_t seed) {
    SeededRandom random(seed);
    TlsClient client(listener_->port());
    ASSERT_TRUE(client.connect());
    for (int request = 0; request < 4; ++request) {
      std::string body(random.next() % (300 << 10), 'x');
      for (char& c : body) c = static_cast<char>(random.next());
      ASSERT_TRUE(client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n"));
      std::thread writer([&] {
        for (std::string_view left = body; !left.empty();) {
          const size_t n = std::min<size_t>(left.size(), 1 + random.next() % 40'000);
          ASSERT_TRUE(client.send(left.substr(0, n)));
          left.remove_prefix(n);
        }
      });
      writer.join();
      std::string answer;
      size_t head = std::string::npos;
      while (head == std::string::npos || answer.size() < head + 4 + body.size()) {
        ASSERT_TRUE(client.read_some(&answer));
        head = answer.find("\r\n\r\n");
      }
      EXPECT_TRUE(answer.substr(head + 4) == body);
    }
  });
}

TEST_F(TlsTest, AHalfClosedClientGetsItsAnswer) {
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port());
  ASSERT_TRUE(client.connect());
  ASSERT_TRUE(client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
  SSL_shutdown(client.ssl());
  ::shutdown(client.fd(), SHUT_WR);
  std::string answer;
  while (client.read_some(&answer)) {
  }
  EXPECT_GT(answer.size(), size_t{24} << 20);
  // The server says its end too, in TLS's way.
  EXPECT_EQ(SSL_get_shutdown(client.ssl()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

// The end of what the client says, TLS's own or the socket's, is there to be read for ever.
TEST_F(TlsTest, AHalfClosedClientThatWaitsCostsNothing) {
  LateHandler late;
  router_.http("/late", &late);
  ASSERT_TRUE(start().ok());
  auto turns = std::make_shared<std::atomic<int>>(0);  // hooks stay
  for (int i = 0; i < pool_.size(); ++i) pool_.at(i).after_batch([turns] { ++*turns; });
  for (const bool socket_too : {false, true}) {
    TlsClient client(listener_->port());
    ASSERT_TRUE(client.connect());
    ASSERT_TRUE(client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n"));
    SSL_shutdown(client.ssl());
    if (socket_too) ::shutdown(client.fd(), SHUT_WR);
    late.until_asked();
    *turns = 0;
    // Others come and go meanwhile.
    for (int i = 0; i < 20; ++i) EXPECT_EQ(get(), "tls");
    EXPECT_LT(*turns, 1000);
    late.answer();
    EXPECT_THAT(client.read_all(), ::testing::EndsWith("late"));
  }
}

// Most connections are idle, whatever they did before. What is left is OpenSSL's.
TEST_F(TlsTest, AConnectionThatSentMuchHoldsNoBuffer) {
  if (!test::heap_is_told()) GTEST_SKIP() << "this allocator does not tell";
  ASSERT_TRUE(start().ok());
  constexpr size_t kClients = 50;
  const std::string request =
      "POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + std::string(300'000, 'x');
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<TlsClient>(listener_->port()));
    ASSERT_TRUE(clients.back()->connect());
  }
  const size_t before = test::heap_in_use();
  for (auto& client : clients) {
    std::string answer;
    ASSERT_TRUE(client->send(request));
    ASSERT_TRUE(client->read_some(&answer));
  }
  EXPECT_LT(test::heap_in_use(), before + kClients * (32 << 10));
}

TEST_F(TlsTest, KeyUpdatesAreAnswered) {
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port());
  ASSERT_TRUE(client.connect());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    std::string answer;
    while (answer.find("tls") == std::string::npos) ASSERT_TRUE(client.read_some(&answer));
  }
}

// ---- certificates of our own

TEST_F(TlsTest, SelfSignedCertificatesAreMadeOnceAndServe) {
  absl::StatusOr<SelfSigned> made =
      self_signed(path("fixtures/client"), {"127.0.0.1:2379", "localhost:1", "[::1]:2"}, 2);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->cert_file, path("fixtures/client/cert.pem"));
  struct stat s {};
  ASSERT_EQ(stat(made->key_file.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(path("fixtures/client").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
  auto read = [&] {
    std::ifstream file(made->cert_file);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = read();
  ASSERT_TRUE(self_signed(path("fixtures/client"), {"127.0.0.1:2379"}, 1).ok());
  EXPECT_EQ(read(), before);
  settings_ = {};
  settings_.cert_file = made->cert_file;
  settings_.key_file = made->key_file;
  ASSERT_TRUE(start().ok());
  TlsClient client(listener_->port());
  EXPECT_EQ(client.get("/"), "tls");
  X509Ptr shown(SSL_get1_peer_certificate(client.ssl()));
  EXPECT_EQ(X509_check_ip_asc(shown.get(), "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(shown.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_host(shown.get(), "localhost", 0, 0, nullptr), 1);
  int days = 0, seconds = 0;
  ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(shown.get()),
                 X509_get0_notAfter(shown.get()));
  EXPECT_EQ(days, 730);
  EXPECT_EQ(self_signed(path("other"), {}, 0).status().message(),
            "selfSignedCertValidity is invalid,it should be greater than 0");
}

}  // namespace
}  // namespace keelson::net
