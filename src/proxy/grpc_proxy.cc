#include "proxy/grpc_proxy.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "http/pprof.h"
#include "http/process_metrics.h"
#include "net/accept_gate.h"
#include "net/http_client.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/tls/certificate.h"
#include "net/tls/client_context.h"
#include "net/tls/context.h"
#include "net/tls/handshakes.h"
#include "net/tls/self_signed.h"
#include "net/tls/transport.h"
#include "proxy/fresh_channels.h"
#include "proxy/keep_alive.h"
#include "proxy/kv.h"
#include "proxy/leasing.h"
#include "proxy/log_lists.h"
#include "proxy/pages.h"
#include "proxy/registration.h"
#include "proxy/services.h"
#include "proxy/watch_service.h"

namespace keelson::proxy {
namespace {

// What grpc-go's servers take.
constexpr size_t kMostOfRequest = size_t{4} << 20;
// Of an attempt to connect, TLS included: whoever is busy with other handshakes needs a while.
constexpr Duration kConnectPatience = std::chrono::seconds(5);
// How long what was asked of the cluster may take to end once it has been given up.
constexpr Duration kCancelPatience = std::chrono::seconds(10);
// How often TLS files are looked at.
constexpr Duration kBeat = std::chrono::seconds(1);

int cores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

uint64_t seed() {
  std::random_device source;
  return (uint64_t{source()} << 32) | source();
}

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

absl::StatusOr<std::vector<std::string>> endpoints_of(const GrpcProxyConfig& config,
                                                      const outbound::NameServer& name_server) {
  absl::StatusOr<std::vector<Endpoint>> found = discover(config.discovery, name_server);
  if (!found.ok()) return found.status();
  std::vector<std::string> endpoints;
  for (const Endpoint& endpoint : *found) endpoints.push_back(endpoint.address());
  if (endpoints.empty()) endpoints = config.endpoints;
  if (endpoints.empty()) return absl::InvalidArgumentError("etcdclient: no available endpoints");
  return endpoints;
}

// etcd's servers take the name in a certificate for a user's, who would then be everybody's.
absl::Status check_name(const outbound::ChannelOptions& channel) {
  if (channel.cert.empty() || channel.key.empty()) return absl::OkStatus();
  const net::TlsSettings settings{.cert_file = channel.cert, .key_file = channel.key};
  absl::StatusOr<net::TlsFiles> files = net::read_tls_files(settings);
  if (!files.ok()) return files.status();
  absl::StatusOr<net::TlsMaterial> material = net::parse_tls_files(settings, *files);
  if (!material.ok()) return material.status();
  const std::string name = net::identity_of(material->chain.front().get()).common_name;
  if (name.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      cat("cert has non empty Common Name (", name, "): ", channel.cert));
}

// What clients connect to under TLS; null: in the clear.
absl::StatusOr<std::shared_ptr<net::TlsContext>> tls_of(GrpcProxyConfig* config) {
  net::TlsSettings& tls = config->tls;
  const bool given = net::names_certificate(tls) || !tls.trusted_ca_file.empty();
  if (!given && !config->auto_tls) return nullptr;
  config->auto_tls = !given;
  if (!given) {
    absl::StatusOr<net::SelfSigned> made =
        net::self_signed(cat(config->data_dir, "/fixtures/proxy"), {config->listen_address},
                         config->self_signed_years);
    if (!made.ok()) return made.status();
    tls.cert_file = made->cert_file;
    tls.key_file = made->key_file;
  }
  return net::TlsContext::create(tls);
}

// How the proxy reaches itself, where its clients do.
outbound::ClusterClientOptions self_options(const GrpcProxyConfig& config, bool tls) {
  outbound::ClusterClientOptions options{.endpoints = {config.advertise_url}};
  options.channel.keepalive = false;
  options.channel.connect_timeout = kConnectPatience;
  if (!tls) return options;
  options.channel.cert = config.tls.cert_file;
  options.channel.key = config.tls.key_file;
  options.channel.cacert = config.tls.trusted_ca_file;
  options.channel.insecure_transport = false;
  options.channel.skip_verify = config.auto_tls;
  return options;
}

}  // namespace

// In the order in which they are made.
struct GrpcProxy::Parts {
  Parts(const GrpcProxyConfig& c, std::unique_ptr<outbound::ClusterClient> cluster_client)
      : config(c),
        client(std::move(cluster_client)),
        prefix(c.name_space),
        loops(cores(), "grpc-proxy"),
        lane("proxy-shared"),
        random(seed()),
        watches({*client, lane, clock, prefix, metrics}),
        keep_alives({*client, lane, metrics}),
        leasing(leasing_of(*this)),
        kv({*client, lane, prefix, metrics, leasing.get()},
           {.ordered = c.serializable_ordering,
            .tries = static_cast<int>(5 * client->endpoints())}),
        services(*client, prefix, [this] { return members(); }),
        watch_service(watches, lane, prefix),
        keep_alive_service(keep_alives, lane),
        counter(metrics) {}

