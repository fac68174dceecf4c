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
  explicit Port(World& world) : world_(world) {}
  void send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) world_.network_.send(world_.now_, message);
  }

 private:
  World& world_;
};

World::World(Random& random, int members)
    : random_(random),
      members_(static_cast<size_t>(members)),
      network_(random, [this](MemberId to, raft::Message message) {
        deliver(to, std::move(message));
      }) {
  const membership::Bootstrap group = *membership::bootstrap(initial_cluster(members), "t");
  for (int i = 0; i < members; ++i) {
    Member& member = members_[i];
    for (const membership::Member& listed : group.members) {
      if (listed.name == name_of(i)) member.id = listed.id;
    }
    member.port = std::make_unique<Port>(*this);
    member.process = make_member(i, member.port.get());
  }
}

World::~World() = default;

std::unique_ptr<node::TestMember> World::make_member(int i, Port* port) {
  node::Options options = node::TestMember::small_options();
  options.recovery.initial_cluster = initial_cluster(size());
  options.recovery.name = name_of(i);
  options.recovery.keep = {.entries = 1 << 20, .bytes = 1 << 30};
  options.debt.mark_entries = options.debt.mark_bytes = 1 << 30;
  options.client_urls = {cat("http://10.0.0.", i + 1, ":2379")};
  auto member = std::make_unique<node::TestMember>(random_, std::move(options), nullptr, port);
  member->published = [this](mvcc::EventBatchPtr events) { history_.add(*events); };
  return member;
}

World::Member* World::find(MemberId id) {
  for (Member& member : members_) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

void World::deliver(MemberId to, raft::Message message) {
  Member* member = find(to);
  if (!member || !member->up || member->process->dead()) return;
  member->process->node().consensus().receive(std::move(message));
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

int World::leader() const {
  return leaders_.empty() ? -1 : leaders_.rbegin()->second;
}

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
