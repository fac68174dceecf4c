#include "raft/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "raft/describe.h"
#include "raft/sim/violation.h"

namespace keelson::raft::sim {
namespace {

ConfState first_conf(const Options& o) {
  ConfState conf;
  for (int i = 1; i <= o.voters; ++i) conf.voters.push_back(MemberId(i));
  for (int i = 1; i <= o.learners; ++i) conf.learners.push_back(MemberId(o.voters + i));
  return conf;
}

bool lists(const std::vector<MemberId>& ids, MemberId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool in_conf(const ConfState& conf, MemberId id) {
  return lists(conf.voters, id) || lists(conf.learners, id) || lists(conf.voters_outgoing, id);
}

bool is_voter(const ConfState& conf, MemberId id) {
  return lists(conf.voters, id) || lists(conf.voters_outgoing, id);
}

std::string payload(uint64_t number, uint64_t filler) {
  return cat("w", number, std::string(filler, '.'));
}

}  // namespace

template <typename... Parts>
void World::trace(const Parts&... parts) {
  if (options_.trace) traced_line(cat(parts...));
}

void World::traced_line(const std::string& line) {
  std::printf("%d t%llu: %s\n", step_, static_cast<unsigned long long>(shared_.now), line.c_str());
}

World::World(const Options& options)
    : options_(options),
      random_(mix(options.seed, 0x5eed)),
      first_conf_(first_conf(options)),
      oracle_(first_conf_),
      network_(options, random_),
      shared_{options_, random_, oracle_, network_} {
  const Options& o = options_;
  actions_ = {{o.deliver, &World::deliver},   {o.tick, &World::tick},
              {o.write, &World::write},       {o.sync, &World::sync},
              {o.apply, &World::apply},       {o.answer, &World::answer},
              {o.propose, &World::propose},   {o.read, &World::read},
              {o.report, &World::report},     {o.crash, &World::crash},
              {o.restart, &World::restart},   {o.partition, &World::partition},
              {o.heal, &World::heal},         {o.conf_change, &World::change_conf},
              {o.transfer, &World::transfer}, {o.campaign, &World::campaign},
              {o.forget, &World::forget},     {o.compact, &World::compact}};
  for (const Action& action : actions_) weights_ += action.weight;
  for (int i = 1; i <= o.pool; ++i) {
    const MemberId id(i);
    members_.push_back(std::make_unique<Member>(id, shared_));
    if (in_conf(first_conf_, id)) member(id).begin_with(first_conf_);
  }
}

void World::run() {
  oracle_.tick(0);
  for (auto& member : members_) member->start();
  for (; step_ < options_.steps; ++step_) act();
  settle();
}

void World::act() {
  uint64_t roll = random_.below(weights_);
  for (const Action& action : actions_) {
    if (roll < static_cast<uint64_t>(action.weight)) return (this->*action.happen)();
    roll -= action.weight;
  }
}

Member* World::any_up() {
  Member& member = *members_[random_.below(members_.size())];
  return member.up() ? &member : nullptr;
}

Member* World::leader() {
  Member* best = nullptr;
  for (auto& member : members_) {
    if (member->up() && member->leads() && (!best || best->term() < member->term())) {
      best = member.get();
    }
  }
  return best;
}

Member* World::likely_leader() {
  Member* leading = chance(750) ? leader() : nullptr;
  return leading ? leading : any_up();
}

void World::deliver() {
  std::optional<Network::Flight> flight = network_.take(shared_.now);
  if (!flight) return;
  Message& message = flight->message;
  Member& to = member(message.to);
  if (flight->lost || !to.up()) return lose(message);
  if (options_.trace) trace(describe(message));
  if (message.type == MessageType::kMsgSnap) reports_.push_back({message.from, message.to, true});
  to.step(std::move(message));
}

// A snapshot's fate is always reported, or its sender would wait for good.
void World::lose(const Message& message) {
  if (options_.trace) trace("lost: ", describe(message));
  if (message.type == MessageType::kMsgSnap) reports_.push_back({message.from, message.to, false});
  Member& from = member(message.from);
  if (from.up() && chance(100)) from.report_unreachable(message.to);
}

void World::tick_all() {
  ++shared_.now;
  oracle_.tick(shared_.now);
  for (auto& member : members_) {
    if (!member->up()) continue;
    if (!shared_.calm && options_.tick_missed > 0 && chance(options_.tick_missed)) continue;
    member->tick();
  }
}

void World::tick() { tick_all(); }

// One piece of it by a random member that has some.
template <typename Piece>
void World::work(const Piece& piece) {
  const uint64_t first = random_.below(members_.size());
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = *members_[(first + i) % members_.size()];
    if (member.up() && piece(member)) return;
  }
}

void World::write() {
  work([](Member& member) { return member.write(); });
}

void World::sync() {
  work([](Member& member) { return member.sync(); });
}

void World::apply() {
  work([](Member& member) { return member.apply(); });
}

void World::answer() {
  const bool of_append = random_.below(3) > 0;
  work([of_append](Member& member) { return member.answer(of_append); });
}

absl::Status World::propose_to(Member& member) {
  std::vector<Entry> entries(chance(800) ? 1 : 1 + random_.below(4));
  for (Entry& entry : entries) {
    entry.data = Bytes::copy(payload(++payloads_, random_.below(3) ? 0 : random_.below(40)));
  }
  return member.propose(entries);
}

void World::propose() {
  Member* member = likely_leader();
  if (member) propose_to(*member).IgnoreError();
}

void World::read() {
  Member* member = likely_leader();
  // On a lease, a leader that was left behind is the one to ask.
  if (options_.lease) {
    work([&member](Member& one) { return one.leads() && (member = &one); });
  }
  if (!member) return;
  // A leader looks at its quorum once per election timeout, counts a newcomer as heard from, and
  // hears answers that have been under way for some time.
  const uint64_t bound = options_.lease ? 3 * options_.election_tick + 2 * options_.max_delay : 0;
  const uint64_t read = oracle_.read_begins(shared_.now, bound);
  trace("read ", read, " at ", member->id().value);
  member->read(read);
}

void World::report() {
  if (reports_.empty()) return;
  const Report report = reports_.front();
  reports_.pop_front();
  Member& from = member(report.from);
  if (from.up()) from.report_snapshot(report.about, report.arrived);
}

void World::crash() {
  Member* member = any_up();
  if (!member) return;
  trace("crash ", member->id().value);
  member->crash();
  if (chance(500)) {
    trace("restart ", member->id().value);
    member->start();
  }
}

void World::restart() {
  Member& one = member(any_id());
  if (one.up()) return;
  trace("restart ", one.id().value);
  one.start();
}

void World::partition() {
  const bool one_way = chance(300);
  if (chance(500)) {
    // One is cut off, often the leader.
    Member* victim = likely_leader();
    if (!victim) return;
    trace("cut off ", victim->id().value, one_way ? " one way" : "");
    const bool out = chance(500);
    for (auto& other : members_) {
      if (!one_way || out) network_.cut(victim->id(), other->id());
      if (!one_way || !out) network_.cut(other->id(), victim->id());
    }
    return;
  }
  const uint64_t side = random_.below(uint64_t{1} << members_.size());
  trace("partition ", side, one_way ? " one way" : "");
  for (auto& a : members_) {
    for (auto& b : members_) {
      const bool a_in = side >> a->id().value & 1;
      const bool b_in = side >> b->id().value & 1;
      if (a_in && !b_in) network_.cut(a->id(), b->id());
      if (!one_way && b_in && !a_in) network_.cut(a->id(), b->id());
    }
  }
}

void World::heal() {
  // A lease lapses only when a leader is cut off for long.
  if (options_.lease && !chance(150)) return;
  trace("heal");
  network_.heal();
}

void World::change_conf() {
  Member* member = likely_leader();
  if (!member) return;
  ConfChangeV2 change;
  const bool leaves = !member->conf().voters_outgoing.empty() && chance(700);
  if (!leaves) {
    change.transition = static_cast<ConfChangeTransition>(random_.below(3));
    const uint64_t count = chance(500) ? 1 : 1 + random_.below(3);
    for (uint64_t i = 0; i < count; ++i) {
      static constexpr ConfChangeType kTypes[] = {
          ConfChangeType::kAddNode, ConfChangeType::kAddNode, ConfChangeType::kRemoveNode,
          ConfChangeType::kAddLearnerNode, ConfChangeType::kUpdateNode};
      change.changes.push_back({kTypes[random_.below(5)], any_id()});
    }
  }
  trace("propose at ", member->id().value, ": ", options_.trace ? describe(change) : "");
  member->propose(change, chance(400)).IgnoreError();
}

void World::transfer() {
  Member* member = likely_leader();
  if (!member) return;
  const MemberId to = any_id();
  trace("transfer at ", member->id().value, " to ", to.value);
  member->transfer(to);
}

void World::campaign() {
  Member* member = any_up();
  if (!member) return;
  trace("campaign ", member->id().value);
  member->campaign();
}

void World::forget() {
  Member* member = any_up();
  if (member) member->forget_leader();
}

void World::compact() {
  Member* member = any_up();
  if (member) member->compact();
}

// The newest configuration's members, and whom those still take for members: their votes may be
// needed by those who do not know yet that they were removed.
std::vector<bool> World::needed() const {
  std::vector<bool> needed(members_.size() + 1);
  const Member* newest = members_[0].get();
  for (auto& member : members_) {
    if (member->applied() > newest->applied()) newest = member.get();
  }
  std::vector<const Member*> todo{newest};
  while (!todo.empty()) {
    const ConfState& conf = todo.back()->conf();
    todo.pop_back();
    for (auto& member : members_) {
      const size_t at = member->id().value;
      if (needed[at] || !in_conf(conf, member->id())) continue;
      needed[at] = true;
      todo.push_back(member.get());
    }
  }
  return needed;
}

// Who is needed by nobody is switched off, as an operator would; and on again, if members that came
// back from an old snapshot have found out that it is.
void World::retire_outsiders() {
  const std::vector<bool> needed = this->needed();
  for (auto& member : members_) {
    const bool wanted = needed[member->id().value];
    if (member->retired() && wanted) member->start();
    // An empty one that waits to be added disturbs nobody.
    if (member->retired() || wanted || member->applied() == Index(0)) continue;
    trace("retire ", member->id().value);
    member->crash();
    member->retire();
  }
}

// etcd-raft's members follow the configuration they have applied, not the newest in their log. One
// that learnt of its own removal or demotion does not campaign, nor vote for a shorter log; those
// who have not learnt of it may need its vote. If it holds entries that they lack, nobody can win.
// The paper's rule (6: a server uses the latest configuration in its log) has no such trap.
bool World::trapped_by_a_demotion() const {
  for (const auto& old : members_) {
    if (old->retired() || is_voter(old->conf(), old->id())) continue;
    for (const auto& other : members_) {
      if (other->retired() || !is_voter(other->conf(), other->id())) continue;
      if (is_voter(other->conf(), old->id()) && old->log_end() > other->log_end()) return true;
    }
  }
  return false;
}

// Without pre-vote and check-quorum a leader's messages of a lower term are ignored in silence. A
// member that reached a higher term and may not campaign (any more) stays deaf until someone else
// starts an election. etcd-raft has the options for that reason.
bool World::trapped_in_a_higher_term() {
  const Member* leading = leader();
  if (!leading || options_.pre_vote || options_.check_quorum) return false;
  return std::any_of(members_.begin(), members_.end(), [&](const auto& member) {
    return !member->retired() && member->term() > leading->term() &&
           !is_voter(member->conf(), member->id());
  });
}

bool World::all_have(Index index) {
  Member* leading = leader();
  if (!leading || leading->applied() < index) return false;
  const ConfState& conf = leading->conf();
  for (auto& member : members_) {
    if (in_conf(conf, member->id()) && !member->retired() && member->applied() < index) {
      return false;
    }
  }
  return true;
}

void World::drain() {
  int budget = 20000;
  for (bool busy = true; busy && budget > 0; --budget) {
    busy = network_.in_flight() > 0 || !reports_.empty();
    deliver();
    report();
    for (auto& member : members_) {
      if (!member->up()) continue;
      busy |= member->drain();
      busy |= member->write();
      busy |= member->sync();
      busy |= member->apply();
      busy |= member->answer(true);
      busy |= member->answer(false);
    }
  }
  if (budget == 0) violated("progress: the group does not come to rest");
}

// The faults stop. Within a bounded number of ticks there is a leader, a new write commits, and
// every member of the configuration applies it.
void World::settle() {
  network_.calm_down();
  shared_.calm = true;
  for (auto& member : members_) {
    if (!member->up()) member->start();
  }
  const int patience = 60 * options_.election_tick;
  Index goal;
  for (int ticks = 0; ticks < patience; ++ticks) {
    if (ticks % options_.election_tick == 0) retire_outsiders();
    tick_all();
    drain();
    if (goal != Index(0) && all_have(goal)) return;
    Member* leading = leader();
    if (!leading || ticks % (2 * options_.election_tick) != 0) continue;
    const Index before = oracle_.last();
    if (!propose_to(*leading).ok()) continue;
    drain();
    if (oracle_.last() > before) goal = oracle_.last();
  }
  trapped_ = leader() ? trapped_in_a_higher_term() : trapped_by_a_demotion();
  if (trapped_) return;
  violated("progress: ", patience, " ticks after the last fault ",
           leader() ? (goal == Index(0) ? "nothing commits" : "not everybody has what is committed")
                    : "there is no leader");
}

}  // namespace keelson::raft::sim
