// Random states into databases and back: nothing is lost on the way, and nothing is added but what
// etcd has and we have not.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "boltfile/etcd_state.h"
#include "boltfile/hash_kv.h"
#include "boltfile/verify.h"
#include "interchange/database_reader.h"
#include "interchange/database_writer.h"
#include "interchange/etcd_version.h"
#include "interchange/test_states.h"

namespace keelson::interchange {
namespace {

using backend::Bucket;
using boltfile::StringSink;

// In steps of any size, as whoever sends it slowly would.
std::string stream_of(Random& random, const backend::Backend& backend,
                      const DatabaseOptions& options) {
  DatabaseWriter writer(backend.snapshot(), options);
  const uint64_t most = uint64_t{1} << random.below(22);
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = writer.plan_step(random.below(most));
    EXPECT_TRUE(step.ok()) << step.status();
    done = !step.ok() || *step;
  }
  std::string bytes;
  for (bool done = false; !done;) {
    StringSink sink;
    absl::StatusOr<bool> step = writer.write_step(random.below(most), sink);
    EXPECT_TRUE(step.ok()) << step.status();
    bytes += sink.bytes;
    done = !step.ok() || *step;
  }
  EXPECT_EQ(bytes.size(), writer.size());
  return bytes;
}

boltfile::TestBucket tree_of(std::string_view bytes) {
  boltfile::TestBucket tree;
  auto file = boltfile::open_memory(bytes);
  EXPECT_TRUE(file.ok()) << file.status();
  if (file.ok()) {
    EXPECT_TRUE(boltfile::read_inside((*file)->root(), &tree).ok());
    auto verdict = boltfile::verify(**file);
    EXPECT_TRUE(verdict.ok() && verdict->ok()) << verdict->status();
  }
  return tree;
}

// What an etcd of the cluster's version has besides.
Contents with_what_etcd_adds(Contents contents, std::optional<int> for_minor) {
  auto& auth = bucket_of(contents, Bucket::kAuth);
  auth.emplace("authRevision", big64(1));
  auto& cluster = bucket_of(contents, Bucket::kCluster);
  auto version = cluster.find("clusterVersion");
  if (version == cluster.end()) return contents;
  int minor = *minor_of(version->second);
  if (for_minor && *for_minor < minor) {
    minor = *for_minor;
    version->second = version_of(minor);
    cluster.erase("downgrade");
  }
  if (minor >= 6) bucket_of(contents, Bucket::kMeta)["storageVersion"] = version_of(minor);
  return contents;
}

TEST(InterchangeRandom, ThereAndBack) {
  for_each_seed(40, [](uint64_t seed) {
    SeededRandom random(seed);
    backend::MemoryBackend ours;
    RandomState state(random, &ours, seed == 1 ? 0 : random.below(2000));
    DatabaseOptions options;
    options.layout.page_size = 4096u << random.below(5);
    options.layout.freelist = random.below(2) == 0;
    if (random.below(3) == 0) options.minor = 5 + static_cast<int>(random.below(3));
    const std::string bytes = stream_of(random, ours, options);

    const Contents expected = with_what_etcd_adds(contents_of(ours), options.minor);
    boltfile::TestBucket tree = tree_of(bytes);
    ASSERT_EQ(tree.buckets.size(), backend::kBucketCount);
    for (size_t i = 0; i < backend::kBucketCount; ++i) {
      const auto name = std::string(backend::bucket_name(static_cast<Bucket>(i)));
      ASSERT_EQ(tree.buckets[name].keys, expected[i]) << name;
    }
    StringSink at_once;
    ASSERT_TRUE(write_database(*ours.snapshot(), options, &at_once).ok());
    ASSERT_TRUE(tree_of(at_once.bytes) == tree);

    auto file = boltfile::open_memory(bytes);
    ASSERT_TRUE(file.ok());
    backend::MemoryBackend back;
    absl::StatusOr<ReadResult> result = read_database(**file, &back);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->position.index, ours.consistent_index());
    EXPECT_TRUE(result->left_out.empty());
    EXPECT_EQ(back.consistent_index(), ours.consistent_index());
    EXPECT_EQ(back.consistent_term(), ours.consistent_term());
    back.crash();
    Contents read = contents_of(back), wanted = expected;
    bucket_of(wanted, Bucket::kMeta).erase("storageVersion");
    ASSERT_EQ(read, wanted);

    auto store = mvcc::Store::open(&back);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->revision(), state.store().revision());
    EXPECT_EQ(hash_of(**store), hash_of(state.store()));
    EXPECT_EQ(hash_of(**store), boltfile::hash_kv(**file)->hash);
    absl::Status same = check_same_hash(**file, **store);
    EXPECT_TRUE(same.ok()) << same;
  });
}

// Whatever a database has become, it is read or refused with a word; what was read can be opened or
// is refused there, and a refused one leaves the store nowhere in the log.
TEST(InterchangeRandom, DamagedDatabases) {
  for_each_seed(30, [](uint64_t seed) {
    SeededRandom random(seed);
    backend::MemoryBackend ours;
    RandomState state(random, &ours, random.below(100));
    const std::string good = stream_of(random, ours, {});
    for (int i = 0; i < 40; ++i) {
      std::string bytes = random.below(4) == 0 ? mutated(good, random) : good;
      for (uint64_t n = 1 + random.below(4); n > 0; --n) {
        bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
      }
      auto file = boltfile::open_memory(bytes);
      if (!file.ok()) continue;
      backend::MemoryBackend back;
      absl::StatusOr<ReadResult> result = read_database(**file, &back);
      if (!result.ok()) {
        EXPECT_FALSE(message_of(result.status()).empty());
        EXPECT_EQ(back.consistent_index(), Index(0));
        continue;
      }
      auto store = mvcc::Store::open(&back);
      if (store.ok()) (*store)->check_invariants();
    }
  });
}

// A store that changes meanwhile: the database is of the moment in which it was begun.
TEST(InterchangeRandom, OneMoment) {
  for_each_seed(10, [](uint64_t seed) {
    SeededRandom random(seed);
    backend::MemoryBackend ours;
    RandomState state(random, &ours, 300);
    const uint32_t hash = hash_of(state.store());
    DatabaseWriter writer(ours.snapshot());
    StringSink sink;
    const auto disturb = [&] {
      mvcc::WriteTxn txn = state.store().begin();
      EXPECT_TRUE(txn.delete_range("key1", "key2").ok());
      EXPECT_TRUE(txn.put({.key = "new", .value = "value"}).ok());
    };
    uint64_t index = state.index().value;
    const auto publish = [&] { EXPECT_TRUE(state.store().publish(Index(++index), Term(9)).ok()); };
    while (!*writer.plan_step(5000)) disturb(), publish();
    while (!*writer.write_step(5000, sink)) disturb(), publish();
    ASSERT_GT(index, state.index().value + 5);
    auto file = boltfile::open_memory(sink.bytes);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(boltfile::hash_kv(**file)->hash, hash);
    EXPECT_EQ(boltfile::read_etcd_meta(**file)->consistent_index, state.index());
  });
}

}  // namespace
}  // namespace keelson::interchange
