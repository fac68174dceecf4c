#include "rpc/services.h"

#include <string>
#include <utility>

#include "proto/rpc.pb.h"
#include "rpc/health.h"

namespace keelson::rpc {
namespace {

// etcd takes messages of this much more than --max-request-bytes (its grpcOverheadBytes).
constexpr size_t kGrpcOverhead = 512 * 1024;

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
  handlers_->add(register_maintenance(context_, router, max, facts_, handlers_->health));
  handlers_->add(register_cluster(context_, router, max, cluster_));
  handlers_->add(register_lock(context_, router, max));
  handlers_->add(register_election(context_, router, max));
  handlers_->streams.push_back(register_observe(context_, router, max));
  handlers_->streams.push_back(register_range_stream(context_, router, max));
  handlers_->streams.push_back(register_watch(context_, router, max));
  handlers_->streams.push_back(register_keep_alive(context_, router, max));
  handlers_->streams.push_back(register_snapshot(context_, router, max));
  handlers_->health.register_on(router);
}

void Services::set_serving(bool serving) {
  handlers_->health.set_serving(serving);
  if (!serving) context_.end_waits();
}

}  // namespace keelson::rpc
