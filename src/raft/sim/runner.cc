#include "raft/sim/runner.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "raft/sim/violation.h"
#include "raft/sim/world.h"

namespace keelson::raft::sim {

Totals& Totals::operator+=(const Totals& other) {
  seeds += other.seeds;
  failures += other.failures;
  trapped += other.trapped;
  entries += other.entries;
  elections += other.elections;
  reads += other.reads;
  return *this;
}

std::optional<Failure> run_seed(const Run& run, uint64_t seed, Totals* totals) {
  Options options = options_of(seed, run.steps);
  options.plant = run.plant;
  options.trace = run.trace;
  World world(options);
  std::optional<Failure> failure;
  try {
    world.run();
  } catch (const Violation& violation) {
    failure = Failure{seed, world.step(), violation.what()};
  }
  *totals += {.seeds = 1,
              .failures = failure ? 1u : 0u,
              .trapped = world.trapped(),
              .entries = world.oracle().last().value,
              .elections = world.oracle().elections(),
              .reads = world.oracle().reads_checked()};
  return failure;
}

Totals run_seeds(const Run& run) {
#ifdef KEELSON_RAFT_PLANT
  planted_bug = run.plant;
#endif
  std::atomic<uint64_t> next{run.start};
  std::atomic<uint64_t> failures{0};
  std::mutex mutex;
  Totals all;
  auto work = [&] {
    Totals mine;
    while (failures < run.enough) {
      const uint64_t seed = next++;
      if (seed >= run.start + run.seeds) break;
      std::optional<Failure> failure = run_seed(run, seed, &mine);
      if (!failure) continue;
      ++failures;
      std::lock_guard lock(mutex);
      run.failed(*failure);
    }
    std::lock_guard lock(mutex);
    all += mine;
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < run.threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return all;
}

}  // namespace keelson::raft::sim
