#include "proxy/metrics.h"

#include "base/log.h"
#include "http/families.h"
#include "http/process_metrics.h"

namespace keelson::proxy {

std::string Metrics::page() const {
  http::Families out;
  out.gauge("etcd_grpc_proxy_watchers_coalescing_total",
            "Watchers that use what another watcher asked the cluster for.", watchers_coalescing);
  out.counter("etcd_grpc_proxy_events_coalescing_total",
              "Messages of watches that needed no other from the cluster.", events_coalescing);
  out.gauge("etcd_grpc_proxy_cache_keys_total", "Answers to ranges that are kept.", cache_keys);
  out.gauge("etcd_grpc_proxy_cache_hits_total", "Ranges that were answered with a kept answer.",
            cache_hits.value());
  out.gauge("etcd_grpc_proxy_cache_misses_total",
            "Serializable ranges that there was no kept answer to.", cache_misses.value());
  out.counter("keelson_grpc_proxy_keep_alives_coalescing_total",
              "Keep-alives that were answered with another's answer.", keep_alives_coalescing);
  out.gauge("keelson_grpc_proxy_leasing_keys", "Keys that leasing holds.", leasing_keys);
  out.counter("keelson_grpc_proxy_leasing_hits_total",
              "Reads and transactions that leasing answered without the cluster.", leasing_hits);
  out.counter("keelson_grpc_proxy_leasing_revocations_total",
              "Holders that were asked to give up a key that was to be written.",
              leasing_revocations);
  out.counter("etcd_server_health_success", "The total number of successful health checks",
              health_success);
  out.counter("etcd_server_health_failures", "The total number of failed health checks",
              health_failures);
  grpc.collect(out);
  http::add_process(out);
  return http::page_of(out);
}

void CallCounter::bind(const net::Router& router) {
  methods_.clear();
  for (const net::MethodInfo* method : router.methods()) {
    methods_.push_back(metrics_.grpc.find(method->path));
  }
}

std::optional<http::GrpcMetrics::Method> CallCounter::method(const net::ServerCall& call) const {
  const auto index = static_cast<size_t>(call.method().index);
  return index < methods_.size() ? methods_[index] : std::nullopt;
}

void CallCounter::call_started(const net::ServerCall& call) {
  if (const auto m = method(call)) metrics_.grpc.started(*m);
  if (!log_) return;
  log::info("started call", {{"grpc.service", call.method().service},
                             {"grpc.method", call.method().name},
                             {"peer.address", call.peer().address}});
}
void CallCounter::message_received(const net::ServerCall& call, const Bytes& /*message*/) {
  if (const auto m = method(call)) metrics_.grpc.received(*m);
}
void CallCounter::message_sent(const net::ServerCall& call, const net::MessageParts& /*message*/) {
  if (const auto m = method(call)) metrics_.grpc.sent(*m);
}
void CallCounter::call_finished(const net::ServerCall& call, const net::CallSummary& summary) {
  const int code = static_cast<int>(summary.code);
  if (const auto m = method(call)) metrics_.grpc.handled(*m, code, summary.elapsed);
  if (!log_) return;
  log::info("finished call", {{"grpc.service", call.method().service},
                              {"grpc.method", call.method().name},
                              {"grpc.code", http::grpc_code_label(code)},
                              {"grpc.error", summary.text},
                              {"peer.address", summary.remote}});
}

}  // namespace keelson::proxy
