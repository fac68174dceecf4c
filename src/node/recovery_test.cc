// What a member reads when it starts, and how much of it stays in memory.

#include "node/recovery.h"

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "node/test_member.h"
#include "wal/memory_file_system.h"
#include "wire/wal_record.h"

namespace keelson::node {
namespace {

class RecoveryTest : public ::testing::Test {
 protected:
  // A log of `entries` of `bytes` each, all committed, and a store that holds what the first
  // `applied` of them did.
  void make(uint64_t entries, size_t bytes, uint64_t applied, uint64_t marked = 0) {
    auto log = wal::Wal::create(
        options_.wal_dir, wire::encode(wire::WalMetadata{MemberId(1), ClusterId(2)}), options_.wal);
    ASSERT_TRUE(log.ok()) << log.status();
    for (uint64_t i = 1; i <= entries; ++i) {
      raft::Entry entry{.term = Term(1), .index = Index(i), .data = Bytes::copy(text(bytes))};
      ASSERT_TRUE((*log)->append({Term(1), MemberId(1), Index(i)}, std::span(&entry, 1)).ok());
      if (i == marked) {
        ASSERT_TRUE((*log)->save_snapshot({Index(i), Term(1)}, {}).ok());
      }
      if (i % 100 == 0) {
        ASSERT_TRUE((*log)->sync().ok());
      }
    }
    ASSERT_TRUE((*log)->close().ok());
    ASSERT_TRUE(store_.commit({}, Index(applied), Term(1)).ok());
    store_.flush([](absl::Status) {});
  }

  static std::string text(size_t bytes) { return std::string(bytes, 'x'); }

  log::QuietLog quiet_;
  wal::MemoryFileSystem files_;
  backend::MemoryBackend store_;
  RecoveryOptions options_{.wal_dir = "/m/wal",
                           .wal = {.fs = &files_, .segment_bytes = 1 << 20},
                           .initial_cluster = "m=http://localhost:2380",
                           .initial_cluster_token = "t",
                           .name = "m",
                           .keep = {.entries = 100, .bytes = 256 << 10}};
};

TEST_F(RecoveryTest, AppliedEntriesAreReadPastAndNotLoaded) {
  make(3'000, 10'000, 2'990);
  absl::StatusOr<Recovered> found = recover(options_, store_);
  ASSERT_TRUE(found.ok()) << found.status();
  // 30 MB of log; ten entries are to be applied.
  EXPECT_LE(found->storage->bytes(), 2 * options_.keep.bytes + 10 * 10'100);
  EXPECT_GE(found->storage->bytes(), 10 * 10'000u);
  EXPECT_EQ(found->storage->last(), Index(3'000));
  EXPECT_GE(found->unmarked_bytes, 29'900'000u);
}

TEST_F(RecoveryTest, SmallEntriesAreHeldByTheirNumber) {
  make(3'000, 10, 3'000);
  absl::StatusOr<Recovered> found = recover(options_, store_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_LE(found->storage->last() - found->storage->first() + 1, 200u);
}

TEST_F(RecoveryTest, ReadingBeginsAtTheNewestMarkThatTheStoreCovers) {
  make(500, 100, 450, 400);
  absl::StatusOr<Recovered> found = recover(options_, store_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->marked, Index(400));
  EXPECT_EQ(found->storage->first(), Index(401));
  EXPECT_EQ(found->durable, Index(450));
}

TEST_F(RecoveryTest, AStoreAheadOfTheCommitIndexRaisesIt) {
  make(50, 100, 50);
  absl::StatusOr<Recovered> found = recover(options_, store_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->storage->initial_state()->hard_state.commit, Index(50));
}

TEST_F(RecoveryTest, AStoreThatIsAheadOfTheLogIsRefused) {
  make(50, 100, 60);
  absl::StatusOr<Recovered> found = recover(options_, store_);
  EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();
}

// What was replaced may have been of any term; what stands in the end goes up.
TEST_F(RecoveryTest, ALogInWhichTermsGoDownIsRefused) {
  for (uint64_t second : {3, 2}) {
    options_.wal_dir = cat("/m/wal", second);
    auto log = wal::Wal::create(
        options_.wal_dir, wire::encode(wire::WalMetadata{MemberId(1), ClusterId(2)}), options_.wal);
    ASSERT_TRUE(log.ok()) << log.status();
    const std::pair<uint64_t, uint64_t> written[] = {{1, 1}, {2, 3}, {3, 4}, {3, second}};
    for (auto [index, term] : written) {
      raft::Entry entry{.term = Term(term), .index = Index(index), .data = Bytes::copy("x")};
      ASSERT_TRUE((*log)->append({Term(5), MemberId(1), Index(1)}, std::span(&entry, 1)).ok());
    }
    ASSERT_TRUE((*log)->close().ok());
    absl::StatusOr<Recovered> found = recover(options_, store_);
    EXPECT_EQ(found.ok(), second == 3) << found.status();
    EXPECT_TRUE(found.ok() || absl::IsDataLoss(found.status())) << found.status();
  }
}

TEST_F(RecoveryTest, ALogThatBeginsBehindTheStoreIsRefused) {
  make(50, 100, 10, 40);
  // The store of another day, and the log's beginning is gone.
  options_.wal.segment_bytes = 1 << 10;
  {
    auto opened = wal::Wal::open(options_.wal_dir, {Index(40), Term(1)}, options_.wal,
                                 [](raft::Entry) { return absl::OkStatus(); });
    ASSERT_TRUE(opened.ok()) << opened.status();
    raft::Entry entry{.term = Term(1), .index = Index(51), .data = Bytes::copy(text(2'000))};
    ASSERT_TRUE(opened->wal->append({Term(1), MemberId(1), Index(51)}, {&entry, 1}).ok());
    ASSERT_TRUE(opened->wal->close().ok());
  }
  std::vector<std::string> segments;
  for (const std::string& path : files_.paths()) {
    if (path.ends_with(".wal")) segments.push_back(path);
  }
  ASSERT_GE(segments.size(), 2u);
  ASSERT_TRUE(files_.unlink(segments.front()).ok());
  absl::StatusOr<Recovered> found = recover(options_, store_);
  EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();
  // As etcd says it.
  EXPECT_NE(found.status().message().find(
                "failed to find database snapshot file (snap: snapshot file doesn't exist)"),
            std::string_view::npos)
      << found.status();
}

}  // namespace
}  // namespace keelson::node
