// net/test_http_client.h
//
// For tests of HttpClient: the client on a loop of its own, what came of a request, and a server
// that says and does exactly what the test tells it to.

#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/tls/handshakes.h"

namespace keelson::net {

// What one exchange has brought. Written on the loop, read by the test.
class Outcome {
 public:
  // Waits for the end: "200 body", or the error's code and text.
  std::string result() {
    std::unique_lock lock(mutex_);
    if (!wait(lock, [&] { return over_; })) return "no end";
    if (!status_.ok()) return cat(absl::StatusCodeToString(status_.code()), ": ", text_of(status_));
    return cat(head_.status, " ", body_);
  }
  bool wait_for_head() {
    std::unique_lock lock(mutex_);
    return wait(lock, [&] { return head_.status != 0 || over_; });
  }
  bool wait_for_body(size_t bytes) {
    std::unique_lock lock(mutex_);
    return wait(lock, [&] { return body_.size() >= bytes || over_; });
  }
  std::string body() {
    std::lock_guard lock(mutex_);
    return body_;
  }
  size_t body_size() {
    std::lock_guard lock(mutex_);
    return body_.size();
  }
  bool over() {
    std::lock_guard lock(mutex_);
    return over_;
  }

  void head(HttpResponseHead head) {
    std::lock_guard lock(mutex_);
    head_ = std::move(head);
    changed_.notify_all();
  }
  void piece(std::string_view piece) {
    std::lock_guard lock(mutex_);
    body_.append(piece);
    changed_.notify_all();
  }
  void end(absl::Status status) {
    std::lock_guard lock(mutex_);
    CHECK(!over_);
    over_ = true;
    status_ = std::move(status);
    changed_.notify_all();
  }

 private:
  static std::string text_of(const absl::Status& status) { return std::string(status.message()); }
  template <typename Condition>
  bool wait(std::unique_lock<std::mutex>& lock, Condition condition) {
    return changed_.wait_for(lock, std::chrono::seconds(30), condition);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  HttpResponseHead head_;
  std::string body_;
  absl::Status status_;
  bool over_ = false;
};

class OutcomeReceiver final : public HttpReceiver {
 public:
  explicit OutcomeReceiver(std::shared_ptr<Outcome> outcome) : outcome_(std::move(outcome)) {}
  void on_head(HttpResponseHead head) override { outcome_->head(std::move(head)); }
  void on_body(std::string_view piece) override { outcome_->piece(piece); }
  void on_end(absl::Status status) override { outcome_->end(std::move(status)); }

 private:
  std::shared_ptr<Outcome> outcome_;  // the test's, too
};

// A request under way, for the test's thread.
struct Asked {
  std::shared_ptr<Outcome> outcome;
  HttpExchangeRef exchange;  // for the loop only

  std::string result() const { return outcome->result(); }
};

// A client on a loop of its own.
class TestHttpClient {
 public:
  explicit TestHttpClient(HttpClientOptions options = {}) {
    if (options.tls) handshakes_ = std::make_unique<TlsHandshakes>(1);
    options.handshakes = handshakes_.get();
    on_loop([&] { client_ = std::make_unique<HttpClient>(&loop_, &resolver_, options); });
  }
  ~TestHttpClient() { stop(); }
  void stop() {
    if (std::exchange(stopped_, true)) return;
    on_loop([&] { client_.reset(); });
    on_loop([] {});  // what its end has left to do is done
    handshakes_.reset();
    resolver_.stop();
    loop_.stop();
  }

  // Runs it on the loop and waits for it.
  template <typename Body>
  void on_loop(Body body) {
    std::promise<void> done;
    loop_.post([&] {
      body();
      done.set_value();
    });
    done.get_future().wait();
  }

  Asked ask(HttpClientRequest request) {
    Asked asked{std::make_shared<Outcome>(), nullptr};
    on_loop([&] {
      asked.exchange =
          client_->start(std::move(request), std::make_unique<OutcomeReceiver>(asked.outcome));
    });
    return asked;
  }
  Asked get(const HttpPlace& place, HttpDeadlines deadlines = {}) {
    HttpClientRequest request;
    request.place = place;
    request.deadlines = deadlines;
    return ask(std::move(request));
  }
  size_t connections() {
    size_t count = 0;
    on_loop([&] { count = client_->connections(); });
    return count;
  }
  HttpClient& client() { return *client_; }

 private:
  Resolver resolver_;
  Loop loop_{"client"};
  std::unique_ptr<TlsHandshakes> handshakes_;
  std::unique_ptr<HttpClient> client_;  // used on the loop
  bool stopped_ = false;
};

// One connection, seen from the server.
class ScriptedConnection {
 public:
  explicit ScriptedConnection(int fd) : fd_(fd) {
    CHECK(fd >= 0);
    timeval limit{30, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  }
  ScriptedConnection(ScriptedConnection&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), read_(std::move(other.read_)) {}
  ~ScriptedConnection() { close(); }

  // What comes up to `end` and with it; whatever came if the client ends before.
  std::string read_until(std::string_view end) {
    size_t at = 0;
    while ((at = read_.find(end)) == std::string::npos && read_more()) {
    }
    const size_t size = at == std::string::npos ? read_.size() : at + end.size();
    std::string text = read_.substr(0, size);
    read_.erase(0, size);
    return text;
  }
  std::string head() { return read_until("\r\n\r\n"); }
  // Reads so many bytes; how many came if the client ends before.
  size_t skip(size_t bytes) {
    size_t skipped = 0;
    do {
      const size_t n = std::min(bytes - skipped, read_.size());
      read_.erase(0, n);
      skipped += n;
    } while (skipped < bytes && read_more());
    return skipped;
  }
  // Reads and counts until the client ends.
  size_t read_all() {
    size_t size = 0;
    do {
      size += std::exchange(read_, {}).size();
    } while (read_more());
    return size;
  }
  // False when the client has gone.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void answer(std::string_view body) {
    send(cat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  bool read_more() {
    char buffer[64 << 10];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n <= 0) return false;
    read_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  std::string read_;
};

// Listens on a port of its own, or on a path.
class ScriptedServer {
 public:
  explicit ScriptedServer(const std::string& path = "", int backlog = 100) {
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_in);
    if (path.empty()) {
      auto* in = reinterpret_cast<sockaddr_in*>(&address);
      in->sin_family = AF_INET;
      in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
      auto* un = reinterpret_cast<sockaddr_un*>(&address);
      size = sizeof(sockaddr_un);
      un->sun_family = AF_UNIX;
      CHECK(path.size() < sizeof(un->sun_path));
      path.copy(un->sun_path, path.size());
      place_.host = path;
    }
    auto* any = reinterpret_cast<sockaddr*>(&address);
    fd_ = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(::bind(fd_, any, size) == 0);
    CHECK(::listen(fd_, backlog) == 0);
    timeval limit{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (!path.empty()) return;
    ::getsockname(fd_, any, &size);
    place_.host = "127.0.0.1";
    place_.port = cat(ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port));
  }
  ~ScriptedServer() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  ScriptedConnection accept() { return ScriptedConnection(::accept(fd_, nullptr, nullptr)); }
  // The same, and where it came from ("127.0.0.1").
  ScriptedConnection accept(std::string* from) {
    Address address;
    address.size = sizeof(address.storage);
    ScriptedConnection connection(::accept(fd_, address.get(), &address.size));
    *from = address.text().substr(0, address.text().rfind(':'));
    return connection;
  }
  const HttpPlace& place() const { return place_; }

 private:
  int fd_;
  HttpPlace place_;
};

}  // namespace keelson::net
