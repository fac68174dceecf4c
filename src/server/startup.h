// server/startup.h
//
// Small things that a start does once: it says with what configuration, and does what flags ask for
// before anything is served.
//
// Threads: the main thread.

#pragma once

#include "absl/status/status.h"
#include "backend/backend.h"
#include "server/config.h"

namespace keelson::server {

// The line with the effective configuration, under etcd's keys. `initialized`: the member goes on
// with what is in its data directory.
void log_configuration(const Config& config, bool initialized);

// A warning where --max-request-bytes is more than etcd advises.
void log_request_limit(const Config& config);
// What --quota-backend-bytes comes to.
void log_quota(const Config& config);

// --memory-mlock: no page of the process is ever swapped out. FailedPrecondition where the limit
// for locked memory could end the process later.
absl::Status lock_memory();

// --bootstrap-defrag-threshold-megabytes: gives dead space back first, if there is so much of it.
// After the key space has been read. Waits for it.
absl::Status defragment_at_start(backend::Backend& backend, uint64_t threshold_megabytes);

}  // namespace keelson::server
