// sim/faults.h
//
// Faults breaks things, one at a time, and mends them again: processes die, with the power or
// without, or are told to end; disks stall, fill up, fail a write, lose everything, or flip bits;
// stores cannot flush, or find damage; processes stand still, or whole machines with their clocks;
// all stand still for minutes; wall clocks are set; links break, between two sides, in one
// direction, here and there; messages get lost, late, and repeated. Which of these a cluster has to
// live with, and how often, the seed decides: a few at a time reach further than all at once.
//
// Threads: one.

#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "sim/admin.h"
#include "sim/plots.h"
#include "sim/world.h"

namespace keelson::sim {

class Faults {
 public:
  Faults(World& world, Admin& admin);

  // Perhaps something breaks, or is mended.
  void act();
  // Everything works from now on. Who can be started is.
  void mend_all();
  void start_all();
  // A process of this member lives again, if it may.
  void start(int i);

 private:
  enum class Kind : uint8_t {
    kDeath,
    kStop,
    kPowerLoss,
    kSplit,
    kOneWay,
    kPartial,
    kWeather,
    kStall,
    kPause,
    kSlowStore,
    kFullDisk,
    kFailedWrite,
    kDamagedStore,
    kLostDisk,
    kFlippedBit,
    kSuspended,
    kFrozen,
    kWallClock,
    kKinds,
  };

  int any();
  void strike(Kind kind, int i);
  void mend(Kind kind, int i);
  void stall(int i);
  void cut_here_and_there();
  void flip_a_bit(int i);
  void freeze();
  void set_wall_clock(int i);

  World& world_;
  Admin& admin_;
  Plots plots_;
  std::vector<Kind> kinds_;  // those that this cluster has to live with
  uint64_t one_in_ = 1;      // steps between two of them
  std::set<int> flipped_;    // whose log is damaged
  std::set<int> full_;       // whose disk is full
};

}  // namespace keelson::sim
