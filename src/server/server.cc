#include "server/server.h"

#include <algorithm>
#include <functional>
#include <future>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/line_budget.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "base/time_text.h"
#include "http/call_traces.h"
#include "http/debug_pages.h"
#include "http/endpoint.h"
#include "http/gateway.h"
#include "http/handlers.h"
#include "http/metrics.h"
#include "http/pprof.h"
#include "http/process_metrics.h"
#include "mvcc/row_head.h"
#include "net/accept_gate.h"
#include "net/held_bytes.h"
#include "net/listener.h"
#include "node/node.h"
#include "rpc/context.h"
#include "rpc/services.h"
#include "server/access_log.h"
#include "server/access_output.h"
#include "server/archiving.h"
#include "server/auth.h"
#include "server/auto_compaction.h"
#include "server/corruption_checks.h"
#include "server/corruption_door.h"
#include "server/data_dir.h"
#include "server/discovery.h"
#include "server/go_values.h"
#include "server/joining.h"
#include "server/leaving.h"
#include "server/logging.h"
#include "server/observers.h"
#include "server/peering.h"
#include "server/places.h"
#include "server/pulse.h"
#include "server/startup.h"
#include "server/state.h"
#include "server/state_home.h"
#include "server/store_hashes.h"
#include "server/tls.h"
#include "server/tracing.h"
#include "wal/snap_files.h"
#include "wal/wal.h"

namespace keelson::server {
namespace {

// etcd's listeners leave the messages of --max-request-bytes this much room; fragments of watch
// responses stay below the sum.
constexpr size_t kGrpcOverhead = 512 * 1024;
// Records that are hashed at a time.
constexpr size_t kHashSlice = 4096;
// Heartbeats that a leader stays for after it has handed over.
constexpr int kFarewell = 3;
// What the end waits for a collector of traces.
constexpr Duration kLastSpans = seconds(5);
// Recent events that lagging watchers catch up from without a disk.
constexpr size_t kWatchWindow = 16 << 20;

uint64_t seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
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
  std::vector<std::string> out = url_texts(urls);
  std::sort(out.begin(), out.end());
  return out;
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

  std::unique_ptr<Tracing> tracing;  // with --enable-distributed-tracing; spans end as lanes do
  std::unique_ptr<AccessOutput> access_output;  // with --keelson-access-log
  std::unique_ptr<AccessLog> access_log;        // set exactly when access_output is
  std::unique_ptr<LineBudget> lines, changes;   // tell on `background`, and outlive it
  // Consensus and the network among members: a message is taken, answered and sent in one turn.
  std::unique_ptr<net::LoopPool> consensus;
  std::unique_ptr<ThreadLane> log, apply, background, pages;
  std::unique_ptr<ThreadLane> profiles;  // with --enable-pprof
  net::AcceptGate gate;
  std::unique_ptr<net::LoopPool> loops;
  std::shared_ptr<net::HeldBudgets> budgets;       // of all client listeners
  std::shared_ptr<net::TlsContext> client_tls;     // null without TLS
  std::unique_ptr<net::TlsHandshakes> handshakes;  // set exactly when client_tls is
  std::unique_ptr<StateHome> home;
  std::unique_ptr<wal::SnapFiles> snaps;
  std::unique_ptr<Peering> peering;
  std::unique_ptr<node::Node> node;
  std::unique_ptr<Archiving> archiving;  // with --keelson-archive
  std::unique_ptr<watch::EventFeed> feed;
  rpc::AuthSettings auth_settings;
  std::unique_ptr<rpc::Context> context;
  std::unique_ptr<rpc::Services> services;
  std::unique_ptr<State> state;
  std::unique_ptr<http::Handlers> handlers;
  std::unique_ptr<http::FrontDoor> door;
  std::unique_ptr<http::Endpoint> endpoint;
  std::unique_ptr<http::Elsewhere> elsewhere;
  std::unique_ptr<http::Pprof> pprof;
  std::unique_ptr<http::GrpcObserver> grpc_observer;
  // With --log-level=debug.
  std::unique_ptr<http::CallTraces> traces;
  std::unique_ptr<http::DebugPages> debug_pages;
  std::unique_ptr<http::Gateway> gateway;  // null: --enable-grpc-gateway=false
  std::unique_ptr<AutoCompaction> auto_compaction;
  std::unique_ptr<StoreHashes> hashes;
  std::unique_ptr<CorruptionDoor> corruption_door;
  std::unique_ptr<CorruptionChecks> corruption_checks;
  std::unique_ptr<Pulse> pulse;
  net::Router client_router, http_router, metrics_router;
  std::vector<std::unique_ptr<net::Listener>> listeners;
  bool stopped = false;
  std::optional<int> leaves_for;  // set when stopped

