// peer/test_cluster.h
//
// For tests: members on threads of their own in one process, that reach each other over real
// sockets of the loopback. Their disks are in memory.
//
// Threads: the test's own.

#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/memory_backend.h"
#include "base/endian.h"
#include "base/random.h"
#include "base/text.h"
#include "base/thread_lane.h"
#include "net/listener.h"
#include "net/tls/transport.h"
#include "node/node.h"
#include "node/test_store.h"
#include "peer/consensus_receiver.h"
#include "peer/network.h"
#include "proto/rpc.pb.h"
#include "wal/memory_file_system.h"

namespace keelson::peer {

// A value that one thread makes and another waits for.
template <typename Value>
class Later {
 public:
  void set(Value value) {
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
    changed_.notify_all();
  }
  // None: it did not come in time.
  std::optional<Value> wait(std::chrono::seconds most = std::chrono::seconds(60)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, most, [&] { return value_.has_value(); });
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Value> value_;
};

// Asks again and again, at most for a minute.
template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    usleep(10'000);
  }
  return condition();
}

// Refuses everything.
class NoAnswers : public LocalAnswers {
 public:
  std::string cluster_version() override { return ""; }
  std::string storage_version() override { return "3.7.0"; }
  void promote(MemberId, std::string, Done<std::vector<membership::Member>> done) override {
    done(absl::UnimplementedError("promote"));
  }
  void renew_lease(LeaseId, Done<int64_t> done) override {
    done(absl::UnimplementedError("renew"));
  }
  void lease_times(LeaseId, bool, Done<LeaseTimes> done) override {
    done(absl::UnimplementedError("times"));
  }
  void hash_kv(int64_t, Done<HashAnswer> done) override { done(absl::UnimplementedError("hash")); }
  void downgrade_enabled(Done<bool> done) override { done(absl::UnimplementedError("downgrade")); }
};

// Snapshots become stores in memory.
//
// With a form of store files it has those as well: all records in one file.
class MemoryHome final : public SnapshotHome {
 public:
  MemoryHome() {
    char path[] = "/tmp/keelson_peer_XXXXXX";
    CHECK(::mkdtemp(path) != nullptr);
    directory_ = path;
  }
  ~MemoryHome() override { std::filesystem::remove_all(directory_); }
  void belongs_to(node::Node* node) { node_ = node; }

  std::string directory() const override { return directory_; }
  absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() override {
    if (full_) {
      ++refused_;
      return absl::ResourceExhaustedError("no space left on device");
    }
    return std::make_shared<backend::MemoryBackend>();
  }
  mvcc::StoreOptions store_options() const override { return {}; }
  absl::Status check(const node::ReceivedState& state) override { return node_->check(state); }
  void install(raft::Message message, node::ReceivedState state, Task taken) override {
    ++installed_;
    node_->consensus().receive_snapshot(std::move(message), std::move(state));
    node_->consensus().with_core([taken = std::move(taken)](raft::RawNode&) mutable { taken(); });
  }

