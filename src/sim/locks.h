// sim/locks.h
//
// Clients that hold leases: each grants itself one, takes a lock with it (a key that it creates if
// it is not there), keeps the lease alive for a while, and gives it back, deletes the key and lets
// the lease run out, or is not heard of again. In half of the clusters they do so at the pace of
// etcd's clients, so that seconds pass while locks are held; in the others as fast as they can.
//
// Checked: who holds a lock and was told within the last TTL that the lease lives has it to
// himself: nobody else gets it, and it does not go, whoever leads meanwhile, whatever the clocks
// do within a tenth. What is revoked is gone, with its keys. What is not kept alive goes by itself
// (nothing_is_held()).
// What etcd promises and a renewal needs: the leader is sure to be one still, so the member that
// renews confirms a read first.
// Where leases live for minutes, what is left of them gets into the log now and then, and a renewal
// has that forgotten first. One that meets it on its way is cut short by the next leader, as
// etcd's: so much is not relied on there.
//
// Threads: one. Time: the world's.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/world.h"

namespace keelson::sim {

class Locks {
 public:
  // `minutes`: that is how long the leases live; else seconds.
  Locks(World& world, int holders, bool minutes);

  // One of the holders does something.
  void act();
  // They stop doing anything at all.
  void abandon();
  bool nothing_is_held() const;
  uint64_t renewals() const { return renewals_; }

 private:
  enum class Phase : uint8_t { kIdle, kGranting, kTaking, kHolding, kReleasing };
  struct Holder {
    Phase phase = Phase::kIdle;
    uint64_t turn = 0;  // changes with every step: an answer to an older one says nothing
    int64_t lease = 0, ttl = 0;
    std::string key;
    MonotonicTime granted;  // its lease was asked for then, or renewed last
    MonotonicTime asked;    // what it waits for
    MonotonicTime rests;    // until then
    bool asking = false;
    bool has_lock = false;
  };

  bool is_safe(const Holder& holder) const;
  bool is_over(const Holder& holder) const;
  void begin(Holder& holder);
  void renewed(Holder& holder, MonotonicTime asked);
  void give_up(Holder& holder);
  void grant(size_t which, int member);
  void take(size_t which, int member);
  void renew(size_t which, int member);
  void release(size_t which, int member);
  void let_go(size_t which, int member);
  void renew_here(size_t which, int member, uint64_t turn, MonotonicTime asked);
  void clear_checkpoint(size_t which, int member, uint64_t turn, MonotonicTime asked);
  void changed(int64_t revision, const std::vector<Change>& changes);
  void violated(const Holder& holder, std::string_view what);

  World& world_;
  const bool minutes_, calm_;
  std::vector<Holder> holders_;
  int64_t last_lease_ = 0x1000;
  uint64_t renewals_ = 0;
};

}  // namespace keelson::sim
