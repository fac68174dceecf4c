#include "rpc/health.h"

#include <atomic>
#include <mutex>
#include <set>
#include <utility>

#include "apply/decode.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "proto/health.pb.h"
#include "rpc/context.h"

namespace keelson::rpc {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

Parts status_message(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return Parts::copy(response.SerializeAsString());
}

}  // namespace

// The watchers are few and told rarely, so one lock serves them.
struct Health::State {
  explicit State(const Context& c) : context(c) {}

  const Context& context;  // gone when only a Defragmentation is left
  // What is said: open && defragmentations == 0.
  std::atomic<bool> serving{true};
  std::mutex mutex;  // of what follows, and of who changes `serving`
  bool open = true;
  bool tells = false;                     // of the defragmentations under way, in the log
  int defragmentations = 0;               // >= 0; those for which the server stops to serve
  std::set<net::ServerCall*> watchers{};  // each registered by a live receiver

  static HealthCheckResponse::ServingStatus status_of(bool is_serving) {
    return is_serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
  static Parts message(bool is_serving) { return status_message(status_of(is_serving)); }
  HealthCheckResponse::ServingStatus status() const { return status_of(serving); }
  Parts now() const { return message(serving); }

  // With the lock. Each watcher hears of every change, in order.
  void tell() {
    const bool now_serving = open && defragmentations == 0;
    if (serving.exchange(now_serving) == now_serving) return;
    for (net::ServerCall* watcher : watchers) {
      net::CallRef call(watcher);
      call->loop().post([call, now_serving] { call->send(message(now_serving)); });
    }
  }
};

namespace {

template <typename State>
class Check final : public net::UnaryHandler {
 public:
  explicit Check(std::shared_ptr<State> state) : state_(std::move(state)) {}
  void handle(net::CallRef call, Bytes bytes) override {
    if (state_->context.is_learner()) return call->fail(errors::NotSupportedForLearner());
    HealthCheckRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    if (!request.service().empty()) return call->fail(absl::NotFoundError("unknown service"));
    call->respond(state_->now());
  }

 private:
  const std::shared_ptr<State> state_;
};

// The whole server is all that there is to list.
template <typename State>
class List final : public net::UnaryHandler {
 public:
  explicit List(std::shared_ptr<State> state) : state_(std::move(state)) {}
  void handle(net::CallRef call, Bytes bytes) override {
    if (state_->context.is_learner()) return call->fail(errors::NotSupportedForLearner());
    HealthListRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    HealthListResponse response;
    (*response.mutable_statuses())[""].set_status(state_->status());
    call->respond(Parts::copy(response.SerializeAsString()));
  }

 private:
  const std::shared_ptr<State> state_;
};

template <typename State>
class WatchReceiver final : public net::StreamReceiver {
 public:
  WatchReceiver(std::shared_ptr<State> state, net::CallRef call)
      : state_(std::move(state)), call_(std::move(call)) {}
  ~WatchReceiver() override {
    std::lock_guard lock(state_->mutex);
    state_->watchers.erase(call_.get());
  }
  void on_message(Bytes bytes) override {
    HealthCheckRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call_->fail(std::move(s));
    if (!request.service().empty()) {
      return call_->send(status_message(HealthCheckResponse::SERVICE_UNKNOWN));
    }
    std::lock_guard lock(state_->mutex);
    state_->watchers.insert(call_.get());
    call_->send(state_->now());
  }
  void on_drain() override { call_->finish(errors::Stopped()); }

 private:
  const std::shared_ptr<State> state_;
  const net::CallRef call_;
};

template <typename State>
class Watch final : public net::StreamHandler {
 public:
  explicit Watch(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    if (state_->context.is_learner()) call->fail(errors::NotSupportedForLearner());
    return std::make_unique<WatchReceiver<State>>(state_, std::move(call));
  }

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace

Health::Health(Context& context)
    : state_(std::make_shared<State>(context)),
      check_(std::make_unique<Check<State>>(state_)),
      list_(std::make_unique<List<State>>(state_)),
      watch_(std::make_unique<Watch<State>>(state_)) {}
Health::~Health() = default;

void Health::register_on(net::Router& router) {
  router.unary("/grpc.health.v1.Health/Check", check_.get());
  router.unary("/grpc.health.v1.Health/List", list_.get());
  router.stream("/grpc.health.v1.Health/Watch", net::MethodKind::kServerStream, watch_.get());
}

void Health::set_serving(bool serving) {
  std::lock_guard lock(state_->mutex);
  state_->open = serving;
  state_->tell();
}

std::unique_ptr<Health::Defragmentation> Health::defragmenting() {
  return std::make_unique<Defragmentation>(
      state_->context.limits().unserving_defragments ? state_ : nullptr);
}

Health::Defragmentation::Defragmentation(std::shared_ptr<State> state) : state_(std::move(state)) {
  if (!state_) return;
  std::lock_guard lock(state_->mutex);
  if (++state_->defragmentations > 1) return;
  state_->tells = take_line(state_->context.lines(), 2 * kUsualLine);
  if (state_->tells) {
    log::warn("grpc service status changed",
              {{"service", ""}, {"status", "NOT_SERVING"}, {"reason", "defrag is active"}});
  }
  state_->tell();
}

Health::Defragmentation::~Defragmentation() {
  if (!state_) return;
  std::lock_guard lock(state_->mutex);
  CHECK(state_->defragmentations > 0);
  if (--state_->defragmentations > 0) return;
  if (state_->tells) {
    log::info("grpc service status changed", {{"service", ""}, {"status", "SERVING"}});
  }
  state_->tell();
}

}  // namespace keelson::rpc
