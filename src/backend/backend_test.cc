// The same tests over both backends: whatever one can do the other can, and a random history leaves
// both equal to a std::map.

#include <gtest/gtest.h>

#include <future>
#include <map>

#include "backend/held_snapshot.h"
#include "backend/key_load.h"
#include "backend/memory_backend.h"
#include "backend/rocks/fault_files.h"
#include "backend/rocks/rocks_backend.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

using Model = std::map<std::pair<Bucket, std::string>, std::string>;

// A backend that can be crashed and opened again.
class Rig {
 public:
  virtual ~Rig() = default;
  virtual Backend& backend() = 0;
  virtual void crash() = 0;
};

class MemoryRig final : public Rig {
 public:
  Backend& backend() override { return backend_; }
  void crash() override { backend_.crash(); }

 private:
  MemoryBackend backend_;
};

// On a disk in memory; rocks_backend_test has a real one.
class RocksRig final : public Rig {
 public:
  RocksRig() { open(); }
  Backend& backend() override { return *backend_; }
  void crash() override {
    backend_.reset();
    disk_ = disk_.after_power_loss();
    open();
  }

 private:
  void open() {
    RocksOptions options{.write_buffers = 4 << 20, .opening_threads = 1, .flush_on_close = false};
    options.files = disk_.files();
    auto opened = open_rocks_backend("/member/keelson", options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = std::move(*opened);
  }
  FaultFiles disk_{1};
  std::unique_ptr<Backend> backend_;
};

absl::Status flush_and_wait(Backend& backend) {
  std::promise<absl::Status> done;
  backend.flush([&](absl::Status s) { done.set_value(std::move(s)); });
  return done.get_future().get();
}

class BackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Rig> new_rig() {
    if (GetParam() == "memory") return std::make_unique<MemoryRig>();
    return std::make_unique<RocksRig>();
  }
  Backend& backend() { return rig_->backend(); }
  std::unique_ptr<Rig> rig_ = new_rig();
};

std::vector<std::pair<std::string, std::string>> forward(const Reader& reader, Bucket bucket,
                                                         IterateOptions options = {}) {
  std::vector<std::pair<std::string, std::string>> out;
  auto it = reader.iterate(bucket, options);
  for (it->seek_to_first(); it->valid(); it->next()) out.emplace_back(it->key(), it->value());
  EXPECT_TRUE(it->status().ok()) << it->status();
  return out;
}

std::vector<std::pair<std::string, std::string>> backward(const Reader& reader, Bucket bucket,
                                                          IterateOptions options = {}) {
  std::vector<std::pair<std::string, std::string>> out;
  auto it = reader.iterate(bucket, options);
  for (it->seek_to_last(); it->valid(); it->prev()) out.emplace_back(it->key(), it->value());
  EXPECT_TRUE(it->status().ok()) << it->status();
  return out;
}

std::vector<std::pair<std::string, std::string>> expected(const Model& model, Bucket bucket,
                                                          std::string_view lower = {},
                                                          std::string_view upper = {}) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [where, value] : model) {
    if (where.first != bucket || where.second < lower) continue;
    if (!upper.empty() && where.second >= upper) continue;
    out.emplace_back(where.second, value);
  }
  return out;
}

TEST_P(BackendTest, StartsEmpty) {
  EXPECT_EQ(backend().consistent_index(), Index(0));
  EXPECT_EQ(backend().durable_index(), Index(0));
  EXPECT_TRUE(forward(backend(), Bucket::kMeta).empty());
  EXPECT_TRUE(backend().health().ok());
}

TEST_P(BackendTest, CommitCarriesThePositionAsEtcdStoresIt) {
  WriteBatch batch;
  batch.put(Bucket::kKey, "k", "v");
  ASSERT_TRUE(backend().commit(batch, Index(0x0102), Term(3)).ok());
  EXPECT_EQ(backend().consistent_index(), Index(0x0102));
  EXPECT_EQ(backend().consistent_term(), Term(3));
  EXPECT_EQ((*backend().get(Bucket::kMeta, "consistent_index"))->str(),
            std::string("\0\0\0\0\0\0\1\2", 8));
  EXPECT_EQ((*backend().get(Bucket::kMeta, "term"))->str(), std::string("\0\0\0\0\0\0\0\3", 8));

  // No index, no term: the records stay.
  ASSERT_TRUE(backend().commit(batch, Index(0), Term(0)).ok());
  EXPECT_EQ(backend().consistent_index(), Index(0x0102));
  ASSERT_TRUE(backend().commit(batch, Index(0x0103), Term(0)).ok());
  EXPECT_EQ(backend().snapshot()->consistent_index(), Index(0x0103));
  EXPECT_EQ(backend().snapshot()->consistent_term(), Term(3));
}

