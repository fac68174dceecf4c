#include "http/runtime_metrics.h"

#include <dirent.h>

#include <string>
#include <thread>

#include "http/families.h"
#include "http/memory_stats.h"
#include "http/metrics.h"

namespace keelson::http {
namespace {

double threads() {
  DIR* dir = opendir("/proc/self/task");
  if (dir == nullptr) return 0;
  double count = 0;
  while (const dirent* entry = readdir(dir)) count += entry->d_name[0] != '.';
  closedir(dir);
  return count;
}

constexpr std::string_view kNone = "Of Go's runtime; always 0.";

constexpr std::string_view kNoMemory[] = {
    "go_memstats_buck_hash_sys_bytes",  "go_memstats_gc_sys_bytes",
    "go_memstats_last_gc_time_seconds", "go_memstats_mcache_inuse_bytes",
    "go_memstats_mcache_sys_bytes",     "go_memstats_mspan_inuse_bytes",
    "go_memstats_mspan_sys_bytes",      "go_memstats_next_gc_bytes",
    "go_memstats_stack_inuse_bytes",    "go_memstats_stack_sys_bytes",
};

// The allocator's numbers, as /debug/vars has them.
void add_memory(Families& out) {
  const MemoryStats stats = memory_stats(/*by_size=*/true);
  const auto gauge = [&out](std::string_view name, std::string_view help, uint64_t value) {
    out.gauge(name, help, static_cast<double>(value));
  };
  gauge("go_memstats_alloc_bytes", "Bytes in use.", stats.heap_alloc);
  gauge("go_memstats_heap_alloc_bytes", "Bytes in use.", stats.heap_alloc);
  gauge("go_memstats_heap_inuse_bytes", "Of the heap, pages in use.", stats.heap_inuse);
  gauge("go_memstats_heap_idle_bytes", "Of the heap, pages not in use.", stats.heap_idle);
  gauge("go_memstats_heap_released_bytes", "Of those, what the system has back.",
        stats.heap_released);
  gauge("go_memstats_heap_sys_bytes", "Address space of the heap.", stats.heap_sys);
  gauge("go_memstats_heap_objects", "Objects in use.", stats.mallocs - stats.frees);
  gauge("go_memstats_other_sys_bytes", "The allocator's own.", stats.other_sys);
  gauge("go_memstats_sys_bytes", "Address space in all.", stats.sys);
  out.counter("go_memstats_alloc_bytes_total", "Bytes allocated since the start.",
              static_cast<double>(stats.total_alloc));
  out.counter("go_memstats_mallocs_total", "Objects allocated since the start.",
              static_cast<double>(stats.mallocs));
  out.counter("go_memstats_frees_total", "Objects freed since the start.",
              static_cast<double>(stats.frees));
  for (std::string_view name : kNoMemory) out.gauge(name, kNone, 0);
}

Histogram zero_from(double first, int count) {
  constexpr double kNanoseconds = 1e9;
  return Histogram(exponential_bounds(first, 2, count), kNanoseconds);
}

}  // namespace

void add_runtime(const Metrics& m, Families& out) {
  out.summary("go_gc_duration_seconds", kNone, {0, .25, .5, .75, 1});
  out.gauge("go_gc_gogc_percent", kNone, 0);
  out.gauge("go_gc_gomemlimit_bytes", kNone, 0);
  out.gauge("go_goroutines", kNone, 0);
  for (const auto& [version, value] : m.go_version.read()) {
    out.gauge("go_info", "1 for the language runtime.", value, {{"version", version.front()}});
  }
  add_memory(out);
  out.gauge("go_sched_gomaxprocs_threads", "Processors.",
            static_cast<double>(std::thread::hardware_concurrency()));
  out.gauge("go_threads", "Threads of the process.", threads());

  out.gauge("promhttp_metric_handler_requests_in_flight", "Requests for this page under way.",
            m.pages_in_flight);
  out.counter("promhttp_metric_handler_requests_total", "Answers with this page, by code.",
              m.pages_served.value(), {{"code", "200"}});
  for (const char* code : {"500", "503"}) {
    out.counter("promhttp_metric_handler_requests_total", "", 0, {{"code", code}});
  }
}

void add_absent(Families& out) {
  constexpr std::string_view kBolt = "A step of etcd's backend; never seen.";
  out.histogram("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", kBolt,
                zero_from(.001, 14));
  out.histogram("etcd_debugging_disk_backend_commit_spill_duration_seconds", kBolt,
                zero_from(.001, 14));
  out.histogram("etcd_debugging_disk_backend_commit_write_duration_seconds", kBolt,
                zero_from(.001, 14));
  constexpr std::string_view kFile = "A step of etcd's files of snapshots; never seen.";
  out.histogram("etcd_debugging_snap_save_marshalling_duration_seconds", kFile,
                zero_from(.001, 14));
  out.histogram("etcd_snap_db_fsync_duration_seconds", kFile, zero_from(.001, 14));
  out.histogram("etcd_snap_db_save_total_duration_seconds", kFile, zero_from(.1, 10));
  constexpr std::string_view kOld = "Of etcd's version 2 store; always 0.";
  out.counter("etcd_debugging_store_expires_total", kOld, 0);
  out.counter("etcd_debugging_store_watch_requests_total", kOld, 0);
  out.gauge("etcd_debugging_store_watchers", kOld, 0);
  constexpr std::string_view kProxy = "Of etcd's grpc-proxy; always 0.";
  out.gauge("etcd_grpc_proxy_cache_hits_total", kProxy, 0);
  out.gauge("etcd_grpc_proxy_cache_keys_total", kProxy, 0);
  out.gauge("etcd_grpc_proxy_cache_misses_total", kProxy, 0);
  out.counter("etcd_grpc_proxy_events_coalescing_total", kProxy, 0);
  out.gauge("etcd_grpc_proxy_watchers_coalescing_total", kProxy, 0);
}

}  // namespace keelson::http
