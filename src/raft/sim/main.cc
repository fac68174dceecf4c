// raft_simulator: simulated raft groups from seeds. Exit status 1 if any seed fails.
//
//   raft_simulator --seeds N [--start S] [--threads T] [--steps K] [--trace] [--plant BUG]
//
// raft_sim_planted is the same over a copy of raft with planted bugs, and has
//
//   raft_sim_planted --teeth [--seeds N]    every bug in turn, as the table of docs/raft-teeth.md

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "raft/sim/plants.h"
#include "raft/sim/runner.h"

namespace keelson::raft::sim {
namespace {

#ifdef KEELSON_RAFT_PLANT
constexpr bool kPlantedCore = true;
constexpr const char* kProgram = "build/bin/raft_sim_planted";
#else
constexpr bool kPlantedCore = false;
constexpr const char* kProgram = "build/bin/raft_simulator";
#endif

int usage() {
  std::fprintf(stderr,
               "usage: %s --seeds N [--start S] [--threads T] [--steps K] [--trace] [--plant BUG]\n"
               "bugs:",
               kProgram);
  for (const PlantInfo& plant : all_plants()) {
    if (plant.in_core && !kPlantedCore) continue;
    std::fprintf(stderr, " %.*s", static_cast<int>(plant.name.size()), plant.name.data());
  }
  std::fprintf(stderr, "\n");
  return 2;
}

unsigned long long wide(uint64_t value) { return value; }

void print_failure(const Run& run, const char* plant, const Failure& failure) {
  std::printf("seed %llu failed at step %d: %s\n", wide(failure.seed), failure.step,
              failure.what.c_str());
  if (run.trace) return;
  std::printf("  replay: %s --start %llu --seeds 1 --trace", kProgram, wide(failure.seed));
  if (run.steps > 0) std::printf(" --steps %d", run.steps);
  if (run.plant != Plant::kNone) std::printf(" --plant %s", plant);
  std::printf("\n");
  std::fflush(stdout);
}

int simulate(Run run, const char* plant) {
  run.failed = [&run, plant](const Failure& failure) { print_failure(run, plant, failure); };
  const auto begin = std::chrono::steady_clock::now();
  const Totals totals = run_seeds(run);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf(
      "%llu seeds, %llu failed; %llu entries committed, %llu elections won, %llu reads checked, "
      "%llu trapped; %.1f s, %.0f seeds/s\n",
      wide(totals.seeds), wide(totals.failures), wide(totals.entries), wide(totals.elections),
      wide(totals.reads), wide(totals.trapped), took.count(),
      static_cast<double>(totals.seeds) / took.count());
  return totals.failures > 0 ? 1 : 0;
}

// One row of the table: the bug, how often it is found, and how it shows first.
bool bite(Run run, const PlantInfo& plant) {
  Failure first;
  run.plant = plant.plant;
  run.failed = [&first](const Failure& failure) {
    if (first.seed == 0 || failure.seed < first.seed) first = failure;
  };
  const Totals totals = run_seeds(run);
  std::printf("| `%.*s` | %.*s | %llu of %llu | %llu | %s |\n", static_cast<int>(plant.name.size()),
              plant.name.data(), static_cast<int>(plant.what.size()), plant.what.data(),
              wide(totals.failures), wide(totals.seeds), wide(first.seed), first.what.c_str());
  std::fflush(stdout);
  return totals.failures > 0;
}

int teeth(const Run& run) {
  std::printf("| bug | what it does | found in | first seed | as |\n|---|---|---|---|---|\n");
  bool all = true;
  for (const PlantInfo& plant : all_plants()) {
    if (plant.in_core && !kPlantedCore) continue;
    all &= bite(run, plant);
  }
  return all ? 0 : 1;
}

int run_main(std::span<char*> args) {
  Run run;
  bool table = false;
  const char* plant = nullptr;
  for (size_t i = 1; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    if (arg == "--trace") {
      run.trace = true;
    } else if (arg == "--teeth") {
      table = true;
    } else if (i + 1 == args.size()) {
      return usage();
    } else if (arg == "--seeds") {
      run.seeds = std::strtoull(args[++i], nullptr, 10);
    } else if (arg == "--start") {
      run.start = std::strtoull(args[++i], nullptr, 10);
    } else if (arg == "--threads") {
      run.threads = std::atoi(args[++i]);
    } else if (arg == "--steps") {
      run.steps = std::atoi(args[++i]);
    } else if (arg == "--plant") {
      plant = args[++i];
    } else {
      return usage();
    }
  }
  if (table) return teeth(run);
  if (plant) {
    const PlantInfo* info = find_plant(plant);
    if (!info || (info->in_core && !kPlantedCore)) return usage();
    run.plant = info->plant;
  }
  return simulate(run, plant);
}

}  // namespace
}  // namespace keelson::raft::sim

int main(int argc, char** argv) {
  return keelson::raft::sim::run_main(std::span(argv, static_cast<size_t>(argc)));
}
