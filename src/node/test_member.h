// node/test_member.h
//
// A whole member in one thread for tests: its lanes are queues that one seeded schedule serves, its
// time moves when the schedule says so, its disks are in memory and lose what was not made durable.
//
// Threads: one. Lifetime: a TestMember survives the crashes of the Node inside it.

#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/quiet_log.h"
#include "base/random.h"
#include "node/node.h"
#include "node/test_store.h"
#include "proto/rpc.pb.h"
#include "wal/memory_file_system.h"

namespace keelson::node {

// Lanes whose tasks run one at a time, a random lane's first one next. Order within a lane is kept.
class Schedule final : public Clock {
 public:
  class Lane final : public Executor {
   public:
    explicit Lane(Schedule& schedule) : schedule_(schedule) {}
    void post(Task task) override { tasks_.push_back(std::move(task)); }
    void post_after(Duration delay, Task task) override {
      schedule_.timers_.emplace(schedule_.now() + delay, std::pair(this, std::move(task)));
    }

   private:
    friend class Schedule;
    Schedule& schedule_;
    std::deque<Task> tasks_;
    bool held_ = false;
  };

  explicit Schedule(Random& random) : random_(random) {}

  MonotonicTime now() const override { return now_; }
  Duration unix_time() const override {
    return std::chrono::hours(24 * 365 * 50) + now_.since_origin + wall_ahead_;
  }
  // The wall clock is set, so far from where now() would have it.
  void set_wall_clock(Duration ahead) { wall_ahead_ = ahead; }

  Lane consensus{*this}, log{*this}, apply{*this}, background{*this}, io{*this};

  // One task; when there is none, on to the next timer. False: nothing will ever happen again.
  bool step() {
    // Now and then time passes though there is work, so that timers come at odd moments; but never
    // so much that a deadline passes because of it.
    const bool leap = !timers_.empty() && random_.below(200) == 0 &&
                      timers_.begin()->first - now_ <= std::chrono::seconds(1);
    if (!leap && run_one()) return true;
    if (timers_.empty()) return false;
    advance_to(timers_.begin()->first);
    return true;
  }

  void advance_to(MonotonicTime when) {
    now_ = std::max(now_, when);
    while (!timers_.empty() && timers_.begin()->first <= now_) {
      auto [lane, task] = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      lane->post(std::move(task));
    }
  }

  // One task, if there is any.
  bool run_one() {
    std::vector<Lane*> ready = ready_lanes();
    if (ready.empty()) return false;
    Lane& lane = *ready[random_.below(ready.size())];
    Task task = std::move(lane.tasks_.front());
    lane.tasks_.pop_front();
    task();
    return true;
  }

  std::optional<MonotonicTime> next_timer() const {
    if (timers_.empty()) return std::nullopt;
    return timers_.begin()->first;
  }

  // Nothing is to be done before the next timer.
  bool idle() const {
    return std::all_of(lanes_.begin(), lanes_.end(),
                       [](const Lane* lane) { return lane->tasks_.empty() || lane->held_; });
  }

  // While held, nothing of `lane` runs: a disk that takes its time. Several may be.
  void hold(Lane& lane) { lane.held_ = true; }
  void release(Lane& lane) { lane.held_ = false; }
  void release() {
    for (Lane* lane : lanes_) lane->held_ = false;
  }

  // The process dies: what was to be done is forgotten.
  void forget() {
    for (Lane* lane : lanes_) lane->tasks_.clear();
    timers_.clear();
  }

 private:
  std::vector<Lane*> ready_lanes() const {
    std::vector<Lane*> ready;
    for (Lane* lane : lanes_) {
      if (!lane->tasks_.empty() && !lane->held_) ready.push_back(lane);
    }
    return ready;
  }

  Random& random_;
  MonotonicTime now_{std::chrono::seconds(1)};
  Duration wall_ahead_{0};
  const std::vector<Lane*> lanes_{&consensus, &log, &apply, &background, &io};
  std::multimap<MonotonicTime, std::pair<Lane*, Task>> timers_;
};

class TestMember {
 public:
  // `store`: what it keeps its store on; null for `disk`. `transport`: to its peers, if any.
  explicit TestMember(Random& random, Options options = small_options(),
                      std::unique_ptr<TestStore> store = nullptr, Transport* transport = nullptr)
      : random_(random),
        options_(std::move(options)),
        transport_(transport),
        store_(store ? std::move(store) : std::make_unique<MemoryStore>(disk)) {
    options_.recovery.wal.fs = &files;
    options_.recovery.wal.clock = &schedule;
  }
  ~TestMember() { kill(); }

  // Segments and windows so small that short histories cross many of their borders.
  static Options small_options() {
    Options options;
    options.recovery = {.wal_dir = "/m/wal",
                        .wal = {.segment_bytes = 8 << 10, .max_segments = 1},
                        .initial_cluster = "m=http://localhost:2380",
                        .initial_cluster_token = "t",
                        .name = "m",
                        .keep = {.entries = 8, .bytes = 4 << 10}};
    options.client_urls = {"http://localhost:2379"};
    options.debt = {
        .mark_entries = 20, .mark_bytes = 6 << 10, .flush_entries = 400, .flush_bytes = 64 << 10};
    options.window = {.proposals = 5, .cost = 64 << 10};
    options.applier.compaction_slice = 3;
    return options;
  }

