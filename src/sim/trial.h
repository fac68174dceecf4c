// sim/trial.h
//
// Trial is one simulated cluster from one seed: its members, clients, administrator and faults for
// so many steps; then everything is mended, and it must serve again, through every member, and all
// must come to hold the same.
//
// Threads: one.

#pragma once

#include <cstdint>

#include "base/random.h"
#include "sim/accounts.h"
#include "sim/admin.h"
#include "sim/clients.h"
#include "sim/faults.h"
#include "sim/locks.h"
#include "sim/releases.h"
#include "sim/watchers.h"
#include "sim/world.h"

namespace keelson::sim {

class Trial {
 public:
  explicit Trial(uint64_t seed);

  // The verdict says how it went.
  void run();

  bool fine() const { return world_.verdict().ok(); }
  const World& world() const { return world_; }
  const Clients& clients() const { return clients_; }
  const Watchers& watchers() const { return watchers_; }
  const Locks& locks() const { return locks_; }
  const Admin& admin() const { return admin_; }
  const Accounts& accounts() const { return accounts_; }

 private:
  int any();
  void ask();
  void settle();
  void wait_for_leases();
  bool members_are_settled();
  void change_members();
  bool serves(int i);
  bool equal();

  SeededRandom random_;
  const int founders_;
  const World::Settings settings_;
  World world_;
  Admin admin_;
  Faults faults_;
  Clients clients_;
  Watchers watchers_;
  Locks locks_;
  Releases releases_;
  Accounts accounts_;
};

}  // namespace keelson::sim
