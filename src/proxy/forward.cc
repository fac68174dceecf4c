#include "proxy/forward.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/errors.h"

namespace keelson::proxy {
namespace {

constexpr std::string_view kIdentity[] = {"token", "authorization", "hasleader"};
constexpr std::string_view kVersion = "client-api-version";
constexpr size_t kLowWater = 64 * 1024;

// One call, its client's side and the cluster's, on the call's loop.
class Relayed : public std::enable_shared_from_this<Relayed> {
 public:
  Relayed(outbound::RpcClient& client, net::CallRef call)
      : client_(client), call_(std::move(call)) {}

  void ask(Bytes request) {
    if (stream_) return call_->fail(absl::InternalError("a second request for one answer"));
    request_ = std::move(request);
    stream_ = client_.stream(request_of(*call_, {}), &call_->loop(),
                             std::make_unique<Events>(shared_from_this()));
    stream_->write(std::exchange(request_, {}));
  }
  void go_on() {
    if (std::exchange(waiting_, false)) stream_->read();
  }
  void cancel() {
    if (stream_) stream_->cancel();
  }
  void end(absl::Status why) {
    call_->finish(std::move(why));
    cancel();
  }

 private:
  class Events final : public outbound::RpcStreamEvents {
   public:
    explicit Events(std::shared_ptr<Relayed> relayed) : relayed_(std::move(relayed)) {}
    void on_written() override {
      relayed_->stream_->half_close();
      relayed_->stream_->read();
    }
    void on_message(Parts message) override {
      Relayed& relayed = *relayed_;
      relayed.call_->send(std::move(message));
      relayed.waiting_ = true;
      if (relayed.call_->pending_bytes() < kLowWater) relayed.go_on();
    }
    void on_end(absl::Status status) override { relayed_->call_->finish(std::move(status)); }

   private:
    const std::shared_ptr<Relayed> relayed_;  // the call's receiver holds it, too
  };

  outbound::RpcClient& client_;
  const net::CallRef call_;
  Bytes request_;
  std::shared_ptr<outbound::RpcStream> stream_;
  bool waiting_ = false;  // for the client, before more is read
};

class Receiver final : public net::StreamReceiver {
 public:
  Receiver(outbound::RpcClient& client, net::CallRef call, bool endless)
      : relayed_(std::make_shared<Relayed>(client, std::move(call))), endless_(endless) {}

  void on_message(Bytes message) override { relayed_->ask(std::move(message)); }
  void on_cancel() override { relayed_->cancel(); }
  void on_writable() override { relayed_->go_on(); }
  void on_drain() override {
    if (endless_) relayed_->end(errors::Stopped());
  }

 private:
  const std::shared_ptr<Relayed> relayed_;
  const bool endless_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> identity_of(const net::ServerCall& call) {
  std::vector<std::pair<std::string, std::string>> metadata;
  for (std::string_view name : kIdentity) {
    if (const auto value = call.metadata(name)) metadata.emplace_back(name, *value);
  }
  return metadata;
}

outbound::RpcRequest request_of(const net::ServerCall& call, Bytes message) {
  outbound::RpcRequest request{
      .path = call.method().path, .metadata = identity_of(call), .message = std::move(message)};
  if (const auto value = call.metadata(kVersion)) request.metadata.emplace_back(kVersion, *value);
  request.deadline = call.deadline();
  return request;
}

void ask(outbound::RpcClient& client, const net::CallRef& call, outbound::RpcRequest request,
         outbound::RpcClient::Done done) {
  std::shared_ptr<outbound::RpcCall> asked = client.unary(std::move(request), std::move(done));
  if (asked) call->on_cancel([asked = std::move(asked)] { asked->cancel(); });
}

void answer(net::CallRef call, absl::StatusOr<Parts> answered) {
  if (answered.ok()) {
    net::ServerCall::respond_later(std::move(call), *std::move(answered));
  } else {
    net::ServerCall::fail_later(std::move(call), std::move(answered).status());
  }
}

void UnaryForward::handle(net::CallRef call, Bytes message) {
  outbound::RpcRequest request = request_of(*call, std::move(message));
  request.repeatable = repeatable_;
  const net::CallRef asking = call;
  ask(client_, asking, std::move(request),
      [call = std::move(call)](absl::StatusOr<Parts> answered) mutable {
        answer(std::move(call), std::move(answered));
      });
}

std::unique_ptr<net::StreamReceiver> ServerStreamForward::on_open(net::CallRef call) {
  return std::make_unique<Receiver>(client_, std::move(call), endless_);
}

}  // namespace keelson::proxy
