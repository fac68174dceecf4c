// Damaged databases: refused with the page's number or harmless, never followed out of bounds or in
// circles. Every bit of small ones, every byte of one of etcd's, and the damage that has a name.

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/endian.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "boltfile/boltfile_fuzz.h"
#include "boltfile/freelist.h"
#include "boltfile/test_databases.h"
#include "boltfile/verify.h"

namespace keelson::boltfile {
namespace {

using testing::HasSubstr;

constexpr size_t kPage = 4096;

std::string golden(const std::string& name) {
  std::ifstream in(cat(KEELSON_SOURCE_DIR, "/src/boltfile/testdata/", name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A branch, leaves, an overflow, buckets inline and nested: pages 0 to 11.
TestBucket small_database() {
  TestBucket root;
  root.buckets["inline"].keys = {{"a", "1"}, {"b", ""}};
  root.buckets["outer"].buckets["nested"].keys["large"] = std::string(5000, 'n');
  for (int i = 100; i < 130; ++i) {
    root.buckets["tree"].keys[cat("key", i)] = std::string(300, 'v');
  }
  return root;
}

absl::Status read_everything(const std::string& bytes) {
  absl::StatusOr<std::unique_ptr<File>> file = open_memory(bytes);
  if (!file.ok()) return file.status();
  TestBucket ignored;
  return read_inside((*file)->root(), &ignored);
}

Verdict verdict_of(const std::string& bytes) {
  absl::StatusOr<std::unique_ptr<File>> file = open_memory(bytes);
  EXPECT_TRUE(file.ok()) << file.status();
  return *verify(**file);
}

TEST(BoltfileDamage, EveryBit) {
  for (const bool freelist : {false, true}) {
    const std::string good = database_of(small_database(), {.freelist = freelist});
    fuzz_boltfile(good);
    std::string bad = good;
    for (size_t at = 0; at < bad.size(); ++at) {
      // Most zeros are what nobody looks at: a few speak for the others.
      const int bits = good[at] != 0 ? 8 : at % 4 == 0 ? 1 : 0;
      for (int bit = 0; bit < bits; ++bit) {
        bad[at] = static_cast<char>(good[at] ^ (1 << bit));
        fuzz_boltfile(bad);
      }
      bad[at] = good[at];
    }
  }
}

TEST(BoltfileDamage, EveryByteOfEtcds) {
  const std::string good = golden("etcd_3_5_snapshot.db");
  std::string bad = good;
  for (size_t at = 0; at < bad.size(); at += 7) {
    bad[at] = static_cast<char>(~good[at]);
    fuzz_boltfile(bad);
    bad[at] = good[at];
  }
}

TEST(BoltfileDamage, Random) {
  const std::string seeds[] = {database_of(small_database()), golden("etcd_3_5_snapshot.db"),
                               golden("etcd_3_5_defragmented.db")};
  for_each_seed(600, [&](uint64_t seed) {
    SeededRandom random(seed);
    std::string bad = seeds[random.below(3)];
    for (uint64_t n = 1 + random.below(6); n > 0; --n) {
      const size_t at = random.below(bad.size());
      const size_t size = std::min<size_t>(1 + random.below(64), bad.size() - at);
      switch (random.below(4)) {
        case 0:
          bad.replace(at, size, random_bytes(random, size));
          break;
        case 1:
          bad.replace(at, size, bad.substr(random.below(bad.size() - size + 1), size));
          break;
        case 2:  // a page in another's place
          bad.replace(at / kPage * kPage, kPage,
                      bad.substr(random.below(bad.size() / kPage) * kPage, kPage));
          break;
        case 3:  // a small number where numbers are
          bad[at / 8 * 8] = static_cast<char>(random.below(16));
          break;
      }
    }
    if (random.below(8) == 0) bad.resize(random.below(bad.size()));
    fuzz_boltfile(bad);
  });
}

TEST(BoltfileDamage, EitherMetaIsEnough) {
  const std::string good = database_of(small_database());
  for (const size_t page : {0, 1}) {
    std::string bad = good;
    bad[page * kPage + kPageHead + 40] ^= 1;
    EXPECT_TRUE(read_everything(bad).ok());
  }
  std::string bad = good;
  bad[kPageHead + 40] ^= 1;
  bad[kPage + kPageHead + 40] ^= 1;
  EXPECT_THAT(message_of(read_everything(bad)), HasSubstr("pages 0 and 1 are both invalid"));
}

TEST(BoltfileDamage, TheNewerMetaCounts) {
  std::string both = database_of(small_database());
  Meta meta = (*open_memory(both))->meta();
  meta.transaction = 9;
  meta.sequence = 77;
  store_meta(both.data() + kPage + kPageHead, meta);
  EXPECT_EQ((*open_memory(both))->meta().sequence, 77u);
}

TEST(BoltfileDamage, CutShort) {
  const std::string good = database_of(small_database());
  for (size_t size = 0; size < good.size(); size += 512) {
    EXPECT_EQ(read_everything(good.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
}

// A file that somebody cuts short while it is read.
TEST(BoltfileDamage, ShrinksMeanwhile) {
  const std::string path = cat(testing::TempDir(), "keelson_boltfile_shrinks_", ::getpid());
  TestBucket root;
  for (int i = 1000; i < 5000; ++i) root.buckets["b"].keys[cat(i)] = std::string(500, 'v');
  std::ofstream(path, std::ios::binary) << database_of(root);
  absl::StatusOr<std::unique_ptr<File>> file = File::open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  absl::StatusOr<Bucket> bucket = (*file)->root().bucket("b");
  Cursor cursor(*bucket);
  ASSERT_TRUE(cursor.seek_first().ok());
  ASSERT_EQ(::truncate(path.c_str(), 8 * kPage), 0);
  absl::Status s;
  while (s.ok() && cursor.valid()) s = cursor.next();
  EXPECT_EQ(s.code(), absl::StatusCode::kDataLoss) << s;
  std::filesystem::remove(path);
}

// Page of the first branch or leaf with `kind` and at least `count` elements.
size_t find_page(const std::string& bytes, PageKind kind, size_t count) {
  for (size_t page = 2; page < bytes.size() / kPage; ++page) {
    const PageHead head = load_page_head(bytes.data() + page * kPage);
    if (head.id == PageId(page) && head.kind == kind && head.count >= count) return page;
  }
  ADD_FAILURE() << "no such page";
  return 0;
}

char* child_at(std::string* bytes, size_t branch, size_t i) {
  return bytes->data() + branch * kPage + kPageHead + i * kElementHead + 8;
}

TEST(BoltfileDamage, ABranchInCircles) {
  std::string bad = database_of(small_database());
  const size_t branch = find_page(bad, kBranchPage, 2);
  for (const size_t i : {0, 1}) {
    std::string circle = bad;
    store_little64(child_at(&circle, branch, i), branch);
    EXPECT_THAT(message_of(read_everything(circle)), HasSubstr(cat("page ", branch, ":")));
    EXPECT_FALSE(verdict_of(circle).ok());
  }
}

TEST(BoltfileDamage, APageReferredToTwice) {
  std::string bad = database_of(small_database());
  const size_t branch = find_page(bad, kBranchPage, 2);
  const uint64_t first = load_little64(child_at(&bad, branch, 0));
  const uint64_t second = load_little64(child_at(&bad, branch, 1));
  store_little64(child_at(&bad, branch, 1), first);
  EXPECT_THAT(message_of(read_everything(bad)), HasSubstr(cat("page ", first, ":")));
  const Verdict verdict = verdict_of(bad);
  std::string texts;
  for (const Verdict::Problem& problem : verdict.problems) texts += problem.text + "\n";
  EXPECT_THAT(texts, HasSubstr(cat("page ", first, ": is referred to more than once")));
  EXPECT_THAT(texts, HasSubstr(cat("page ", second, ": neither in use nor free")));
}

// Buckets that hold each other: every one of them opens, none is opened for ever.
TEST(BoltfileDamage, ABucketInItself) {
  std::string bad = database_of(small_database());
  const std::string nested("nested");
  const size_t name = bad.find(nested);
  ASSERT_NE(name, std::string::npos);
  // The leaf that holds the bucket is what the bucket's head now names.
  store_little64(bad.data() + name + nested.size(), name / kPage);
  EXPECT_THAT(message_of(read_everything(bad)), HasSubstr("buckets within buckets"));
  EXPECT_FALSE(verdict_of(bad).ok());
}

TEST(BoltfileDamage, AKeyOutOfOrder) {
  std::string bad = database_of(small_database());
  const size_t at = bad.find("key105");
  bad[at + 3] = '9';
  const absl::Status s = read_everything(bad);
  EXPECT_THAT(message_of(s), HasSubstr(cat("page ", at / kPage, ": ")));
  EXPECT_FALSE(verdict_of(bad).ok());
}

TEST(BoltfileDamage, AnOverflowPastTheEnd) {
  std::string bad = database_of(small_database());
  const size_t leaf = find_page(bad, kLeafPage, 1);
  store_page_head(bad.data() + leaf * kPage,
                  {PageId(leaf), kLeafPage, 1, static_cast<uint32_t>(bad.size() / kPage)});
  EXPECT_THAT(message_of(read_everything(bad)), HasSubstr(cat("page ", leaf, ": goes on for ")));
}

// A size that is large and possible is not believed with memory.
TEST(BoltfileDamage, ALargeNodeIsRefused) {
  TestBucket root;
  root.buckets["b"].keys["k"] = std::string(3 << 20, 'v');
  const std::string bytes = database_of(root);
  absl::StatusOr<std::unique_ptr<File>> file = open_memory(bytes, {.largest_node = 1 << 20});
  ASSERT_TRUE(file.ok());
  TestBucket ignored;
  EXPECT_EQ(read_inside((*file)->root(), &ignored).code(), absl::StatusCode::kResourceExhausted);
}

// The database with `count` more pages, all of them free, and the list of them behind its own.
std::unique_ptr<Source> with_free_pages(uint64_t count, uint64_t twice = 0) {
  std::string bytes = database_of(small_database(), {.freelist = false});
  Meta meta = (*open_memory(bytes))->meta();
  const uint64_t listed = count + (twice != 0);
  const uint64_t own = (kPageHead + (listed + 1) * 8 + kPage - 1) / kPage;
  meta.freelist = meta.high_water;
  std::string list(own * kPage, '\0');
  const bool large = listed >= 0xffff;
  store_page_head(list.data(),
                  {meta.freelist, kFreelistPage, static_cast<uint16_t>(large ? 0xffff : listed),
                   static_cast<uint32_t>(own - 1)});
  char* at = list.data() + kPageHead;
  if (large) {
    store_little64(at, listed);
    at += 8;
  }
  const uint64_t first = meta.high_water.value + own;
  for (uint64_t i = 0; i < count; ++i, at += 8) store_little64(at, first + i);
  if (twice != 0) store_little64(at, twice);
  bytes += list;
  meta.high_water.value += own + count;
  set_meta(&bytes, meta);
  return std::make_unique<PaddedSource>(std::move(bytes), meta.high_water.value * kPage);
}

TEST(BoltfileFreelist, BothForms) {
  for (const uint64_t count : {0, 1, 500, 65534, 65535, 70000}) {
    absl::StatusOr<std::unique_ptr<File>> file = File::open(with_free_pages(count));
    ASSERT_TRUE(file.ok()) << file.status();
    uint64_t seen = 0;
    absl::StatusOr<uint64_t> own = read_freelist(**file, [&](PageId) { ++seen; });
    ASSERT_TRUE(own.ok()) << own.status();
    EXPECT_EQ(seen, count);
    absl::StatusOr<Verdict> verdict = verify(**file);
    ASSERT_TRUE(verdict.ok() && verdict->ok()) << verdict->status();
    EXPECT_EQ(verdict->free, count);
    EXPECT_EQ(verdict->free + verdict->in_use, verdict->pages);
  }
}

TEST(BoltfileFreelist, Faults) {
  absl::StatusOr<std::unique_ptr<File>> file = File::open(with_free_pages(100, 20));
  const uint64_t root = (*file)->meta().root.value;
  EXPECT_THAT(message_of(verify(**file)->status()), HasSubstr("page 20: is free twice"));
  file = File::open(with_free_pages(100, root));
  EXPECT_THAT(message_of(verify(**file)->status()),
              HasSubstr(cat("page ", root, ": in use and free")));
  file = File::open(with_free_pages(100, 1 << 20));
  EXPECT_THAT(message_of(verify(**file)->status()), HasSubstr("calls page 1048576 free"));
}

}  // namespace
}  // namespace keelson::boltfile
