#include "raft/sim/options.h"

#include <algorithm>

#include "base/random.h"

namespace keelson::raft::sim {
namespace {

constexpr int kUsualSteps = 4000;

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15u + 1) {}
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  int between(int low, int high) { return low + static_cast<int>(random_.below(high - low + 1)); }
  // A weight up to `high`, or 0 in one of three seeds.
  int fault(int high) { return one_in(3) ? 0 : between(1, high); }

 private:
  SeededRandom random_;
};

void draw_group(Draw& draw, Options* o) {
  o->voters = draw.one_in(8) ? 1 : draw.one_in(3) ? 5 : draw.between(2, 4);
  o->learners = draw.one_in(2) ? 0 : draw.between(1, 2);
  o->pool = o->voters + o->learners;
  o->conf_change = draw.fault(6);
  if (o->conf_change > 0) o->pool = std::min(7, o->pool + draw.between(1, 2));
}

void draw_config(Draw& draw, Options* o) {
  o->async = !draw.one_in(5);
  o->pre_vote = draw.one_in(2);
  o->check_quorum = draw.one_in(2);
  o->lease = o->check_quorum && draw.one_in(2);
  o->step_down_on_removal = draw.one_in(2);
  o->forwarding = !draw.one_in(4);
  o->election_tick = draw.between(3, 8);
  o->heartbeat_tick = draw.between(1, 2);
  o->max_size_per_msg = draw.one_in(3) ? 0 : draw.between(20, 400);
  o->max_committed_size = draw.one_in(2) ? 0 : draw.between(1, 200);
  o->max_uncommitted_size = draw.one_in(3) ? draw.between(20, 200) : 0;
  o->max_inflight = draw.between(1, 8);
  o->max_inflight_bytes = draw.one_in(4) ? o->max_size_per_msg + draw.between(1, 100) : 0;
}

void draw_faults(Draw& draw, Options* o) {
  o->drop = draw.one_in(3) ? 0 : draw.between(1, 150);
  o->duplicate = draw.one_in(3) ? 0 : draw.between(1, 100);
  o->reorder = draw.one_in(3) ? 0 : draw.between(1, 500);
  o->crash = draw.fault(2);
  o->restart = 3;
  o->partition = draw.fault(2);
  o->heal = draw.between(1, 2);
  o->transfer = draw.fault(2);
  o->campaign = draw.fault(2);
  o->forget = draw.fault(1);
  o->compact = draw.fault(4);
  o->deliver = draw.between(30, 120);
  o->tick = draw.between(3, 16);
  o->write = draw.between(3, 16);
  o->sync = draw.between(3, 16);
  o->apply = draw.between(3, 16);
  o->answer = draw.between(8, 40);
  o->propose = draw.between(2, 16);
  o->read = draw.between(1, 6);
  o->ready_later = draw.one_in(2) ? 0 : draw.between(1, 300);
  o->tick_missed = draw.one_in(2) ? 0 : draw.between(1, 300);
}

// A lease is a promise about time: it holds while all clocks go alike and messages do not outlive
// the election timeout. A transfer breaks it by design (its vote requests ignore the lease), and so
// does a campaign that no timeout started.
void keep_the_lease_honest(Options* o) {
  o->tick_missed = 0;
  o->transfer = 0;
  o->campaign = 0;
  o->max_delay = 4;
  o->election_tick = std::min(o->election_tick, 4);
  o->tick = std::max(o->tick, 24);
  o->heal = 1;
}

}  // namespace

Options options_of(uint64_t seed, int steps) {
  Draw draw(seed);
  Options o;
  o.seed = seed;
  o.steps = steps > 0 ? steps : kUsualSteps;
  draw_group(draw, &o);
  draw_config(draw, &o);
  draw_faults(draw, &o);
  // Last, so that what was drawn before is what it always was.
  o.reads_name_term = draw.one_in(2);
  if (o.lease) keep_the_lease_honest(&o);
  return o;
}

}  // namespace keelson::raft::sim
