#include "sim/stores.h"

#include <utility>

namespace keelson::sim {

absl::StatusOr<std::unique_ptr<backend::Backend>> Stores::open() {
  std::vector<Index> reached;
  for (const auto& disk : disks_) reached.push_back(disk->consistent_index());
  absl::StatusOr<size_t> chosen = node::choose_store(options_, reached);
  if (!chosen.ok()) return chosen.status();
  std::unique_ptr<backend::MemoryBackend> one = std::move(disks_[*chosen]);
  disks_.clear();
  disks_.push_back(std::move(one));
  return std::make_unique<node::ForwardingBackend>(*disks_.front());
}

void Stores::kill(bool keep) {
  if (!keep) lose_power();
}

void Stores::lose_power() {
  for (const auto& disk : disks_) disk->crash();
}

absl::StatusOr<std::shared_ptr<backend::Backend>> Stores::add(const backend::Snapshot& from) {
  auto disk = std::make_unique<backend::MemoryBackend>();
  backend::WriteBatch batch;
  for (size_t bucket = 0; bucket < backend::kBucketCount; ++bucket) {
    auto records = from.iterate(static_cast<backend::Bucket>(bucket), {});
    for (records->seek_to_first(); records->valid(); records->next()) {
      batch.put(static_cast<backend::Bucket>(bucket), records->key(), records->value());
    }
    if (!records->status().ok()) return records->status();
  }
  absl::Status status = disk->commit(batch, from.consistent_index(), from.consistent_term());
  if (!status.ok()) return status;
  disk->flush([](absl::Status) {});
  disks_.push_back(std::move(disk));
  return std::make_shared<node::ForwardingBackend>(*disks_.back());
}

}  // namespace keelson::sim
