// One flipped bit anywhere in what was synced: the log is refused and left as it is, or nothing is
// missing. Values are made to look like what a crash leaves (sectors of zeros) and like records.

#include <gtest/gtest.h>

#include <algorithm>

#include "wal/memory_file_system.h"
#include "wal/segment_name.h"
#include "wal/test_logs.h"
#include "wal/wal.h"

namespace keelson::wal {
namespace {

const MemberId kMe{0x8e9e05c52164694d};

raft::HardState state(uint64_t term, uint64_t commit) { return {Term(term), kMe, Index(commit)}; }

// A log on a disk, all of it synced, and what it says.
struct Written {
  std::vector<std::pair<std::string, std::string>> files;
  std::vector<raft::Entry> entries;
  raft::HardState state;
  // How many entries were synced before the last batch was.
  size_t before_last_batch = 0;
};

std::vector<std::pair<std::string, std::string>> segments_on(const MemoryFileSystem& fs) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const std::string& path : fs.paths()) {
    if (path.ends_with(".wal")) files.emplace_back(path, fs.contents(path));
  }
  return files;
}

Options options_on(MemoryFileSystem& fs) {
  Options options;
  options.fs = &fs;
  options.segment_bytes = 8192;
  return options;
}

// `closed`: with an orderly end; else the process dies after its last sync.
Written write_log(Random& random, bool closed) {
  MemoryFileSystem fs;
  Written log;
  auto wal = *Wal::create("wal", "metadata", options_on(fs));
  for (uint64_t batches = 3 + random.below(4); batches > 0; --batches) {
    log.before_last_batch = log.entries.size();
    for (uint64_t appends = 1 + random.below(3); appends > 0; --appends) {
      const size_t first = log.entries.size();
      for (uint64_t n = random.below(3); n > 0; --n) {
        log.entries.push_back(entry(log.entries.size() + 1, 2, odd_value(random).substr(0, 1500)));
      }
      log.state = state(2, first);
      const std::span<const raft::Entry> added = std::span(log.entries).subspan(first);
      EXPECT_TRUE(wal->append(log.state, added).ok());
    }
    EXPECT_TRUE(wal->sync().ok());
  }
  if (closed) {
    EXPECT_TRUE(wal->close().ok());
  }
  wal.reset();
  log.files = segments_on(fs);
  return log;
}

// What opening a copy of `log` with one bit changed comes to.
enum class Outcome { kRefused, kComplete, kCut };

Outcome open_with_flip(const Written& log, size_t file, size_t byte, int bit) {
  MemoryFileSystem fs;
  EXPECT_TRUE(fs.create_dirs("wal").ok());
  for (const auto& [path, content] : log.files) fs.set_contents(path, content);
  const std::string& path = log.files[file].first;
  std::string bad = log.files[file].second;
  bad[byte] = static_cast<char>(bad[byte] ^ (1 << bit));
  fs.set_contents(path, bad);

  std::vector<raft::Entry> served;
  auto opened = Wal::open("wal", {}, options_on(fs), collect_into(&served));
  if (!opened.ok()) {
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
    EXPECT_NE(message_of(opened.status()).find("restore"), std::string::npos);
    EXPECT_EQ(fs.contents(path), bad) << "a refused log must not be touched";
    return Outcome::kRefused;
  }
  const size_t common = std::min(served.size(), log.entries.size());
  EXPECT_TRUE(std::equal(served.begin(), served.end(), log.entries.begin(),
                         log.entries.begin() + static_cast<std::ptrdiff_t>(common)));
  if (served.size() == log.entries.size() && opened->state == log.state) return Outcome::kComplete;
  EXPECT_GE(served.size(), log.before_last_batch) << "entries were cut off that a sync followed";
  return Outcome::kCut;
}

// Flips every bit of what was written; false at the first that does not end as it may.
void flip_every_bit(const Written& log, bool may_cut) {
  int refused = 0;
  int cut = 0;
  for (size_t file = 0; file < log.files.size(); ++file) {
    const size_t end = log.files[file].second.find_last_not_of('\0') + 1;
    for (size_t byte = 0; byte < end; ++byte) {
      for (int bit = 0; bit < 8; ++bit) {
        const Outcome outcome = open_with_flip(log, file, byte, bit);
        refused += outcome == Outcome::kRefused;
        cut += outcome == Outcome::kCut;
        ASSERT_TRUE(may_cut || outcome != Outcome::kCut)
            << log.files[file].first << " byte " << byte << " bit " << bit;
        ASSERT_FALSE(testing::Test::HasFailure())
            << log.files[file].first << " byte " << byte << " bit " << bit;
      }
    }
  }
  testing::Test::RecordProperty("refused", refused);
  testing::Test::RecordProperty("cut", cut);
  EXPECT_GT(refused, 1000);
}

