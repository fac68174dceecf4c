#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "membership/cluster.h"

namespace keelson::sim {
namespace {

constexpr int64_t kUsual = 1'000'000;  // the speed of a clock that goes as the world's

std::string name_of(int i) { return cat("m", i); }
std::string peer_url(int i) { return cat("http://10.0.0.", i + 1, ":2380"); }

World::Deed deed_of(const raft::Message& message) {
  switch (message.type) {
    case raft::MessageType::kMsgVote:
      return World::Deed::kAsksForVotes;
    case raft::MessageType::kMsgVoteResp:
      return World::Deed::kVotes;
    case raft::MessageType::kMsgAppResp:
      return message.reject ? World::Deed::kOther : World::Deed::kAcceptsAppend;
    default:
      return World::Deed::kOther;
  }
}

std::string initial_cluster(int members) {
  std::string out;
  for (int i = 0; i < members; ++i) {
    out += cat(i > 0 ? "," : "", name_of(i), "=", peer_url(i));
  }
  return out;
}

}  // namespace

class World::Port final : public node::Transport {
 public:
  Port(World& world, int member) : world_(world), member_(member) {}
  void send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) {
      world_.oracle_.sent(message);
      world_.done_ = {member_, deed_of(message)};
      if (!world_.is_heard(*world_.members_[member_], message)) continue;
      note_whether_there(message.to);
      world_.network_.send(world_.now_, message);
    }
  }
  // The sender hears that it went well though it may not have: raft must live with that, too.
  void send_snapshot(raft::Message message,
                     std::shared_ptr<const backend::Snapshot> state) override {
    const MemberId to = message.to;
    note_whether_there(to);
    const bool arrives = world_.random_.below(4) != 0 && !world_.members_[member_]->silent;
    if (arrives) world_.network_.send(world_.now_, message, std::move(state));
    world_.member(member_).node().consensus().snapshot_sent(to, arrives);
  }

 private:
  // Connections to a process that is not there fail, which may be noticed.
  void note_whether_there(MemberId to) {
    const int i = world_.place_of(to);
    if (i >= 0 && world_.serves(i)) return;
    if (world_.random_.below(8) == 0) world_.member(member_).node().consensus().unreachable(to);
  }

  World& world_;
  const int member_;
};

World::World(Random& random, int founders, Settings settings)
    : random_(random),
      settings_(settings),
      network_(random, [this](MemberId to, raft::Message message, Network::StatePtr state) {
        deliver(to, std::move(message), std::move(state));
      }) {
  const membership::Bootstrap group = *membership::bootstrap(initial_cluster(founders), "t");
  cluster_ = group.cluster;
  node::RecoveryOptions recovery;
  recovery.initial_cluster = initial_cluster(founders);
  for (int i = 0; i < founders; ++i) {
    for (const membership::Member& listed : group.members) {
      if (listed.name == name_of(i)) make_member(i, listed.id, recovery);
    }
    members_[i]->life = Life::kDown;
  }
}

World::~World() {
  for (auto& member : members_) member->watches.reset();
}

void World::make_member(int i, MemberId id, const node::RecoveryOptions& begins) {
  node::Options options = node::TestMember::small_options();
  options.recovery.initial_cluster = begins.initial_cluster;
  options.recovery.joins = begins.joins;
  options.recovery.name = name_of(i);
  options.recovery.keep = {.entries = 20, .bytes = 10 << 10};
  options.pre_vote = settings_.pre_vote;
  options.max_message_bytes = settings_.max_message_bytes;
  options.lease_checkpoints = settings_.lease_checkpoints;
  options.max_learners = 2;
  options.reads.crowd = 2;
  options.client_urls = {cat("http://10.0.0.", i + 1, ":2379")};
  options.save_snap = [this, i](const raft::Snapshot& mark) {
    oracle_.marked(mark);
    done_ = {i, Deed::kMarks};
  };
  auto member = std::make_unique<Member>();
  member->id = id;
  member->port = std::make_unique<Port>(*this, i);
  auto stores = std::make_unique<Stores>(oracle_);
  member->stores = stores.get();
  node::RecoveryOptions recovery = options.recovery;
  member->process = std::make_unique<node::TestMember>(random_, std::move(options),
                                                       std::move(stores), member->port.get());
  recovery.wal.fs = &member->process->files;
  member->stores->belongs_to(recovery);
  member->process->prepare = [this, i](node::Node& node) { prepare(i, node); };
  members_.push_back(std::move(member));
}

int World::add_place() {
  const int i = size();
  const MemberId id(random_.next() | 1);
  node::RecoveryOptions recovery;
  recovery.joins = {cluster_, {{.id = id, .name = name_of(i), .peer_urls = {peer_url(i)}}}};
  make_member(i, id, recovery);
  return i;
}