  explicit Running(const Config& c) : config(c), metrics({.extensive = c.extensive_metrics()}) {}

  absl::StatusOr<DataDir> prepare_directory();
  absl::Status open_node(std::function<void(absl::Status)> fatal,
                         const std::function<bool()>& given_up);
  absl::Status check_initially();
  absl::Status open_access_log();
  void build_services();
  void build_http();
  net::CallObserver* call_observer() {
    return traces ? static_cast<net::CallObserver*>(traces.get()) : grpc_observer.get();
  }
  enum class Kinds : uint8_t { kMetrics, kClients };
  absl::Status listen(Kinds which);
  std::shared_ptr<const net::ListenerTls> listener_tls(bool plaintext_too) const;
  trace::Tracer* tracer() const { return tracing ? &tracing->tracer() : nullptr; }
  absl::Status start_tracing();
  void show_held(http::Metrics& m) const;
  void show_refused(http::Metrics& m) const;
  void show_spans(http::Metrics& m) const;
  void hand_over_leadership();
  absl::Status stop_node();
};

void Server::Running::show_held(http::Metrics& m) const {
  const std::pair<const char*, const net::HeldBudget&> sorts[] = {{"requests", *budgets->incoming},
                                                                  {"answers", *budgets->outgoing}};
  for (const auto& [what, budget] : sorts) {
    m.held_bytes.set({what}, static_cast<double>(budget.total()));
    m.held_limit_bytes.set({what}, static_cast<double>(budget.most()));
    m.held_refused.set({what}, static_cast<double>(budget.times_refused()));
    m.held_given_up.set({what}, static_cast<double>(budget.times_given_up()));
  }
  if (!handshakes) return;
  const net::TlsHandshakes::Counts counts = handshakes->counts();
  m.handshakes_running.set(static_cast<int64_t>(counts.running));
  m.handshakes_waiting.set(static_cast<int64_t>(counts.waiting));
  m.handshakes_asked.set(static_cast<int64_t>(counts.asked));
  m.handshakes_put_out.set(static_cast<int64_t>(counts.put_out));
}

void Server::Running::show_refused(http::Metrics& m) const {
  const auto show = [&m](const char* what, const char* why, uint64_t times) {
    m.requests_refused.set({what, why}, static_cast<double>(times));
  };
  const auto show_both = [&show](const char* what, const auto& refuses) {
    show(what, "full", refuses.times_full());
    show(what, "share", refuses.times_over_share());
  };
  const node::MemberState& now = node->state();
  show("proposals", "full", now.proposals_refused.full.load());
  show("proposals", "share", now.proposals_refused.share.load());
  show("proposals", "behind", now.proposals_refused.behind.load());
  show("reads", "full", now.reads_refused.full.load());
  show("reads", "share", now.reads_refused.share.load());
  show_both("long_reads", context->long_reads());
  show_both("logins", context->logins());
  if (gateway) show_both("json", gateway->work());
  if (!access_output) return;
  m.access_lines.set({"written"}, static_cast<double>(access_output->written()));
  m.access_lines.set({"dropped"}, static_cast<double>(access_output->dropped()));
}

void Server::Running::show_spans(http::Metrics& m) const {
  if (!tracing) return;
  const trace::Batcher::Counts counts = tracing->counts();
  m.spans.set({"exported"}, static_cast<double>(counts.sent));
  m.spans.set({"dropped"}, static_cast<double>(counts.dropped));
  m.spans.set({"failed"}, static_cast<double>(counts.failed));
}

absl::Status Server::Running::start_tracing() {
  if (!config.tracing.enabled) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Tracing>> started =
      Tracing::start(config.tracing, clock, random.next());
  if (!started.ok()) return started.status();
  tracing = *std::move(started);
  trace_revocations(*node, tracing->tracer());
  return absl::OkStatus();
}

// What has to hold before anything is written, and the directories.
absl::StatusOr<DataDir> Server::Running::prepare_directory() {
  if (absl::Status s = check_archive_place(config); !s.ok()) return s;
  if (absl::Status s = take_over(config); !s.ok()) return s;
  absl::StatusOr<DataDir> dir = check_data_dir(config);
  if (!dir.ok()) return dir.status();
  if (!dir->has_log) {
    if (absl::Status s = name_founders(config); !s.ok()) return s;
    if (absl::Status s = check_founder(config); !s.ok()) return s;
  } else if (!config.discovery.endpoints.empty()) {
    log::warn("discovery token is ignored since cluster already initialized; valid logs are found",
              {{"wal-dir", config.effective_wal_dir()}});
  }
  log_configuration(config, dir->has_log);
  log_request_limit(config);
  if (config.memory_mlock) {
    if (absl::Status s = lock_memory(); !s.ok()) return s;
  }
  if (absl::Status s = make_data_dir(config); !s.ok()) return s;
  return dir;
}

absl::Status Server::Running::open_node(std::function<void(absl::Status)> fatal,
                                        const std::function<bool()>& given_up) {
  absl::StatusOr<DataDir> dir = prepare_directory();
  if (!dir.ok()) return dir.status();
  absl::StatusOr<PeerTls> peer_tls = prepare_peer_tls(config);
  if (!peer_tls.ok()) return peer_tls.status();
  absl::StatusOr<std::shared_ptr<net::TlsContext>> tls = prepare_client_tls(config);
  if (!tls.ok()) return tls.status();
  client_tls = *std::move(tls);
  absl::StatusOr<AuthSetup> auth = prepare_auth(config);
  if (!auth.ok()) return auth.status();
  auth_settings = auth->settings;
  consensus = std::make_unique<net::LoopPool>(1, "consensus");
  peering =
      std::make_unique<Peering>(config, *std::move(peer_tls), consensus.get(), &gate, metrics);
  std::optional<membership::Bootstrap> joins;
  if (!dir->has_log) {
    absl::StatusOr<std::optional<membership::Bootstrap>> found = peering->introduce_self();
    if (!found.ok()) return found.status();
    joins = *std::move(found);
    if (absl::Status s = join_founders(config, given_up); !s.ok()) return s;
  }
  wal::drop_prepared(config.effective_wal_dir());
  node::Options options;
  options.recovery = {.wal_dir = config.effective_wal_dir(),
                      .wal = {.observer = &wal_times,
                              .segment_bytes = config.keelson_wal_segment_bytes,
                              .max_segments = static_cast<size_t>(config.max_wals),
                              .unsafe_no_fsync = config.unsafe_no_fsync},
                      .initial_cluster = config.initial_cluster,
                      .initial_cluster_token = config.initial_cluster_token,
                      .name = config.name,
                      .joins = std::move(joins),
                      .force_new_cluster = config.force_new_cluster && dir->has_log,
                      .keep = {.entries = config.snapshot_catchup_entries}};
  home = std::make_unique<StateHome>(
      config.effective_data_dir(), backend::RocksOptions{.write_buffers = write_buffers_for(config),
                                                         .quota_bytes = config.effective_quota(),
                                                         .reserve_bytes = reserve_for(config),
                                                         .heads = mvcc::kHeadFormat,
                                                         .committed = [this](Duration took) {
                                                           metrics.backend_commit.observe(took);
                                                         }});
  absl::StatusOr<std::shared_ptr<backend::Backend>> backend = home->open(options.recovery);
  if (!backend.ok()) return backend.status();
  snaps = snap_files(home->directory(), config.max_snapshots, clock, metrics);
  options.save_snap = [this](const raft::Snapshot& mark) { snaps->save_if_possible(mark); };
  options.client_urls = url_texts(config.advertise_client_urls);
  options.versions.downgrade_interval = config.downgrade_check_time;
  options.heartbeat = config.heartbeat_interval();
  options.election_ticks = static_cast<int>(config.election_ticks());
  options.pre_vote = config.pre_vote;
  options.max_learners = config.max_learners;
  options.lease_checkpoints = config.feature("LeaseCheckpoint");
  options.debt = node::LogDebt::Limits::with_marks_every(config.snapshot_count);
  options.applier = {.quota_bytes = config.effective_quota(),
                     .compaction_slice = config.effective_compaction_batch_limit(),
                     .compaction_pause = config.effective_compaction_sleep_interval(),
                     .warning_duration = config.warning_apply_duration,
                     .auth = auth->store,
                     .observer = &apply_metrics};
  options.store.value_memory = static_cast<uint64_t>(config.keelson_value_cache_bytes);
  options.gateway.request_timeout = config.request_timeout();
  options.own_request_done = [this](wire::InternalKind kind, bool ok, Duration took) {
    request_metrics.request_done(kind, false, ok, took);
  };
  options.gateway.revocations_first = config.feature("PriorityRequest");

  log = std::make_unique<ThreadLane>("log");
  apply = std::make_unique<ThreadLane>("apply");
  background = std::make_unique<ThreadLane>("background");
  lines = std::make_unique<LineBudget>(clock, background.get());
  changes = std::make_unique<LineBudget>(clock, background.get());
  options.applier.lines = lines.get();
  options.applier.changes = changes.get();
  absl::StatusOr<std::unique_ptr<node::Node>> made =
      node::Node::create(std::move(options), *std::move(backend),
                         {&consensus->at(0), log.get(), apply.get(), background.get()}, &clock,
                         &random, peering->transport(), std::move(fatal));
  if (!made.ok()) return made.status();
  node = *std::move(made);
  log_quota(config);
  home->bind(*node, *snaps);
  if (!config.keelson_archive.empty()) archiving = std::make_unique<Archiving>(config, *node);
  metrics.has_archive = archiving != nullptr;
  if (absl::Status s =
          defragment_at_start(*node->backend(), config.bootstrap_defrag_threshold_megabytes);
      !s.ok()) {
    return s;
  }
  if (node->members().view()->is_removed(node->member())) {
    return absl::FailedPreconditionError(
        "the member has been permanently removed from the cluster; the data-dir used by this "
        "member must be removed");
  }
  if (absl::Status s = check_learners(node->members().view()->members, config.max_learners);
      !s.ok()) {
    return s;
  }
  // Who is new has nothing that could differ.
  if (!dir->has_log || !config.feature("InitialCorruptCheck")) return absl::OkStatus();
  absl::Status same = check_initially();
  if (!same.ok()) log::error("checkInitialHashKV failed", {{"error", message_of(same)}});
  return same;
}

// Before anybody is served, members or clients. What is committed and not applied yet is not looked
// at, as in etcd.
absl::Status Server::Running::check_initially() {
  const std::string self = absl::StrCat(absl::Hex(node->member().value));
  log::info("starting initial corruption check",
            {{"local-member-id", self}, {"timeout", duration_text(config.request_timeout())}});
  const auto failed = [&self](const absl::Status& why) {
    return absl::Status(why.code(), cat(self, " failed to fetch hash (", message_of(why), ")"));
  };
  absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job = node->store().hash_kv(0);
  if (!job.ok()) return failed(job.status());
  for (bool over = false; !over;) {
    absl::StatusOr<bool> stepped = (*job)->step(kHashSlice);
    if (!stepped.ok()) return failed(stepped.status());
    over = *stepped;
  }
  const mvcc::KvHash own = (*job)->result();
  return judge_initially(node->member(), own, peering->hashes_of_others(*node, own.hash_revision));
}

absl::Status Server::Running::open_access_log() {
  if (config.keelson_access_log.empty()) return absl::OkStatus();
  AccessOutput::Options options{.target = config.keelson_access_log, .clock = &clock};
  if (config.log.rotation) {
    absl::StatusOr<LogRotation> rotation = parse_log_rotation(config.log.rotation_json);
    if (!rotation.ok()) return rotation.status();
    options.rotation = *rotation;
  }
  absl::StatusOr<std::unique_ptr<AccessOutput>> opened = AccessOutput::open(std::move(options));
  if (!opened.ok()) return opened.status();
  access_output = *std::move(opened);
  return absl::OkStatus();
}

void Server::Running::build_services() {
  loops = std::make_unique<net::LoopPool>(static_cast<int>(config.effective_io_threads()));
  budgets = std::make_shared<net::HeldBudgets>(loops->size());
  feed = std::make_unique<watch::EventFeed>(node->store().revision());
  node->set_published([this](mvcc::EventBatchPtr events) { feed->publish(std::move(events)); });
  node->set_replaced([this] {
    home->replaced();
    feed->reset(node->store().revision());
    context->leave_former_store();
  });
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
                     .unserving_defragments = config.feature("StopGRPCServiceOnDefrag"),
                     .request_timeout = config.request_timeout(),
                     .election_timeout = milliseconds(config.election_timeout_ms)};
  context = std::make_unique<rpc::Context>(*node, *loops, *feed, watch_options, limits,
                                           auth_settings, random.next(), &request_metrics);
  context->set_tracer(tracer());
  context->set_lines(lines.get());
  services = std::make_unique<rpc::Services>(
      *context,
      rpc::StatusFacts{.version = std::string(kEtcdVersion),
                       .quota_bytes = static_cast<int64_t>(std::min<uint64_t>(
                           config.effective_quota(), static_cast<uint64_t>(INT64_MAX)))},
      rpc::ClusterFacts{.parse_urls = checked_urls});
  services->register_on(client_router);
  if (access_output) {
    access_log = std::make_unique<AccessLog>(*context, client_router, *loops, clock, *access_output,
                                             config.keelson_access_log_keys);
  }
  hashes = std::make_unique<StoreHashes>(*node);
  corruption_door = std::make_unique<CorruptionDoor>(*context, *peering, *hashes);
  CorruptionChecks::Options checks{.interval = config.corrupt_check_time,
                                   .timeout = config.request_timeout()};
  if (config.feature("CompactHashCheck"))
    checks.compaction_interval = config.compact_hash_check_time;
  corruption_checks =
      std::make_unique<CorruptionChecks>(context->lanes().front()->loop, *corruption_door, checks);

