#include "http/memory_stats.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"

// jemalloc's, if it is the allocator.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* fresh,
                       size_t fresh_size) __attribute__((weak));

namespace keelson::http {
namespace {

// Of all arenas together (MALLCTL_ARENAS_ALL).
constexpr std::string_view kAll = "stats.arenas.4096.";

template <typename Number>
uint64_t number(const std::string& name) {
  Number value = 0;
  size_t size = sizeof value;
  return mallctl(name.c_str(), &value, &size, nullptr, 0) == 0 ? value : 0;
}
uint64_t bytes(const std::string& name) { return number<size_t>(name); }
uint64_t count(const std::string& name) { return number<uint64_t>(cat(kAll, name)); }

// The numbers are those of the last time that they were added up.
void add_up() {
  uint64_t epoch = 1;
  size_t size = sizeof epoch;
  mallctl("epoch", &epoch, &size, &epoch, size);
}

void add_sizes(MemoryStats& stats) {
  const auto bins = number<unsigned>("arenas.nbins"), large = number<unsigned>("arenas.nlextents");
  for (uint64_t i = 0; i < bins; ++i) {
    stats.small.push_back({bytes(cat("arenas.bin.", i, ".size")),
                           count(cat("bins.", i, ".nmalloc")), count(cat("bins.", i, ".ndalloc"))});
    stats.total_alloc += stats.small.back().size * stats.small.back().mallocs;
  }
  for (uint64_t i = 0; i < large; ++i) {
    stats.total_alloc +=
        bytes(cat("arenas.lextent.", i, ".size")) * count(cat("lextents.", i, ".nmalloc"));
  }
}

}  // namespace

MemoryStats memory_stats(bool by_size) {
  MemoryStats stats;
  if (mallctl == nullptr) return stats;
  add_up();
  const uint64_t resident = bytes("stats.resident"), own = bytes("stats.metadata");
  const uint64_t pages = resident - std::min(own, resident);  // of the heap, in memory
  stats.heap_alloc = bytes("stats.allocated");
  stats.heap_inuse = std::max(bytes("stats.active"), stats.heap_alloc);
  // What is mapped counts no pages that hold nothing and are not given back yet.
  stats.heap_sys =
      std::max({bytes("stats.mapped"), pages, stats.heap_inuse}) + bytes("stats.retained");
  stats.heap_idle = stats.heap_sys - stats.heap_inuse;
  stats.heap_released = std::min(stats.heap_sys - std::min(pages, stats.heap_sys), stats.heap_idle);
  stats.other_sys = own;
  stats.sys = stats.heap_sys + stats.other_sys;
  stats.mallocs = count("small.nmalloc") + count("large.nmalloc");
  stats.frees = std::min(count("small.ndalloc") + count("large.ndalloc"), stats.mallocs);
  if (by_size) add_sizes(stats);
  return stats;
}

std::string memory_json(const MemoryStats& stats) {
  using nlohmann::ordered_json;
  ordered_json sizes = ordered_json::array();
  for (const MemoryStats::Size& row : stats.small) {
    sizes.push_back({{"Size", row.size}, {"Mallocs", row.mallocs}, {"Frees", row.frees}});
  }
  const ordered_json none(std::vector<uint64_t>(256));
  const ordered_json object = {{"Alloc", stats.heap_alloc},
                               {"TotalAlloc", stats.total_alloc},
                               {"Sys", stats.sys},
                               {"Lookups", 0},
                               {"Mallocs", stats.mallocs},
                               {"Frees", stats.frees},
                               {"HeapAlloc", stats.heap_alloc},
                               {"HeapSys", stats.heap_sys},
                               {"HeapIdle", stats.heap_idle},
                               {"HeapInuse", stats.heap_inuse},
                               {"HeapReleased", stats.heap_released},
                               {"HeapObjects", stats.mallocs - stats.frees},
                               {"StackInuse", 0},
                               {"StackSys", 0},
                               {"MSpanInuse", 0},
                               {"MSpanSys", 0},
                               {"MCacheInuse", 0},
                               {"MCacheSys", 0},
                               {"BuckHashSys", 0},
                               {"GCSys", 0},
                               {"OtherSys", stats.other_sys},
                               {"NextGC", 0},
                               {"LastGC", 0},
                               {"PauseTotalNs", 0},
                               {"PauseNs", none},
                               {"PauseEnd", none},
                               {"NumGC", 0},
                               {"NumForcedGC", 0},
                               {"GCCPUFraction", 0},
                               {"EnableGC", false},
                               {"DebugGC", false},
                               {"BySize", sizes}};
  return object.dump();
}

}  // namespace keelson::http
