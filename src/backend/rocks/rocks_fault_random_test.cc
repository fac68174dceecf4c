// Random histories of commits, flushes, faults and losses of power on a disk in memory, against a
// list of what was committed. After each of them the store opens at a whole commit that is not
// older than what it once reported as durable.

#include <gtest/gtest.h>

#include <future>
#include <map>

#include "backend/rocks/fault_files.h"
#include "backend/rocks/rocks_backend.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

constexpr char kPath[] = "/data/member/keelson";
absl::Status head_of(std::string_view row, std::string_view value, std::string* head) {
  *head = cat(row, ":", value.size(), ":", value.substr(0, 6));
  return absl::OkStatus();
}
constexpr Bucket kBuckets[] = {Bucket::kKey, Bucket::kLease, Bucket::kMembers};

class History {
 public:
  explicit History(uint64_t seed) : random_(seed), disk_(random_.next()) {
    options_.write_buffers = uint64_t{256 << 10} << random_.below(6);
    options_.background_threads = 2;
    options_.opening_threads = 1;
    options_.haste = 1000;
    options_.heads = {head_of, 7};
    if (random_.below(2)) options_.reclaim_step = 1 << (8 + random_.below(12));
    if (random_.below(2)) options_.quota_bytes = 1 << 20;
    largest_value_ = random_.below(2) == 0 ? 200 : 4000;
  }

  void run() {
    open();
    const uint64_t steps = 20 + random_.below(100);
    for (uint64_t i = 0; i < steps && !testing::Test::HasFailure(); ++i) step();
    disk_.set_weather(Weather::kCalm);
    if (backend_) reopen(random_.below(3));
    backend_.reset();
  }

 private:
  using Contents = std::map<std::pair<Bucket, std::string>, std::string>;
  using Heads = std::map<std::string, std::string>;

  void step() {
    switch (random_.below(16)) {
      case 0:
        return reopen(random_.below(3));
      case 1:
        return change_weather();
      case 2:
        disk_.fail_once_after(random_.below(40));
        return;
      case 3:
      case 4:
        return flush();
      case 5:
        backend_->flush([](absl::Status) {});
        return;
      case 6:
        backend_->reclaim([](absl::Status) {});
        return;
      default:
        for (uint64_t n = random_.below(20); n > 0 && backend_; --n) commit();
    }
  }

  // In bad weather only as much is committed as the write buffers hold for sure: it ends soon.
  void change_weather() {
    static constexpr Weather kKinds[] = {Weather::kFull, Weather::kOverQuota, Weather::kNoHandles};
    disk_.set_weather(kKinds[random_.below(3)]);
    const uint64_t most = options_.write_buffers / 16 / (largest_value_ + 200) / 4;
    for (uint64_t n = std::min<uint64_t>(most, random_.below(20)); n > 0 && backend_; --n) commit();
    if (random_.below(2) == 0) backend_->flush([](absl::Status) {});
    note_durable();
    // What ends it is space, a close that must not hang, or a loss of power.
    if (random_.below(2) == 0) return reopen(random_.below(3));
    disk_.set_weather(Weather::kCalm);
  }

  void commit() {
    const uint64_t index = commits_.size() + 1;
    WriteBatch batch;
    for (uint64_t n = 1 + random_.below(3); n > 0; --n) {
      const Bucket bucket = kBuckets[random_.below(std::size(kBuckets))];
      const std::string key = cat("key", random_.below(40));
      if (random_.below(3) == 0) {
        batch.del(bucket, key);
      } else {
        batch.put(bucket, key,
                  cat(index, std::string(random_.below(largest_value_), char('a' + index % 26))));
      }
    }
    commits_.push_back(batch);  // before: a failed one may still have got to the disk
    if (backend_->commit(batch, Index(index), Term(1)).ok()) return;
    commits_.pop_back();
    end_of_member();
  }

  void flush() {
    std::promise<absl::Status> done;
    backend_->flush([&](absl::Status status) { done.set_value(std::move(status)); });
    if (absl::Status s = done.get_future().get(); !s.ok()) {
      return end_of_member();
    }
    note_durable();
    ASSERT_EQ(durable_, commits_.size());
  }

