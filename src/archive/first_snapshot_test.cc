// Of a stretch nothing can be brought back before it has a snapshot: that is told, and the end of a
// member makes the first one whole if it can.

#include <gtest/gtest.h>

#include "archive/test_archive.h"
#include "base/test_log.h"

namespace keelson::archive {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A disk on which no snapshot can be begun.
class WithoutSnapshots final : public wal::FileSystem {
 public:
  explicit WithoutSnapshots(wal::FileSystem* below) : below_(*below) {}

  bool on = false;

  absl::StatusOr<std::unique_ptr<wal::File>> open(const std::string& path,
                                                  wal::OpenMode mode) override {
    if (on && path.ends_with(cat(".db", kUnfinished))) return absl::UnavailableError("no");
    return below_.open(path, mode);
  }
  absl::Status rename(const std::string& from, const std::string& to) override {
    return below_.rename(from, to);
  }
  absl::Status unlink(const std::string& path) override { return below_.unlink(path); }
  absl::StatusOr<std::vector<std::string>> list(const std::string& dir) override {
    return below_.list(dir);
  }
  absl::Status create_dirs(const std::string& dir) override { return below_.create_dirs(dir); }
  absl::Status remove_dir(const std::string& dir) override { return below_.remove_dir(dir); }
  absl::Status sync_dir(const std::string& dir) override { return below_.sync_dir(dir); }

 private:
  wal::FileSystem& below_;
};

class FirstSnapshot : public ArchiveTest {};

// However much log it has: the snapshot may never come.
TEST_F(FirstSnapshot, IsNotWellWithoutASnapshot) {
  member_->work(10);
  WithoutSnapshots disk(&fs_);
  disk.on = true;
  options_.fs = &disk;
  start();
  settle();
  const Counts& counts = archive_->counts();
  for (int i = 0; i < 10; ++i) {
    member_->work(2);
    wait(seconds(10));
    ASSERT_EQ(counts.index.load(), member_->applied());
    ASSERT_FALSE(counts.healthy.load());
    ASSERT_FALSE(counts.restorable.load());
    ASSERT_EQ(counts.whole_ms.load(), 0);
    ASSERT_EQ(counts.revision.load(), 0);
  }
  EXPECT_GT(counts.failures.load(), 0u);
  disk.on = false;
  wait(minutes(2));
  EXPECT_TRUE(counts.healthy.load());
  EXPECT_TRUE(counts.restorable.load());
  EXPECT_GT(counts.whole_ms.load(), clock_.unix_ms() - 2000);
  EXPECT_EQ(counts.revision.load(), member_->revision());
  check_all();
  archive_.reset();
}

// The first snapshot of a stretch is finished with the member, if there is time for it.
TEST_F(FirstSnapshot, TheEndOfTheMemberMakesTheFirstSnapshotWhole) {
  for (int i = 0; i < 20; ++i) member_->put(cat("k", i), std::string(100'000, 'v'));
  start();
  drive(2);
  ASSERT_EQ(snapshots(), 0u);
  member_->work(5);
  archive_->finish(seconds(2));
  EXPECT_EQ(snapshots(), 1u);
  EXPECT_EQ(catalogue().at(0).last().index.value, member_->applied());
  check_all();
}

TEST_F(FirstSnapshot, ThereMayBeNoTimeForTheFirstSnapshot) {
  for (int i = 0; i < 20; ++i) member_->put(cat("k", i), std::string(100'000, 'v'));
  start();
  while (list_stretch(fs_, stretch_path(kArchiveDir, 1))->unfinished.empty()) drive(1);
  ASSERT_EQ(snapshots(), 0u);
  log::TestLog said(log::Level::kWarn);
  archive_->finish(Duration(0));
  EXPECT_EQ(said.take("the member ends before its archive's newest stretch has a snapshot: "
                      "nothing can be restored from that stretch; the next start writes one")
                .size(),
            1u);
  // As after a crash.
  ASSERT_TRUE(
      fs_.open(cat(stretch_path(kArchiveDir, 1), "/left", kUnfinished), wal::OpenMode::kCreateEmpty)
          .ok());
  start();
  settle();
  EXPECT_EQ(snapshots(), 1u);
  EXPECT_TRUE(list_stretch(fs_, stretch_path(kArchiveDir, 1))->unfinished.empty());
  EXPECT_TRUE(archive_->counts().healthy.load());
  EXPECT_EQ(catalogue().size(), 1u);
  check_all();
}

}  // namespace
}  // namespace keelson::archive
