#include "node/read_rounds.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/errors.h"
#include "node/gateway.h"

namespace keelson::node {
namespace {

// etcd asks again when a read-index round has not come back by then.
constexpr Duration kRetry = std::chrono::milliseconds(500);

Bytes context_bytes(uint64_t context) {
  return Bytes::build(sizeof context, [&](char* out) { store_big64(out, context); });
}

void answer(std::vector<ReadBatch>& batches, const absl::Status& status) {
  for (ReadBatch& batch : batches) batch.gateway->answer_reads(batch, status);
  batches.clear();
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

void ReadRounds::add(ReadBatch batch) {
  CHECK(batch.gateway != nullptr);
  CHECK(batch.count > 0);
  waiting_.push_back(batch);
}

void ReadRounds::start(raft::RawNode& core, MonotonicTime now) {
  if (waiting_.empty() || round_.context != 0) return;
  Bytes context = next_context();
  round_ = {next_context_, now, std::move(waiting_)};
  waiting_.clear();
  CHECK(!round_.batches.empty());
  core.read_index(std::move(context));
}

std::vector<ReadBatch> ReadRounds::take(const raft::ReadState& answer) {
  if (round_.context == 0 || answer.request_ctx != context_bytes(round_.context)) return {};
  CHECK(!round_.batches.empty());
  return std::exchange(round_, {}).batches;
}

void ReadRounds::fail_round(const absl::Status& status) {
  CHECK(!status.ok());
  CHECK((round_.context == 0) == round_.batches.empty());
  answer(round_.batches, status);
  round_ = {};
}

void ReadRounds::fail_all(const absl::Status& status) {
  fail_round(status);
  answer(waiting_, status);
  CHECK(waiting_.empty());
  CHECK(round_.context == 0);
}

bool ReadRounds::expire(raft::RawNode& core, MonotonicTime now) {
  drop_expired(waiting_, now);
  CHECK((round_.context == 0) == round_.batches.empty());
  if (round_.context == 0) return false;
  drop_expired(round_.batches, now);
  if (round_.batches.empty()) {
    round_ = {};
    return false;
  }
  if (now - round_.asked < kRetry) return false;
  Bytes context = next_context();
  round_.context = next_context_;
  round_.asked = now;
  core.read_index(std::move(context));
  return true;
}

}  // namespace keelson::node
