// A fixed run of the reader's fuzz target: a good log, and many damaged ones.

#include "wal/wal_reader_fuzz.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/test_seeds.h"
#include "wal/memory_file_system.h"
#include "wal/wal.h"

namespace keelson::wal {
namespace {

std::string good_log() {
  MemoryFileSystem fs;
  Options options;
  options.fs = &fs;
  options.segment_bytes = 8192;
  auto wal = *Wal::create("wal", "meta", options);
  for (uint64_t i = 1; i <= 12; ++i) {
    raft::Entry entry;
    entry.index = Index(i);
    entry.term = Term(1 + i / 5);
    entry.data = Bytes::copy(std::string(i * 53 % 400, 'd'));
    entry.data_set = !entry.data.empty();
    EXPECT_TRUE(wal->append({entry.term, MemberId(7), Index(i - 1)}, {&entry, 1}).ok());
  }
  EXPECT_TRUE(wal->close().ok());
  return fs.contents("wal/0000000000000000-0000000000000000.wal");
}

TEST(WalReaderFuzz, SeedCorpus) {
  const std::string good = good_log();
  fuzz_wal_reader("");
  fuzz_wal_reader(good);
  fuzz_wal_reader(std::string(600, '\0'));
  for_each_seed(3000, [&](uint64_t seed) {
    SeededRandom random(seed);
    std::string bad = good;
    for (uint64_t n = random.below(4); n > 0; --n) {
      const size_t at = random.below(bad.size());
      switch (random.below(4)) {
        case 0:
          bad[at] = static_cast<char>(random.next());
          break;
        case 1:
          bad.replace(at / 512 * 512, 512, 512, '\0');
          break;
        case 2:
          bad.resize(at);
          bad.resize(random.below(2) == 0 ? at : good.size(), '\0');
          break;
        case 3:
          bad.insert(at, bad.substr(random.below(bad.size()), random.below(64)));
          break;
      }
      if (bad.empty()) break;
    }
    fuzz_wal_reader(bad);
  });
}

}  // namespace
}  // namespace keelson::wal
