#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "membership/cluster.h"

namespace keelson::sim {
namespace {

std::string name_of(int i) { return cat("m", i); }

std::string initial_cluster(int members) {
  std::string out;
  for (int i = 0; i < members; ++i) {
    out += cat(i > 0 ? "," : "", name_of(i), "=http://10.0.0.", i + 1, ":2380");
  }
  return out;
}

}  // namespace

class World::Port final : public node::Transport {
 public:
  Port(World& world, int member) : world_(world), member_(member) {}
  void send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) world_.network_.send(world_.now_, message);
  }
  // The sender hears that it went well though it may not have: raft must live with that, too.
  void send_snapshot(raft::Message message,
                     std::shared_ptr<const backend::Snapshot> state) override {
    const MemberId to = message.to;
    const bool arrives = world_.random_.below(4) != 0;
    if (arrives) world_.network_.send(world_.now_, message, std::move(state));
    world_.member(member_).node().consensus().snapshot_sent(to, arrives);
  }

 private:
  World& world_;
  const int member_;
};

World::World(Random& random, int members)
    : random_(random),
      members_(static_cast<size_t>(members)),
      network_(random, [this](MemberId to, raft::Message message, Network::StatePtr state) {
        deliver(to, std::move(message), std::move(state));
      }) {
  const membership::Bootstrap group = *membership::bootstrap(initial_cluster(members), "t");
  for (int i = 0; i < members; ++i) {
    for (const membership::Member& listed : group.members) {
      if (listed.name == name_of(i)) members_[i].id = listed.id;
    }
    make_member(i);
  }
}

World::~World() = default;

void World::make_member(int i) {
  node::Options options = node::TestMember::small_options();
  options.recovery.initial_cluster = initial_cluster(size());
  options.recovery.name = name_of(i);
  options.recovery.keep = {.entries = 20, .bytes = 10 << 10};
  options.client_urls = {cat("http://10.0.0.", i + 1, ":2379")};
  Member& member = members_[i];
  member.port = std::make_unique<Port>(*this, i);
  auto stores = std::make_unique<Stores>();
  member.stores = stores.get();
  node::RecoveryOptions recovery = options.recovery;
  member.process = std::make_unique<node::TestMember>(random_, std::move(options),
                                                      std::move(stores), member.port.get());
  recovery.wal.fs = &member.process->files;
  member.stores->belongs_to(recovery);
  member.process->published = [this](mvcc::EventBatchPtr events) { history_.add(*events); };
}

World::Member* World::find(MemberId id) {
  for (Member& member : members_) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

void World::deliver(MemberId to, raft::Message message, Network::StatePtr state) {
  Member* member = find(to);
  if (!member || !member->up || member->process->dead()) return;
  if (state) return install(*member, std::move(message), *state);
  member->process->node().consensus().receive(std::move(message));
}

void World::install(Member& member, raft::Message message, const backend::Snapshot& state) {
  absl::StatusOr<std::shared_ptr<backend::Backend>> copy = member.stores->add(state);
  if (!copy.ok()) return verdict_.violated(cat("a snapshot: ", message_of(copy.status())));
  node::Node& node = member.process->node();
  absl::StatusOr<std::unique_ptr<mvcc::Store>> store =
      mvcc::Store::open(copy->get(), node.store_options());
  if (!store.ok()) return verdict_.violated(cat("a snapshot: ", message_of(store.status())));
  ++snapshots_installed_;
  const raft::SnapshotMetadata& at = message.snapshot->metadata;
  node::ReceivedState received{at.index, at.term, *std::move(copy), *std::move(store)};
  node.consensus().receive_snapshot(std::move(message), std::move(received));
}

absl::Status World::start(int i) {
  Member& member = members_[i];
  // A process takes its time to come up; its request ids rely on that.
  now_ = now_ + std::chrono::milliseconds(20);
  member.process->schedule.advance_to(now_);
  absl::Status started = member.process->start();
  member.up = started.ok();
  return started;
}

void World::kill(int i, bool power) {
  Member& member = members_[i];
  member.up = false;
  network_.forget(member.id);
  if (power) {
    member.process->lose_power();
  } else {
    member.process->kill();
    member.process->files.kill();
  }
}

void World::split(const std::vector<int>& side) {
  for (int i = 0; i < size(); ++i) {
    for (int j = 0; j < size(); ++j) {
      const bool a = std::find(side.begin(), side.end(), i) != side.end();
      const bool b = std::find(side.begin(), side.end(), j) != side.end();
      if (a != b) cut(i, j);
    }
  }
}

int World::leader() const { return leaders_.empty() ? -1 : leaders_.rbegin()->second; }

void World::watch_leader(int i) {
  const node::MemberState& state = members_[i].process->node().state();
  if (state.leader.load() != members_[i].id.value) return;
  auto [found, added] = leaders_.try_emplace(state.term.load(), i);
  if (found->second != i) {
    verdict_.violated(cat("members ", found->second, " and ", i, " lead term ", found->first));
  }
}

bool World::step() {
  // Now and then time passes though there is work, so that timers come at odd moments.
  if (random_.below(200) == 0 && pass_time()) return true;
  return run_something() || pass_time();
}

// A random one of those that have something to do now.
bool World::run_something() {
  std::vector<int> ready;
  for (int i = 0; i < size(); ++i) {
    if (!up(i) || dead(i)) continue;
    members_[i].process->settle();
    if (!members_[i].process->schedule.idle()) ready.push_back(i);
  }
  const bool packet = network_.next() && *network_.next() <= now_;
  const size_t choices = ready.size() + (packet ? 1 : 0);
  if (choices == 0) return false;
  const size_t chosen = random_.below(choices);
  if (chosen == ready.size()) return network_.step(now_);
  const int i = ready[chosen];
  members_[i].process->schedule.run_one();
  if (dead(i)) {
    verdict_.violated(cat("member ", i, " ended: ", message_of(members_[i].process->fatal)));
  } else {
    watch_leader(i);
  }
  return true;
}

bool World::pass_time() {
  std::optional<MonotonicTime> next = network_.next();
  for (int i = 0; i < size(); ++i) {
    if (!up(i) || dead(i)) continue;
    std::optional<MonotonicTime> timer = members_[i].process->schedule.next_timer();
    if (timer && (!next || *timer < *next)) next = timer;
  }
  if (!next) return false;
  now_ = std::max(now_, *next);
  for (int i = 0; i < size(); ++i) {
    if (up(i) && !dead(i)) members_[i].process->schedule.advance_to(now_);
  }
  return true;
}

std::string World::describe() const {
  std::string out;
  for (int i = 0; i < size(); ++i) {
    const Member& member = members_[i];
    out += cat("member ", i, " (", absl::Hex(member.id.value), ")");
    if (!member.up || member.process->dead()) {
      out += member.up ? " dead\n" : " down\n";
      continue;
    }
    const node::MemberState& state = member.process->node().state();
    out += cat(" term ", state.term.load(), " leader ", absl::Hex(state.leader.load()),
               " committed ", state.committed.load(), " applied ", state.applied.load(), "\n");
  }
  return out;
}

bool World::run_until(const std::function<bool()>& done, Duration most) {
  const MonotonicTime end = now_ + most;
  while (!done()) {
    if (now_ >= end || !verdict_.ok() || !step()) return false;
  }
  return true;
}

}  // namespace keelson::sim
