// What the writer writes, the reader reads: random buckets against std::map, every page size, with
// and without a list of free pages, by a plan to a stream and in one pass to a file.

#include <algorithm>

#include "base/test_seeds.h"
#include "base/text.h"
#include "boltfile/test_databases.h"
#include "boltfile/verify.h"

namespace keelson::boltfile {
namespace {

std::string random_key(Random& random) {
  switch (random.below(12)) {
    case 0:
      return random_bytes(random, 1 + random.below(3));
    case 1:
      return std::string(1 + random.below(5), static_cast<char>(random.below(2) ? 0xff : 0));
    case 2:
      return random_bytes(random, 1 + random.below(2000));
    case 3:
      return random_bytes(random, random.below(20) == 0 ? 32768 : 300);
    default:
      return cat("key", random.below(1 << 20));
  }
}

std::string random_value(Random& random) {
  switch (random.below(40)) {
    case 0:
    case 1:
    case 2:
      return "";
    case 3:
      return std::string(random.below(30000), 'v');
    case 4:
      return random.below(30) == 0 ? random_bytes(random, 1536 << 10) : std::string("x");
    case 5:
    case 6:
      return random_bytes(random, 1000 + random.below(4000));
    default:
      return random_bytes(random, random.below(200));
  }
}

size_t random_count(Random& random) {
  const uint64_t kind = random.below(20);
  if (kind == 0) return random.below(random.below(4) == 0 ? 100001 : 10000);
  return random.below(kind < 8 ? 4 : 800);
}

TestBucket random_bucket(Random& random, size_t depth) {
  TestBucket bucket;
  if (depth > 0) {
    for (size_t n = random_count(random); n > 0; --n) {
      bucket.keys[random_key(random)] = random_value(random);
    }
  }
  if (depth < 4) {
    for (uint64_t n = depth == 0 ? 1 + random.below(12) : random.below(9) / 7; n > 0; --n) {
      const std::string name = random_key(random);
      if (!bucket.keys.contains(name)) bucket.buckets[name] = random_bucket(random, depth + 1);
    }
  }
  return bucket;
}

void look_up(const Bucket& bucket, const TestBucket& twin, Random& random) {
  for (int i = 0; i < 50; ++i) {
    std::string key = random_key(random);
    auto it = twin.keys.lower_bound(key);
    if (it != twin.keys.end() && random.below(2) == 0) key = it->first;
    absl::StatusOr<std::optional<std::string>> found = bucket.get(key);
    ASSERT_TRUE(found.ok()) << found.status();
    auto there = twin.keys.find(key);
    ASSERT_EQ(found->has_value(), there != twin.keys.end());
    if (found->has_value()) {
      ASSERT_EQ(**found, there->second);
    }

    Cursor cursor(bucket);
    ASSERT_TRUE(cursor.seek(key).ok());
    auto next_key = twin.keys.lower_bound(key);
    auto next_bucket = twin.buckets.lower_bound(key);
    std::optional<std::string> next;
    if (next_key != twin.keys.end()) next = next_key->first;
    if (next_bucket != twin.buckets.end() && (!next || next_bucket->first < *next)) {
      next = next_bucket->first;
    }
    ASSERT_EQ(cursor.valid(), next.has_value());
    if (next) {
      ASSERT_EQ(cursor.key(), *next);
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, inside] : twin.buckets) {
    names.push_back(name);
    absl::StatusOr<Bucket> inner = bucket.bucket(name);
    ASSERT_TRUE(inner.ok()) << inner.status();
    ASSERT_NO_FATAL_FAILURE(look_up(*inner, inside, random));
  }
  ASSERT_EQ(*bucket.bucket_names(), names);
}

TEST(BoltfileRandom, WrittenIsRead) {
  for_each_seed(60, [](uint64_t seed) {
    SeededRandom random(seed);
    const TestBucket twin = random_bucket(random, 0);
    const Layout layout{.page_size = 4096u << random.below(5), .freelist = random.below(2) == 0};
    const std::string bytes = database_of(twin, layout);

    StringSink in_place;
    Writer writer(layout, &in_place);
    ASSERT_TRUE(write_inside(twin, writer).ok());
    ASSERT_TRUE(writer.finish().ok());
    ASSERT_TRUE(in_place.bytes == bytes);

    absl::StatusOr<std::unique_ptr<File>> file =
        open_memory(bytes, {.cache_bytes = size_t{1} << (10 + random.below(12))});
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ((*file)->meta().page_size, layout.page_size);
    ASSERT_EQ((*file)->size(), bytes.size());
    TestBucket read;
    const absl::Status s = read_inside((*file)->root(), &read);
    ASSERT_TRUE(s.ok()) << s;
    ASSERT_TRUE(read == twin);
    ASSERT_NO_FATAL_FAILURE(look_up((*file)->root(), twin, random));

    absl::StatusOr<Verdict> verdict = verify(**file);
    ASSERT_TRUE(verdict.ok()) << verdict.status();
    ASSERT_TRUE(verdict->ok()) << verdict->status();
    ASSERT_EQ(verdict->in_use, verdict->pages);
    ASSERT_EQ(verdict->free, 0u);
  });
}

// Trees of three levels and more, at sizes around those where a page fills.
TEST(BoltfileRandom, LongKeysMakeDeepTrees) {
  for_each_seed(8, [](uint64_t seed) {
    SeededRandom random(seed);
    TestBucket twin;
    TestBucket& bucket = twin.buckets["deep"];
    for (size_t n = 200 + random.below(3000); n > 0; --n) {
      bucket.keys[random_bytes(random, 800 + random.below(1500))] = "v";
    }
    const std::string bytes = database_of(twin);
    absl::StatusOr<std::unique_ptr<File>> file = open_memory(bytes);
    ASSERT_TRUE(file.ok()) << file.status();
    TestBucket read;
    ASSERT_TRUE(read_inside((*file)->root(), &read).ok());
    ASSERT_TRUE(read == twin);
    absl::StatusOr<Verdict> verdict = verify(**file);
    ASSERT_TRUE(verdict.ok() && verdict->ok()) << verdict->status();
  });
}

}  // namespace
}  // namespace keelson::boltfile
