#include "peer/network.h"

#include <atomic>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "net/resolver.h"
#include "peer/channels.h"
#include "peer/hub.h"
#include "peer/question_handlers.h"
#include "peer/raft_handlers.h"
#include "peer/snapshot_handler.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

// What may be on its way from send() to the loop. The loop takes it within milliseconds, or it is
// stuck; raft repeats what is dropped here.
constexpr size_t kHandedOver = 256 << 20;

constexpr int kDatabaseNiceness = 5;

// A connection that is kept is let go before the other end does (its patience is etcd's 5 s): a
// POST that meets the end of its connection is lost.
constexpr Duration kIdle = std::chrono::seconds(4);

net::HttpClientOptions client_options(const NetworkOptions& options) {
  net::HttpClientOptions client;
  client.connect_timeout = options.dial_timeout;
  client.idle_timeout = kIdle;
  client.user_agent = "Go-http-client/1.1";  // what etcd's members call themselves
  client.from = options.from;
  client.tls = options.tls;
  client.handshakes = options.handshakes;
  return client;
}

}  // namespace

struct Network::Impl {
  explicit Impl(NetworkOptions given) : options(completed(std::move(given))) {}

  NetworkOptions completed(NetworkOptions given) {
    if (!given.observer) given.observer = &nobody;
    if (!given.clock) given.clock = &system_clock;
    return given;
  }

  net::LoopPool& loops() { return options.loops ? *options.loops : *own_loops; }
  net::Loop& loop() { return loops().at(0); }
  // Runs it on the loop and waits for it.
  template <typename Body>
  void on_loop(Body body) {
    std::promise<void> done;
    loop().post([&] {
      body();
      done.set_value();
    });
    done.get_future().wait();
  }
  void send_on_loop(std::vector<raft::Message> messages, size_t bytes) {
    handed_over -= bytes;
    if (hub) hub->send(std::move(messages));
  }

  Observer nobody;
  SystemClock system_clock;
  const NetworkOptions options;
  net::Resolver resolver;
  const std::unique_ptr<net::LoopPool> own_loops =
      options.loops ? nullptr : std::make_unique<net::LoopPool>(1, "peer");
  // Databases that go to other members and come from them. They give way to everybody else.
  Workers workers{{.name = "peer-db",
                   .threads = 2,
                   .threads_per_connection = 1,
                   .niceness = kDatabaseNiceness}};
  // What it leaves to do on the loop is done, or never will be, when we end.
  LineBudget lines{*options.clock, &loop()};

  // On the loop.
  std::shared_ptr<net::HttpClient> client;
  std::unique_ptr<Hub> hub;  // from start() to stop()

  std::unique_ptr<Ask> ask;
  const RunningHub running = [this] { return hub.get(); };
  StreamHandler streams{running};
  PipelineHandler pipeline{running};
  ProbingHandler probing{options.clock};
  SnapshotHandler snapshots{running};
  StoreFormHandler store_form{running};
  QuestionHandlers questions{running};

  std::atomic<bool> started{false};
  bool stopped = false;
  std::atomic<size_t> handed_over{0};
  std::atomic<std::shared_ptr<const Active>> active{std::make_shared<const Active>()};
};

Network::Network(NetworkOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->on_loop([impl = impl_.get()] {
    impl->client = std::make_shared<net::HttpClient>(&impl->loop(), &impl->resolver,
                                                     client_options(impl->options));
  });
  impl_->ask = std::make_unique<Ask>(&impl_->loop(), impl_->client);
}

Network::~Network() { stop(); }

Ask& Network::ask() { return *impl_->ask; }
net::LoopPool& Network::loops() { return impl_->loops(); }
net::Resolver& Network::resolver() { return impl_->resolver; }

void Network::serve_on(net::Router& router) {
  router.http_prefix(kStreamPrefix, &impl_->streams, {.ignores_body = true});
  router.http_stream(kPipelinePath, &impl_->pipeline);
  router.http_stream(kSnapshotPath, &impl_->snapshots.databases());
  router.http_stream(kStorePath, &impl_->snapshots.stores());
  router.http(kStoreFormPath, &impl_->store_form, {.ignores_body = true});
  router.http(kProbingPath, &impl_->probing, {.ignores_body = true});
  impl_->questions.serve_on(router);
}

void Network::start(Identity identity, Receiver* receiver, LocalAnswers* answers,
                    std::shared_ptr<const membership::View> members, SnapshotHome* snapshots) {
  CHECK(!impl_->stopped);
  CHECK(!impl_->started.load());
  impl_->on_loop([&] {
    impl_->hub = std::make_unique<Hub>(
        Hub::Parts{.loop = &impl_->loop(),
                   .client = impl_->client.get(),
                   .ask = impl_->ask.get(),
                   .options = &impl_->options,
                   .identity = std::move(identity),
                   .receiver = receiver,
                   .observer = impl_->options.observer,
                   .workers = &impl_->workers,
                   .lines = &impl_->lines,
                   .answers = answers,
                   .snapshots = snapshots,
                   .publish_active = [impl = impl_.get()](Active active) {
                     impl->active.store(std::make_shared<const Active>(std::move(active)));
                   }});
    impl_->hub->set_members(std::move(members));
  });
  impl_->started.store(true);
}

void Network::set_members(std::shared_ptr<const membership::View> members) {
  impl_->loop().post([impl = impl_.get(), members = std::move(members)]() mutable {
    if (impl->hub) impl->hub->set_members(std::move(members));
  });
}

void Network::introduce(std::vector<membership::Member> members) {
  impl_->loop().post([impl = impl_.get(), members = std::move(members)] {
    if (!impl->hub) return;
    for (const membership::Member& member : members) {
      impl->hub->introduce({.id = member.id, .urls = member.peer_urls});
    }
  });
}

void Network::stop() {
  if (std::exchange(impl_->stopped, true)) return;
  impl_->started.store(false);
  impl_->on_loop([impl = impl_.get()] {
    impl->snapshots.stop();
    impl->hub.reset();
    impl->client.reset();
  });
  impl_->ask.reset();
  // What their ends have left to do is done.
  impl_->on_loop([] {});
  impl_->resolver.stop();
  impl_->workers.stop();
  if (impl_->own_loops) impl_->own_loops->stop();
}

void Network::send(std::vector<raft::Message> messages) {
  if (!impl_->started.load(std::memory_order_acquire)) return;
  if (impl_->loop().on_loop()) {
    if (impl_->hub) impl_->hub->send(std::move(messages));
    return;
  }
  size_t bytes = 0;
  for (const raft::Message& message : messages) bytes += wire::wire_size(message);
  const size_t before = impl_->handed_over.fetch_add(bytes);
  if (before > kHandedOver) {
    impl_->handed_over -= bytes;
    return log::warn("dropped Raft messages since the peer loop does not take them",
                     {{"messages", messages.size()}, {"bytes-waiting", before}});
  }
  impl_->loop().post([impl = impl_.get(), bytes, messages = std::move(messages)]() mutable {
    impl->send_on_loop(std::move(messages), bytes);
  });
}

void Network::send_snapshot(raft::Message message, std::shared_ptr<const backend::Snapshot> state) {
  impl_->loop().post(
      [impl = impl_.get(), message = std::move(message), state = std::move(state)]() mutable {
        if (impl->hub) impl->hub->send_snapshot(std::move(message), std::move(state));
      });
}

std::shared_ptr<const Network::Active> Network::active() const { return impl_->active.load(); }

size_t Network::handed_over() const { return impl_->handed_over.load(); }

}  // namespace keelson::peer
