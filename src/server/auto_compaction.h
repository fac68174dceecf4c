// server/auto_compaction.h
//
// --auto-compaction-mode and -retention: the leader compacts old revisions by itself, by age or by
// number. Rules and intervals are etcd's (v3.7.1, server/etcdserver/api/v3compactor).
//
// Threads: CompactionSchedule is a value, driven by one lane; AutoCompaction runs on the first io
//   lane. Lifetime: the context, and its lanes, outlive it; destroyed once they have stopped.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "rpc/context.h"
#include "server/config.h"

namespace keelson::server {

// Decides when and where to compact; knows neither timers nor the store.
class CompactionSchedule {
 public:
  CompactionSchedule(const Config::AutoCompaction& rule, MonotonicTime start);

  // How long to wait between calls of tick().
  Duration interval() const;
  // The revision to compact at now, if it is time. `revision` is the store's.
  std::optional<int64_t> tick(MonotonicTime now, int64_t revision);
  // The compaction that tick() asked for was done at `now`.
  void succeeded(int64_t at_revision, MonotonicTime now);
  // Notes the revision, for compaction by age; before the first tick, and by each.
  void note(int64_t revision);

 private:
  const Config::AutoCompaction rule_;
  std::deque<int64_t> seen_;  // by age: the revision at each interval, oldest first
  int64_t last_revision_ = 0;
  MonotonicTime last_success_;
  Duration wait_;
};

class AutoCompaction {
 public:
  AutoCompaction(const Config::AutoCompaction& rule, rpc::Context& context);
  void start();

 private:
  void schedule();
  void tick();
  void compact(int64_t revision);

  rpc::Context& context_;
  CompactionSchedule schedule_;
};

}  // namespace keelson::server