TEST(WalDamage, NoBitOfAClosedLogCutsAnything) {
  log::QuietLog quiet;
  for_each_seed(3, [](uint64_t seed) {
    SeededRandom random(seed);
    flip_every_bit(write_log(random, true), false);
  });
}

// After a crash nothing is behind the last batch that would show that it was synced.
TEST(WalDamage, NoBitCutsMoreThanTheLastBatch) {
  log::QuietLog quiet;
  for_each_seed(3, [](uint64_t seed) {
    SeededRandom random(seed ^ 0xba7c4);
    flip_every_bit(write_log(random, false), true);
  });
}

// A length of a power of two, one flip away from zero, at the very end of its sector: nothing else
// in the sector shows that there is a record.
TEST(WalDamage, ALengthThatBecameZeroAtTheEndOfItsSector) {
  log::QuietLog quiet;
  int aligned = 0;
  for (size_t filler = 0; filler < 512; filler += 8) {
    MemoryFileSystem fs;
    auto wal = *Wal::create("wal", "metadata", options_on(fs));
    Written log;
    // Entries of 128 bytes as records, whatever their sums' lengths: one of the sizes is that.
    for (size_t size : {filler, size_t{110}, size_t{111}, size_t{112}, size_t{113}, size_t{8}}) {
      log.before_last_batch = log.entries.size();
      log.entries.push_back(entry(log.entries.size() + 1, 2, std::string(size, 'v')));
      ASSERT_TRUE(wal->append({}, {&log.entries.back(), 1}).ok());
      ASSERT_TRUE(wal->sync().ok());
    }
    wal.reset();
    log.files = segments_on(fs);
    const std::string& file = log.files[0].second;
    for (size_t at = kSectorSize - 8; at + 8 < file.size(); at += kSectorSize) {
      if (load_length_field(&file[at]) != 128) continue;
      ++aligned;
      EXPECT_EQ(open_with_flip(log, 0, at, 7), Outcome::kRefused) << "filler " << filler;
    }
  }
  EXPECT_GT(aligned, 0);
}

// etcd's way to write: entries, then a hard state, one sync for both, no sums in between.
class EtcdWriter {
 public:
  explicit EtcdWriter(MemoryFileSystem& fs) : fs_(fs) {
    EXPECT_TRUE(fs_.create_dirs("wal").ok());
    file_ = *fs_.open("wal/0000000000000000-0000000000000000.wal", OpenMode::kCreateEmpty);
    EXPECT_TRUE(file_->allocate(64 << 10).ok());
    buffer_.add_crc();
    buffer_.add_data(wire::RecordType::kMetadata, "metadata");
    buffer_.add_data(wire::RecordType::kSnapshot, std::string_view("\x08\x00\x10\x00", 4));
    EXPECT_TRUE(flush() && file_->fdatasync().ok() && fs_.sync_dir("wal").ok());
  }

  // False when the disk fails.
  bool save(const raft::HardState& state, const std::vector<raft::Entry>& entries) {
    for (const raft::Entry& e : entries) buffer_.add_entry(e);
    if (!state.empty()) buffer_.add_state(state);
    const bool must_sync = !entries.empty() || state.term != state_.term;
    if (!state.empty()) state_ = state;
    return !must_sync || (flush() && file_->fdatasync().ok());
  }
  bool flush() {
    const bool fine = file_->pwrite(written_, buffer_.view()).ok();
    written_ += buffer_.size();
    buffer_.clear();
    return fine;
  }

 private:
  MemoryFileSystem& fs_;
  std::unique_ptr<File> file_;
  RecordBuffer buffer_;
  uint64_t written_ = 0;
  raft::HardState state_;
};

TEST(WalDamage, NoBitOfEtcdsLogCutsMoreThanItsLastSave) {
  log::QuietLog quiet;
  for_each_seed(2, [](uint64_t seed) {
    SeededRandom random(seed ^ 0xe7cd);
    MemoryFileSystem fs;
    Written log;
    EtcdWriter etcd(fs);
    for (int saves = 0; saves < 6; ++saves) {
      log.before_last_batch = log.entries.size();
      std::vector<raft::Entry> added;
      for (uint64_t n = 1 + random.below(3); n > 0; --n) {
        log.entries.push_back(entry(log.entries.size() + 1, 2, odd_value(random).substr(0, 1500)));
        added.push_back(log.entries.back());
      }
      log.state = state(2, log.before_last_batch);
      ASSERT_TRUE(etcd.save(log.state, added));
    }
    log.files = segments_on(fs);
    flip_every_bit(log, true);
  });
}

