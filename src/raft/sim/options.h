// raft/sim/options.h
//
// One simulated run is a function of its Options, and those of one number: which features are on,
// how big the group is, how bad its network and its disks are. Each seed turns some faults off
// altogether, since a run with everything at once hides what needs quiet to happen.

#pragma once

#include <cstdint>

#include "raft/plant.h"

namespace keelson::raft::sim {

struct Options {
  uint64_t seed = 0;
  int steps = 0;
  Plant plant = Plant::kNone;
  bool trace = false;

  // The group. Members 1..voters vote at first, the next `learners` learn, the rest of the `pool`
  // are running and empty, for changes of the configuration to add.
  int voters = 3;
  int learners = 0;
  int pool = 3;

  // raft::Config.
  bool async = true;
  bool pre_vote = false;
  bool check_quorum = false;
  bool lease = false;
  bool step_down_on_removal = false;
  bool forwarding = true;
  bool reads_name_term = false;  // raft/reads.h; the driver's doing
  int election_tick = 6;
  int heartbeat_tick = 1;
  uint64_t max_size_per_msg = 0;
  uint64_t max_committed_size = 0;
  uint64_t max_uncommitted_size = 0;
  int max_inflight = 8;
  uint64_t max_inflight_bytes = 0;

  // The network, in parts of a thousand.
  int drop = 0;
  int duplicate = 0;
  int reorder = 0;
  // Messages older than this many ticks are lost.
  uint64_t max_delay = 1000;

  // How often each thing happens, as weights of one draw.
  int deliver = 60;
  int tick = 8;
  int write = 8;
  int sync = 8;
  int apply = 10;
  int answer = 24;
  int propose = 10;
  int read = 4;
  int report = 3;
  int crash = 0;
  int restart = 0;
  int partition = 0;
  int heal = 0;
  int conf_change = 0;
  int transfer = 0;
  int campaign = 0;
  int forget = 0;
  int compact = 0;
  // In parts of a thousand: a Ready is left for later; a member misses a tick.
  int ready_later = 0;
  int tick_missed = 0;
};

// The options of a seed. `steps` 0: the usual length.
Options options_of(uint64_t seed, int steps);

}  // namespace keelson::raft::sim
