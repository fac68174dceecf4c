#include "server/server.h"

#include <algorithm>
#include <future>
#include <random>
#include <utility>

#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "http/endpoint.h"
#include "http/handlers.h"
#include "http/metrics.h"
#include "mvcc/row_head.h"
#include "net/accept_gate.h"
#include "net/listener.h"
#include "node/node.h"
#include "rpc/context.h"
#include "rpc/services.h"
#include "server/auth.h"
#include "server/auto_compaction.h"
#include "server/data_dir.h"
#include "server/observers.h"
#include "server/pulse.h"
#include "server/state.h"
#include "server/tls.h"
#include "wal/wal.h"

namespace keelson::server {
namespace {

// etcd's listeners leave the messages of --max-request-bytes this much room; fragments of watch
// responses stay below the sum.
constexpr size_t kGrpcOverhead = 512 * 1024;
// Recent events that lagging watchers catch up from without a disk.
constexpr size_t kWatchWindow = 16 << 20;

class WalTimes final : public wal::Observer {
 public:
  explicit WalTimes(http::Metrics& metrics) : metrics_(metrics) {}
  void synced(Duration took) override { metrics_.wal_fsync.observe(took); }
  void wrote(uint64_t bytes, Duration took) override {
    metrics_.wal_write.observe(took);
    metrics_.wal_write_bytes.add(static_cast<double>(bytes));
  }

 private:
  http::Metrics& metrics_;
};

uint64_t seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

std::vector<std::string> texts(const std::vector<Url>& urls) {
  std::vector<std::string> out;
  for (const Url& url : urls) out.push_back(url.str());
  return out;
}

// For what goes through the log or to another member, as in etcd.
Duration request_timeout(const Config& config) {
  return seconds(5) + 2 * milliseconds(config.election_timeout_ms);
}

// As etcd's NewURLs: sorted, and none is an error. Unlike a flag's, a list may name one twice.
absl::StatusOr<std::vector<std::string>> checked_urls(const std::vector<std::string>& given) {
  if (given.empty()) return absl::InvalidArgumentError("no valid URLs given");
  std::vector<Url> urls;
  for (const std::string& text : given) {
    absl::StatusOr<Url> url = parse_url(text);
    if (!url.ok()) return url.status();
    urls.push_back(*std::move(url));
  }
  std::vector<std::string> out = texts(urls);
  std::sort(out.begin(), out.end());
  return out;
}

// One socket. Two URLs may name the same, one with TLS and one without.
struct Place {
  std::string address;  // as Listener::start() wants it
  bool plain = false;
  bool secure = false;
};

std::vector<Place> places_of(const std::vector<Url>& urls) {
  std::vector<Place> places;
  for (const Url& url : urls) {
    std::string address = url.is_unix() ? "unix://" + url.socket_path() : url.host;
    auto found = std::find_if(places.begin(), places.end(),
                              [&](const Place& place) { return place.address == address; });
    if (found == places.end()) found = places.insert(found, {std::move(address)});
    (url.is_tls() ? found->secure : found->plain) = true;
  }
  return places;
}

void tell_of(const Place& place, std::string_view traffic, std::string_view address) {
  if (place.plain) {
    log::info("serving client traffic insecurely; this is strongly discouraged!",
              {{"traffic", traffic}, {"address", address}});
  }
  if (place.secure) {
    log::info("serving client traffic securely", {{"traffic", traffic}, {"address", address}});
  }
}

absl::Status refuse_what_is_missing(const Config& config) {
  if (config.force_new_cluster) {
    return absl::UnimplementedError("--force-new-cluster is not supported yet");
  }
  return absl::OkStatus();
}

}  // namespace

// In the order of construction; taken down in reverse by stop().
struct Server::Running {
  Config config;
  SystemClock clock;
  SeededRandom random{seed()};
  http::Metrics metrics{{.extensive = false}};
  WalTimes wal_times{metrics};
  RequestMetrics request_metrics{metrics};
  ApplyMetrics apply_metrics{metrics};