  static std::unique_ptr<Leasing> leasing_of(Parts& parts) {
    if (parts.config.leasing_prefix.empty()) return nullptr;
    return std::make_unique<Leasing>(Leasing::Deps{*parts.client, parts.lane, parts.clock,
                                                   parts.watches, parts.prefix, parts.metrics},
                                     parts.config.leasing_prefix, Holdings::Limits());
  }

  std::vector<etcdserverpb::Member> members() const {
    if (config.advertise_url.empty()) return {};
    if (registration) {
      std::vector<etcdserverpb::Member> all = registration->members();
      if (!all.empty()) return all;
    }
    etcdserverpb::Member member;
    member.set_name(host_name());
    member.add_clienturls(config.advertise_url);
    return {std::move(member)};
  }

  void add_pprof();
  absl::Status listen(const std::vector<std::string>& endpoints);
  absl::Status keep_fresh();
  void look_later();
  void sync_later();
  void sync(absl::StatusOr<keelson::Parts> answered);

  const GrpcProxyConfig config;
  const SystemClock clock;
  Metrics metrics;
  const std::unique_ptr<outbound::ClusterClient> client;
  std::vector<std::string> addresses;  // the members', as last heard
  std::unique_ptr<outbound::ClusterClient> self;
  const KeyPrefix prefix;
  net::LoopPool loops;
  net::Loop lane;
  LineBudget lines{clock, &lane};
  net::Resolver resolver;
  std::unique_ptr<net::TlsHandshakes> handshakes, page_handshakes;
  SeededRandom random;                    // the lane's
  std::unique_ptr<net::HttpClient> http;  // the lane's, its end included
  WatchHub watches;
  KeepAliveHub keep_alives;
  const std::unique_ptr<Leasing> leasing;  // null: none
  Kv kv;
  std::shared_ptr<Registration> registration;  // shared with what it has under way; may be null
  Services services;
  WatchService watch_service;
  KeepAliveService keep_alive_service;
  std::unique_ptr<Pages> pages;
  // No page elsewhere may read profiles.
  const http::FrontDoor door{{.cors = {""}}};
  std::unique_ptr<ThreadLane> profiles;  // with --enable-pprof
  std::unique_ptr<http::Pprof> pprof;
  CallCounter counter;
  net::Router router, metrics_router;
  std::shared_ptr<net::TlsContext> tls;  // shared with the listeners
  std::unique_ptr<net::Listener> listener, metrics_listener;
  std::vector<std::unique_ptr<FreshChannels>> fresh;  // the files' lane's
  std::unique_ptr<ThreadLane> files;                  // with TLS towards the cluster or to itself
  bool stopped = false;
};

void GrpcProxy::Parts::add_pprof() {
  profiles = std::make_unique<ThreadLane>("profiles");
  pprof = std::make_unique<http::Pprof>(door, profiles.get(), http::own_command_line());
  pprof->add_to(router);
  log::info("gRPC proxy enabled pprof", {{"path", "/debug/pprof"}});
}

absl::Status GrpcProxy::Parts::listen(const std::vector<std::string>& endpoints) {
  net::HttpClientOptions page_options;
  if (!config.channel.cacert.empty() || config.channel.skip_verify) {
    auto context = net::TlsClientContext::create(tls_settings_of(config.channel));
    if (!context.ok()) return context.status();
    page_handshakes = std::make_unique<net::TlsHandshakes>(1);
    page_options.tls = *std::move(context);
    page_options.handshakes = page_handshakes.get();
  }
  http = std::make_unique<net::HttpClient>(&lane, &resolver, std::move(page_options));
  pages = std::make_unique<Pages>(
      Pages::Deps{*client, self.get(), prefix, metrics, lines, lane, *http, random}, endpoints);

  const net::MethodOptions most{.max_request_bytes = kMostOfRequest};
  kv.register_on(router, most);
  services.register_on(router, most);
  watch_service.register_on(router, most);
  keep_alive_service.register_on(router, most);
  pages->add_to(router);
  pages->add_to(metrics_router);
  if (config.pprof) add_pprof();
  counter.bind(router);
  if (config.log_calls) counter.log_calls();

  net::ListenerOptions options;
  options.keepalive_min_time = config.keepalive_min_time;
  options.keepalive_interval = config.keepalive_interval;
  options.keepalive_timeout = config.keepalive_timeout;
  options.max_concurrent_streams = config.max_concurrent_streams;
  std::shared_ptr<const net::ListenerTls> secure;
  if (tls) {
    handshakes = std::make_unique<net::TlsHandshakes>(std::max(1, cores() / 2));
    secure = std::make_shared<net::ListenerTls>(
        net::ListenerTls{.context = tls, .handshakes = handshakes.get()});
  }
  const auto open = [&](const std::string& url, const net::Router& at, net::CallObserver* observer,
                        bool with_tls) {
    net::ListenerOptions mine = options;
    if (with_tls) mine.tls = secure;
    return net::Listener::start(url, &loops, &at, observer, std::move(mine));
  };
  auto listening = open(config.listen_address, router, &counter, secure != nullptr);
  if (!listening.ok()) return listening.status();
  listener = *std::move(listening);
  log::info("listening for gRPC proxy client requests", {{"address", listener->address()}});
  if (config.metrics_url.empty()) return absl::OkStatus();
  const bool https = std::string_view(config.metrics_url).starts_with("https://");
  if (https && !secure) {
    return absl::InvalidArgumentError(
        cat("KeyFile and CertFile are not presented for ", config.metrics_url));
  }
  const std::string url = https ? cat("http", config.metrics_url.substr(5)) : config.metrics_url;
  auto metrics_listening = open(url, metrics_router, nullptr, https);
  if (!metrics_listening.ok()) return metrics_listening.status();
  metrics_listener = *std::move(metrics_listening);
  log::info("gRPC proxy listening for metrics", {{"address", config.metrics_url}});
  return absl::OkStatus();
}

absl::Status GrpcProxy::Parts::keep_fresh() {
  const auto add = [this](const outbound::ChannelOptions& channel, outbound::ClusterClient* at,
                          FreshChannels::Rule rule) -> absl::Status {
    auto made = FreshChannels::create(channel, at, std::move(rule));
    if (!made.ok()) return made.status();
    if (*made) fresh.push_back(*std::move(made));
    return absl::OkStatus();
  };
  const auto no_name = [this] { return check_name(config.channel); };
  if (absl::Status s = add(config.channel, client.get(), no_name); !s.ok()) return s;
  if (self && tls) {
    const auto any = [] { return absl::OkStatus(); };
    const outbound::ChannelOptions own = self_options(config, true).channel;
    if (absl::Status s = add(own, self.get(), any); !s.ok()) return s;
  }
  if (fresh.empty()) return absl::OkStatus();
  files = std::make_unique<ThreadLane>("tls-files");
  look_later();
  return absl::OkStatus();
}

void GrpcProxy::Parts::look_later() {
  files->post_after(kBeat, [this] {
    for (const std::unique_ptr<FreshChannels>& one : fresh) one->look();
    look_later();
  });
}

void GrpcProxy::Parts::sync_later() {
  if (config.endpoints_sync <= Duration(0)) return;
  lane.post_after(config.endpoints_sync, [this] {
    outbound::RpcRequest request{.path = "/etcdserverpb.Cluster/MemberList",
                                 .deadline = clock.now() + std::chrono::seconds(5),
                                 .repeatable = true};
    client->unary(std::move(request), [this](absl::StatusOr<keelson::Parts> answered) {
      sync(std::move(answered));
      sync_later();
    });
  });
}

// Members that have not begun yet, and learners, are left out, as by etcd's clients.
void GrpcProxy::Parts::sync(absl::StatusOr<keelson::Parts> answered) {
  etcdserverpb::MemberListResponse response;
  if (!answered.ok() || !response.ParseFromString(answered->flat())) {
    return log::warn("cannot learn who the cluster's members are",
                     {{"error", message_of(answered.status())}});
  }
  std::vector<std::string> endpoints;
  for (const etcdserverpb::Member& member : response.members()) {
    if (member.name().empty() || member.islearner()) continue;
    endpoints.insert(endpoints.end(), member.clienturls().begin(), member.clienturls().end());
  }
  if (endpoints.empty()) return;
  if (absl::Status s = client->set_endpoints(endpoints); !s.ok()) {
    return log::warn("cannot use the members' addresses", {{"error", message_of(s)}});
  }
  if (endpoints == addresses) return;
  addresses = std::move(endpoints);
  log::info("the members' addresses changed", {{"endpoints", absl::StrJoin(addresses, ",")}});
}

absl::StatusOr<std::unique_ptr<GrpcProxy>> GrpcProxy::start(
    GrpcProxyConfig config, const outbound::NameServer& name_server) {
  if (absl::Status s = net::AcceptGate::raise_limit(); !s.ok()) return s;
  absl::StatusOr<std::shared_ptr<net::TlsContext>> tls = tls_of(&config);
  if (!tls.ok()) return tls.status();
  absl::StatusOr<std::vector<std::string>> endpoints = endpoints_of(config, name_server);
  if (!endpoints.ok()) return endpoints.status();
  if (absl::Status s = check_name(config.channel); !s.ok()) return s;
  config.channel.connect_timeout = kConnectPatience;
  auto client = outbound::ClusterClient::open({.endpoints = *endpoints,
                                               .channel = config.channel,
                                               .max_send_bytes = config.max_send_bytes});
  if (!client.ok()) return client.status();
  auto parts = std::make_unique<Parts>(config, *std::move(client));
  Parts& made = *parts;
  std::unique_ptr<GrpcProxy> proxy(new GrpcProxy(std::move(parts)));
  made.tls = *std::move(tls);
  if (!config.advertise_url.empty()) {
    auto self = outbound::ClusterClient::open(self_options(config, made.tls != nullptr));
    if (!self.ok()) return self.status();
    made.self = *std::move(self);
  }
  if (!config.resolver_prefix.empty()) {
    made.registration = std::make_shared<Registration>(
        Registration::Deps{*made.client, made.lane, made.watches, made.keep_alives, made.prefix},
        RegistrationConfig{.prefix = config.resolver_prefix,
                           .address = config.advertise_url,
                           .name = host_name(),
                           .ttl = config.resolver_ttl});
  }
  if (absl::Status s = made.listen(*endpoints); !s.ok()) return s;
  if (absl::Status s = made.keep_fresh(); !s.ok()) return s;
  made.sync_later();
  if (made.registration) made.registration->start();
  if (made.leasing) made.leasing->start();
  log::info("started gRPC proxy",
            {{"address", made.listener->address()}, listed("endpoints", *endpoints)});
  return proxy;
}

GrpcProxy::GrpcProxy(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
GrpcProxy::~GrpcProxy() { stop(Duration(0)); }

const std::string& GrpcProxy::address() const { return parts_->listener->address(); }

std::vector<Executor*> GrpcProxy::lanes() const {
  std::vector<Executor*> lanes = {&parts_->lane};
  for (int i = 0; i < parts_->loops.size(); ++i) lanes.push_back(&parts_->loops.at(i));
  return lanes;
}

void GrpcProxy::stop(Duration time) {
  Parts& parts = *parts_;
  if (std::exchange(parts.stopped, true)) return;
  const auto until = std::chrono::steady_clock::now() + time;
  for (net::Listener* one : {parts.listener.get(), parts.metrics_listener.get()}) {
    if (one) one->begin_drain();
  }
  for (net::Listener* one : {parts.listener.get(), parts.metrics_listener.get()}) {
    if (one && !one->finish_drain(until)) log::info("cutting connections that did not end in time");
  }
  if (parts.profiles) parts.profiles->stop();
  if (parts.files) parts.files->stop();
  if (parts.registration) parts.registration->stop();
  if (parts.leasing) parts.leasing->stop();
  // What these ask for at their end is asked now, and counts below.
  std::promise<void> told;
  parts.lane.post([&told] { told.set_value(); });
  told.get_future().wait();
  // Everybody has gone, so what was asked for them is being given up.
  const bool idle = parts.client->wait_until_idle(kCancelPatience) &&
                    (!parts.self || parts.self->wait_until_idle(kCancelPatience));
  parts.lane.post([&parts] { parts.http.reset(); });
  parts.lane.stop();
  parts.loops.stop();
  parts.resolver.stop();
  if (idle) return;
  // Threads of grpc++'s may still speak of it.
  log::warn("calls to the cluster did not end in time");
  (void)parts_.release();
}

}  // namespace keelson::proxy
