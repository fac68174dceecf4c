#include "rpc/services.h"

#include <string>
#include <utility>

#include "base/errors.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"
#include "rpc/health.h"

namespace keelson::rpc {
namespace {

// etcd takes messages of this much more than --max-request-bytes (its grpcOverheadBytes).
constexpr size_t kGrpcOverhead = 512 * 1024;

std::string not_yet(const net::MethodInfo& method) { return method.service + "/" + method.name; }

class UnimplementedUnary final : public net::UnaryHandler {
 public:
  void handle(net::CallRef call, Bytes) override {
    call->fail(errors::NotImplemented(not_yet(call->method()).c_str()));
  }
};

class IgnoringReceiver final : public net::StreamReceiver {
 public:
  void on_message(Bytes) override {}
};

class UnimplementedStream final : public net::StreamHandler {
 public:
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    call->fail(errors::NotImplemented(not_yet(call->method()).c_str()));
    return std::make_unique<IgnoringReceiver>();
  }
};

}  // namespace

std::string storage_version(node::Node& node) {
  const std::string version = node.members().view()->cluster_version;
  const auto parsed = membership::Version::parse(version);
  return parsed && *parsed > membership::kLeastClusterVersion
             ? version
             : membership::kOurVersion.release().str();
}

struct Services::Handlers {
  explicit Handlers(Context& context) : health(context) {}

  std::vector<std::unique_ptr<net::UnaryHandler>> unary;
  std::vector<std::unique_ptr<net::StreamHandler>> streams;
  UnimplementedUnary unimplemented_unary;
  UnimplementedStream unimplemented_stream;
  Health health;

  void add(std::vector<std::unique_ptr<net::UnaryHandler>> made) {
    for (auto& handler : made) unary.push_back(std::move(handler));
  }
};

Services::Services(Context& context, StatusFacts facts, ClusterFacts cluster)
    : context_(context),
      facts_(std::move(facts)),
      cluster_(std::move(cluster)),
      handlers_(std::make_unique<Handlers>(context)) {}
Services::~Services() = default;

void Services::register_on(net::Router& router) {
  net::MethodOptions max;
  max.max_request_bytes = context_.limits().max_request_bytes + kGrpcOverhead;
  handlers_->add(register_kv(context_, router, max));
  handlers_->add(register_auth(context_, router, max));
  handlers_->add(register_lease(context_, router, max));
  handlers_->add(register_maintenance(context_, router, max, facts_));
  handlers_->add(register_cluster(context_, router, max, cluster_));
  handlers_->streams.push_back(register_range_stream(context_, router, max));
  handlers_->streams.push_back(register_watch(context_, router, max));
  handlers_->streams.push_back(register_keep_alive(context_, router, max));
  handlers_->streams.push_back(register_snapshot(context_, router, max));
  handlers_->health.register_on(router);
  register_unimplemented(router);
}

// Whatever the schemas name and nobody has registered.
void Services::register_unimplemented(net::Router& router) {
  auto registered = [&](const std::string& path) {
    for (const net::MethodInfo* method : router.methods()) {
      if (method->path == path) return true;
    }
    return false;
  };
  for (const google::protobuf::FileDescriptor* file :
       {etcdserverpb::RangeRequest::descriptor()->file(),
        v3lockpb::LockRequest::descriptor()->file(),
        v3electionpb::CampaignRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        std::string path = "/" + file->service(s)->full_name() + "/" + method->name();
        if (registered(path)) continue;
        if (method->server_streaming()) {
          router.stream(path, net::MethodKind::kServerStream, &handlers_->unimplemented_stream);
        } else {
          router.unary(path, &handlers_->unimplemented_unary);
        }
      }
    }
  }
}

void Services::set_serving(bool serving) { handlers_->health.set_serving(serving); }

}  // namespace keelson::rpc