  std::string store_form() const override { return form_; }
  absl::StatusOr<std::unique_ptr<StoreCopy>> copy_store() override {
    std::shared_ptr<const backend::Backend> store = node_->backend();
    std::shared_ptr<const backend::Snapshot> state = store->snapshot();
    std::string file;
    for (backend::Bucket bucket : backend::buckets_by_name()) {
      auto at = state->iterate(bucket);
      for (at->seek_to_first(); at->valid(); at->next()) {
        file += cat(big64(static_cast<uint64_t>(bucket)), big64(at->key().size()), at->key(),
                    big64(at->value().size()), at->value());
      }
    }
    membership::Cluster members(ClusterId(0));
    if (absl::Status s = members.restore(*state); !s.ok()) return s;
    auto snapshot = std::make_shared<raft::Snapshot>();
    snapshot->metadata = {node::conf_state_of(members.view()->members), state->consistent_index(),
                          state->consistent_term()};
    auto copy = std::make_unique<Copy>(cat(directory_, "/tmp.", ++copies_), std::move(snapshot));
    std::filesystem::create_directory(copy->directory());
    std::ofstream(copy->directory() + "/MANIFEST-000001") << file;
    std::ofstream(copy->directory() + "/CURRENT") << "MANIFEST-000001\n";
    return std::unique_ptr<StoreCopy>(std::move(copy));
  }
  absl::StatusOr<std::string> new_store_files() override {
    if (refuses_files_) return absl::ResourceExhaustedError("no space left on device");
    std::string place = cat(directory_, "/files.", ++copies_);
    std::filesystem::create_directory(place);
    return place;
  }
  absl::StatusOr<std::shared_ptr<backend::Backend>> open_store_files(
      const std::string& directory) override {
    std::ifstream in(directory + "/MANIFEST-000001");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    auto store = std::make_shared<backend::MemoryBackend>();
    backend::WriteBatch batch;
    std::string_view rest = text;
    const auto take_number = [&] {
      const uint64_t number = load_big64(rest.data());
      rest.remove_prefix(8);
      return number;
    };
    const auto take_text = [&] {
      const uint64_t size = take_number();
      const std::string_view taken = rest.substr(0, size);
      rest.remove_prefix(taken.size());
      return taken;
    };
    while (!rest.empty()) {
      const auto bucket = static_cast<backend::Bucket>(take_number());
      const std::string_view key = take_text();
      batch.put(bucket, key, take_text());
    }
    if (absl::Status s = store->commit(batch, Index(0), Term(0)); !s.ok()) return s;
    const auto number = [&](std::string_view name) {
      return load_big64((*store->get(backend::Bucket::kMeta, name))->data());
    };
    const Index index(number(backend::kConsistentIndexKey));
    if (absl::Status s = store->commit({}, index, Term(number(backend::kTermKey))); !s.ok()) {
      return s;
    }
    drop_store_files(directory);
    ++opened_;
    return store;
  }
  void drop_store_files(const std::string& directory) override {
    std::filesystem::remove_all(directory);
  }

  // Before the member starts.
  void set_form(std::string form) { form_ = std::move(form); }
  void refuse_files() { refuses_files_ = true; }
  int opened() const { return opened_; }
  int installed() const { return installed_; }
  int refused() const { return refused_; }
  void set_full(bool full) { full_ = full; }
  bool empty() const { return std::filesystem::is_empty(directory_); }

 private:
  class Copy final : public StoreCopy {
   public:
    Copy(std::string directory, std::shared_ptr<const raft::Snapshot> snapshot)
        : directory_(std::move(directory)), snapshot_(std::move(snapshot)) {}
    ~Copy() override { std::filesystem::remove_all(directory_); }
    const std::string& directory() const override { return directory_; }
    std::shared_ptr<const raft::Snapshot> snapshot() const override { return snapshot_; }

   private:
    const std::string directory_;
    const std::shared_ptr<const raft::Snapshot> snapshot_;
  };

  std::string directory_;
  node::Node* node_ = nullptr;
  std::string form_;
  std::atomic<int> installed_{0}, refused_{0}, opened_{0}, copies_{0};
  std::atomic<bool> full_{false}, refuses_files_{false};
};

class TestPeer {
 public:
  // `tls`: of its listener; null for none.
  explicit TestPeer(std::string name, NetworkOptions options = {},
                    std::shared_ptr<const net::ListenerTls> tls = nullptr)
      : name_(std::move(name)), network_(on(&consensus_, std::move(options))) {
    if (tls) {
      auto copy = std::make_shared<net::ListenerTls>(*tls);
      copy->client_names = &network_.resolver();
      tls_ = std::move(copy);
    }
    network_.serve_on(router_);
    listen(0);
  }
  ~TestPeer() { stop(); }

  static constexpr Duration kHeartbeat = std::chrono::milliseconds(50);
  // Before start().
  void set_election_ticks(int ticks) { election_ticks_ = ticks; }

  const std::string& name() const { return name_; }
  std::string url() const { return cat(tls_ ? "https" : "http", "://127.0.0.1:", port_); }