  state = std::make_unique<State>(*node, *context);
  state->describe(config, metrics);
  metrics.on_scrape = [this](http::Metrics& m) {
    state->collect(m);
    peering->collect();
    m.accept_paused.set(gate.shut() ? 1 : 0);
    m.accept_pauses.set(gate.times_shut());
    show_held(m);
    show_refused(m);
    show_spans(m);
    if (archiving) archiving->show(m);
  };
  pages = std::make_unique<ThreadLane>("pages");
  handlers = std::make_unique<http::Handlers>(
      *state, metrics, pages.get(),
      http::HandlersOptions{.etcd_version = std::string(kEtcdVersion),
                            .command = http::own_command_line(),
                            .lines = lines.get()});
  build_http();
}

void Server::Running::build_http() {
  http::EndpointOptions options{
      .cors = config.cors, .hosts = config.host_whitelist, .lines = lines.get()};
  if (auth_settings.client_cert_auth && config.enable_grpc_gateway) {
    options.names_are_users = [this] { return node->auth().newest()->enabled(); };
  }
  door = std::make_unique<http::FrontDoor>(std::move(options));
  endpoint = std::make_unique<http::Endpoint>(*handlers, *door);
  // With URLs of its own, HTTP is served there and nowhere else.
  net::Router& router = config.listen_client_http_urls.empty() ? client_router : http_router;
  endpoint->add_to(router, true);
  elsewhere = std::make_unique<http::Elsewhere>(*door, router);
  router.http_rest(elsewhere.get());
  endpoint->add_to(metrics_router, false);
  const bool debug = config.log.level == "debug";
  if (config.enable_pprof) log::info("pprof is enabled", {{"path", "/debug/pprof"}});
  if (config.enable_pprof || debug) {
    profiles = std::make_unique<ThreadLane>("profiles");
    pprof = std::make_unique<http::Pprof>(*door, profiles.get(), http::own_command_line());
    pprof->add_to(router);
  }
  grpc_observer = std::make_unique<http::GrpcObserver>(metrics, clock, lines.get(),
                                                       config.warning_unary_request_duration);
  grpc_observer->bind(client_router);
  if (debug) {
    traces = std::make_unique<http::CallTraces>(*grpc_observer, clock, loops->size());
    traces->bind(client_router);
    debug_pages = std::make_unique<http::DebugPages>(
        http::DebugPages::Parts{*door, *traces, *loops, clock, *pages});
    debug_pages->add_to(router);
  }
  if (!config.enable_grpc_gateway) return;
  gateway = std::make_unique<http::Gateway>(client_router, call_observer(), access_log.get(),
                                            tracer(), *door, loops->size(), budgets);
  gateway->add_to(router);
}