TEST_P(BackendTest, FlushMakesDurableAndTells) {
  std::vector<Index> told;
  std::mutex mutex;
  backend().set_durable_listener([&](Index i) {
    std::lock_guard lock(mutex);
    told.push_back(i);
  });
  WriteBatch batch;
  batch.put(Bucket::kLease, "l", "1");
  ASSERT_TRUE(backend().commit(batch, Index(7), Term(1)).ok());
  EXPECT_EQ(backend().durable_index(), Index(0));
  ASSERT_TRUE(flush_and_wait(backend()).ok());
  EXPECT_EQ(backend().durable_index(), Index(7));
  std::lock_guard lock(mutex);
  EXPECT_EQ(told, std::vector<Index>{Index(7)});
}

TEST_P(BackendTest, CrashFallsBackToAWholeCommit) {
  for (uint64_t i = 1; i <= 20; ++i) {
    WriteBatch batch;
    for (Bucket bucket : buckets_by_name()) batch.put(bucket, "at", cat(i));
    ASSERT_TRUE(backend().commit(batch, Index(i), Term(1)).ok());
    if (i == 11) {
      ASSERT_TRUE(flush_and_wait(backend()).ok());
    }
  }
  rig_->crash();
  Index index = backend().consistent_index();
  EXPECT_GE(index, Index(11));
  EXPECT_EQ(backend().durable_index(), index);
  for (Bucket bucket : buckets_by_name()) {
    EXPECT_EQ((*backend().get(bucket, "at"))->str(), cat(index.value)) << bucket_name(bucket);
  }
}

TEST_P(BackendTest, CheckpointRefusesAnExistingDirectory) {
  const std::string dir = "/member/checkpoint";
  WriteBatch batch;
  batch.put(Bucket::kKey, "k", "v");
  ASSERT_TRUE(backend().commit(batch, Index(1), Term(1)).ok());
  ASSERT_TRUE(backend().checkpoint(dir).ok());
  EXPECT_FALSE(backend().checkpoint(dir).ok());
}

// Checks every way of reading against the model.
void compare(const Reader& reader, const Model& model, SeededRandom& random) {
  for (Bucket bucket : {Bucket::kKey, Bucket::kLease, Bucket::kAuth}) {
    auto all = expected(model, bucket);
    EXPECT_EQ(forward(reader, bucket), all);
    std::string lower = cat(random.below(60)), upper = cat(random.below(60));
    auto part = expected(model, bucket, lower, upper);
    EXPECT_EQ(forward(reader, bucket, {.lower = lower, .upper = upper}), part);
    std::reverse(part.begin(), part.end());
    EXPECT_EQ(backward(reader, bucket, {.lower = lower, .upper = upper}), part);

    std::string a = cat(random.below(60)), b = cat(random.below(60));
    std::vector<std::string_view> keys = {a, b};
    auto found = reader.multi_get(bucket, keys);
    ASSERT_TRUE(found.ok());
    for (size_t i = 0; i < 2; ++i) {
      auto it = model.find({bucket, std::string(keys[i])});
      ASSERT_EQ((*found)[i].has_value(), it != model.end());
      if (it != model.end()) {
        EXPECT_EQ((*found)[i]->str(), it->second);
      }
    }

    auto cursor = reader.iterate(bucket);
    cursor->seek(a);
    auto at = std::find_if(all.begin(), all.end(), [&](auto& kv) { return kv.first >= a; });
    ASSERT_EQ(cursor->valid(), at != all.end());
    if (cursor->valid()) {
      EXPECT_EQ(cursor->key(), at->first);
    }
    cursor->seek_for_prev(a);
    auto rat = std::find_if(all.rbegin(), all.rend(), [&](auto& kv) { return kv.first <= a; });
    ASSERT_EQ(cursor->valid(), rat != all.rend());
    if (cursor->valid()) {
      EXPECT_EQ(cursor->key(), rat->first);
    }
  }
}