  // `initial_cluster`: who the members are. `others`: which etcd the others are as good as.
  void start(const std::string& initial_cluster, const std::string& others = "3.7.1") {
    node::Options options;
    options.recovery.wal_dir = "/m/wal";
    options.recovery.wal = {.segment_bytes = 1 << 20, .max_segments = 1};
    options.recovery.wal.fs = &files_;
    options.recovery.wal.clock = &clock_;
    options.recovery.initial_cluster = initial_cluster;
    options.recovery.initial_cluster_token = "t";
    options.recovery.name = name_;
    options.client_urls = {"http://localhost:2379"};
    options.heartbeat = kHeartbeat;
    options.election_ticks = election_ticks_;
    // So little that whoever is away for some entries needs a snapshot.
    options.recovery.keep = {.entries = 32, .bytes = 64 << 10};
    options.debt = {
        .mark_entries = 20, .mark_bytes = 6 << 10, .flush_entries = 40, .flush_bytes = 64 << 10};
    absl::StatusOr<std::unique_ptr<node::Node>> made =
        node::Node::create(options, std::make_unique<node::ForwardingBackend>(disk_),
                           {&consensus_.at(0), &log_, &apply_, &background_}, &clock_, &random_,
                           &network_, [](absl::Status status) { ADD_FAILURE() << status; });
    ASSERT_TRUE(made.ok()) << made.status();
    node_ = *std::move(made);
    gateway_ = node_->add_gateway(io_);
    reader_ = node_->store().register_reader();
    receiver_.emplace(&node_->consensus(), options.election_ticks, [this] { removed_.set(true); });
    membership::Bootstrap bootstrap = *membership::bootstrap(initial_cluster, "t");
    auto view = std::make_shared<membership::View>();
    view->cluster = bootstrap.cluster;
    view->members = bootstrap.members;
    home_.belongs_to(node_.get());
    node_->set_ask_versions([others](const std::vector<membership::Member>& members, auto done) {
      done(node::Versions::List(members.size(), membership::Version::parse(others)));
    });
    node_->start();
    members_ = std::move(view);
    network_.start({.member = node_->member(), .cluster = node_->cluster(), .peer_urls = {url()}},
                   &*receiver_, &answers_, members_, &home_);
  }

  void stop() {
    if (std::exchange(stopped_, true)) return;
    listener_.reset();
    network_.stop();
    if (node_) {
      Later<absl::Status> done;
      node_->stop([&](absl::Status status) { done.set(std::move(status)); });
      EXPECT_TRUE(done.wait().value_or(absl::InternalError("no end")).ok());
    }
    consensus_.stop();
    for (ThreadLane* lane : {&log_, &apply_, &io_, &background_}) lane->stop();
    reader_.reset();
    node_.reset();
  }

  // Nobody reaches it here any more, or somebody does again.
  void close_listener() { listener_.reset(); }
  void listen_again() { listen(port_); }
  // It hears nobody and nobody hears it, or it does again.
  void isolate() {
    close_listener();
    network_.set_members(std::make_shared<membership::View>());
  }
  void reconnect() {
    network_.set_members(members_);
    listen_again();
  }

  absl::Status put(std::string_view key, std::string_view value) {
    etcdserverpb::PutRequest request;
    request.set_key(std::string(key));
    request.set_value(std::string(value));
    auto done = std::make_shared<Later<absl::Status>>();
    io_.post([this, done, text = request.SerializeAsString()] {
      node::RequestIds ids(node_->request_ids());
      const uint64_t id = ids.next();
      gateway_->propose({}, id, wire::wrap_internal(id, {}, 0, wire::InternalKind::kPut, text),
                        node::Gateway::Space::kTaken,
                        [done](apply::Reply reply) { done->set(std::move(reply.status)); });
      gateway_->flush();
    });
    return done->wait().value_or(absl::InternalError("no answer"));
  }
  absl::Status read() {
    auto done = std::make_shared<Later<absl::Status>>();
    io_.post([this, done] {
      gateway_->read({}, [done](absl::Status status) { done->set(std::move(status)); });
      gateway_->flush();
    });
    return done->wait().value_or(absl::InternalError("no answer"));
  }

