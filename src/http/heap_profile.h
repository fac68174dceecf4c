// http/heap_profile.h
//
// What holds the memory that is in use: stacks of allocations, of every half megabyte about one, as
// jemalloc samples them while that is switched on. What was allocated before is not in it.
//
// Threads: any; not on a lane.
// Errors: Unimplemented where the allocator is another one, as in builds with sanitizers.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "http/stack_profile.h"

namespace keelson::http {

// Costs 2 ns for each allocation, about; off it costs nothing that could be measured.
absl::Status sample_heap(bool on);

absl::StatusOr<StackProfile> heap_profile();

// From the text that jemalloc dumps ("heap_v2/524288 …"): each sample stands for as much as it took
// to be likely.
absl::StatusOr<StackProfile> parse_heap_dump(std::string_view text);

}  // namespace keelson::http