  absl::Status start() {
    fatal = absl::OkStatus();
    absl::StatusOr<std::unique_ptr<backend::Backend>> backend = store_->open();
    if (!backend.ok()) return backend.status();
    absl::StatusOr<std::unique_ptr<Node>> made = Node::create(
        options_, *std::move(backend),
        {&schedule.consensus, &schedule.log, &schedule.apply, &schedule.background}, &schedule,
        &random_, transport_, [this](absl::Status status) { fatal.Update(status); });
    if (!made.ok()) return made.status();
    node_ = *std::move(made);
    gateway_ = node_->add_gateway(schedule.io);
    ids_.emplace(node_->request_ids());
    reader_ = node_->store().register_reader();
    if (published) node_->set_published(published);
    if (prepare) prepare(*node_);
    node_->start();
    return absl::OkStatus();
  }

  // The process ends at once; files and backend keep what they have, or what the backend would
  // have written in time is lost.
  void kill(bool keep = true) {
    store_->kill(keep);
    destroy();
  }

  // The power goes: only what was made durable is there when it comes back.
  void lose_power() {
    store_->lose_power();
    destroy();
    files.no_more_failures();
    files.crash(random_);
  }

  bool dead() const { return !fatal.ok(); }

  // One step of the schedule; false: nothing will ever happen again.
  bool step() {
    settle();
    return schedule.step();
  }
  // What threads of the store have said becomes something to do.
  void settle() { store_->deliver(schedule.background, schedule.idle()); }

  // Runs until `done` says so; false if nothing more happens before.
  bool run_until(const std::function<bool()>& done, int most_steps = 100'000) {
    for (int i = 0; i < most_steps; ++i) {
      if (done()) return true;
      if (dead() || !step()) return false;
    }
    return false;
  }

  // A stop as on SIGTERM: its status, once all is durable.
  absl::Status stop() {
    std::optional<absl::Status> stopped;
    node_->stop([&](absl::Status status) { stopped = std::move(status); });
    if (!run_until([&] { return stopped.has_value(); }))
      return absl::InternalError(cat("did not stop; ", message_of(fatal)));
    return *stopped;
  }

  using Answer = std::function<void(apply::Reply)>;
  // Where it counts who asks, `user` does, by the rules that this member knows.
  void propose(wire::InternalKind kind, std::string_view request, Answer answer,
               std::string_view user = auth::kRoot) {
    const uint64_t id = ids_->next();
    const std::shared_ptr<const auth::Rules> rules = node_->auth().newest();
    const auth::Identity who =
        rules->enabled() ? auth::Identity{user, rules->revision()} : auth::Identity();
    const bool adds = kind == wire::InternalKind::kPut || kind == wire::InternalKind::kTxn ||
                      kind == wire::InternalKind::kLeaseGrant;
    gateway_->propose({}, id, wire::wrap_internal(id, who.user, who.revision, kind, request),
                      adds                                       ? Gateway::Space::kTaken
                      : kind == wire::InternalKind::kLeaseRevoke ? Gateway::Space::kRevoked
                                                                 : Gateway::Space::kSpared,
                      std::move(answer));
    gateway_->flush();
  }
  void put(std::string_view key, std::string_view value, Answer answer) {
    etcdserverpb::PutRequest request;
    request.set_key(std::string(key));
    request.set_value(std::string(value));
    propose(wire::InternalKind::kPut, request.SerializeAsString(), std::move(answer));
  }
  // `change` but for its id.
  void propose_change(raft::ConfChange change, Answer answer) {
    change.id = ids_->next();
    gateway_->propose_change({}, std::move(change), std::move(answer));
    gateway_->flush();
  }
  // `answer` comes once a linearizable read may be served here.
  void confirm(std::function<void(absl::Status)> answer) {
    gateway_->read({}, std::move(answer));
    gateway_->flush();
  }
  // Everything, linearizable.
  void read_all(std::function<void(absl::StatusOr<mvcc::RangeResult>)> answer) {
    confirm([this, answer = std::move(answer)](absl::Status status) {
      if (!status.ok()) return answer(status);
      answer(read_here());
    });
  }
  // Everything as this member has it, now or at an older revision.
  absl::StatusOr<mvcc::RangeResult> read_here(int64_t revision = 0) {
    return node_->store().range(*reader_, std::string_view("\0", 1), std::string_view("\0", 1),
                                {.revision = revision});
  }

  // For the next start.
  Options& options() { return options_; }
  Node& node() { return *node_; }
  TestStore& store() { return *store_; }

 private:
  void destroy() {
    schedule.release();
    schedule.forget();
    reader_.reset();
    node_.reset();
  }

  Random& random_;

 public:
  Schedule schedule{random_};
  wal::MemoryFileSystem files;
  backend::MemoryBackend disk;
  absl::Status fatal;
  apply::Applier::Published published;
  std::function<void(Node&)> prepare;  // a node that is about to start; may be empty

 private:
  Options options_;
  Transport* const transport_;
  const std::unique_ptr<TestStore> store_;
  std::unique_ptr<Node> node_;
  Gateway* gateway_ = nullptr;
  std::optional<RequestIds> ids_;
  std::unique_ptr<mvcc::ReaderSlot> reader_;
};

}  // namespace keelson::node
