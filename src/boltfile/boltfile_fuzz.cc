#include "boltfile/boltfile_fuzz.h"

#include <string>

#include "base/check.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/hash_kv.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/test_databases.h"
#include "boltfile/verify.h"

#ifdef KEELSON_FUZZER
#include <cstdint>
#endif

namespace keelson::boltfile {
namespace {

bool writable(const TestBucket& bucket) {
  for (const auto& [key, value] : bucket.keys) {
    if (key.size() > kLongestKey) return false;
  }
  for (const auto& [name, inside] : bucket.buckets) {
    if (name.size() > kLongestKey || !writable(inside)) return false;
  }
  return true;
}

// The whole of it, and once more after it was written.
void check_whole(File& file) {
  TestBucket first, second;
  CHECK(read_inside(file.root(), &first).ok());
  // bbolt lets only buckets into the root.
  if (!first.keys.empty() || !writable(first)) return;
  const std::string bytes = database_of(first, {.page_size = 4096});
  absl::StatusOr<std::unique_ptr<File>> again = open_memory(bytes);
  CHECK(again.ok());
  CHECK(verify(**again)->ok());
  CHECK(read_inside((*again)->root(), &second).ok());
  CHECK(first == second);
}

// As far as it goes: the buckets of the root alone, since damaged ones may hold each other.
void walk(File& file) {
  Cursor outer(file.root());
  absl::Status s = outer.seek_first();
  for (; s.ok() && outer.valid(); s = outer.next()) {
    if (!outer.is_bucket()) continue;
    absl::StatusOr<Bucket> bucket = outer.bucket();
    if (!bucket.ok()) continue;
    std::string last;
    Cursor inner(*bucket);
    for (s = inner.seek_first(); s.ok() && inner.valid(); s = inner.next()) {
      CHECK(inner.key() > last);
      last.assign(inner.key());
    }
    Cursor end(*bucket);
    if (s.ok() && end.seek_last().ok()) CHECK(end.valid() == !last.empty());
    if (s.ok() && end.valid()) CHECK(end.key() == last);
    s = absl::OkStatus();
  }
}

void read_as_etcds(File& file) {
  read_etcd_state(file).status().IgnoreError();
  read_etcd_leases(file, [](const EtcdLease&) { return absl::OkStatus(); }).IgnoreError();
  hash_kv(file).status().IgnoreError();
  hash_kv(file, 5).status().IgnoreError();
  snapshot_status(file).status().IgnoreError();
}

void read_all(std::string_view bytes) {
  absl::StatusOr<std::unique_ptr<File>> file =
      open_memory(bytes, {.cache_bytes = 64 << 10, .largest_node = 1 << 20});
  if (!file.ok()) return;
  check_sum((*file)->source()).status().IgnoreError();
  absl::StatusOr<Verdict> verdict = verify(**file);
  walk(**file);
  read_as_etcds(**file);
  if (verdict.ok() && verdict->ok()) check_whole(**file);
}

}  // namespace

void fuzz_boltfile(std::string_view bytes) {
  read_all(bytes);
  const std::string summed = with_right_sums(bytes);
  if (summed != bytes) read_all(summed);
}

}  // namespace keelson::boltfile

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::boltfile::fuzz_boltfile({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
