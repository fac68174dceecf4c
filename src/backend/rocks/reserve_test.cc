// A disk that the store filled itself: what is kept in reserve gets it out.

#include "backend/rocks/reserve.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "backend/rocks/fault_files.h"
#include "backend/rocks/patient_files.h"
#include "backend/rocks/rocks_backend.h"
#include "base/endian.h"
#include "base/random.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

constexpr uint64_t kCapacity = 24 << 20;
constexpr uint64_t kReserve = 4 << 20;
constexpr size_t kValue = 10'000;
constexpr const char* kReserveFile = "KEELSON.reserve";
constexpr const char* kForStarts = "KEELSON.reserve.start-";
constexpr int kStarts = 4;
constexpr uint64_t kPerStart = kReserve / 16;

class ReserveTest : public ::testing::Test {
 protected:
  void open(bool patient = true) {
    auto opened = open_rocks_backend("/store", {.write_buffers = 1 << 20,
                                                .reserve_bytes = kReserve,
                                                .patient = patient,
                                                .files = disk_.files()});
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
    {
      std::lock_guard lock(mutex_);
      full_ = absl::IsResourceExhausted(backend_->health());
    }
    backend_->set_health_listener([this](const absl::Status& health) {
      std::lock_guard lock(mutex_);
      full_ = absl::IsResourceExhausted(health);
      changed_.notify_all();
    });
  }
  bool full() {
    std::lock_guard lock(mutex_);
    return full_;
  }
  uint64_t for_starts() const {
    uint64_t all = 0;
    for (int i = 0; i < kStarts; ++i) all += disk_.bytes(cat(kForStarts, i));
    return all;
  }
  void wait_for_space() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [this] { return !full_; }));
  }

  // As a member does: nothing more once it hears that the disk is full.
  void fill() {
    while (!full()) {
      ASSERT_TRUE(put().ok());
      ASSERT_LT(last_, 100 * kCapacity / kValue);
    }
  }
  absl::Status put() {
    std::string value(kValue, ' ');
    for (char& c : value) c = static_cast<char>(random_.below(256));
    WriteBatch batch;
    batch.put(Bucket::kKey, big64(++last_), value);
    return backend_->commit(batch, Index(++index_), Term(1));
  }
  absl::Status empty() {
    for (uint64_t i = 1; i <= last_; ++i) {
      WriteBatch batch;
      batch.del(Bucket::kKey, big64(i));
      EXPECT_TRUE(backend_->commit(batch, Index(++index_), Term(1)).ok());
    }
    backend_->set_live_bytes(0);
    std::promise<absl::Status> done;
    backend_->reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }

  FaultFiles disk_{1};
  SeededRandom random_{1};
  std::unique_ptr<Backend> backend_;
  uint64_t last_ = 0, index_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool full_ = false;
};

TEST_F(ReserveTest, IsKeptAndCountsForNothing) {
  open();
  EXPECT_EQ(disk_.bytes(kReserveFile), kReserve);
  EXPECT_LT(backend_->size_on_disk(), kReserve);
  backend_.reset();
  EXPECT_EQ(disk_.bytes(kReserveFile), kReserve);
}

TEST_F(ReserveTest, AFullStoreIsEmptiedAndFilledAgain) {
  disk_.set_capacity(kCapacity);
  open();
  for (int round = 0; round < 3; ++round) {
    const uint64_t before = last_;
    fill();
    EXPECT_GT((last_ - before) * kValue, kCapacity / 3) << round;
    EXPECT_EQ(disk_.bytes(kReserveFile), 0u);
    if (round > 0) {
      // A start on the full disk.
      backend_.reset();
      open();
      EXPECT_TRUE(full());
      EXPECT_TRUE(*backend_->get(Bucket::kKey, big64(before + 1)));
    }
    absl::Status emptied = empty();
    EXPECT_TRUE(emptied.ok()) << emptied;
    wait_for_space();
    EXPECT_EQ(disk_.bytes(kReserveFile), kReserve);
  }
}

// Others may take all that is left, and the process may die before it has back what it opened in.
TEST_F(ReserveTest, AStoreOpensOnADiskThatIsFullToTheLastByte) {
  disk_.set_capacity(kCapacity);
  open();
  fill();
  EXPECT_EQ(for_starts(), kStarts * kPerStart);
  for (int i = 0; i < 20; ++i) {
    FaultFiles killed = disk_.after_kill();
    backend_.reset();
    disk_ = killed;
    disk_.set_capacity(disk_.bytes(""));
    open();
    ASSERT_TRUE(backend_ != nullptr) << i;
    EXPECT_TRUE(full());
    // What was in memory is lost: there is no log here.
    EXPECT_GE(for_starts(), (kStarts - 2) * kPerStart) << i;
    EXPECT_LE(backend_->consistent_index().value, index_);
  }
  // As often as there are pieces, at least.
  for (int left = kStarts - 1; left >= 0; --left) {
    backend_.reset();
    for (int i = left; i < kStarts; ++i) {
      disk_.files()->DeleteFile(cat("/store/", kForStarts, i), {}, nullptr).PermitUncheckedError();
    }
    disk_.set_capacity(disk_.bytes(""));
    if (left > 0) {
      open();
      continue;
    }
    auto opened = open_rocks_backend(
        "/store", {.write_buffers = 1 << 20, .reserve_bytes = kReserve, .files = disk_.files()});
    EXPECT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
  }
  disk_.set_capacity(UINT64_MAX);
  open();
  wait_for_space();
  EXPECT_EQ(for_starts(), kStarts * kPerStart);
}

