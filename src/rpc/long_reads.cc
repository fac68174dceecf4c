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

// Reads of a few values that go together.
constexpr size_t kTogether = 16;

// They wait for the disk most of the time, so there are more of them than processors. One thread
// is never the same client's as all others.
Workers::Options for_values() {
  constexpr int kThreads = 8;
  return {.name = "read-value",
          .threads = kThreads,
          .threads_per_connection = 4,
          .threads_per_client = kThreads - 1};
}

// They would take every processor for seconds; the lanes' share stays theirs.
Workers::Options for_ranges() {
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = std::clamp(processors, 4, 16);
  return {.name = "read-range",
          .threads = threads,
          .threads_per_connection = std::clamp(processors / 2, 2, 8),
          .threads_per_client = threads - 1,
          .niceness = 10};
}

// What it has of its client's while it waits.
size_t bytes_of(const net::ServerCall& call) {
  return call.kept_request() ? call.kept_request()->size : 0;
}

}  // namespace

LongReads::Pool::Pool(mvcc::Store& store, Workers::Options options) : workers(std::move(options)) {
  for (int i = 0; i < workers.size(); ++i) slots.push_back(store.register_reader());
}

LongReads::LongReads(mvcc::Store& store, net::LoopPool& loops)
    : store_(store),
      timer_(loops.at(0)),
      values_(store, for_values()),
      ranges_(store, for_ranges()),
      gathered_(static_cast<size_t>(loops.size())) {
  for (int i = 0; i < loops.size(); ++i) {
    Gathered* gathered = &gathered_[static_cast<size_t>(i)];
    loops.at(i).after_batch([this, gathered] { hand_over(*gathered); });
  }
}

LongReads::~LongReads() { stop(); }

void LongReads::run(Origin from, net::CallRef call, const mvcc::ReadBounds& tried, Read read) {
  One one{std::move(call), std::move(read)};
  if (tried.lacking > 0 && tried.lacking <= kFewValues) {
    Gathered& gathered = gathered_[static_cast<size_t>(one.call->loop().number())];
    if (gathered.from != from || gathered.reads.size() >= kTogether) hand_over(gathered);
    gathered.from = from;
    gathered.reads.push_back(std::move(one));
    return;
  }
  net::CallRef asking = one.call;
  if (!offer(from, asking, std::move(one.read))) asking->fail(errors::RequestTooManyRequests());
}

bool LongReads::offer(Origin from, net::CallRef call, Read read) {
  const size_t bytes = bytes_of(*call);
  One one{std::move(call), std::move(read)};
  auto job = [this, from, one = std::move(one)](int worker) mutable {
    Task then = this->read(ranges_, worker, from, one);
    if (then) one.call->loop().post(std::move(then));
  };
  return ranges_.workers.run(from, std::move(job), bytes);
}

void LongReads::compute(Origin from, net::CallRef call, absl::AnyInvocable<Task()> work) {
  bool taken = ranges_.workers.run(from, [call, work = std::move(work)](int) mutable {
    if (call->over()) return;
    Task then = work();
    if (!call->over()) call->loop().post(std::move(then));
  });
  if (!taken) call->fail(errors::RequestTooManyRequests());
}

void LongReads::look_back(uint64_t owner, absl::AnyInvocable<void(mvcc::ReaderSlot&)> read) {
  values_.workers.go_on(owner, [this, read = std::move(read)](int worker) mutable {
    read(*values_.slots[static_cast<size_t>(worker)]);
  });
}

void LongReads::hand_over(Gathered& gathered) {
  if (gathered.reads.empty()) return;
  std::vector<net::CallRef> asking;
  size_t bytes = 0;
  for (const One& one : gathered.reads) {
    asking.push_back(one.call);
    bytes += bytes_of(*one.call);
  }
  auto job = [this, from = gathered.from,
              reads = std::exchange(gathered.reads, {})](int worker) mutable {
    net::Loop& loop = reads.front().call->loop();
    std::vector<Task> answers;
    for (One& one : reads) {
      if (Task then = read(values_, worker, from, one)) answers.push_back(std::move(then));
    }
    loop.post([answers = std::move(answers)]() mutable {
      for (Task& answer : answers) answer();
    });
  };
  if (values_.workers.run(gathered.from, std::move(job), bytes)) return;
  for (const net::CallRef& call : asking) call->fail(errors::RequestTooManyRequests());
}

Task LongReads::read(Pool& pool, int worker, Origin from, One& one) {
  if (one.call->over()) return nullptr;
  const std::function<void(Task)> elsewhere = [this, from](Task task) {
    values_.workers.go_on(from, [task = std::move(task)](int) mutable { task(); });
  };
  mvcc::ReadBounds bounds{
      .unwanted = &one.call->over_mark(), .hold_above = kHeldAbove, .elsewhere = &elsewhere};
  Task then = one.read(store_.read(*pool.slots[static_cast<size_t>(worker)], &bounds));
  if (one.call->over()) return nullptr;
  return then;
}

void LongReads::leave_former_store() {
  for (Pool* pool : {&values_, &ranges_}) {
    for (int i = 0; i < pool->workers.size(); ++i) leave_former_store(*pool, i);
  }
}

void LongReads::leave_former_store(Pool& pool, int worker) {
  pool.workers.run_on(worker, [this, &pool](int worker) {
    if (store_.follow(*pool.slots[static_cast<size_t>(worker)])) return;
    timer_.post_after(std::chrono::seconds(1),
                      [this, &pool, worker] { leave_former_store(pool, worker); });
  });
}

void LongReads::stop() {
  values_.workers.stop();
  ranges_.workers.stop();
}

}  // namespace keelson::rpc
