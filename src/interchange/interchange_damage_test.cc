// Databases that etcd did not write so: refused, or taken and then served, but never the end of the
// process. Changes of good ones, of their bytes and of their records; the fuzzer's corpus.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "interchange/database_fuzz.h"
#include "interchange/database_writer.h"
#include "interchange/test_states.h"

namespace keelson::interchange {
namespace {

std::string database_of_state(uint64_t seed, uint64_t keys) {
  SeededRandom random(seed);
  backend::MemoryBackend store;
  RandomState state(random, &store, keys);
  boltfile::StringSink sink;
  EXPECT_TRUE(write_database(*store.snapshot(), {.layout = {.page_size = 4096}}, &sink).ok());
  return std::move(sink.bytes);
}

// The same as records, as far as they are short enough.
std::string records_of_state(uint64_t seed, uint64_t keys) {
  const std::string bytes = database_of_state(seed, keys);
  boltfile::TestBucket tree;
  EXPECT_TRUE(boltfile::read_inside((*boltfile::open_memory(bytes))->root(), &tree).ok());
  std::string out = "r";
  size_t number = 0;
  for (const auto& [name, bucket] : tree.buckets) {
    for (const auto& [key, value] : bucket.keys) {
      if (key.size() > 255 || value.size() > 255) continue;
      out += static_cast<char>(number);
      out += static_cast<char>(key.size());
      out += key;
      out += static_cast<char>(value.size());
      out += value;
    }
    ++number;
  }
  return out;
}

TEST(InterchangeDamage, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/interchange/testdata/fuzz_database");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_database(input);
}

TEST(InterchangeDamage, OfBytes) {
  for_each_seed(60, [](uint64_t seed) {
    SeededRandom random(seed);
    const std::string good = database_of_state(seed, random.below(60));
    fuzz_database(good);
    for (int i = 0; i < 30; ++i) {
      std::string bad = good;
      for (uint64_t n = 1 + random.below(4); n > 0; --n) {
        bad[random.below(bad.size())] = static_cast<char>(random.below(256));
      }
      fuzz_database(bad);
    }
  });
}

TEST(InterchangeDamage, OfRecords) {
  for_each_seed(60, [](uint64_t seed) {
    SeededRandom random(seed);
    const std::string good = records_of_state(seed, random.below(60));
    fuzz_database(good);
    for (int i = 0; i < 60; ++i) fuzz_database(mutated(good, random));
  });
}

}  // namespace
}  // namespace keelson::interchange