  bool leads() const { return node_->is_leader(); }
  // etcd's HashKV of everything.
  uint32_t hash() {
    absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job = node_->store().hash_kv(0);
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok()) return 0;
    while (!(*job)->step(10'000).value_or(true)) {
    }
    return (*job)->result().hash;
  }
  // The values of all keys, one behind the other.
  std::string contents() {
    std::unique_ptr<mvcc::ReaderSlot> reader = node_->store().register_reader();
    const std::string_view all("\0", 1);
    absl::StatusOr<mvcc::RangeResult> found = node_->store().range(*reader, all, all);
    EXPECT_TRUE(found.ok()) << found.status();
    std::string out;
    if (found.ok()) {
      for (const auto& kv : found->kvs) out += kv.view();
    }
    return out;
  }
  int64_t revision() const { return node_->store().revision(); }
  MemberId id() const { return node_->member(); }
  node::Node& node() { return *node_; }
  Network& network() { return network_; }
  MemoryHome& home() { return home_; }
  Later<bool>& removed() { return removed_; }
  NoAnswers& answers() { return answers_; }

 private:
  static NetworkOptions on(net::LoopPool* loops, NetworkOptions options) {
    options.loops = loops;
    return options;
  }
  void listen(uint16_t port) {
    absl::StatusOr<std::unique_ptr<net::Listener>> listener = net::Listener::start(
        cat("http://127.0.0.1:", port), &network_.loops(), &router_, nullptr, {.tls = tls_});
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    port_ = listener_->port();
  }

  const std::string name_;
  std::shared_ptr<const net::ListenerTls> tls_;
  SystemClock clock_;
  SeededRandom random_{std::hash<std::string>()(name_)};
  wal::MemoryFileSystem files_;
  backend::MemoryBackend disk_;
  // As in the server, consensus shares a loop with the network.
  net::LoopPool consensus_{1, "consensus"};
  ThreadLane log_{"log"}, apply_{"apply"}, background_{"background"}, io_{"io"};
  net::Router router_;
  Network network_;
  std::unique_ptr<net::Listener> listener_;
  uint16_t port_ = 0;
  int election_ticks_ = 10;
  NoAnswers answers_;
  MemoryHome home_;
  std::shared_ptr<const membership::View> members_;
  Later<bool> removed_;
  std::optional<ConsensusReceiver> receiver_;
  std::unique_ptr<node::Node> node_;
  node::Gateway* gateway_ = nullptr;
  std::unique_ptr<mvcc::ReaderSlot> reader_;
  bool stopped_ = false;
};

// Some of them, that know each other.
class TestCluster {
 public:
  explicit TestCluster(int size, const NetworkOptions& options = {},
                       const std::shared_ptr<const net::ListenerTls>& tls = nullptr,
                       const std::vector<std::string>& forms = {}) {
    std::string initial;
    for (int i = 0; i < size; ++i) {
      peers_.push_back(std::make_unique<TestPeer>(cat("m", i), options, tls));
      if (!forms.empty()) peers_.back()->home().set_form(forms[static_cast<size_t>(i)]);
      initial += cat(i == 0 ? "" : ",", "m", i, "=", peers_.back()->url());
    }
    for (auto& peer : peers_) peer->start(initial);
  }

  TestPeer& at(int i) { return *peers_[static_cast<size_t>(i)]; }
  int size() const { return static_cast<int>(peers_.size()); }
  // -1: nobody leads in time.
  int leader() {
    int found = -1;
    eventually([&] {
      for (int i = 0; i < size() && found < 0; ++i) {
        if (at(i).leads()) found = i;
      }
      return found >= 0;
    });
    return found;
  }

 private:
  std::vector<std::unique_ptr<TestPeer>> peers_;
};

}  // namespace keelson::peer