// What can be made again is given up, and with it the space that it took.
TEST_F(ReserveTest, AStoreThatIsNotPatientFailsWhereSpaceIsLacking) {
  disk_.set_capacity(kCapacity);
  open(false);
  absl::Status failed;
  while (failed.ok()) {
    failed = put();
    ASSERT_LT(last_, 100 * kCapacity / kValue);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(failed)) << failed;
}

TEST_F(ReserveTest, PatienceCanBeginLater) {
  disk_.set_capacity(kCapacity);
  open(false);
  begin_patience(*backend_);
  fill();
  disk_.set_capacity(UINT64_MAX);
  wait_for_space();
}

// Counts how often somebody asks for the disk's free space, and tries to make the reserve's file.
class CountingFiles final : public rocksdb::FileSystemWrapper {
 public:
  explicit CountingFiles(std::shared_ptr<rocksdb::FileSystem> files)
      : FileSystemWrapper(std::move(files)) {}
  const char* Name() const override { return "CountingFiles"; }

  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* free, rocksdb::IODebugContext* debug) override {
    std::lock_guard lock(mutex_);
    ++looks_;
    changed_.notify_all();
    return FileSystemWrapper::GetFreeSpace(path, options, free, debug);
  }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override {
    {
      std::lock_guard lock(mutex_);
      ++tries_;
    }
    return FileSystemWrapper::NewWritableFile(name, options, result, debug);
  }
  // Waits for so many more looks; how many tries there were meanwhile.
  int tries_in(int looks) {
    std::unique_lock lock(mutex_);
    const int until = looks_ + looks, before = tries_;
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return looks_ >= until; }));
    return tries_ - before;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int looks_ = 0, tries_ = 0;
};

// What a full disk is asked each second costs nothing; what is tried in spite of what it says
// (there is somebody's quota) is tried ever more rarely. Both end when there is space.
TEST(ReserveTries, ThereAreNoneOnAFullDiskAndFewWhereItDoesNotSay) {
  for (Weather weather : {Weather::kFull, Weather::kOverQuota}) {
    FaultFiles disk{1};
    auto files = std::make_shared<CountingFiles>(disk.files());
    ASSERT_TRUE(files->CreateDir("/store", {}, nullptr).ok());
    std::promise<void> enough;
    rocks::Reserve reserve(files, "/store", kReserve, rocks::Waits(1000), [&](bool is_short) {
      if (!is_short) enough.set_value();
    });
    reserve.take_first();
    disk.set_weather(weather);
    ASSERT_TRUE(reserve.give_away());
    const int tries = files->tries_in(100);
    // After 1, 2, 4, 8 rounds, and then after 16 each time.
    EXPECT_LE(tries, weather == Weather::kFull ? 0 : 11);
    EXPECT_GE(tries, weather == Weather::kFull ? 0 : 5);
    EXPECT_TRUE(reserve.is_short());
    disk.set_weather(Weather::kCalm);
    EXPECT_EQ(enough.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
    EXPECT_EQ(disk.bytes(kReserveFile), kReserve);
  }
}

// What is left of the reserve is for flushes and the log.
TEST(ReserveRoom, MergesLeaveSomeWhileSpaceIsShort) {
  FaultFiles disk{1};
  ASSERT_TRUE(disk.files()->CreateDir("/store", {}, nullptr).ok());
  const uint64_t all = kReserve + kStarts * kPerStart;
  disk.set_capacity(all);
  rocks::Reserve reserve(disk.files(), "/store", kReserve, rocks::Waits(1000), [](bool) {});
  reserve.take_first();
  EXPECT_TRUE(reserve.leaves_room(kReserve));
  disk.set_capacity(all - 1);
  ASSERT_TRUE(reserve.give_away());
  EXPECT_TRUE(reserve.leaves_room(kReserve / 16 * 15 - 1));
  EXPECT_FALSE(reserve.leaves_room(kReserve / 16 * 15));
}

// Finds no space for the files of one name until it is told to; counts what is taken ahead for
// them.
class GatedFiles final : public rocksdb::FileSystemWrapper {
 public:
  GatedFiles(std::shared_ptr<rocksdb::FileSystem> files, std::string name)
      : FileSystemWrapper(std::move(files)), name_(std::move(name)) {}
  const char* Name() const override { return "GatedFiles"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus made = FileSystemWrapper::NewWritableFile(name, options, result, debug);
    if (made.ok() && name == name_) *result = std::make_unique<File>(std::move(*result), *this);
    return made;
  }
  void open() { open_ = true; }
  int ahead() const { return ahead_; }

 private:
  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> file, GatedFiles& files)
        : FSWritableFileOwnerWrapper(std::move(file)), files_(files) {}
    void PrepareWrite(size_t, size_t, const rocksdb::IOOptions&,
                      rocksdb::IODebugContext*) override {
      ++files_.ahead_;
    }
    rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t at,
                                       const rocksdb::IOOptions& options,
                                       rocksdb::IODebugContext* debug) override {
      if (!files_.open_) return rocksdb::IOStatus::NoSpace("closed");
      return FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, debug);
    }

   private:
    GatedFiles& files_;
  };

  const std::string name_;
  std::atomic<bool> open_{false};
  std::atomic<int> ahead_{0};
};

