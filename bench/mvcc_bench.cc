// The revision store alone: nanoseconds per operation and bytes per key, over the in-memory tree
// with a backend that swallows writes, and over RocksDB.
//
//   mvcc_bench [keys=1000000] [value_bytes=256]

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "backend/memory_backend.h"
#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

// Commits go nowhere: what is left is the store's own cost.
class NullBackend final : public backend::Backend {
 public:
  absl::StatusOr<std::optional<Bytes>> get(backend::Bucket b, std::string_view k) const override {
    return empty_.get(b, k);
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      backend::Bucket b, std::span<const std::string_view> k) const override {
    return empty_.multi_get(b, k);
  }
  std::unique_ptr<backend::Iterator> iterate(backend::Bucket b,
                                             backend::IterateOptions o) const override {
    return empty_.iterate(b, o);
  }
  absl::Status commit(const backend::WriteBatch&, Index, Term) override { return absl::OkStatus(); }
  Index consistent_index() const override { return Index(0); }
  Term consistent_term() const override { return Term(0); }
  std::shared_ptr<const backend::Snapshot> snapshot() const override { return empty_.snapshot(); }
  void flush(absl::AnyInvocable<void(absl::Status)> done) override { done(absl::OkStatus()); }
  Index durable_index() const override { return Index(0); }
  void set_durable_listener(std::function<void(Index)>) override {}
  uint64_t size_on_disk() const override { return 0; }
  uint64_t size_in_use() const override { return 0; }
  absl::Status checkpoint(const std::string&) override { return absl::OkStatus(); }
  absl::Status health() const override { return absl::OkStatus(); }

 private:
  backend::MemoryBackend empty_;
};

class Timer {
 public:
  double seconds() const { return now() - start_; }

 private:
  // CPU time of this thread: what other programs do on the machine does not count.
  static double now() {
    timespec t;
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
  }
  double start_ = now();
};

void report(const std::string& what, double seconds, size_t operations) {
  std::printf("%-44s %10.0f ns\n", what.c_str(), seconds * 1e9 / static_cast<double>(operations));
  std::fflush(stdout);
}

std::string key_number(size_t n) {
  return cat("/registry/pods/namespace-", n % 100, "/pod-", 10000000 + n);
}

uint64_t resident() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0, pages = 0;
  CHECK(file != nullptr);
  CHECK(std::fscanf(file, "%lu %lu", &total, &pages) == 2);
  std::fclose(file);
  return uint64_t{pages} * 4096;
}

class Bench {
 public:
  Bench(backend::Backend* backend, size_t keys, size_t value_bytes, uint64_t value_memory)
      : backend_(*backend), value_(value_bytes, 'v') {
    order_.resize(keys);
    std::iota(order_.begin(), order_.end(), 0);
    for (size_t i = keys; i > 1; --i) std::swap(order_[i - 1], order_[random_.below(i)]);
    open(value_memory);
  }

  void open(uint64_t value_memory) {
    slot_.reset();
    store_.reset();
    malloc_trim(0);
    Timer timer;
    auto opened = Store::open(&backend_, {.value_memory = value_memory});
    CHECK(opened.ok());
    store_ = *std::move(opened);
    slot_ = store_->register_reader();
    if (store_->revision() > 1) std::printf("%-44s %10.2f s\n", "restore", timer.seconds());
  }

  // A hundred transactions per apply batch, as under load.
  void put_all(const std::string& what) {
    Timer timer;
    size_t n = 0;
    for (size_t i : order_) {
      std::string key = key_number(i);
      WriteTxn txn = store_->begin();
      CHECK(txn.put({.key = key, .value = value_}).ok());
      if (++n % 100 == 0) {
        { WriteTxn done = std::move(txn); }
        CHECK(store_->publish(++index_, Term(1)).ok());
      }
    }
    CHECK(store_->publish(++index_, Term(1)).ok());
    report(what, timer.seconds(), order_.size());
  }