void change(WriteBatch* batch, Model* model, SeededRandom& random) {
  for (uint64_t n = random.below(8); n > 0; --n) {
    Bucket bucket = std::array{Bucket::kKey, Bucket::kLease, Bucket::kAuth}[random.below(3)];
    std::string key = cat(random.below(60));
    if (random.below(3) == 0) {
      batch->del(bucket, key);
      model->erase({bucket, key});
    } else {
      std::string value(random.below(40), static_cast<char>('a' + random.below(26)));
      batch->put(bucket, key, value);
      (*model)[{bucket, key}] = value;
    }
  }
}

// Ends in a crash, of which what was flushed comes back.
void check_random_history(Rig& rig, SeededRandom& random) {
  Model model, durable;
  std::vector<std::pair<std::shared_ptr<const Snapshot>, Model>> pinned;
  Index index(0), durable_index(0);
  for (uint64_t rounds = random.below(400), round = 0; round < rounds; ++round) {
    WriteBatch batch;
    change(&batch, &model, random);
    ASSERT_TRUE(rig.backend().commit(batch, ++index, Term(1)).ok());
    if (round % 10 == 0) compare(rig.backend(), model, random);
    if (random.below(20) == 0) pinned.emplace_back(rig.backend().snapshot(), model);
    if (random.below(40) == 0) {
      ASSERT_TRUE(flush_and_wait(rig.backend()).ok());
      ASSERT_EQ(rig.backend().durable_index(), index);
      durable = model;
      durable_index = index;
    }
    if (pinned.size() > 5) {
      compare(*pinned.front().first, pinned.front().second, random);
      pinned.erase(pinned.begin());
    }
  }
  pinned.clear();
  rig.crash();
  compare(rig.backend(), durable, random);
  ASSERT_EQ(rig.backend().consistent_index(), durable_index);
}

TEST_P(BackendTest, RandomHistoryEqualsAMap) {
  for_each_seed(GetParam() == "memory" ? 40 : 4, [this](uint64_t seed) {
    SeededRandom random(seed);
    rig_ = new_rig();
    check_random_history(*rig_, random);
  });
}

TEST_P(BackendTest, HashLeavesOutThePosition) {
  WriteBatch batch;
  batch.put(Bucket::kKey, "k", "v");
  ASSERT_TRUE(backend().commit(batch, Index(1), Term(1)).ok());
  uint32_t first = *hash_all(backend());
  ASSERT_TRUE(backend().commit(WriteBatch(), Index(2), Term(2)).ok());
  EXPECT_EQ(*hash_all(backend()), first);
  batch.put(Bucket::kKey, "k", "w");
  ASSERT_TRUE(backend().commit(batch, Index(3), Term(2)).ok());
  EXPECT_NE(*hash_all(backend()), first);
}

TEST_P(BackendTest, HashInSlicesIsThatOfTheWhole) {
  WriteBatch batch;
  for (int i = 0; i < 10; ++i) batch.put(Bucket::kKey, cat("k", i), cat("v", i));
  batch.put(Bucket::kAlarm, "a", "1");
  batch.put(Bucket::kMeta, "m", "2");
  ASSERT_TRUE(backend().commit(batch, Index(1), Term(1)).ok());
  const uint32_t whole = *hash_all(backend());
  for (size_t slice : {1, 3, 100}) {
    std::shared_ptr<const Snapshot> snapshot = backend().snapshot();
    HashAllJob job(*snapshot);
    size_t steps = 1;
    while (!*job.step(slice)) ++steps;
    EXPECT_EQ(job.result(), whole);
    // 12 records, and the position's two.
    EXPECT_EQ(steps, (14 + slice - 1) / slice);
  }
}

TEST_P(BackendTest, ASliceOfTheHashIsBoundInBytes) {
  WriteBatch batch;
  for (int i = 0; i < 6; ++i) batch.put(Bucket::kKey, cat("k", i), std::string(1 << 19, 'v'));
  ASSERT_TRUE(backend().commit(batch, Index(1), Term(1)).ok());
  std::shared_ptr<const Snapshot> snapshot = backend().snapshot();
  HashAllJob job(*snapshot);
  size_t steps = 1;
  while (!*job.step(SIZE_MAX)) ++steps;
  EXPECT_GE(steps, 3u);
}

