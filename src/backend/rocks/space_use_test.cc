// What the quota, dbSize and dbSizeInUse count: the statement of decision 4 (docs/decisions/0004),
// sentence by sentence.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <memory>

#include "backend/rocks/rocks_backend.h"
#include "base/random.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

constexpr uint64_t kMega = 1 << 20;
constexpr size_t kValue = 10'000;

class SpaceUseTest : public ::testing::Test {
 protected:
  SpaceUseTest() : dir_(cat(::testing::TempDir(), "keelson_space_use_", ::getpid())) {
    std::filesystem::remove_all(dir_);
    open();
  }
  ~SpaceUseTest() override {
    backend_.reset();
    std::filesystem::remove_all(dir_);
  }
  void open() {
    backend_.reset();
    backend_ = *open_rocks_backend(dir_);
  }

  // `count` more records; random bytes do not compress.
  void put(int count, bool compressible = false) {
    for (int i = 0; i < count; ++i) {
      std::string value(kValue, 'x');
      if (!compressible) {
        for (char& c : value) c = static_cast<char>(random_.below(256));
      }
      WriteBatch batch;
      batch.put(Bucket::kKey, key(newest_++), value);
      commit(batch);
    }
  }
  // All but the newest `kept`.
  void del(int kept) {
    while (newest_ - oldest_ > kept) {
      WriteBatch batch;
      batch.del(Bucket::kKey, key(oldest_++));
      commit(batch);
    }
  }
  uint64_t live() const { return static_cast<uint64_t>(newest_ - oldest_) * (kValue + 11); }
  void flush() {
    std::promise<absl::Status> done;
    backend_->flush([&](absl::Status status) { done.set_value(std::move(status)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  void reclaim() {
    std::promise<absl::Status> done;
    backend_->reclaim([&](absl::Status status) { done.set_value(std::move(status)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }

  std::string dir_;
  std::unique_ptr<Backend> backend_;
  int oldest_ = 0, newest_ = 0;  // oldest_ <= newest_

 private:
  static std::string key(int number) { return cat("r", 1'000'000'000 + number); }
  void commit(const WriteBatch& batch) {
    ASSERT_TRUE(backend_->commit(batch, Index(++index_), Term(1)).ok());
    backend_->set_live_bytes(live());
  }

  SeededRandom random_{1};
  uint64_t index_ = 0;
};

TEST_F(SpaceUseTest, BuffersCountAsTheyAreAndFilesAsTheyLieOnTheDisk) {
  put(400, true);
  const uint64_t buffered = backend_->size_on_disk();
  EXPECT_GE(buffered, live());
  EXPECT_LE(buffered, live() + 4 * kMega);
  flush();
  EXPECT_LT(backend_->size_on_disk(), live() / 4);
  EXPECT_LE(backend_->size_in_use(), backend_->size_on_disk());
}

TEST_F(SpaceUseTest, InUseIsTheShareThatIsAliveAlsoAfterARestart) {
  put(800);
  flush();
  del(660);  // too little for it to be given back without being asked
  flush();
  auto share = [&] {
    return static_cast<double>(backend_->size_in_use()) /
           static_cast<double>(backend_->size_on_disk());
  };
  EXPECT_NEAR(share(), 0.825, 0.02);
  open();
  // Nobody has said yet what is alive: all of it.
  EXPECT_EQ(backend_->size_in_use(), backend_->size_on_disk());
  backend_->set_live_bytes(live());
  EXPECT_NEAR(share(), 0.825, 0.02);
  reclaim();
  EXPECT_NEAR(share(), 1.0, 0.05);
}

// Nobody can act on them, and they go by themselves.
TEST_F(SpaceUseTest, FilesThatSomebodyStillReadsDoNotCount) {
  put(800);
  flush();
  std::shared_ptr<const Snapshot> snapshot = backend_->snapshot();
  std::unique_ptr<Iterator> iterator = backend_->iterate(Bucket::kKey);
  iterator->seek_to_first();
  ASSERT_TRUE(iterator->valid());
  del(50);
  iterator->next();
  const uint64_t before = backend_->size_on_disk();
  EXPECT_GE(before, 7 * kMega);
  // What the snapshot shows cannot go while it is there; what the iterator holds counts no more
  // when the files that replace it are there.
  reclaim();
  EXPECT_TRUE(iterator->valid());
  EXPECT_LT(backend_->size_on_disk(), before + 2 * kMega);
  iterator.reset();
  snapshot.reset();
  reclaim();
  EXPECT_LT(backend_->size_on_disk(), before / 4);
}

TEST_F(SpaceUseTest, TheQuotaIsHeldAgainstTheExactSizeBeforeARefusal) {
  put(300);
  const uint64_t size = backend_->size_on_disk();
  EXPECT_NEAR(static_cast<double>(backend_->approximate_size()), static_cast<double>(size),
              8.0 * kMega);
  EXPECT_TRUE(backend_->has_room(1000, size + 1001 + 8 * kMega));
  EXPECT_FALSE(backend_->has_room(1000, size / 2));
  flush();
  // A flush gives what the buffers took beyond their records.
  const uint64_t flushed = backend_->size_on_disk();
  EXPECT_TRUE(backend_->has_room(1000, flushed + 1001));
  EXPECT_FALSE(backend_->has_room(kMega * 16, flushed + 1001));
}

}  // namespace
}  // namespace keelson::backend