  void reads() {
    constexpr size_t kReads = 500000;
    std::vector<std::string> keys;
    for (size_t i = 0; i < kReads; ++i) keys.push_back(key_number(random_.below(order_.size())));
    Timer gets;
    for (const std::string& key : keys) CHECK((*store_->read(*slot_).get(key)).has_value());
    report("get, random", gets.seconds(), kReads);
    Timer ranges;
    for (const std::string& key : keys) CHECK(store_->range(*slot_, key, "")->count == 1);
    report("range of one key, random", ranges.seconds(), kReads);

    auto page = [&](const std::string& what, RangeOptions options) {
      Timer timer;
      for (size_t i = 0; i < 1000; ++i) {
        CHECK(store_->range(*slot_, keys[i], "/registry/pods0", options).ok());
      }
      report(what, timer.seconds(), 1000);
    };
    page("page of 500, newest, exact count", {.limit = 500});
    page("page of 500, keys only", {.limit = 500, .keys_only = true});
    if (backend_.consistent_index() > Index(0)) {
      page("page of 500, 1000 revisions ago",
           {.limit = 500, .revision = store_->revision() - 1000});
    }
    page("count of a random part", {.count_only = true});
    Timer list;
    size_t listed = store_->range(*slot_, "/registry/", "/registry0")->kvs.size();
    report("list of everything, per key", list.seconds(), listed);
  }

  void memory(const std::string& what, uint64_t before) {
    StoreStats stats = store_->stats();
    auto keys = static_cast<double>(stats.records);
    std::printf("%-44s %10.1f index bytes/key  %.1f value bytes/key  %.1f queue  rss %.0f MB\n",
                what.c_str(), static_cast<double>(stats.index_bytes) / keys,
                static_cast<double>(stats.value_bytes) / keys,
                8.0 * static_cast<double>(stats.garbage_queue) / keys,
                (static_cast<double>(resident()) - static_cast<double>(before)) / 1e6);
  }

  void compact() {
    CHECK(store_->compact(store_->revision()).ok());
    CHECK(store_->publish(++index_, Term(1)).ok());
    Timer timer;
    double longest = 0;
    int slices = 0, longest_at = 0;
    size_t garbage = store_->stats().garbage_queue;
    for (bool more = true; more;) {
      Timer slice;
      more = store_->compact_step(1000);
      CHECK(store_->publish(++index_, Term(1)).ok());
      ++slices;
      if (slice.seconds() > longest) longest_at = slices;
      longest = std::max(longest, slice.seconds());
    }
    report("compaction, per superseded version", timer.seconds(), std::max<size_t>(garbage, 1));
    std::printf("%-44s %10.0f us (%d of %d)\n", "longest slice of 1000", longest * 1e6, longest_at,
                slices);
  }

  void hash() {
    Timer timer;
    auto job = store_->hash_kv(0);
    CHECK(job.ok());
    for (bool done = false; !done;) done = *(*job)->step(10000);
    report("HashKV, per key", timer.seconds(), order_.size());
  }

 private:
  backend::Backend& backend_;
  std::string value_;
  SeededRandom random_{1};
  std::vector<size_t> order_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ReaderSlot> slot_;
  Index index_{0};
};

void run_null(size_t keys, size_t value_bytes) {
  std::printf("-- no backend, everything in memory, %zu keys\n", keys);
  NullBackend backend;
  uint64_t before = resident();
  Bench bench(&backend, keys, value_bytes, uint64_t{64} << 30);
  bench.put_all("insert, random order");
  bench.memory("  1 revision", before);
  bench.put_all("overwrite, random order");
  bench.put_all("overwrite, random order");
  bench.memory("  3 revisions", before);
  bench.reads();
  bench.compact();
  bench.memory("  compacted", before);
}

void run_rocks(size_t keys, size_t value_bytes) {
  std::printf("-- RocksDB, values within 128 MiB, %zu keys\n", keys);
  std::string dir =
      cat(std::filesystem::temp_directory_path().string(), "/mvcc_bench_", ::getpid());
  {
    auto backend = backend::open_rocks_backend(dir);
    CHECK(backend.ok());
    uint64_t before = resident();
    Bench bench(backend->get(), keys, value_bytes, uint64_t{128} << 20);
    bench.put_all("insert, random order");
    bench.put_all("overwrite, random order");
    bench.put_all("overwrite, random order");
    bench.memory("  3 revisions", before);
    bench.open(uint64_t{128} << 20);
    bench.memory("  3 revisions, restarted", before);
    bench.reads();
    bench.compact();
    bench.hash();
    std::printf("%-44s %10.0f MB, in use %.0f MB\n", "on disk",
                static_cast<double>((*backend)->size_on_disk()) / 1e6,
                static_cast<double>((*backend)->size_in_use()) / 1e6);
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace keelson::mvcc

int main(int argc, char** argv) {
  size_t keys = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  size_t value_bytes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 256;
  keelson::mvcc::run_null(keys, value_bytes);
  keelson::mvcc::run_rocks(keys, value_bytes);
  return 0;
}
