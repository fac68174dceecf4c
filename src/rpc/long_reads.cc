#include "rpc/long_reads.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/errors.h"

namespace keelson::rpc {
namespace {

// A read that lacks no more values than this waits for the disk a few times at most.
constexpr uint64_t kFewValues = 64;

// A range that lacks more bytes than this is read while it is sent.
constexpr uint64_t kHeldAbove = 1 << 20;

// They wait for the disk most of the time, so there are more of them than processors.
Workers::Options for_values() {
  return {.name = "read-value", .threads = 8, .threads_per_owner = 4};
}

// They would take every processor for seconds; the lanes' share stays theirs.
Workers::Options for_ranges() {
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return {.name = "read-range",
          .threads = std::clamp(processors, 4, 16),
          .threads_per_owner = std::clamp(processors / 2, 2, 8),
          .niceness = 10};
}

}  // namespace

LongReads::Pool::Pool(mvcc::Store& store, Workers::Options options) : workers(std::move(options)) {
  for (int i = 0; i < workers.size(); ++i) slots.push_back(store.register_reader());
}

LongReads::LongReads(mvcc::Store& store)
    : store_(store), values_(store, for_values()), ranges_(store, for_ranges()) {}

LongReads::~LongReads() { stop(); }

void LongReads::run(net::CallRef call, const mvcc::ReadBounds& tried, Read read) {
  const bool few = tried.lacking > 0 && tried.lacking <= kFewValues;
  Pool& pool = few ? values_ : ranges_;
  const auto owner = reinterpret_cast<uintptr_t>(&call->peer());
  bool taken = pool.workers.run(
      owner, [this, &pool, call, owner, read = std::move(read)](int worker) mutable {
        if (call->over()) return;
        const std::function<void(Task)> elsewhere = [this, owner](Task task) {
          values_.workers.go_on(owner, [task = std::move(task)](int) mutable { task(); });
        };
        mvcc::ReadBounds bounds{
            .unwanted = &call->over_mark(), .hold_above = kHeldAbove, .elsewhere = &elsewhere};
        Task then = read(store_.read(*pool.slots[static_cast<size_t>(worker)], &bounds));
        if (!call->over()) call->loop().post(std::move(then));
      });
  if (!taken) call->fail(errors::RequestTooManyRequests());
}

void LongReads::stop() {
  values_.workers.stop();
  ranges_.workers.stop();
}

}  // namespace keelson::rpc
