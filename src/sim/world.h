// sim/world.h
//
// World is a simulated cluster: real nodes (core, log, state machine, store), each with lanes, a
// clock and a disk of its own, and a network between them. One thing happens at a time; which one
// the seed decides.
//
// Watched all along: no two leaders of one term, and what every member publishes (History).
// Threads: one. Time: a World has a time; members' clocks show it.
// Lifetime: members survive the deaths of their processes.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "node/test_member.h"
#include "sim/history.h"
#include "sim/network.h"
#include "sim/stores.h"
#include "sim/violation.h"

namespace keelson::sim {

class World {
 public:
  World(Random& random, int members);
  ~World();

  // One thing happens; false: nothing ever will again.
  bool step();
  // Until `done`, or so much time has passed; false: it has.
  bool run_until(const std::function<bool()>& done, Duration most);

  int size() const { return static_cast<int>(members_.size()); }
  bool up(int i) const { return members_[i].up; }
  bool dead(int i) const { return members_[i].process->dead(); }
  node::TestMember& member(int i) { return *members_[i].process; }
  MemberId id(int i) const { return members_[i].id; }
  // The member that leads in the newest term as far as anybody knows; -1: none.
  int leader() const;

  absl::Status start(int i);
  // The process dies; with `power`, so does what was not synced.
  void kill(int i, bool power);

  // The members in `side` and the others do not hear of each other any more.
  void split(const std::vector<int>& side);
  // Messages from `from` to `to` get lost.
  void cut(int from, int to) { network_.cut(id(from), id(to)); }
  void heal() { network_.heal(); }
  void set_weather(Network::Weather weather) { network_.set_weather(weather); }

  // Where everybody stands, a line each.
  std::string describe() const;
  uint64_t snapshots_installed() const { return snapshots_installed_; }
  MonotonicTime now() const { return now_; }
  History& history() { return history_; }
  Verdict& verdict() { return verdict_; }
  Random& random() { return random_; }

 private:
  class Port;
  struct Member {
    MemberId id;
    std::unique_ptr<Port> port;
    Stores* stores = nullptr;  // the process's
    std::unique_ptr<node::TestMember> process;
    bool up = false;
  };

  void make_member(int i);
  Member* find(MemberId id);
  void deliver(MemberId to, raft::Message message, Network::StatePtr state);
  void install(Member& member, raft::Message message, const backend::Snapshot& state);
  bool run_something();
  bool pass_time();
  void watch_leader(int i);

  Random& random_;
  MonotonicTime now_{std::chrono::seconds(1)};
  Verdict verdict_;
  History history_{verdict_};
  std::vector<Member> members_;
  Network network_;
  std::map<uint64_t, int> leaders_;  // by term
  uint64_t snapshots_installed_ = 0;
};

}  // namespace keelson::sim
