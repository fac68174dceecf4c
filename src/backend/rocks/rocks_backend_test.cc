// What only the RocksDB backend can show: files that are damaged, locked or missing.

#include "backend/rocks/rocks_backend.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>

#include "base/endian.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

absl::Status first_of_value(std::string_view, std::string_view value, std::string* head) {
  *head += value.substr(0, 1);
  return absl::OkStatus();
}
constexpr HeadFormat kHeads{.of = first_of_value, .version = 1};

class RocksBackendTest : public ::testing::Test {
 protected:
  RocksBackendTest() : dir_(cat(::testing::TempDir(), "keelson_rocks_", ::getpid())) {
    std::filesystem::remove_all(dir_);
  }
  ~RocksBackendTest() override { std::filesystem::remove_all(dir_); }

  std::unique_ptr<Backend> open(RocksOptions options = {}) {
    auto opened = open_rocks_backend(dir_, options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  void fill(Backend& backend, int records) {
    for (int i = 0; i < records; ++i) {
      WriteBatch batch;
      batch.put(Bucket::kKey, cat("key", 1000000 + i), value(i));
      ASSERT_TRUE(backend.commit(batch, Index(static_cast<uint64_t>(i) + 1), Term(1)).ok());
    }
  }
  static std::string value(int i) {
    return cat("value ", i, std::string(100, static_cast<char>('a' + i % 26)));
  }

  std::string dir_;
};

TEST_F(RocksBackendTest, ReopenHasEverythingAfterAnOrderlyClose) {
  { fill(*open(), 1000); }
  auto backend = open();
  EXPECT_EQ(backend->consistent_index(), Index(1000));
  EXPECT_EQ(backend->durable_index(), Index(1000));
  EXPECT_EQ((*backend->get(Bucket::kKey, "key1000999"))->str(), value(999));
  EXPECT_GT(backend->size_on_disk(), 0u);
  EXPECT_LE(backend->size_in_use(), backend->size_on_disk());
}

TEST_F(RocksBackendTest, ASecondProcessIsRefused) {
  auto backend = open();
  auto second = open_rocks_backend(dir_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
}

TEST_F(RocksBackendTest, MissingDatabaseIsNotMade) {
  EXPECT_EQ(open_rocks_backend(dir_, {.create_if_missing = false}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(open_rocks_backend(dir_, {.read_only = true}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(RocksBackendTest, ACheckpointOpens) {
  auto backend = open();
  fill(*backend, 500);
  std::string copy = dir_ + "_copy";
  std::filesystem::remove_all(copy);
  ASSERT_TRUE(backend->checkpoint(copy).ok());
  fill(*backend, 0);
  auto opened = open_rocks_backend(copy, {.create_if_missing = false});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->consistent_index(), Index(500));
  EXPECT_EQ((*(*opened)->get(Bucket::kKey, "key1000499"))->str(), value(499));
  opened->reset();
  std::filesystem::remove_all(copy);
}

TEST_F(RocksBackendTest, DurableIndexFollowsAutomaticFlushes) {
  auto backend = open({.write_buffers = 4 << 20});
  std::promise<Index> told;
  std::atomic<bool> once{false};
  backend->set_durable_listener([&](Index i) {
    if (!once.exchange(true)) told.set_value(i);
  });
  fill(*backend, 30000);
  Index durable = told.get_future().get();
  EXPECT_GT(durable, Index(1000));
  EXPECT_LE(durable, Index(30000));
}

// Every kind of file, flipped at many places: a read may fail, it never lies.
TEST_F(RocksBackendTest, AFlippedByteIsNeverServed) {
  constexpr int kRecords = 2000;
  { fill(*open(), kRecords); }
  int detected = 0, tried = 0;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
    std::string ext = entry.path().extension();
    if (ext == ".sst" || entry.path().filename().string().starts_with("MANIFEST")) {
      files.push_back(entry.path());
    }
  }
  for (const std::string& file : files) {
    auto size = std::filesystem::file_size(file);
    for (uint64_t at = 0; at < size; at += size / 24 + 1) {
      ++tried;
      std::string copy = dir_ + "_damaged";
      std::filesystem::remove_all(copy);
      std::filesystem::copy(dir_, copy, std::filesystem::copy_options::recursive);
      std::fstream f(copy + "/" + std::filesystem::path(file).filename().string(),
                     std::ios::in | std::ios::out | std::ios::binary);
      f.seekg(static_cast<std::streamoff>(at));
      char c = static_cast<char>(f.get() ^ 0x10);
      f.seekp(static_cast<std::streamoff>(at));
      f.put(c);
      f.close();

      auto opened = open_rocks_backend(copy, {.create_if_missing = false});
      if (!opened.ok()) {
        ++detected;
        EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
        continue;
      }
      int seen = 0;
      auto it = (*opened)->iterate(Bucket::kKey);
      for (it->seek_to_first(); it->valid(); it->next(), ++seen) {
        ASSERT_EQ(it->value(), value(seen));
      }
      if (it->status().ok()) {
        EXPECT_EQ(seen, kRecords) << file << " at " << at;
      } else {
        EXPECT_EQ(it->status().code(), absl::StatusCode::kDataLoss);
        ++detected;
      }
    }
  }
  EXPECT_GT(detected, tried / 4) << tried;
  std::filesystem::remove_all(dir_ + "_damaged");
}

// From the log's first moment on: a log that is lost before the first flush is missed, too.
TEST_F(RocksBackendTest, AYoungStoreSaysThatThereIsALog) {
  auto backend = open({.flush_on_close = false});
  const std::string mark = dir_ + "/KEELSON.durable";
  EXPECT_FALSE(std::filesystem::exists(mark));
  ASSERT_TRUE(backend->note_log().ok());
  EXPECT_TRUE(std::filesystem::exists(mark));
  backend = nullptr;
  backend = open({.flush_on_close = false});
  EXPECT_EQ(backend->durable_index(), Index(0));
  fill(*backend, 10);
  std::promise<absl::Status> done;
  backend->flush([&](absl::Status status) { done.set_value(std::move(status)); });
  ASSERT_TRUE(done.get_future().get().ok());
  ASSERT_TRUE(backend->note_log().ok());
  backend = nullptr;
  EXPECT_EQ(open()->durable_index(), Index(10));
}

// Whatever lies in the way of a start that opens and never answers is an error, or passed over.
TEST_F(RocksBackendTest, APipeAmongTheFilesHangsNobody) {
  {
    auto backend = open({.heads = kHeads});
    fill(*backend, 100);
  }
  int refused = 0, opened_all_the_same = 0;
  const std::string whole = dir_ + "_whole";
  std::filesystem::rename(dir_, whole);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(whole)) {
    if (!entry.is_regular_file()) continue;
    std::filesystem::copy(whole, dir_, std::filesystem::copy_options::recursive);
    const std::string path = dir_ + entry.path().string().substr(whole.size());
    std::filesystem::remove(path);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    auto opened = open_rocks_backend(dir_, {.heads = kHeads, .flush_on_close = false});
    if (opened.ok()) {
      int seen = 0;
      auto walk = (*opened)->walk_heads(kHeads);
      while (walk->next()) ++seen;
      EXPECT_EQ(seen, 100) << path << ": " << walk->status();
      walk.reset();
      opened->reset();
    }
    ++(opened.ok() ? opened_all_the_same : refused);
    std::filesystem::remove_all(dir_);
  }
  std::filesystem::remove_all(whole);
  EXPECT_GE(refused, 4);
  EXPECT_GE(opened_all_the_same, 1);  // a head file
}

// Files that go bad while the store is open, each at its beginning: whatever reads the block hears
// of it. (A scan that crosses into a file whose first block is bad is the hard case.)
class DamagedUnderneath : public RocksBackendTest {
 protected:
  // Several files in the last level, one above it.
  std::unique_ptr<Backend> open_with_files() {
    auto backend = open({.write_buffers = 256 << 10, .block_cache = 64 << 10});
    if (!backend) return nullptr;
    fill(*backend, kRecords);
    flush(*backend);
    return backend;
  }
  static void flush(Backend& backend) {
    std::promise<absl::Status> done;
    backend.flush([&](absl::Status status) { done.set_value(std::move(status)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  std::vector<std::string> tables() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
      if (entry.path().extension() == ".sst") out.push_back(entry.path());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  static void flip(const std::string& file, uint64_t at) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    char c = static_cast<char>(f.get() ^ 0x10);
    f.seekp(static_cast<std::streamoff>(at));
    f.put(c);
  }
  // Whether it read all there is; else it must have failed.
  static bool scan(const Backend& backend, bool forward) {
    size_t seen = 0;
    absl::Status status;
    for (Bucket bucket : buckets_by_name()) {
      auto it = backend.iterate(bucket);
      for (forward ? it->seek_to_first() : it->seek_to_last(); it->valid();
           forward ? it->next() : it->prev()) {
        ++seen;
      }
      status.Update(it->status());
    }
    if (status.ok()) return seen == kRecords + kMetaRecords;
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    return true;
  }

  static int readable(const Backend& backend) {
    auto it = backend.iterate(Bucket::kKey);
    int seen = 0;
    for (it->seek_to_first(); it->valid(); it->next()) ++seen;
    return seen;
  }

  static constexpr int kRecords = 20'000;
  static constexpr int kMetaRecords = 2;  // consistent_index, term
};

TEST_F(DamagedUnderneath, NoScanPassesOverIt) {
  for (const bool forward : {true, false}) {
    auto backend = open_with_files();
    ASSERT_GE(tables().size(), 4u);
    for (const std::string& file : tables()) {
      flip(file, 0);
      EXPECT_TRUE(scan(*backend, forward)) << file << (forward ? " forward" : " backward");
      flip(file, 0);
    }
    backend.reset();
    std::filesystem::remove_all(dir_);
  }
}

// Somebody cuts the files of a running store short, at a block's edge or anywhere.
TEST_F(DamagedUnderneath, AFileThatBecameShorterIsDamageAndNoAbort) {
  for (const uint64_t part : {0, 1, 4, 7}) {
    auto backend = open_with_files();
    for (const std::string& file : tables()) {
      std::error_code gone;  // a merge may have taken it away
      const uint64_t size = std::filesystem::file_size(file, gone);
      if (!gone) std::filesystem::resize_file(file, size * part / 8, gone);
    }
    for (const bool forward : {true, false}) {
      EXPECT_TRUE(scan(*backend, forward)) << part << (forward ? " forward" : " backward");
    }
    EXPECT_LT(readable(*backend), kRecords);
    auto it = backend->iterate(Bucket::kKey);
    for (int i = 0; i < kRecords; i += 97) {
      absl::StatusOr<std::optional<Bytes>> found =
          backend->get(Bucket::kKey, cat("key", 1000000 + i));
      if (!found.ok()) {
        EXPECT_EQ(found.status().code(), absl::StatusCode::kDataLoss) << found.status();
        continue;
      }
      EXPECT_TRUE(found->has_value());
    }
    std::promise<absl::Status> told, merged;
    backend->set_health_listener([&, once = false](const absl::Status& health) mutable {
      if (!health.ok() && !std::exchange(once, true)) told.set_value(health);
    });
    backend->read_through([](PassingRecords) { return true; });
    EXPECT_EQ(told.get_future().get().code(), absl::StatusCode::kDataLoss);
    backend->reclaim([&](absl::Status status) { merged.set_value(std::move(status)); });
    merged.get_future().get().IgnoreError();
    it.reset();
    backend.reset();
    std::filesystem::remove_all(dir_);
  }
}

TEST_F(DamagedUnderneath, ReadingThroughShowsAllThereIs) {
  auto backend = open_with_files();
  std::promise<void> all;
  int passed = 0;
  backend->read_through([&](PassingRecords records) {
    for (const auto& [key, value] : records) EXPECT_EQ(value, this->value(passed++)) << key;
    if (passed == kRecords) all.set_value();
    return true;
  });
  all.get_future().wait();
  EXPECT_TRUE(backend->health().ok());
}

// Far more deleted records lie between those that are there than an iterator passes over at once.
TEST_F(RocksBackendTest, ReadingThroughPassesOverWhatIsDeleted) {
  constexpr int kAll = 150'000, kKeep = 70'000;
  auto backend = open();
  WriteBatch batch;
  for (int i = 0; i < kAll; ++i) {
    batch.put(Bucket::kKey, big64(static_cast<uint64_t>(i)), "v");
    if (i % kKeep != 0) batch.del(Bucket::kKey, big64(static_cast<uint64_t>(i)));
    if (i % 1000 == 999) {
      ASSERT_TRUE(backend->commit(batch, Index(static_cast<uint64_t>(i)), Term(1)).ok());
      batch.clear();
    }
  }
  std::promise<void> all;
  std::vector<std::string> seen;
  backend->read_through([&](PassingRecords records) {
    for (const auto& [key, value] : records) seen.push_back(key);
    if (seen.size() == 3) all.set_value();
    return true;
  });
  all.get_future().wait();
  backend.reset();
  EXPECT_EQ(seen, (std::vector<std::string>{big64(0), big64(kKeep), big64(2 * kKeep)}));
}

TEST_F(DamagedUnderneath, ReadingThroughFindsIt) {
  open_with_files().reset();
  auto backend = open();
  for (const std::string& file : tables()) flip(file, 0);
  std::promise<absl::Status> told;
  bool once = false;
  backend->set_health_listener([&](const absl::Status& health) {
    if (!std::exchange(once, true)) told.set_value(health);
  });
  int asked = 0;
  backend->read_through([&](PassingRecords) { return ++asked < 2; });
  EXPECT_EQ(told.get_future().get().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DamagedUnderneath, NoMergeLosesIt) {
  for (size_t tenth = 0; tenth < 10; ++tenth) {
    auto backend = open_with_files();
    const std::string file = tables()[tables().size() * tenth / 10];
    flip(file, 0);
    std::promise<absl::Status> done;
    backend->reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
    const absl::Status merged = done.get_future().get();
    // Either the merge did not need the file, or it failed and the file is there to be mended.
    if (!merged.ok()) {
      EXPECT_EQ(merged.code(), absl::StatusCode::kDataLoss) << merged;
    }
    backend.reset();
    if (std::filesystem::exists(file)) flip(file, 0);
    backend = open();
    ASSERT_NE(backend, nullptr) << file;
    EXPECT_EQ(readable(*backend), kRecords) << file << ": " << merged;
    backend.reset();
    std::filesystem::remove_all(dir_);
  }
}

}  // namespace
}  // namespace keelson::backend
