// bench/net_echo.cc
//
// The bare wire: a server that answers /etcdserverpb.KV/Range with a constant and echoes everything
// on /etcdserverpb.Watch/Watch. What net/ itself costs, for h2load:
//
//   net_echo 127.0.0.1:2400 1 &
//   h2load -c16 -m16 -n 500000 -d body -H 'content-type: application/grpc'
//          http://127.0.0.1:2400/etcdserverpb.KV/Range
//
// With "lane" as the third argument, answers come from another thread (respond_later).

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/thread_lane.h"
#include "net/http.h"
#include "net/listener.h"

namespace keelson::net {
namespace {

class Constant final : public UnaryHandler {
 public:
  explicit Constant(bool other_lane) {
    if (other_lane) lane_ = std::make_unique<ThreadLane>("lane");
  }
  void handle(CallRef call, Bytes) override {
    if (!lane_) return call->respond(answer_);
    lane_->post([call = std::move(call), answer = answer_]() mutable {
      ServerCall::respond_later(std::move(call), std::move(answer));
    });
  }

 private:
  const Bytes answer_ = Bytes::copy(std::string(300, 'x'));
  std::unique_ptr<ThreadLane> lane_;
};

class Echo final : public StreamHandler {
 public:
  std::unique_ptr<StreamReceiver> on_open(CallRef call) override {
    return std::make_unique<Receiver>(std::move(call));
  }

 private:
  class Receiver final : public StreamReceiver {
   public:
    explicit Receiver(CallRef call) : call_(std::move(call)) {}
    void on_message(Bytes message) override { call_->send(std::move(message)); }
    void on_half_close() override { call_->finish(absl::OkStatus()); }

   private:
    CallRef call_;
  };
};

class Hello final : public HttpHandler {
 public:
  void handle(HttpRequest, HttpReplyRef reply) override {
    HttpResponse response;
    response.body = MessageParts::copy("{\"health\":\"true\",\"reason\":\"\"}");
    reply->send(std::move(response));
  }
};

int serve(const char* address, int loops, bool other_lane) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Constant constant(other_lane);
  Echo echo;
  Hello hello;
  Router router;
  router.unary("/etcdserverpb.KV/Range", &constant);
  router.stream("/etcdserverpb.Watch/Watch", MethodKind::kBidiStream, &echo);
  router.http("/health", &hello);
  LoopPool pool(loops);
  auto listener = Listener::start(address, &pool, &router);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  std::printf("serving on %s\n", (*listener)->address().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  (*listener)->drain(std::chrono::seconds(5));
  return 0;
}

}  // namespace
}  // namespace keelson::net

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s ADDRESS [LOOPS] [lane]\n", argv[0]);
    return 2;
  }
  int loops = argc > 2 ? std::atoi(argv[2]) : 1;
  return keelson::net::serve(argv[1], loops < 1 ? 1 : loops,
                             argc > 3 && std::string_view(argv[3]) == "lane");
}
