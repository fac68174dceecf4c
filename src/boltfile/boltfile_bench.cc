// How fast databases are planned, written, read, verified and hashed, in bytes of database per
// second of this thread's CPU. The argument is the size of a value; 128 MB of them.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/protobuf.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "boltfile/file.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/verify.h"
#include "boltfile/writer.h"

namespace keelson::boltfile {
namespace {

constexpr uint64_t kValueBytes = 128 << 20;

class NoSink final : public Sink {
 public:
  absl::Status write(std::string_view piece) override {
    benchmark::DoNotOptimize(piece.data());
    return absl::OkStatus();
  }
};

std::string key_value(size_t size) {
  std::string message;
  pb::append_bytes_field(message, 1, "/registry/pods/default/some-pod-name");
  for (uint32_t field : {2, 3, 4}) pb::append_varint_field(message, field, 1);
  pb::append_bytes_field(message, 5, std::string(size, 'v'));
  return message;
}

Plan plan(size_t size) {
  const uint64_t stored = key_value(size).size();
  Planner planner{Layout()};
  CHECK(planner.begin_bucket(3).ok());
  for (uint64_t n = kValueBytes / size; n > 0; --n) {
    CHECK(planner.add(RevisionKey::kSize, stored).ok());
  }
  CHECK(planner.end_bucket().ok());
  return *planner.finish();
}

void write(const Plan& plan, size_t size, Sink* sink) {
  std::string value = key_value(size);
  Writer writer(plan, sink);
  CHECK(writer.begin_bucket("key").ok());
  for (uint64_t n = kValueBytes / size, i = 1; i <= n; ++i) {
    CHECK(writer.add(RevisionKey({1, static_cast<int64_t>(i)}).view(), value).ok());
  }
  CHECK(writer.end_bucket().ok());
  CHECK(writer.finish().ok());
}

void count(benchmark::State& state, uint64_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * state.iterations());
}

void BM_Plan(benchmark::State& state) {
  Plan made;
  for (auto _ : state) made = plan(static_cast<size_t>(state.range(0)));
  count(state, made.bytes());
}

void BM_WriteToStream(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  const Plan made = plan(size);
  NoSink sink;
  for (auto _ : state) write(made, size, &sink);
  count(state, made.bytes());
}

void BM_WriteWithSum(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  const Plan made = plan(size);
  NoSink below;
  for (auto _ : state) {
    SummingSink sink(&below);
    write(made, size, &sink);
    CHECK(sink.finish().ok());
  }
  count(state, made.bytes());
}

// A file in the page cache.
class OnDisk {
 public:
  explicit OnDisk(size_t size) : made_(plan(size)) {
    path_ = cat(std::filesystem::temp_directory_path().string(), "/keelson_boltfile_bench_",
                ::getpid());
    write_again(size);
  }
  ~OnDisk() { std::filesystem::remove(path_); }
  void write_again(size_t size) {
    std::filesystem::remove(path_);
    std::unique_ptr<FileSink> sink = *FileSink::create(path_);
    write(made_, size, sink.get());
  }
  std::unique_ptr<File> open() const { return *File::open(path_); }
  uint64_t bytes() const { return made_.bytes(); }

 private:
  const Plan made_;
  std::string path_;
};

void BM_WriteToFile(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  OnDisk disk(size);
  for (auto _ : state) disk.write_again(size);
  count(state, disk.bytes());
}

void BM_Read(benchmark::State& state) {
  const OnDisk disk(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    std::unique_ptr<File> file = disk.open();
    Cursor cursor(*file->root().bucket("key"));
    absl::Status s = cursor.seek_first();
    for (; s.ok() && cursor.valid(); s = cursor.next()) benchmark::DoNotOptimize(cursor.value());
    CHECK(s.ok());
  }
  count(state, disk.bytes());
}

void BM_Verify(benchmark::State& state) {
  const OnDisk disk(static_cast<size_t>(state.range(0)));
  for (auto _ : state) CHECK(verify(*disk.open())->ok());
  count(state, disk.bytes());
}

BENCHMARK(BM_Plan)->Arg(256)->Arg(2000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WriteToStream)->Arg(256)->Arg(2000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WriteWithSum)->Arg(2000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WriteToFile)->Arg(256)->Arg(2000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Read)->Arg(256)->Arg(2000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Verify)->Arg(256)->Arg(2000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keelson::boltfile

BENCHMARK_MAIN();
