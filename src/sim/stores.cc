#include "sim/stores.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace keelson::sim {
namespace {

using backend::Bucket;

constexpr std::string_view kVersionKey = "clusterVersion";

// What every member has at the same index: not the marks of a compaction's progress.
bool is_shared(Bucket bucket, std::string_view key) {
  return bucket != Bucket::kMeta || key == "confState";
}

uint64_t sum_of(Bucket bucket, std::string_view key, std::string_view value) {
  const std::hash<std::string_view> hash;
  uint64_t mixed = hash(key) * 0x9e3779b97f4a7c15u + hash(value);
  mixed ^= mixed >> 29;
  return (mixed + static_cast<uint64_t>(bucket)) * 0xbf58476d1ce4e5b9u;
}

uint64_t sum_of_rest(const backend::Reader& state) {
  uint64_t sum = 0;
  for (size_t i = 0; i < backend::kBucketCount; ++i) {
    const auto bucket = static_cast<Bucket>(i);
    if (bucket == Bucket::kKey) continue;
    auto records = state.iterate(bucket, {});
    for (records->seek_to_first(); records->valid(); records->next()) {
      if (!is_shared(bucket, records->key())) continue;
      sum += sum_of(bucket, records->key(), records->value());
    }
  }
  return sum;
}

// Shows the oracle what each commit has made of the state.
class WatchedBackend final : public node::ForwardingBackend {
 public:
  WatchedBackend(backend::MemoryBackend& to, Oracle& oracle)
      : ForwardingBackend(to), to_(to), oracle_(oracle), sum_{.rest = sum_of_rest(to)} {
    if (to.consistent_index() != Index(0)) {
      sum_.keys = oracle.sum_at(to.consistent_index()).keys;
      oracle.applied(to.consistent_index(), to.consistent_term(), sum_);
    }
  }

  absl::Status commit(const backend::WriteBatch& batch, Index index, Term term) override {
    StateSum sum = sum_;
    // Later changes of a batch overwrite earlier ones.
    std::map<std::pair<Bucket, std::string>, std::optional<std::string>> rest;
    batch.for_each(
        [&](Bucket bucket, std::string_view key, std::string_view value) {
          if (bucket == Bucket::kKey) {
            sum.keys += sum_of(bucket, key, value);
          } else if (is_shared(bucket, key)) {
            rest[{bucket, std::string(key)}] = std::string(value);
          }
        },
        [&](Bucket bucket, std::string_view key) {
          if (bucket != Bucket::kKey && is_shared(bucket, key)) {
            rest[{bucket, std::string(key)}] = std::nullopt;
          }
        });
    for (const auto& [place, value] : rest) {
      const auto& [bucket, key] = place;
      absl::StatusOr<std::optional<Bytes>> before = to_.get(bucket, key);
      if (!before.ok()) return before.status();
      if (*before) sum.rest -= sum_of(bucket, key, (*before)->view());
      if (value) sum.rest += sum_of(bucket, key, *value);
      if (bucket == Bucket::kCluster && key == kVersionKey && value) {
        oracle_.cluster_version(*before ? (*before)->view() : std::string_view(), *value);
      }
    }
    absl::Status status = to_.commit(batch, index, term);
    if (!status.ok()) return status;
    sum_ = sum;
    if (index != Index(0)) oracle_.applied(index, term, sum_);
    return absl::OkStatus();
  }

 private:
  backend::MemoryBackend& to_;
  Oracle& oracle_;
  StateSum sum_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<backend::Backend>> Stores::open() {
  std::vector<Index> reached;
  for (const auto& disk : disks_) reached.push_back(disk->consistent_index());
  absl::StatusOr<size_t> chosen = node::choose_store(options_, reached);
  if (!chosen.ok()) return chosen.status();
  std::unique_ptr<backend::MemoryBackend> one = std::move(disks_[*chosen]);
  disks_.clear();
  disks_.push_back(std::move(one));
  return std::make_unique<WatchedBackend>(*disks_.front(), oracle_);
}

void Stores::kill(bool keep) {
  if (keep) return mend();
  lose_power();
}

void Stores::lose_power() {
  for (const auto& disk : disks_) disk->crash();
  mend();
}

void Stores::mend() {
  for (const auto& disk : disks_) disk->fail_reads(absl::OkStatus());
  be_prompt();
}

void Stores::be_slow() {
  for (const auto& disk : disks_) disk->hold_flushes();
}

void Stores::be_prompt() {
  for (const auto& disk : disks_) disk->release_flushes();
}

void Stores::be_damaged(Random& random) {
  for (const auto& disk : disks_) {
    disk->fail_reads(absl::DataLossError("a block's sum does not match"),
                     static_cast<int>(random.below(20)));
  }
}

absl::StatusOr<std::shared_ptr<backend::Backend>> Stores::add(const backend::Snapshot& from) {
  auto disk = std::make_unique<backend::MemoryBackend>();
  backend::WriteBatch batch;
  for (size_t i = 0; i < backend::kBucketCount; ++i) {
    const auto bucket = static_cast<Bucket>(i);
    auto records = from.iterate(bucket, {});
    for (records->seek_to_first(); records->valid(); records->next()) {
      batch.put(bucket, records->key(), records->value());
    }
    if (!records->status().ok()) return records->status();
  }
  absl::Status status = disk->commit(batch, from.consistent_index(), from.consistent_term());
  if (!status.ok()) return status;
  disk->flush([](absl::Status) {});
  disks_.push_back(std::move(disk));
  return std::make_shared<WatchedBackend>(*disks_.back(), oracle_);
}

}  // namespace keelson::sim