  std::unique_ptr<ThreadLane> consensus, log, apply, background;
  net::AcceptGate gate;
  std::unique_ptr<net::LoopPool> loops;
  std::shared_ptr<net::TlsContext> client_tls;     // null without TLS
  std::unique_ptr<net::TlsHandshakes> handshakes;  // set exactly when client_tls is
  std::unique_ptr<node::Node> node;
  std::unique_ptr<watch::EventFeed> feed;
  rpc::AuthSettings auth_settings;
  std::unique_ptr<rpc::Context> context;
  std::unique_ptr<rpc::Services> services;
  std::unique_ptr<State> state;
  std::unique_ptr<http::Handlers> handlers;
  std::unique_ptr<http::Endpoint> endpoint;
  std::unique_ptr<http::GrpcObserver> grpc_observer;
  std::unique_ptr<AutoCompaction> auto_compaction;
  std::unique_ptr<Pulse> pulse;
  net::Router client_router, http_router, metrics_router;
  std::vector<std::unique_ptr<net::Listener>> listeners;
  bool stopped = false;

  explicit Running(const Config& c) : config(c), metrics({.extensive = c.extensive_metrics()}) {}

  absl::Status open_node(Fatal fatal);
  void build_services();
  absl::Status listen();
  std::shared_ptr<const net::ListenerTls> listener_tls(bool plaintext_too) const;
  absl::Status stop_node();
};

absl::Status Server::Running::open_node(Fatal fatal) {
  if (absl::Status s = check_data_dir(config); !s.ok()) return s;
  if (absl::Status s = make_data_dir(config); !s.ok()) return s;
  if (absl::Status s = prepare_peer_tls(config); !s.ok()) return s;
  absl::StatusOr<std::shared_ptr<net::TlsContext>> tls = prepare_client_tls(config);
  if (!tls.ok()) return tls.status();
  client_tls = *std::move(tls);
  absl::StatusOr<AuthSetup> auth = prepare_auth(config);
  if (!auth.ok()) return auth.status();
  auth_settings = auth->settings;
  wal::drop_prepared(config.effective_wal_dir());
  absl::StatusOr<std::unique_ptr<backend::Backend>> backend = backend::open_rocks_backend(
      config.effective_data_dir() + "/member/keelson",
      {.write_buffers = config.keelson_write_buffer_bytes,
       .quota_bytes = config.effective_quota(),
       .reserve_bytes = reserve_for(config),
       .heads = mvcc::kHeadFormat,
       .committed = [this](Duration took) { metrics.backend_commit.observe(took); }});
  if (!backend.ok()) return backend.status();

  node::Options options;
  options.recovery = {.wal_dir = config.effective_wal_dir(),
                      .wal = {.observer = &wal_times,
                              .segment_bytes = config.keelson_wal_segment_bytes,
                              .max_segments = static_cast<size_t>(config.max_wals),
                              .unsafe_no_fsync = config.unsafe_no_fsync},
                      .initial_cluster = config.initial_cluster,
                      .initial_cluster_token = config.initial_cluster_token,
                      .name = config.name,
                      .keep = {.entries = config.snapshot_catchup_entries}};
  options.client_urls = texts(config.advertise_client_urls);
  options.versions.downgrade_interval = config.downgrade_check_time;
  options.heartbeat = config.heartbeat_interval();
  options.election_ticks = static_cast<int>(config.election_ticks());
  options.pre_vote = config.pre_vote;
  options.max_learners = config.max_learners;
  options.debt.mark_entries = config.snapshot_count;
  options.applier = {.quota_bytes = config.effective_quota(),
                     .compaction_slice = config.effective_compaction_batch_limit(),
                     .compaction_pause = config.effective_compaction_sleep_interval(),
                     .warning_duration = config.warning_apply_duration,
                     .auth = auth->store,
                     .observer = &apply_metrics};
  options.store.value_memory = static_cast<uint64_t>(config.keelson_value_cache_bytes);
  options.gateway.request_timeout = request_timeout(config);

  consensus = std::make_unique<ThreadLane>("consensus");
  log = std::make_unique<ThreadLane>("log");
  apply = std::make_unique<ThreadLane>("apply");
  background = std::make_unique<ThreadLane>("background");
  absl::StatusOr<std::unique_ptr<node::Node>> made =
      node::Node::create(std::move(options), *std::move(backend),
                         {consensus.get(), log.get(), apply.get(), background.get()}, &clock,
                         &random, nullptr, std::move(fatal));
  if (!made.ok()) return made.status();
  node = *std::move(made);
  if (node->members().view()->members.size() > 1) {
    return absl::UnimplementedError("clusters of several members are not supported yet");
  }
  return absl::OkStatus();
}

void Server::Running::build_services() {
  loops = std::make_unique<net::LoopPool>(static_cast<int>(config.effective_io_threads()));
  feed = std::make_unique<watch::EventFeed>(node->store().revision());
  node->set_published([this](mvcc::EventBatchPtr events) { feed->publish(std::move(events)); });
  node->set_replaced([this] { feed->reset(node->store().revision()); });
  watch::WatchOptions watch_options;
  watch_options.cluster = node->cluster();
  watch_options.member = node->member();
  watch_options.progress_interval = config.effective_progress_notify_interval();
  watch_options.window_bytes = kWatchWindow;
  watch_options.fragment_bytes = config.max_request_bytes + kGrpcOverhead;
  rpc::Limits limits{.max_request_bytes = config.max_request_bytes,
                     .max_txn_ops = static_cast<int64_t>(config.max_txn_ops),
                     .quota_bytes = config.effective_quota(),
                     .warning_apply_duration = config.warning_apply_duration,
                     .strict_reconfiguration = config.strict_reconfig_check,
                     .request_timeout = request_timeout(config),
                     .election_timeout = milliseconds(config.election_timeout_ms)};
  context = std::make_unique<rpc::Context>(*node, *loops, *feed, watch_options, limits,
                                           auth_settings, random.next(), &request_metrics);
  services = std::make_unique<rpc::Services>(
      *context,
      rpc::StatusFacts{.version = std::string(kEtcdVersion),
                       .quota_bytes = static_cast<int64_t>(std::min<uint64_t>(
                           config.effective_quota(), static_cast<uint64_t>(INT64_MAX)))},
      rpc::ClusterFacts{.parse_urls = checked_urls});
  services->register_on(client_router);

  state = std::make_unique<State>(*node, *context);
  state->describe(config, metrics);
  metrics.on_scrape = [this](http::Metrics& m) {
    state->collect(m);
    m.accept_paused.set(gate.shut() ? 1 : 0);
    m.accept_pauses.set(gate.times_shut());
  };
  handlers = std::make_unique<http::Handlers>(
      *state, metrics,
      http::HandlersOptions{.etcd_version = std::string(kEtcdVersion),
                            .command = own_command_line()});
  endpoint = std::make_unique<http::Endpoint>(
      *handlers, http::EndpointOptions{.cors = config.cors, .hosts = config.host_whitelist});
  // With URLs of its own, HTTP is served there and nowhere else.
  endpoint->add_to(config.listen_client_http_urls.empty() ? client_router : http_router, true);
  endpoint->add_to(metrics_router, false);
  grpc_observer =
      std::make_unique<http::GrpcObserver>(metrics, config.warning_unary_request_duration);
  grpc_observer->bind(client_router);
}

absl::Status Server::Running::listen() {
  net::ListenerOptions options{.keepalive_interval = config.grpc_keepalive_interval,
                               .keepalive_timeout = config.grpc_keepalive_timeout,
                               .keepalive_min_time = config.grpc_keepalive_min_time,
                               .max_concurrent_streams = config.max_concurrent_streams,
                               .gate = &gate,
                               .reuse_address = config.socket_reuse_address,
                               .reuse_port = config.socket_reuse_port,
                               .unix_socket_mode = config.unix_socket_mode};
  if (client_tls) {
    handshakes = std::make_unique<net::TlsHandshakes>(
        static_cast<int>(std::max(1u, config.effective_io_threads() / 2)));
  }
  const bool split = !config.listen_client_http_urls.empty();
  const struct {
    const std::vector<Url>& urls;
    const net::Router* router;
    net::CallObserver* observer;
    std::string_view traffic;
  } kinds[] = {
      {config.listen_client_urls, &client_router, grpc_observer.get(),
       split ? "grpc" : "grpc+http"},
      {config.listen_client_http_urls, &http_router, nullptr, "http"},
      {config.listen_metrics_urls, &metrics_router, nullptr, "metrics"},
  };
  for (const auto& kind : kinds) {
    for (const Place& place : places_of(kind.urls)) {
      options.tls = place.secure ? listener_tls(place.plain) : nullptr;
      absl::StatusOr<std::unique_ptr<net::Listener>> listener =
          net::Listener::start(place.address, loops.get(), kind.router, kind.observer, options);
      if (!listener.ok()) return listener.status();
      tell_of(place, kind.traffic, (*listener)->address());
      listeners.push_back(*std::move(listener));
    }
  }
  return absl::OkStatus();
}

std::shared_ptr<const net::ListenerTls> Server::Running::listener_tls(bool plaintext_too) const {
  auto tls = std::make_shared<net::ListenerTls>();
  tls->context = client_tls;
  tls->handshakes = handshakes.get();
  tls->plaintext_too = plaintext_too;
  return tls;
}

absl::Status Server::Running::stop_node() {
  std::promise<absl::Status> done;
  node->stop([&](absl::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

Server::Server(std::unique_ptr<Running> running) : running_(std::move(running)) {}

Server::~Server() {
  if (!running_->stopped && running_->node) stop(seconds(0)).IgnoreError();
}

absl::StatusOr<std::unique_ptr<Server>> Server::start(const Config& config, Fatal fatal) {
  if (absl::Status s = refuse_what_is_missing(config); !s.ok()) return s;
  if (absl::Status s = net::AcceptGate::raise_limit(); !s.ok()) return s;
  auto running = std::make_unique<Running>(config);
  Running& r = *running;
  if (absl::Status s = r.open_node(std::move(fatal)); !s.ok()) return s;
  r.build_services();
  auto server = std::unique_ptr<Server>(new Server(std::move(running)));
  r.node->start();
  if (absl::Status s = r.state->wait_until_ready(seconds(60)); !s.ok()) return s;
  if (absl::Status s = r.listen(); !s.ok()) return s;
  absl::StatusOr<std::optional<Config::AutoCompaction>> compaction = config.auto_compaction();
  if (!compaction.ok()) return compaction.status();
  if (*compaction) {
    r.auto_compaction = std::make_unique<AutoCompaction>(**compaction, *r.context);
    r.auto_compaction->start();
  }
  log::info("ready to serve client requests",
            {{"member-id", r.node->member().value}, {"cluster-id", r.node->cluster().value}});
  return server;
}

void Server::watch_lanes(Duration interval, std::function<void()> beat) {
  Running& r = *running_;
  CHECK(!r.pulse);
  std::vector<Executor*> lanes = {r.consensus.get()};
  for (int i = 0; i < r.loops->size(); ++i) lanes.push_back(&r.loops->at(i));
  r.pulse = std::make_unique<Pulse>(std::move(lanes), interval, std::move(beat));
  r.pulse->start();
}

absl::Status Server::stop(Duration deadline) {
  Running& r = *running_;
  if (std::exchange(r.stopped, true)) return absl::OkStatus();
  if (r.services) r.services->set_serving(false);
  for (auto& listener : r.listeners) listener->begin_drain();
  const auto until = std::chrono::steady_clock::now() + deadline;
  for (auto& listener : r.listeners) {
    if (!listener->finish_drain(until)) {
      log::warn("connections are still open; going on", {{"address", listener->address()}});
    }
  }
  absl::Status status = r.stop_node();
  // Threads end before what runs on them goes away; loops last, as answers still travel to them.
  r.consensus->stop();
  r.log->stop();
  r.apply->stop();
  r.background->stop();
  if (r.context) r.context->stop_workers();
  if (r.loops) r.loops->stop();
  r.listeners.clear();
  r.handshakes.reset();  // nobody shakes hands any more
  // What is left in the queues of the lanes holds calls, which belong to loops, and readers of the
  // store.
  for (auto* lane : {&r.consensus, &r.log, &r.apply, &r.background}) lane->reset();
  r.auto_compaction.reset();
  r.pulse.reset();
  r.services.reset();
  r.context.reset();
  r.feed.reset();
  r.node.reset();
  return status;
}

}  // namespace keelson::server
