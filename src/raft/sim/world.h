// raft/sim/world.h
//
// World: a group of members, their network and their clients, driven by one seed, step by step: at
// each, one thing happens somewhere. Then the faults stop, and the group must make progress.

#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/sim/member.h"
#include "raft/sim/network.h"
#include "raft/sim/options.h"
#include "raft/sim/oracle.h"

namespace keelson::raft::sim {

class World {
 public:
  explicit World(const Options& options);

  // Throws Violation.
  void run();

  int step() const { return step_; }
  const Oracle& oracle() const { return oracle_; }
  // The run ended in one of the two known ways to lose progress for good, which etcd-raft has too.
  bool trapped() const { return trapped_; }

 private:
  struct Action {
    int weight;
    void (World::*happen)();
  };
  struct Report {
    MemberId from;
    MemberId about;
    bool arrived;
  };

  void act();
  void deliver();
  void lose(const Message& message);
  void tick();
  void write();
  void sync();
  void apply();
  void answer();
  void propose();
  void read();
  void report();
  template <typename Piece>
  void work(const Piece& piece);
  void crash();
  void restart();
  void partition();
  void heal();
  void change_conf();
  void transfer();
  void campaign();
  void forget();
  void compact();

  void settle();
  void drain();
  void retire_outsiders();
  std::vector<bool> needed() const;
  bool trapped_by_a_demotion() const;
  bool trapped_in_a_higher_term();
  bool all_have(Index index);
  void tick_all();

  bool chance(uint64_t per_thousand) { return random_.below(1000) < per_thousand; }
  Member* any_up();
  // The leader of the highest term; null if there is none.
  Member* leader();
  // Mostly the leader, sometimes anyone.
  Member* likely_leader();
  Member& member(MemberId id) { return *members_[id.value - 1]; }
  MemberId any_id() { return MemberId(1 + random_.below(members_.size())); }
  absl::Status propose_to(Member& member);
  template <typename... Parts>
  void trace(const Parts&... parts);
  void traced_line(const std::string& line);

  const Options options_;
  SeededRandom random_;
  const ConfState first_conf_;
  Oracle oracle_;
  Network network_;
  Shared shared_;
  std::vector<std::unique_ptr<Member>> members_;
  std::deque<Report> reports_;
  std::vector<Action> actions_;
  uint64_t weights_ = 0;
  int step_ = 0;
  uint64_t payloads_ = 0;
  bool trapped_ = false;
};

}  // namespace keelson::raft::sim