// Power loss at any moment of etcd's writing: the log opens, with all that was synced.
TEST(WalDamage, EtcdsCrashesAreNeverTakenForDamage) {
  log::QuietLog quiet;
  for_each_seed(500, [](uint64_t seed) {
    SeededRandom random(seed ^ 0xc4a54);
    MemoryFileSystem fs;
    std::vector<raft::Entry> entries;
    size_t synced = 0;
    {
      EtcdWriter etcd(fs);
      fs.fail_after(random.below(24));
      for (int saves = 0; saves < 20; ++saves) {
        std::vector<raft::Entry> added;
        for (uint64_t n = random.below(4); n > 0; --n) {
          entries.push_back(entry(entries.size() + 1, 2, odd_value(random).substr(0, 1500)));
          added.push_back(entries.back());
        }
        // A follower learns of a commit together with the entries.
        const bool with_state = random.below(3) != 0;
        if (!etcd.save(with_state ? state(2, entries.size()) : raft::HardState{}, added)) break;
        if (!added.empty()) synced = entries.size();
        if (random.below(4) == 0 && !etcd.flush()) break;
      }
    }
    fs.crash(random);
    std::vector<raft::Entry> served;
    auto opened = Wal::open("wal", {}, options_on(fs), collect_into(&served));
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_GE(served.size(), synced);
    ASSERT_LE(served.size(), entries.size());
    EXPECT_TRUE(std::equal(served.begin(), served.end(), entries.begin()));
  });
}

// Our batches, several saves each, behind what etcd wrote: none of our crashes passes for damage.
// (Seed 1815 loses just the sector that ends with the length of the sum between the two.)
TEST(WalDamage, OurCrashesBehindEtcdsRecords) {
  log::QuietLog quiet;
  for_each_seed(2000, [](uint64_t seed) {
    SeededRandom random(seed ^ 0x0c4a54);
    MemoryFileSystem fs;
    std::vector<raft::Entry> entries;
    auto save_one = [&](auto&& save) {
      entries.push_back(entry(entries.size() + 1, 2, odd_value(random).substr(0, 600)));
      return save(state(2, entries.size()), std::vector<raft::Entry>{entries.back()});
    };
    {
      EtcdWriter etcd(fs);
      for (uint64_t n = random.below(4); n > 0; --n) {
        ASSERT_TRUE(save_one([&](auto state, auto added) { return etcd.save(state, added); }));
      }
    }
    fs.kill();
    size_t synced = entries.size();
    {
      std::vector<raft::Entry> found;
      auto opened = Wal::open("wal", {}, options_on(fs), collect_into(&found));
      ASSERT_TRUE(opened.ok()) << opened.status();
      for (uint64_t n = 1 + random.below(8); n > 0; --n) {
        ASSERT_TRUE(save_one(
            [&](auto state, auto added) { return opened->wal->append(state, added).ok(); }));
        if (opened->wal->unsynced_bytes() == 0) synced = entries.size();
      }
      fs.fail_after(1);  // the write, not the sync
      EXPECT_FALSE(opened->wal->sync().ok() && opened->wal->unsynced_bytes() != 0);
    }
    fs.crash(random);
    std::vector<raft::Entry> served;
    auto opened = Wal::open("wal", {}, options_on(fs), collect_into(&served));
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_GE(served.size(), synced);
    EXPECT_TRUE(std::equal(served.begin(), served.end(), entries.begin()));
  });
}

// Every byte of a log, changed in several ways, a record's type into the next one among them.
TEST(WalDamage, NoChangedByteIsServed) {
  log::QuietLog quiet;
  MemoryFileSystem fs;
  Options options = options_on(fs);
  options.segment_bytes = 2048;
  auto wal = *Wal::create("wal", "metadata", options);
  Written log;
  for (uint64_t i = 1; i <= 13; ++i) {
    log.entries.push_back(entry(i, 2, std::string(i * 37 % 700, static_cast<char>('a' + i))));
    if (i == 12) {
      log.entries.back() = entry(i, 2, "");
      log.entries.back().type = raft::EntryType::kConfChangeV2;
      log.entries.back().type_set = true;
    }
    log.state = state(2, i - 1);
    ASSERT_TRUE(wal->append(log.state, {&log.entries.back(), 1}).ok());
    ASSERT_TRUE(wal->sync().ok());
  }
  ASSERT_TRUE(wal->close().ok());
  log.files = segments_on(fs);
  ASSERT_GT(log.files.size(), 1u);
  for (size_t file = 0; file < log.files.size(); ++file) {
    const std::string good = log.files[file].second;
    for (size_t byte = 0; byte < good.size(); ++byte) {
      // With the flip that follows: 0x01, 0x80, 0x5a, 0xff.
      for (int change : {0x00, 0x81, 0x5b, 0xfe}) {
        log.files[file].second[byte] = static_cast<char>(good[byte] ^ change);
        const Outcome outcome = open_with_flip(log, file, byte, 0);
        ASSERT_NE(outcome, Outcome::kCut) << log.files[file].first << " byte " << byte;
        ASSERT_FALSE(testing::Test::HasFailure()) << log.files[file].first << " byte " << byte;
      }
      log.files[file].second[byte] = good[byte];
    }
  }
}

}  // namespace
}  // namespace keelson::wal
