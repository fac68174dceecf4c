// net/tls/test_server.h
//
// For tests of TLS: a listener under certificates made for it, and clients made of OpenSSL.

#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/listener.h"
#include "net/test_service.h"
#include "net/tls/test_ca.h"
#include "net/tls/transport.h"

namespace keelson::net {

using SessionPtr = std::unique_ptr<SSL_SESSION, OpensslDeleter<SSL_SESSION_free>>;

// What a client brings.
struct ClientOptions {
  const TestCertificate* certificate = nullptr;
  std::vector<std::string> alpn;
  SSL_SESSION* session = nullptr;
  int max_version = 0;
  std::string ciphers = {};
  const char* groups = nullptr;
};

class TlsClient {
 public:
  explicit TlsClient(uint16_t port, const ClientOptions& options = {})
      : ctx_(SSL_CTX_new(TLS_client_method())), fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    timeval limit{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (options.certificate) {
      SSL_CTX_use_certificate(ctx_.get(), options.certificate->x509.get());
      SSL_CTX_use_PrivateKey(ctx_.get(), options.certificate->key.get());
    }
    if (options.max_version) SSL_CTX_set_max_proto_version(ctx_.get(), options.max_version);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(ctx_.get(), options.ciphers.c_str());
    if (options.groups) SSL_CTX_set1_groups_list(ctx_.get(), options.groups);
    SSL_CTX_set_session_cache_mode(ctx_.get(), SSL_SESS_CACHE_CLIENT);
    ssl_.reset(SSL_new(ctx_.get()));
    SSL_set_fd(ssl_.get(), fd_);
    std::string protocols;
    for (const std::string& name : options.alpn) {
      protocols += static_cast<char>(name.size()) + name;
    }
    if (!protocols.empty()) {
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned>(protocols.size()));
    }
    if (options.session) SSL_set_session(ssl_.get(), options.session);
    SSL_set_msg_callback(ssl_.get(), count_hellos);
    SSL_set_msg_callback_arg(ssl_.get(), &server_hellos_);
  }
  ~TlsClient() { close(); }

  bool connect() {
    ERR_clear_error();
    return SSL_connect(ssl_.get()) == 1;
  }
  bool send(std::string_view bytes) {
    size_t n = 0;
    return SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n) == 1 && n == bytes.size();
  }
  bool read_some(std::string* out) {
    static thread_local std::vector<char> buffer(64 << 10);
    size_t n = 0;
    ERR_clear_error();
    if (SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n) != 1) return false;
    out->append(buffer.data(), n);
    return true;
  }
  std::string read_all() {
    std::string out;
    while (read_some(&out)) {
    }
    return out;
  }
  std::string get(const std::string& path) {
    if (!connect()) return "no handshake: " + openssl_error();
    if (!send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
      return "no write";
    std::string answer = read_all();
    size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos ? "no answer: " + openssl_error() : answer.substr(body + 4);
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  std::string alpn() {
    const unsigned char* data = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &data, &size);
    return {reinterpret_cast<const char*>(data), size};
  }
  // Two: it was asked to say hello again.
  int server_hellos() const { return server_hellos_; }
  bool resumed() { return SSL_session_reused(ssl_.get()) == 1; }
  SessionPtr session() { return SessionPtr(SSL_get1_session(ssl_.get())); }
  std::string server_name() {
    X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
    char name[256] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name, 256);
    return name;
  }
  SSL* ssl() { return ssl_.get(); }
  int fd() const { return fd_; }

 private:
  std::unique_ptr<SSL_CTX, OpensslDeleter<SSL_CTX_free>> ctx_;
  static void count_hellos(int ours, int, int type, const void* message, size_t size, SSL*,
                           void* count) {
    if (ours || type != SSL3_RT_HANDSHAKE || size == 0) return;
    *static_cast<int*>(count) += *static_cast<const char*>(message) == SSL3_MT_SERVER_HELLO;
  }

  std::unique_ptr<SSL, OpensslDeleter<SSL_free>> ssl_;
  int fd_;
  int server_hellos_ = 0;
};

// Says who asks; "/big" answers with much, "/echo" with the body.
class Handler final : public HttpHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    HttpResponse response;
    if (request.path() == "/big") {
      response.body = MessageParts::copy(std::string(24 << 20, 'b'));
    } else if (request.path() == "/echo") {
      response.body = MessageParts::copy(request.body.view());
    } else {
      const PeerInfo& peer = request.peer;
      std::string text = peer.tls ? "tls" : "plain";
      if (peer.identity) {
        text += " cn=" + peer.identity->common_name;
        for (const std::string& name : peer.identity->dns_names) text += " dns=" + name;
        for (const std::string& name : peer.identity->ip_addresses) text += " ip=" + name;
      }
      response.body = MessageParts::copy(text);
    }
    reply->send(std::move(response));
  }
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() : dir_(testing::TempDir() + "keelson_tls_" + std::to_string(getpid())) {
    std::filesystem::create_directories(dir_);
    put_server(ca_.issue({.common_name = "first"}));
    put_file(path("ca.pem"), ca_.pem());
    HttpOptions options;
    options.max_body_bytes = 64 << 20;
    router_.http_prefix("/", &handler_, options);
    settings_.cert_file = path("cert.pem");
    settings_.key_file = path("key.pem");
  }
  ~TlsTest() override {
    listener_.reset();
    handshakes_.reset();
    std::filesystem::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void put_server(const TestCertificate& certificate) {
    put_file(path("cert.pem"), certificate.pem());
    put_file(path("key.pem"), certificate.key_pem());
  }
  void ask_clients() { settings_.trusted_ca_file = path("ca.pem"); }

  absl::Status start(bool plaintext_too = false, size_t most = TlsHandshakes::kMost) {
    listener_.reset();
    absl::StatusOr<std::shared_ptr<TlsContext>> context = TlsContext::create(settings_);
    if (!context.ok()) return context.status();
    handshakes_ = std::make_unique<TlsHandshakes>(1, most);
    auto tls = std::make_shared<ListenerTls>();
    tls->context = *context;
    tls->handshakes = handshakes_.get();
    tls->plaintext_too = plaintext_too;
    ListenerOptions options;
    options.tls = tls;
    auto listener = Listener::start("127.0.0.1:0", &pool_, &router_, nullptr, options);
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    return absl::OkStatus();
  }
  std::string refusal() {
    absl::Status status = start();
    return status.ok() ? "" : std::string(status.message());
  }
  std::string get(const ClientOptions& options = {}, const std::string& what = "/") {
    return TlsClient(listener_->port(), options).get(what);
  }

  const std::string dir_;
  TestCa ca_{"ca"};
  Handler handler_;
  Router router_;
  TlsSettings settings_;
  LoopPool pool_{2};
  std::unique_ptr<TlsHandshakes> handshakes_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace keelson::net
