// Leases alone: what the apply lane pays for promoting a member that has many, for listing them,
// and for revoking one that has many keys.
//
//   lease_bench [leases=1000000] [keys=100000]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend/memory_backend.h"
#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "lease/lease_table.h"
#include "mvcc/store.h"

namespace keelson::lease {
namespace {

template <typename Work>
void report(const char* what, size_t operations, Work work) {
  auto start = std::chrono::steady_clock::now();
  work();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%-40s %10.3f ms %9.1f ns each\n", what, seconds * 1e3,
              seconds * 1e9 / static_cast<double>(operations));
}

// TTLs as a cluster's are, or all one: then every lease has to be put off.
void promote(size_t leases, bool one_ttl) {
  LeaseTable table{LeaseOptions{}};
  SeededRandom random(1);
  MonotonicTime now{std::chrono::seconds(1000)};
  backend::WriteBatch batch;
  for (size_t i = 0; i < leases; ++i) {
    LeaseId id(static_cast<int64_t>(random.next() & INT64_MAX));
    int64_t ttl = one_ttl ? 60 : 10 + static_cast<int64_t>(random.below(3600));
    CHECK(table.grant(id, ttl, now, batch).ok());
    batch.clear();
  }
  report(one_ttl ? "promote, one TTL" : "promote, TTLs of an hour", leases,
         [&] { table.promote(std::chrono::seconds(1), now); });
  report("list", leases, [&] { CHECK(table.list().size() == leases); });
}

// Every other key of the store has the lease.
void revoke(size_t keys) {
  backend::MemoryBackend backend;
  auto store = *mvcc::Store::open(&backend, {});
  LeaseTable table{LeaseOptions{}};
  CHECK(table.grant(LeaseId(1), 60, {}, store->batch()).ok());
  std::vector<std::string> order;
  for (size_t i = 0; i < 2 * keys; ++i) order.push_back(cat("/registry/events/", 10'000'000 + i));
  SeededRandom random(2);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  for (const std::string& key : order) {
    LeaseId id(key.back() % 2);
    CHECK(store->begin().put({.key = key, .value = "value", .lease = id}).ok());
    if (id.value != 0) CHECK(table.attach(id, key).ok());
  }
  CHECK(store->publish(Index(1), Term(1)).ok());
  std::vector<std::string> doomed;
  report("revoke: the table", keys, [&] { doomed = *table.revoke(LeaseId(1), store->batch()); });
  report("revoke: the keys", keys, [&] {
    mvcc::WriteTxn txn = store->begin();
    txn.delete_keys(doomed);
    CHECK(txn.changes() == keys);
  });
  CHECK(store->publish(Index(2), Term(1)).ok());
  report("deleting as many as one range", keys, [&] {
    CHECK(store->begin().delete_range("/", "0")->deleted == static_cast<int64_t>(keys));
  });
}

}  // namespace
}  // namespace keelson::lease

int main(int argc, char** argv) {
  size_t leases = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  size_t keys = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  keelson::lease::promote(leases, false);
  keelson::lease::promote(leases, true);
  keelson::lease::revoke(keys);
  return 0;
}
