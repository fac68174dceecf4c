// net/test_service.h
//
// A little service for the tests: what each call does is in its metadata, so that any client can
// ask for any behaviour.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/grpc.h"
#include "net/http.h"

namespace keelson::net {

// Counts what happened, for tests that must wait for it without sleeping.
class Counters {
 public:
  void add(const std::string& name) {
    std::lock_guard lock(mutex_);
    ++counts_[name];
    changed_.notify_all();
  }
  int get(const std::string& name) {
    std::lock_guard lock(mutex_);
    return counts_[name];
  }
  bool wait_for(const std::string& name, int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30),
                             [&] { return counts_[name] >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::string, int> counts_;
};

// Unary. Without metadata: echoes the request. "fail-bin: CODE TEXT" fails. "hang: 1" never
// answers. "reply: N" answers N bytes. "mirror: name" sends the value of that metadata back as
// header "mirrored" and trailer "mirrored-bin". "later: 1" answers from another thread. "keep: 1"
// keeps the request for the observer.
class TestUnary final : public UnaryHandler {
 public:
  explicit TestUnary(Counters* counters, Executor* other = nullptr)
      : counters_(*counters), other_(other) {}

  void handle(CallRef call, Bytes request) override {
    counters_.add("handled");
    if (call->metadata("keep")) call->keep_request(request);
    if (auto fail = call->metadata("fail-bin")) return do_fail(call, std::string(*fail));
    if (call->metadata("hang")) {
      call->on_cancel([this] { counters_.add("cancelled"); });
      std::lock_guard lock(mutex_);
      hanging_.push_back(call);
      counters_.add("hanging");
      return;
    }
    if (auto name = call->metadata("mirror")) {
      std::string value(call->metadata(*name).value_or("(none)"));
      call->add_header("mirrored", value);
      call->add_trailer("mirrored-bin", value);
    }
    if (auto size = call->metadata("reply")) {
      auto bytes = static_cast<size_t>(std::atoll(std::string(*size).c_str()));
      return call->respond(Bytes::build(bytes, [&](char* out) { std::fill_n(out, bytes, 'r'); }));
    }
    if (call->metadata("later") && other_) {
      other_->post([call = std::move(call), request]() mutable {
        ServerCall::respond_later(std::move(call), std::move(request));
      });
      return;
    }
    call->respond(std::move(request));
  }

  // Answers everyone who hangs, from the caller's thread.
  void release() {
    std::lock_guard lock(mutex_);
    for (CallRef& call : hanging_) {
      ServerCall::respond_later(std::move(call), MessageParts::copy("released"));
    }
    hanging_.clear();
  }
  void forget() {
    std::lock_guard lock(mutex_);
    hanging_.clear();
  }

 private:
  static void do_fail(const CallRef& call, const std::string& what) {
    char* text = nullptr;
    auto code = static_cast<absl::StatusCode>(std::strtol(what.c_str(), &text, 10));
    call->fail(absl::Status(code, *text == ' ' ? text + 1 : text));
  }

  Counters& counters_;
  Executor* other_;
  std::mutex mutex_;
  std::vector<CallRef> hanging_;
};

// Streams. Echoes each message; "flood: COUNT SIZE" instead sends that many messages of that size
// (a fuzzer's is cut to kLargestPiece) as fast as the client takes them. `peak` is the most bytes
// that were ever pending.
class TestStream final : public StreamHandler {
 public:
  explicit TestStream(Counters* counters) : counters_(*counters) {}
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    counters_.add("opened");
    return std::make_unique<Receiver>(this, std::move(call));
  }
  std::atomic<size_t> peak{0};

 private:
  static constexpr size_t kLargestPiece = 4 << 20;

  class Receiver final : public StreamReceiver {
   public:
    Receiver(TestStream* service, CallRef call) : service_(*service), call_(std::move(call)) {
      if (auto flood = call_->metadata("flood")) {
        char* rest = nullptr;
        std::string text(*flood);
        left_ = std::strtol(text.c_str(), &rest, 10);
        size_ = std::min<size_t>(std::strtoul(rest, nullptr, 10), kLargestPiece);
        piece_ = Bytes::build(size_, [&](char* out) { std::fill_n(out, size_, 'f'); });
        on_writable();
      }
    }
    ~Receiver() override { service_.counters_.add("destroyed"); }
    void on_message(Bytes message) override {
      if (message.view() == "finish") return call_->finish(absl::OkStatus());
      if (message.view() == "fail") return call_->finish(absl::AbortedError("as asked"));
      call_->send(std::move(message));
    }
    void on_half_close() override {
      service_.counters_.add("half-closed");
      if (left_ == 0) call_->finish(absl::OkStatus());
    }
    void on_cancel() override { service_.counters_.add("cancelled"); }
    void on_writable() override {
      if (piece_.empty()) return;  // an echo ends when its client does
      while (left_ > 0 && call_->pending_bytes() < (256u << 10)) {
        --left_;
        call_->send(piece_);
        size_t pending = call_->pending_bytes();
        if (pending > service_.peak) service_.peak = pending;
      }
      if (left_ == 0) call_->finish(absl::OkStatus());
    }

   private:
    TestStream& service_;
    CallRef call_;
    long left_ = 0;
    size_t size_ = 0;
    Bytes piece_;
  };

  Counters& counters_;
};

// Plain HTTP: answers with method, path, query and body. "/parts" in three chunks.
class TestHttp final : public HttpHandler {
 public:
  void handle(HttpRequest request, HttpReplyRef reply) override {
    std::string text = request.method + " " + std::string(request.path()) + " [" +
                       std::string(request.query()) + "] " + request.body.str();
    HttpResponse response;
    if (request.path() != "/parts") {
      response.body = MessageParts::copy(text);
      return reply->send(std::move(response));
    }
    reply->begin(std::move(response));
    for (const char* piece : {"one ", "two ", "three"}) reply->write(MessageParts::copy(piece));
    reply->end();
  }
};

// All of it under fixed names.
struct TestService {
  explicit TestService(Executor* other = nullptr) : unary(&counters, other), stream(&counters) {
    MethodOptions small;
    small.max_request_bytes = 64 << 10;
    router.unary("/test.Echo/Unary", &unary);
    router.unary("/test.Echo/Small", &unary, small);
    router.stream("/test.Echo/Stream", MethodKind::kBidiStream, &stream);
    router.stream("/test.Echo/Flood", MethodKind::kServerStream, &stream);
    HttpOptions options;
    options.max_body_bytes = 1000;
    router.http_prefix("/", &http, options);
  }
  Counters counters;
  TestUnary unary;
  TestStream stream;
  TestHttp http;
  Router router;
};

// Answers when it is told to.
class LateHandler final : public HttpHandler {
 public:
  void handle(HttpRequest, HttpReplyRef reply) override {
    std::lock_guard lock(mutex_);
    replies_.push_back(std::move(reply));
    changed_.notify_all();
  }
  void until_asked() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !replies_.empty(); });
  }
  void answer() {
    std::lock_guard lock(mutex_);
    for (HttpReplyRef& reply : std::exchange(replies_, {})) {
      Loop& loop = reply->loop();
      loop.post([reply = std::move(reply)] {
        HttpResponse response;
        response.body = MessageParts::copy("late");
        reply->send(std::move(response));
      });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HttpReplyRef> replies_;
};

}  // namespace keelson::net
