// How fast states become databases and databases states, in bytes of database per second of the
// clock: the store's own threads work, too. The argument is the size of a value; 512 MB of them, of
// which half is the same everywhere, so that the store's compression has something to do.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>

#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/random.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "boltfile/writer.h"
#include "interchange/database_reader.h"
#include "interchange/database_writer.h"
#include "mvcc/row_head.h"

namespace keelson::interchange {
namespace {

constexpr uint64_t kValueBytes = 512 << 20;

class NoSink final : public boltfile::Sink {
 public:
  absl::Status write(std::string_view piece) override {
    benchmark::DoNotOptimize(piece.data());
    return absl::OkStatus();
  }
};

std::string directory() {
  return cat(std::filesystem::temp_directory_path().string(), "/keelson_interchange_bench_",
             ::getpid());
}

// A database of `size` bytes a value.
std::string database(size_t size) {
  const std::string path = cat(directory(), "/db");
  std::filesystem::remove_all(directory());
  std::filesystem::create_directories(directory());
  auto sink = boltfile::FileSink::create(path);
  CHECK(sink.ok());
  boltfile::Writer writer(boltfile::Layout(), sink->get());
  SeededRandom random(1);
  std::string value(size, 'v');
  CHECK(writer.begin_bucket("key").ok());
  for (uint64_t n = kValueBytes / size, i = 2; i < n + 2; ++i) {
    for (size_t at = 0; at + 8 <= size / 2; at += 8) {
      store_big64(value.data() + at, random.next());
    }
    const auto revision = static_cast<int64_t>(i);
    const Bytes kv = mvcc::encode_key_value({.key = cat("/registry/pods/default/", i),
                                             .create_revision = revision,
                                             .mod_revision = revision,
                                             .version = 1,
                                             .value = value});
    CHECK(writer.add(RevisionKey({revision, 0}).view(), kv).ok());
  }
  CHECK(writer.end_bucket().ok());
  CHECK(writer.begin_bucket("meta").ok());
  CHECK(writer.add("consistent_index", big64(5)).ok());
  CHECK(writer.end_bucket().ok());
  CHECK(writer.finish().ok());
  return path;
}

std::unique_ptr<backend::Backend> new_store() {
  std::filesystem::remove_all(directory() + "/store");
  auto store = backend::open_rocks_backend(directory() + "/store", {.heads = mvcc::kHeadFormat});
  CHECK(store.ok());
  return *std::move(store);
}

void count(benchmark::State& state, uint64_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * state.iterations());
}

void BM_Read(benchmark::State& state) {
  auto file = boltfile::File::open(database(static_cast<size_t>(state.range(0))));
  CHECK(file.ok());
  for (auto _ : state) {
    auto store = new_store();
    CHECK(read_database(**file, store.get()).ok());
  }
  count(state, (*file)->size());
  std::filesystem::remove_all(directory());
}

void BM_Write(benchmark::State& state) {
  auto file = boltfile::File::open(database(static_cast<size_t>(state.range(0))));
  CHECK(file.ok());
  auto store = new_store();
  CHECK(read_database(**file, store.get()).ok());
  for (auto _ : state) {
    NoSink sink;
    CHECK(write_database(*store->snapshot(), {}, &sink).ok());
  }
  count(state, (*file)->size());
  store.reset();
  std::filesystem::remove_all(directory());
}

BENCHMARK(BM_Read)->Arg(256)->Arg(2000)->Arg(100000)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Write)->Arg(256)->Arg(2000)->Arg(100000)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keelson::interchange

BENCHMARK_MAIN();