  void note_durable() { durable_ = std::max(durable_, backend_->durable_index().value); }

  // As the node does when its store fails.
  void end_of_member() { reopen(random_.below(3)); }

  void reopen(uint64_t how) {
    note_durable();
    if (how == 0) {
      backend_.reset();  // an orderly end, if the disk lets it be one
      disk_.set_weather(Weather::kCalm);
      disk_ = disk_.after_kill();
    } else {
      FaultFiles next = how == 1 ? disk_.after_kill() : disk_.after_power_loss();
      disk_.set_weather(Weather::kCalm);
      backend_.reset();
      disk_ = next;
    }
    open();
    if (backend_) check();
  }

  void open() {
    options_.files = disk_.files();
    auto opened = open_rocks_backend(kPath, options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = std::move(*opened);
  }

  void check() {
    const uint64_t index = backend_->consistent_index().value;
    ASSERT_GE(index, durable_);
    ASSERT_LE(index, commits_.size());
    commits_.resize(index);
    durable_ = index;
    const Contents expected = committed();
    if (random_.below(2)) {
      check_weak_reads(expected);
      disk_.forget_failures();
    }
    const absl::StatusOr<Heads> shown = heads();
    ASSERT_TRUE(shown.ok()) << shown.status();
    ASSERT_EQ(*shown, heads_of(expected)) << "heads at index " << index;
    if (random_.below(2)) backend_->read_through([](PassingRecords) { return true; });
    const absl::StatusOr<Contents> found = contents();
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(*found, expected) << "at index " << index;
  }

  // A read that fails is an error, or was not needed; it never shows another state.
  void check_weak_reads(const Contents& expected) {
    disk_.fail_read_once_after(random_.below(6));
    const absl::StatusOr<Contents> found = contents();
    if (found.ok()) {
      ASSERT_EQ(*found, expected);
    }
    disk_.fail_read_once_after(random_.below(6));
    const absl::StatusOr<Heads> shown = heads();
    if (shown.ok()) {
      ASSERT_EQ(*shown, heads_of(expected));
    }
  }

  Contents committed() const {
    Contents expected;
    for (const WriteBatch& batch : commits_) {
      batch.for_each(
          [&](Bucket b, std::string_view k, std::string_view v) {
            expected[{b, std::string(k)}] = v;
          },
          [&](Bucket b, std::string_view k) {
            expected.erase({b, std::string(k)});
          });
    }
    return expected;
  }

  absl::StatusOr<Contents> contents() const {
    Contents found;
    for (Bucket bucket : kBuckets) {
      auto it = backend_->iterate(bucket);
      for (it->seek_to_first(); it->valid(); it->next()) {
        found[{bucket, std::string(it->key())}] = it->value();
      }
      if (!it->status().ok()) return it->status();
    }
    return found;
  }

  static Heads heads_of(const Contents& contents) {
    Heads heads;
    for (const auto& [where, value] : contents) {
      if (where.first == Bucket::kKey) {
        EXPECT_TRUE(head_of(where.second, value, &heads[where.second]).ok());
      }
    }
    return heads;
  }

  absl::StatusOr<Heads> heads() const {
    Heads found;
    auto walk = backend_->walk_heads(options_.heads);
    std::string last;
    while (walk->next()) {
      std::string key(walk->key());
      EXPECT_LT(last, key);
      last = key;
      found[key] = walk->head();
    }
    if (!walk->status().ok()) return walk->status();
    return found;
  }

  SeededRandom random_;
  FaultFiles disk_;
  RocksOptions options_;
  size_t largest_value_ = 0;
  std::unique_ptr<Backend> backend_;
  std::vector<WriteBatch> commits_;  // the one at i has index i + 1
  uint64_t durable_ = 0;             // <= commits_.size()
};

TEST(RocksFaultRandomTest, NothingDurableIsLostAndNothingWrongIsServed) {
  // 12: a failed append must not cost a manifest what it had. 9100053: RocksDB must not recover by
  // itself when a store ends on a full disk.
  for_each_seed({.count = 10, .also = {12, 26, 60020, 9100053}},
                [](uint64_t seed) { History(seed).run(); });
}

}  // namespace
}  // namespace keelson::backend
