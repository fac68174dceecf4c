// sim/plots.h
//
// Plots are faults of several steps. Each leads a cluster to where one promise alone stands between
// it and a mistake, which what fails at random hardly ever does:
//
//   - who asks for votes has a disk that stalls, and is not there any more soon after it leads;
//   - whoever begins to lead gets a few appends through, and then is heard by nobody until somebody
//     else leads (the Raft paper's figure 8);
//   - who has given a vote, begins to lead, installs a snapshot or has taken one, marks its log, or
//     tells clients what came of their requests loses its power, and is there again at once;
//   - who leads stands still until others do, and leases have run out as far as it can tell, which
//     are renewed there: it has just renewed one; or its clock stands, too, and they have not;
//   - who leads is left with those that only learn; somebody is left behind so far that it needs a
//     snapshot;
//   - of whoever begins to lead, what others hear is that it does, and no entry;
//   - whose process begins, or who begins to lead, finds that its log's disk takes its time;
//   - stores take their time to be durable, while more is written to them;
//   - the disks of all but who leads take longer than anybody waits: what it asks for, now that it
//     has heard who is of which version, times out, and is in the log all the same; and one of them
//     does not say its version by then;
//   - somebody does not get to apply a change of members before a snapshot brings it, and then
//     perhaps does while the log has no mark of that yet.
//
// Which of them a cluster has to live with the seed decides. In one of eight, leaders that stand
// still are all that happens: holders of leases get on with the next leader, which they hardly ever
// do in time where more fails.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/admin.h"
#include "sim/world.h"

namespace keelson::sim {

class Plots {
 public:
  // `start` lets a process of a member live again, if it may.
  Plots(World& world, const Admin& admin, std::function<void(int)> start);

  // Between two steps of the world: perhaps one goes on.
  void act();
  // Nothing else happens to this cluster.
  bool alone() const { return alone_; }
  // All is over.
  void end();

 private:
  bool one_in(uint64_t n) { return world_.random().below(n) == 0; }
  MonotonicTime in_ms(uint64_t least, uint64_t more);
  int any();
  void note(const World::Done& done);
  void cycle_power_after(const World::Done& done);
  void asks_for_votes(int i);
  void leads(int i);
  void carry_on();
  void end_candidacy();
  void pause_leader();
  void pause(int leader);
  void renews(int i);
  bool is_lock_held() const;
  bool others_can_lead() const;
  void leave_with_learners();
  void leave_one_behind();
  void cycle_power(int i);
  void slow_start();
  void slow_down(int i);
  void slow_store();
  void stall_followers(int leader);
  void release_followers();
  void cover_a_change();
  void hold_before_change();
  bool is_covered_there(int i) const;
  bool needs_snapshot(int i) const;
  void install_covered();

  World& world_;
  const Admin& admin_;
  const std::function<void(int)> start_;

  const bool alone_, stalls_candidates_, hushes_leaders_, cycles_power_, pauses_leaders_,
      splits_learners_, leaves_behind_, muffles_leaders_, slows_starts_, slows_stores_,
      stalls_followers_, covers_changes_;
  const uint64_t pause_;  // steps between two pauses, or splits, about

  Term term_;             // in which somebody led when last looked
  int candidate_ = -1;    // whose disk stalls; -1: nobody's
  uint64_t process_ = 0;  // of the candidate
  MonotonicTime candidate_until_;
  MonotonicTime hushed_until_;
  int paused_ = -1;  // a leader; -1: none
  MonotonicTime resume_at_;
  bool split_ = false;
  MonotonicTime heal_at_;
  MonotonicTime muffled_until_;
  std::vector<uint64_t> begun_;  // the newest process of each place that was seen
  int slow_ = -1;                // whose log's disk takes its time; -1: nobody's
  MonotonicTime slow_until_;
  int slow_store_ = -1;  // whose store takes its time to be durable; -1: nobody's
  MonotonicTime slow_store_until_;
  int installing_ = -1;  // a snapshot, and others have not heard yet; -1: nobody
  int doomed_ = -1;      // who will lose its power in so many steps; -1: nobody
  uint64_t doomed_for_ = 0;
  std::vector<int> stalled_;  // followers whose log's disk stands
  int mute_ = -1;             // one of them, that does not say its version; -1: none
  MonotonicTime mute_at_, stalled_until_;

  // One that stands at the entries before a change of members, then hears of nothing, then of a
  // snapshot.
  enum class Covering : uint8_t { kNone, kWaits, kCutting, kCutOff, kHears, kInstalls, kMarks };
  Covering covering_ = Covering::kNone;
  int covered_ = -1;
  uint64_t covered_process_ = 0;
  bool changing_ = false;  // the administrator was at it, and had made so many, when last looked
  uint64_t changes_ = 0;
  MonotonicTime covering_until_;
};

}  // namespace keelson::sim
