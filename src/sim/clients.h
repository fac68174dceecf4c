// sim/clients.h
//
// Clients put, delete, read, run transactions, compact and raise alarms through members of their
// choice, and check what they are told: every answer comes at a revision after everything that
// anybody was told before it was asked for, and says what is there at that revision. As every write
// has a revision and all values differ, that is linearizability. What a member says on its own
// (serializable reads, also of older revisions) is what was there at the revision it names.
//
// Threads: one. What a member that dies owes is never answered; those writes may or may not be
// there.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "apply/reply.h"
#include "mvcc/store.h"
#include "proto/rpc.pb.h"
#include "sim/world.h"

namespace keelson::sim {

class Clients {
 public:
  explicit Clients(World& world) : world_(world) {}

  // One request to `member`, which serves.
  void act(int member);
  // A put to `member`; `done` when it was acknowledged.
  void put(int member, std::function<void()> done = nullptr);
  void read(int member, std::function<void()> done = nullptr);
  // No alarm stands any more once `done` is called.
  void disarm(int member, std::function<void()> done = nullptr);

  int under_way(int member) const;
  uint64_t acknowledged() const { return acknowledged_; }

 private:
  using Check = std::function<void(const apply::Reply&)>;
  node::TestMember::Answer expect(int member, Check check);
  std::function<void(bool told)> begin(int member);
  void learn(int64_t floor, int64_t revision);
  std::string some_key();
  std::string fresh_value();
  void remove(int member);
  void write_both(int member);
  void swap(int member);
  void check_swap(const etcdserverpb::TxnRequest& request, const apply::Reply& reply);
  void compact(int member);
  void compacted(int member, int64_t revision);
  void look_or_alarm(int member);
  void read_here(int member);
  void alarm(int member);
  void expect_at(int64_t revision, const std::vector<Change>& changes);
  void check_state(const mvcc::RangeResult& found, int64_t revision);

  World& world_;
  std::set<std::string> proposed_;
  int64_t last_value_ = 0;
  int64_t known_ = 1;  // the newest revision that anybody was told of
  std::map<std::pair<int, uint64_t>, int> under_way_;  // by place and process
  // What is older has been removed for good, of a member that has applied so much.
  struct Gone {
    int64_t revision = 0;
    uint64_t applied = 0;
  };
  std::map<int, Gone> gone_;  // by place
  uint64_t acknowledged_ = 0;
};

}  // namespace keelson::sim
