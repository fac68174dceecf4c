#include "interchange/database_fuzz.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "backend/memory_backend.h"
#include "base/check.h"
#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "boltfile/test_databases.h"
#include "interchange/database_reader.h"
#include "interchange/database_writer.h"
#include "membership/cluster.h"
#include "mvcc/store.h"

#ifdef KEELSON_FUZZER
#include <cstdint>
#endif

namespace keelson::interchange {
namespace {

constexpr boltfile::Pages::Limits kSmall{.cache_bytes = 64 << 10, .largest_node = 1 << 20};

std::string_view take(std::string_view& input) {
  if (input.empty()) return {};
  const size_t size = std::min<size_t>(static_cast<unsigned char>(input[0]), input.size() - 1);
  const std::string_view taken = input.substr(1, size);
  input.remove_prefix(1 + size);
  return taken;
}

std::string database_of_records(std::string_view input) {
  boltfile::TestBucket root;
  for (std::string_view name : boltfile::kEtcdBuckets) root.buckets[std::string(name)];
  while (!input.empty()) {
    const size_t number = static_cast<unsigned char>(input[0]) % boltfile::kEtcdBuckets.size();
    input.remove_prefix(1);
    const std::string key(take(input)), value(take(input));
    if (key.empty()) continue;  // bbolt has none
    root.buckets[std::string(boltfile::kEtcdBuckets[number])].keys[key] = value;
  }
  return boltfile::database_of(root, {.page_size = 4096});
}

// As a member opens it. What it refuses it may refuse; what it takes has one hash.
void open_as_member(boltfile::File& file, backend::Backend* store) {
  membership::Cluster cluster{ClusterId(0)};
  cluster.restore(*store).IgnoreError();
  absl::StatusOr<std::unique_ptr<mvcc::Store>> keys = mvcc::Store::open(store);
  if (!keys.ok()) return;
  const absl::Status same = check_same_hash(file, **keys);
  CHECK(!absl::IsDataLoss(same) || !message_of(same).starts_with("interchange: HashKV"));
}

void write_again(const backend::Backend& store, const Position& position) {
  boltfile::StringSink sink;
  if (!write_database(*store.snapshot(), {}, &sink).ok()) return;
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::open_memory(sink.bytes);
  CHECK(file.ok());
  backend::MemoryBackend again;
  absl::StatusOr<ReadResult> result = read_database(**file, &again, {.position = position});
  CHECK(result.ok());
  for (const backend::Bucket bucket : {backend::Bucket::kKey, backend::Bucket::kLease,
                                       backend::Bucket::kAlarm, backend::Bucket::kAuthUsers}) {
    auto one = store.iterate(bucket), other = again.iterate(bucket);
    one->seek_to_first();
    other->seek_to_first();
    for (; one->valid() && other->valid(); one->next(), other->next()) {
      CHECK(one->key() == other->key());
      CHECK(one->value() == other->value());
    }
    CHECK(one->valid() == other->valid());
  }
}

void read(std::string_view bytes, const ReadOptions& options) {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::open_memory(bytes, kSmall);
  if (!file.ok()) return;
  backend::MemoryBackend store;
  absl::StatusOr<ReadResult> result = read_database(**file, &store, options);
  if (!result.ok()) return;
  CHECK(store.consistent_index() == result->position.index);
  CHECK(check_keys(result->keys, store).ok());
  open_as_member(**file, &store);
  write_again(store, result->position);
}

}  // namespace

void fuzz_database(std::string_view input) {
  const std::string bytes = input.starts_with('r') ? database_of_records(input.substr(1))
                                                   : boltfile::with_right_sums(input);
  read(bytes, {});
  read(bytes, {.position = Position{Index(7), Term(2)}, .without_members = true});
}

}  // namespace keelson::interchange

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::interchange::fuzz_database({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
