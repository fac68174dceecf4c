// raft/sim/runner.h
//
// Runs many seeds, on several threads if wanted; each seed is a World of its own.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "raft/plant.h"

namespace keelson::raft::sim {

struct Failure {
  uint64_t seed = 0;
  int step = 0;
  std::string what;
};

struct Totals {
  uint64_t seeds = 0;
  uint64_t failures = 0;
  uint64_t trapped = 0;    // World::trapped()
  uint64_t entries = 0;    // committed
  uint64_t elections = 0;  // won
  uint64_t reads = 0;      // answered and checked

  Totals& operator+=(const Totals& other);
};

struct Run {
  uint64_t start = 1;
  uint64_t seeds = 1000;
  int threads = 1;
  int steps = 0;  // 0: the usual length
  Plant plant = Plant::kNone;
  bool trace = false;
  // Stop after so many failures.
  uint64_t enough = 10;
  // Called one at a time.
  std::function<void(const Failure&)> failed;
};

Totals run_seeds(const Run& run);

// One seed; its failure, if any, and what happened in it.
std::optional<Failure> run_seed(const Run& run, uint64_t seed, Totals* totals);

}  // namespace keelson::raft::sim
