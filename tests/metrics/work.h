// tests/metrics/work.h
//
// Known requests, so that what the metrics should say afterwards is known too. The answers are not
// looked at: the compat scripts do that.

#pragma once

#include "tests/harness/client.h"

namespace keelson::metrics {

// One round of etcd's own test of its metrics (tests/e2e/metrics_test.go): put, delete, watch.
void put(harness::Client& client, const std::string& key, const std::string& value);
void delete_key(harness::Client& client, const std::string& key);
void watch_and_cancel(harness::Client& client, const std::string& key);

// Every operation that the store's counters tell apart, and leases, a compaction, hashes.
void mixed_work(harness::Client& client);

// Overwrites one key `times` times and compacts it all away, waiting for it to be gone.
void physical_compaction(harness::Client& client, int times);

}  // namespace keelson::metrics