// What comes free is for who waits, not for a merge.
TEST(ReserveRoom, AMergeIsGivenUpWhereSomebodyWaits) {
  FaultFiles disk{1};
  auto gated = std::make_shared<GatedFiles>(disk.files(), "/2.sst");
  std::promise<void> waits;
  rocks::PatientFiles files(
      gated,
      [&](bool full) {
        if (full) waits.set_value();
      },
      [] { return false; }, [](uint64_t) { return true; }, rocks::Waits(1000));
  files.be_patient();
  std::unique_ptr<rocksdb::FSWritableFile> merged, flushed;
  files.expect_merge_output("/1.sst");
  ASSERT_TRUE(files.NewWritableFile("/1.sst", {}, &merged, nullptr).ok());
  ASSERT_TRUE(files.NewWritableFile("/2.sst", {}, &flushed, nullptr).ok());
  ASSERT_TRUE(merged->Append("x", {}, nullptr).ok());
  ASSERT_EQ(disk.bytes("1.sst"), 1u);
  std::thread flush([&] { EXPECT_TRUE(flushed->Append("y", {}, nullptr).ok()); });
  waits.get_future().wait();
  // What it has written so far goes at once, and its sync says so.
  ASSERT_TRUE(merged->Append("x", {}, nullptr).ok());
  EXPECT_EQ(disk.bytes("1.sst"), 0u);
  EXPECT_TRUE(merged->Sync({}, nullptr).IsNoSpace());
  gated->open();
  flush.join();
  EXPECT_EQ(disk.bytes("2.sst"), 1u);
}

// ext4 keeps what an allocation got that failed, and would leave nothing.
TEST(ReserveRoom, NothingIsTakenAheadForAMerge) {
  FaultFiles disk{1};
  for (bool merge : {false, true}) {
    auto gated = std::make_shared<GatedFiles>(disk.files(), "/1.sst");
    rocks::PatientFiles files(
        gated, [](bool) {}, [] { return false; }, [](uint64_t) { return true; });
    if (merge) files.expect_merge_output("/1.sst");
    std::unique_ptr<rocksdb::FSWritableFile> file;
    ASSERT_TRUE(files.NewWritableFile("/1.sst", {}, &file, nullptr).ok());
    file->PrepareWrite(0, 1, {}, nullptr);
    EXPECT_EQ(gated->ahead(), merge ? 0 : 1);
  }
}

// A reserve that was taken again while somebody waits for space is given away again.
TEST(ReserveRoom, WhoWaitsAsksForItEachTime) {
  FaultFiles disk{1};
  std::atomic<int> asked = 0;
  std::promise<bool> waited;
  rocks::PatientFiles files(
      disk.files(),
      [&](bool full) {
        if (!full) waited.set_value(true);
      },
      [&] {
        if (++asked < 3) return false;
        disk.set_weather(Weather::kCalm);
        return true;
      },
      [](uint64_t) { return true; }, rocks::Waits(1000));
  files.be_patient();
  disk.set_weather(Weather::kFull);
  std::unique_ptr<rocksdb::FSWritableFile> file;
  ASSERT_TRUE(files.NewWritableFile("/a", {}, &file, nullptr).ok());
  ASSERT_TRUE(file->Append("x", {}, nullptr).ok());
  EXPECT_TRUE(waited.get_future().get());
  EXPECT_EQ(asked, 3);
}

// The log met the full disk.
TEST_F(ReserveTest, IsGivenAwayOnRequestAndTakenBack) {
  open();
  disk_.set_capacity(kReserve);
  backend_->make_room();
  EXPECT_TRUE(full());
  EXPECT_EQ(disk_.bytes(kReserveFile), 0u);
  disk_.set_capacity(UINT64_MAX);
  wait_for_space();
  EXPECT_EQ(disk_.bytes(kReserveFile), kReserve);
}

}  // namespace
}  // namespace keelson::backend