// What a server does with a node that it is about to start.
void World::prepare(int i, node::Node& node) {
  Member& member = *members_[i];
  member.watches = std::make_unique<WatchDoor>(node, member.process->schedule.io, random_);
  node.set_published([this, door = member.watches.get()](mvcc::EventBatchPtr events) {
    history_.add(*events);
    door->feed().publish(std::move(events));
  });
  node.set_replaced(
      [door = member.watches.get(), &node] { door->feed().reset(node.store().revision()); });
  node.set_removed([&member] { member.told_removed = true; });
  node.set_ask_versions([this, &member](std::vector<membership::Member> others, auto done) {
    member.process->schedule.io.post_after(
        std::chrono::milliseconds(random_.below(300)),
        [this, &member, others = std::move(others), done = std::move(done)]() mutable {
          done_ = {place_of(member.id), Deed::kLearnsVersions};
          done(versions_of(others));
        });
  });
}

node::Versions::List World::versions_of(const std::vector<membership::Member>& members) const {
  node::Versions::List versions;
  for (const membership::Member& member : members) {
    const int i = place_of(member.id);
    versions.push_back(i >= 0 && runs(i) ? members_[i]->version : std::nullopt);
  }
  return versions;
}

bool World::is_heard(Member& member, const raft::Message& message) {
  if (member.silent) return false;
  const bool counts = message.type == raft::MessageType::kMsgApp && !message.entries.empty();
  if (member.muffled && counts) return false;
  if (!member.appends_left || !counts) return true;
  if (*member.appends_left == 0) {
    member.silent = true;
    return false;
  }
  --*member.appends_left;
  return true;
}

int World::place_of(MemberId id) const {
  for (int i = 0; i < size(); ++i) {
    if (members_[i]->id == id) return i;
  }
  return -1;
}

int World::most_advanced() const {
  int found = -1;
  uint64_t most = 0;
  for (int i = 0; i < size(); ++i) {
    if (!serves(i)) continue;
    const uint64_t applied = members_[i]->process->node().state().applied.load();
    if (found < 0 || applied > most) found = i;
    most = std::max(most, applied);
  }
  return found;
}

void World::deliver(MemberId to, raft::Message message, Network::StatePtr state) {
  const int i = place_of(to);
  if (i < 0 || !lives(i)) return;
  Arrived arrived{std::move(message), std::move(state)};
  if (!members_[i]->paused) return hand_over(*members_[i], std::move(arrived));
  members_[i]->arrived.push_back(std::move(arrived));
}

void World::hand_over(Member& member, Arrived arrived) {
  if (arrived.state) return install(member, std::move(arrived.message), *arrived.state);
  std::vector<raft::Message> messages;
  messages.push_back(std::move(arrived.message));
  member.process->node().consensus().receive(std::move(messages), [] {});
}

void World::install(Member& member, raft::Message message, const backend::Snapshot& state) {
  absl::StatusOr<std::shared_ptr<backend::Backend>> copy = member.stores->add(state);
  if (!copy.ok()) return verdict_.violated(cat("a snapshot: ", message_of(copy.status())));
  node::Node& node = member.process->node();
  absl::StatusOr<std::unique_ptr<mvcc::Store>> store =
      mvcc::Store::open(copy->get(), node.store_options());
  if (!store.ok()) return verdict_.violated(cat("a snapshot: ", message_of(store.status())));
  ++snapshots_installed_;
  done_ = {place_of(member.id), Deed::kInstalls};
  const raft::SnapshotMetadata& at = message.snapshot->metadata;
  node::ReceivedState received{at.index, at.term, *std::move(copy), *std::move(store)};
  if (absl::Status s = node.check(received); !s.ok()) {
    return verdict_.violated(cat("a snapshot is refused: ", message_of(s)));
  }
  node.consensus().receive_snapshot(std::move(message), std::move(received));
}

absl::Status World::start(int i) {
  Member& member = *members_[i];
  CHECK(member.life == Life::kWaits || member.life == Life::kDown);
  // A process takes its time to come up; its request ids rely on that.
  now_ = now_ + std::chrono::milliseconds(20);
  member.process->schedule.advance_to(shown(member));
  member.excused = false;
  absl::Status started = member.process->start();
  member.life = started.ok() ? Life::kUp : Life::kDown;
  if (started.ok()) member.doubtful = false;
  ++member.processes;
  return started;
}

void World::kill(int i, bool power) {
  Member& member = *members_[i];
  CHECK(member.life == Life::kUp);
  for (const auto& told : told_of_deaths_) told(i);
  member.life = member.told_removed ? Life::kRemoved : Life::kDown;
  ++member.processes;
  member.stopping = false;
  member.stopped.reset();
  wake(member);
  unhush(i);
  unmuffle(i);
  member.arrived.clear();
  // What it has said may have left it.
  network_.forget_to(member.id);
  if (random_.below(2) == 0) network_.forget_from(member.id);
  member.watches.reset();
  if (power) {
    member.process->lose_power();
  } else {
    member.process->kill(random_.below(2) == 0);
    member.process->files.kill();
  }
}