absl::Status Server::Running::listen(Kinds which) {
  net::ListenerOptions options{.keepalive_interval = config.grpc_keepalive_interval,
                               .keepalive_timeout = config.grpc_keepalive_timeout,
                               .keepalive_min_time = config.grpc_keepalive_min_time,
                               .max_concurrent_streams = config.max_concurrent_streams,
                               .budgets = budgets,
                               .recorder = access_log.get(),
                               .gate = &gate,
                               .tracer = tracer(),
                               .reuse_address = config.socket_reuse_address,
                               .reuse_port = config.socket_reuse_port,
                               .unix_socket_mode = config.unix_socket_mode};
  if (client_tls && !handshakes) {
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
      {config.listen_client_urls, &client_router, call_observer(), split ? "grpc" : "grpc+http"},
      {config.listen_client_http_urls, &http_router, nullptr, "http"},
      {config.listen_metrics_urls, &metrics_router, nullptr, "metrics"},
  };
  for (const auto& kind : kinds) {
    if ((kind.router == &metrics_router) != (which == Kinds::kMetrics)) continue;
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

// A leader that just goes costs the others an election timeout.
void Server::Running::hand_over_leadership() {
  if (!node->is_leader()) return;
  const std::optional<MemberId> to = peering->longest_connected();
  if (!to) {
    log::info("skipped leadership transfer; there is nobody to hand it over to");
    return;
  }
  std::promise<absl::Status> done;
  node->hand_over_leadership(*to, config.request_timeout(),
                             [&](absl::Status status) { done.set_value(std::move(status)); });
  if (absl::Status status = done.get_future().get(); !status.ok()) {
    return log::warn("leadership transfer failed", {{"error", message_of(status)}});
  }
  // Who does not know yet still sends its proposals here, and they are passed on.
  std::this_thread::sleep_for(kFarewell * config.heartbeat_interval());
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

absl::StatusOr<std::unique_ptr<Server>> Server::start(const Config& config, Calls calls) {
  if (absl::Status s = net::AcceptGate::raise_limit(); !s.ok()) return s;
  auto running = std::make_unique<Running>(config);
  Running& r = *running;
  if (absl::Status s = r.open_access_log(); !s.ok()) return s;
  if (absl::Status s = r.open_node(calls.fatal, calls.given_up); !s.ok()) return s;
  if (absl::Status s = r.start_tracing(); !s.ok()) return s;
  r.build_services();
  auto server = std::unique_ptr<Server>(new Server(std::move(running)));
  if (absl::Status s = r.peering->listen(); !s.ok()) return s;
  if (absl::Status s = r.listen(Running::Kinds::kMetrics); !s.ok()) return s;
  r.node->set_removed(calls.removed);
  r.peering->start(*r.node, *r.context, *r.hashes, r.home.get(),
                   {.removed = calls.removed, .refused = std::move(calls.fatal)});
  r.node->start();
  if (r.archiving) r.archiving->start();
  r.corruption_checks->start();
  r.state->when_ready(std::move(calls.ready));
  return server;
}

absl::Status Server::serve() {
  Running& r = *running_;
  if (r.debug_pages) {
    std::vector<std::string> addresses;
    for (const Place& place : places_of(r.config.listen_client_urls)) {
      addresses.push_back(place.address);
    }
    r.debug_pages->serving(addresses, r.client_router);
  }
  if (absl::Status s = r.listen(Running::Kinds::kClients); !s.ok()) return s;
  absl::StatusOr<std::optional<Config::AutoCompaction>> compaction = r.config.auto_compaction();
  if (!compaction.ok()) return compaction.status();
  if (*compaction) {
    r.auto_compaction = std::make_unique<AutoCompaction>(**compaction, *r.context);
    r.auto_compaction->start();
  }
  log::info("ready to serve client requests",
            {{"member-id", r.node->member().value}, {"cluster-id", r.node->cluster().value}});
  return absl::OkStatus();
}

void Server::watch_lanes(Duration interval, std::function<void()> beat) {
  Running& r = *running_;
  CHECK(!r.pulse);
  std::vector<Executor*> lanes = {&r.consensus->at(0)};
  for (int i = 0; i < r.loops->size(); ++i) lanes.push_back(&r.loops->at(i));
  r.pulse = std::make_unique<Pulse>(std::move(lanes), interval, std::move(beat));
  r.pulse->start();
}

std::optional<int> Server::leaves_for() const {
  CHECK(running_->stopped);
  return running_->leaves_for;
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
  if (r.tracing) r.tracing->begin_close(kLastSpans);
  r.hand_over_leadership();
  r.home->closing();
  r.peering->stop();
  absl::Status status = r.stop_node();
  r.leaves_for = target_of_downgrade(*r.node->members().view());
  const bool archive_hangs = r.archiving && !r.archiving->stop();
  // Threads end before what runs on them goes away; loops last, as answers still travel to them.
  r.consensus->stop();
  r.log->stop();
  r.apply->stop();
  r.background->stop();
  if (r.pages) r.pages->stop();
  if (r.profiles) r.profiles->stop();
  if (r.gateway) r.gateway->stop();
  if (r.context) r.context->stop_workers();
  if (r.loops) r.loops->stop();
  r.listeners.clear();
  if (r.access_log) {
    r.access_log->stop();
    r.access_output->stop();
  }
  r.handshakes.reset();  // nobody shakes hands any more
  // What is left in the queues of the lanes holds calls, which belong to loops, and readers of the
  // store.
  r.consensus.reset();
  for (auto* lane : {&r.log, &r.apply, &r.background, &r.pages, &r.profiles}) lane->reset();
  r.auto_compaction.reset();
  r.corruption_checks.reset();
  r.corruption_door.reset();
  r.pulse.reset();
  r.services.reset();
  r.context.reset();
  r.feed.reset();
  if (archive_hangs) {
    // Its thread has them until the process ends, which is soon.
    static_cast<void>(r.archiving.release());
    static_cast<void>(r.node.release());
  }
  r.archiving.reset();
  r.node.reset();
  r.peering.reset();
  r.hashes.reset();
  if (r.tracing) r.tracing->finish_close();
  return status;
}

}  // namespace keelson::server