TEST_P(BackendTest, AHeldSnapshotOutlivesWhoHadTheStore) {
  FaultFiles disk(1);
  std::shared_ptr<Backend> store = GetParam() == std::string("memory")
                                       ? std::make_unique<MemoryBackend>()
                                       : *open_rocks_backend("/store", {.files = disk.files()});
  WriteBatch batch;
  batch.put(Bucket::kKey, "key", "value");
  ASSERT_TRUE(store->commit(batch, Index(7), Term(1)).ok());
  std::shared_ptr<const Snapshot> snapshot = held_snapshot(store);
  std::weak_ptr<Backend> watched = store;
  store.reset();
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(snapshot->consistent_index(), Index(7));
  EXPECT_EQ((**snapshot->get(Bucket::kKey, "key")).view(), "value");
  snapshot.reset();
  EXPECT_TRUE(watched.expired());
}

// Parts finish in any order, one of them not at all; what is committed later counts for more.
TEST_P(BackendTest, LoadsKeysInParts) {
  Model model;
  std::unique_ptr<KeyLoad> load = load_keys(backend());
  constexpr int kParts = 4, kKeys = 3000;
  std::vector<std::unique_ptr<KeyLoad::Part>> parts;
  for (int p = 0; p < kParts; ++p) parts.push_back(load->part());
  for (int i = 0; i < kKeys; ++i) {
    for (int p = 0; p < kParts; ++p) {
      const std::string key = cat(p, "/", 10000 + i), value = cat(i, std::string(100, 'v'));
      ASSERT_TRUE(parts[static_cast<size_t>(p)]->add(key, value).ok());
      model[{Bucket::kKey, key}] = value;
    }
  }
  parts.push_back(load->part());  // an empty one
  for (; !parts.empty(); parts.pop_back()) {
    ASSERT_TRUE(parts.back()->finish().ok());
  }
  ASSERT_TRUE(load->install().ok());
  load.reset();
  EXPECT_EQ(forward(backend(), Bucket::kKey), expected(model, Bucket::kKey));
  WriteBatch batch;
  batch.del(Bucket::kKey, "1/10007");
  model.erase({Bucket::kKey, "1/10007"});
  for (const char* key : {"2/10008", "9"}) {
    batch.put(Bucket::kKey, key, "new");
    model[{Bucket::kKey, key}] = "new";
  }
  ASSERT_TRUE(backend().commit(batch, Index(5), Term(1)).ok());
  EXPECT_EQ(forward(backend(), Bucket::kKey), expected(model, Bucket::kKey));
  ASSERT_TRUE(flush_and_wait(backend()).ok());
  rig_->crash();
  EXPECT_EQ(backend().consistent_index(), Index(5));
  EXPECT_EQ(forward(backend(), Bucket::kKey), expected(model, Bucket::kKey));
  std::promise<absl::Status> reclaimed;
  backend().reclaim([&](absl::Status s) { reclaimed.set_value(std::move(s)); });
  ASSERT_TRUE(reclaimed.get_future().get().ok());
  EXPECT_EQ(backward(backend(), Bucket::kKey).size(), model.size());
}

TEST_P(BackendTest, ALoadThatIsGivenUpLeavesNothing) {
  for (const bool finished : {false, true}) {
    std::unique_ptr<KeyLoad> load = load_keys(backend());
    std::unique_ptr<KeyLoad::Part> part = load->part();
    ASSERT_TRUE(part->add("k", "v").ok());
    // The twin commits what is finished.
    if (finished && GetParam() == std::string("rocks")) {
      ASSERT_TRUE(part->finish().ok());
    }
    part.reset();
    load.reset();
    EXPECT_TRUE(forward(backend(), Bucket::kKey).empty());
  }
  std::unique_ptr<KeyLoad> load = load_keys(backend());
  ASSERT_TRUE(load->install().ok());  // of nothing
  EXPECT_TRUE(forward(backend(), Bucket::kKey).empty());
}

INSTANTIATE_TEST_SUITE_P(Both, BackendTest, ::testing::Values("memory", "rocks"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace keelson::backend