void World::stop(int i) {
  Member& member = *members_[i];
  CHECK(serves(i));
  member.stopping = true;
  member.process->node().stop([&member](absl::Status status) { member.stopped = status; });
}

void World::lose(int i) {
  if (up(i)) kill(i, true);
  members_[i]->life = Life::kLost;
}

void World::hush(int i, uint64_t appends) {
  members_[i]->appends_left = appends;
  members_[i]->silent = false;
}

void World::unhush(int i) {
  members_[i]->appends_left.reset();
  members_[i]->silent = false;
}

void World::suspend(int i) {
  Member& member = *members_[i];
  if (!std::exchange(member.paused, true)) member.suspended = shown(member);
}

void World::wake(Member& member) {
  member.paused = false;
  if (!member.suspended) return;
  member.missed += shown(member) - *std::exchange(member.suspended, std::nullopt);
  CHECK(member.missed >= Duration(0));
}

void World::freeze(Duration time) {
  now_ = now_ + time;
  show_time();
}

void World::resume(int i) {
  Member& member = *members_[i];
  if (!member.paused) return;
  wake(member);
  member.process->schedule.advance_to(shown(member));
  for (Arrived& arrived : std::exchange(member.arrived, {})) hand_over(member, std::move(arrived));
}

// Hours do not overflow, as clocks differ little.
MonotonicTime World::shown(const Member& member) const {
  const int64_t faster = static_cast<int64_t>(member.clock) - kUsual;
  return now_ + (now_.since_origin * faster / kUsual - member.missed);
}

// When its clock shows so much, or a few nanoseconds later.
MonotonicTime World::real(const Member& member, MonotonicTime shown) const {
  const auto clock = static_cast<int64_t>(member.clock);
  const Duration whole = shown.since_origin + member.missed;
  return {whole - whole * (clock - kUsual) / clock + Duration(2)};
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

bool World::step() {
  // Now and then time passes though there is work, so that timers come at odd moments.
  if (random_.below(200) == 0 && pass_time()) return true;
  return run_something() || pass_time();
}

// A random one of those that have something to do now.
bool World::run_something() {
  int chosen = -1;
  uint64_t choices = 0;
  for (int i = 0; i < size(); ++i) {
    if (!runs(i)) continue;
    members_[i]->process->settle();
    if (members_[i]->process->schedule.idle()) continue;
    if (random_.below(++choices) == 0) chosen = i;
  }
  if (network_.next() && *network_.next() <= now_ && random_.below(++choices) == 0) {
    return network_.step(now_);
  }
  if (chosen < 0) return false;
  members_[chosen]->process->schedule.run_one();
  look_after(chosen);
  return true;
}

void World::look_after(int i) {
  Member& member = *members_[i];
  if (dead(i)) {
    if (member.excused) return kill(i, random_.below(2) == 0);
    return verdict_.violated(cat("member ", i, " ended: ", message_of(member.process->fatal)));
  }
  if (member.stopped) {
    const absl::Status status = *member.stopped;
    if (!status.ok() && !member.excused && !absl::IsResourceExhausted(status)) {
      verdict_.violated(cat("member ", i, " does not end well: ", message_of(status)));
    }
    return kill(i, random_.below(2) == 0);
  }
  const node::MemberState& state = member.process->node().state();
  if (std::exchange(member.applied, state.applied.load()) != member.applied) {
    done_ = {i, Deed::kApplies};
  }
  if (state.leader.load() == member.id.value) oracle_.leads(member.id, Term(state.term.load()));
  if (member.told_removed) {
    oracle_.removed(member.id);
    kill(i, random_.below(2) == 0);
  }
}

bool World::pass_time() {
  std::optional<MonotonicTime> next = network_.next();
  for (int i = 0; i < size(); ++i) {
    if (!runs(i)) continue;
    std::optional<MonotonicTime> timer = members_[i]->process->schedule.next_timer();
    if (!timer) continue;
    const MonotonicTime when = real(*members_[i], *timer);
    if (!next || when < *next) next = when;
  }
  if (!next) return false;
  now_ = std::max(now_, *next);
  show_time();
  return true;
}

void World::show_time() {
  for (int i = 0; i < size(); ++i) {
    if (runs(i)) members_[i]->process->schedule.advance_to(shown(*members_[i]));
  }
}

std::string World::describe() const {
  constexpr std::string_view kLives[] = {"waits", "down", "up", "lost", "removed"};
  std::string out;
  for (int i = 0; i < size(); ++i) {
    const Member& member = *members_[i];
    out += cat("member ", i, " (", absl::Hex(member.id.value), ") ",
               kLives[static_cast<size_t>(member.life)]);
    if (lives(i)) {
      const node::MemberState& state = member.process->node().state();
      out += cat(member.paused ? ", paused" : "", ", term ", state.term.load(), " leader ",
                 absl::Hex(state.leader.load()), " committed ", state.committed.load(), " applied ",
                 state.applied.load());
    }
    out += "\n";
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
