#include "node/read_rounds.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/errors.h"
#include "node/gateway.h"

namespace keelson::node {
namespace {

// etcd asks again when a read-index round has not come back by then.
constexpr Duration kRetry = std::chrono::milliseconds(500);

// Of those who just had their answer and those who wait, so many in a hundred are waited for. All
// would be as many as never come when one client leaves.
constexpr int64_t kMostOfThem = 90;
// A hold takes as long as so many rounds.
constexpr int64_t kRoundsPerHold = 8;
constexpr int kLongestRest = 64;  // rounds

constexpr int64_t kMany = int64_t{1} << 40;

Bytes context_bytes(uint64_t context) {
  return Bytes::build(sizeof context, [&](char* out) { store_big64(out, context); });
}

void answer(const std::vector<ReadBatch>& batches, const absl::Status& status) {
  for (const ReadBatch& batch : batches) batch.gateway->answer_reads(batch, status);
}

int64_t reads_in(const std::vector<ReadBatch>& batches) {
  int64_t reads = 0;
  for (const ReadBatch& batch : batches) reads += batch.count;
  return reads;
}

void drop_expired(std::vector<ReadBatch>& batches, MonotonicTime now) {
  std::erase_if(batches, [&](ReadBatch& batch) {
    if (batch.deadline > now) return false;
    batch.gateway->answer_reads(batch, errors::Timeout());
    return true;
  });
}

}  // namespace

Bytes ReadRounds::next_context() {
  if (++next_context_ == 0) ++next_context_;
  return context_bytes(next_context_);
}

ReadRounds::ReadRounds(uint64_t seed, const Limits& limits) : limits_(limits), next_context_(seed) {
  CHECK(limits_.crowd > 0);
  CHECK(limits_.longest_hold >= Duration(0));
}

ReadRounds::~ReadRounds() {
  for (Submitted* next = submitted_.load(); next;) delete std::exchange(next, next->older);
}

bool ReadRounds::submit(ReadBatch batch) {
  CHECK(batch.gateway != nullptr);
  CHECK(batch.count > 0);
  auto* submitted = new Submitted{batch, submitted_.load(std::memory_order_relaxed)};
  while (!submitted_.compare_exchange_weak(submitted->older, submitted)) {
  }
  return room_.fetch_sub(batch.count) <= batch.count;
}

void ReadRounds::gather() {
  const size_t first = waiting_.size();
  for (Submitted* next = submitted_.exchange(nullptr); next;) {
    const std::unique_ptr<Submitted> submitted(next);
    waiting_.push_back(submitted->batch);
    waiting_reads_ += submitted->batch.count;
    next = submitted->older;
  }
  std::reverse(waiting_.begin() + static_cast<ptrdiff_t>(first), waiting_.end());
  CHECK(waiting_.empty() == (waiting_reads_ == 0));
}

std::optional<Duration> ReadRounds::start(raft::RawNode& core, MonotonicTime now) {
  if (round_.context != 0) return std::nullopt;
  gather();
  if (waiting_reads_ < hold_.crowd && now < hold_.until) {
    room_.store(hold_.crowd - waiting_reads_);
    return hold_.until - now;
  }
  room_.store(0);
  gather();
  if (!waiting_.empty()) begin(core, now);
  return std::nullopt;
}

void ReadRounds::begin(raft::RawNode& core, MonotonicTime now) {
  CHECK(round_.context == 0);
  learn_from_hold();
  Bytes context = next_context();
  round_ = {next_context_, next_context_, now, std::exchange(waiting_reads_, 0),
            std::exchange(waiting_, {})};
  CHECK(round_.reads > 0);
  room_.store(kMany);
  core.read_index(std::move(context));
}

std::vector<ReadBatch> ReadRounds::end_round() {
  CHECK((round_.context == 0) == round_.batches.empty());
  CHECK((round_.context == 0) == (round_.reads == 0));
  room_.store(0);
  return std::exchange(round_, {}).batches;
}

std::vector<ReadBatch> ReadRounds::take(const raft::ReadState& answer, MonotonicTime now) {
  if (round_.context == 0 || answer.request_ctx.size() != sizeof(uint64_t)) return {};
  const uint64_t context = load_big64(answer.request_ctx.data());
  if (context - round_.first_context > round_.context - round_.first_context) return {};
  const int64_t answered = round_.reads;
  const Duration took = now - round_.asked;
  std::vector<ReadBatch> batches = end_round();
  gather();
  hold_next(answered, took, now);
  return batches;
}

void ReadRounds::hold_next(int64_t answered, Duration took, MonotonicTime now) {
  CHECK(hold_.crowd == 0);
  if (answered < limits_.crowd) return;
  if (rest_ > 0) {
    --rest_;
    return;
  }
  hold_.crowd = (answered + waiting_reads_) * kMostOfThem / 100;
  hold_.until = now + std::min(took * kRoundsPerHold, limits_.longest_hold);
}

void ReadRounds::learn_from_hold() {
  if (hold_.crowd == 0) return;
  const bool came = waiting_reads_ >= hold_.crowd;
  last_rest_ = came ? 0 : std::clamp(2 * last_rest_, 1, kLongestRest);
  rest_ = last_rest_;
  hold_ = {};
}

void ReadRounds::fail_round(const absl::Status& status) {
  CHECK(!status.ok());
  answer(end_round(), status);
}

void ReadRounds::fail_all(const absl::Status& status) {
  fail_round(status);
  gather();
  waiting_reads_ = 0;
  answer(std::exchange(waiting_, {}), status);
}

bool ReadRounds::expire(raft::RawNode& core, MonotonicTime now, bool may) {
  gather();
  drop_expired(waiting_, now);
  waiting_reads_ = reads_in(waiting_);
  if (round_.context == 0) return false;
  drop_expired(round_.batches, now);
  if (round_.batches.empty()) {
    round_ = {};
    room_.store(0);
    return false;
  }
  round_.reads = reads_in(round_.batches);
  if (!may || now - round_.asked < kRetry) return false;
  Bytes context = next_context();
  round_.context = next_context_;
  round_.asked = now;
  core.read_index(std::move(context));
  return true;
}

}  // namespace keelson::node
