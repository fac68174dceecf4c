// sim/clients.h
//
// Clients put, delete, read, run transactions and hold leases through members of their choice, and
// check what they are told: every answer comes at a revision after everything that anybody was told
// before it was asked for, and says what is there at that revision. As every write has a revision
// and all values differ, that is linearizability.
//
// Threads: one. What a member that dies owes is never answered; those writes may or may not be
// there.

#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "apply/reply.h"
#include "mvcc/store.h"
#include "sim/world.h"

namespace keelson::sim {

class Clients {
 public:
  explicit Clients(World& world);

  // One request to `member`, which is up.
  void act(int member);
  // A put to `member`; `done` when it was acknowledged.
  void put(int member, std::function<void()> done = nullptr);
  void read(int member, std::function<void()> done = nullptr);
  // The process of `member` is gone.
  void forget(int member);

  int under_way(int member) const { return under_way_[member]; }
  uint64_t acknowledged() const { return acknowledged_; }

 private:
  node::TestMember::Answer expect(int member, std::function<void(const apply::Reply&)> check);
  std::string some_key();
  std::string fresh_value();
  void remove(int member);
  void transact(int member);
  void compact(int member);
  void grant(int member);
  void revoke(int member);
  void expect_at(int64_t revision, const std::vector<Change>& changes);
  void check_read(const mvcc::RangeResult& found);

  World& world_;
  std::set<std::string> proposed_;
  std::set<int64_t> granted_;
  int64_t last_value_ = 0, last_lease_ = 100;
  int64_t known_ = 1;  // the newest revision that anybody was told of
  std::vector<int> under_way_;
  std::vector<uint64_t> lives_;
  uint64_t acknowledged_ = 0;
};

}  // namespace keelson::sim
