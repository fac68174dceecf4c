#include "tests/cluster/alter.h"

#include <future>
#include <memory>

#include "backend/rocks/rocks_backend.h"
#include "mvcc/row_head.h"
#include "proto/kv.pb.h"

namespace keelson::cluster {

absl::Status alter_value(const std::string& data_dir, const std::string& key) {
  absl::StatusOr<std::unique_ptr<backend::Backend>> opened = backend::open_rocks_backend(
      data_dir + "/member/keelson", {.heads = mvcc::kHeadFormat, .create_if_missing = false});
  if (!opened.ok()) return opened.status();
  backend::Backend& store = **opened;
  std::string found, value;
  {
    std::unique_ptr<backend::Iterator> it = store.iterate(backend::Bucket::kKey);
    for (it->seek_to_first(); it->valid(); it->next()) {
      mvccpb::KeyValue record;
      const std::string bytes(it->value());
      if (!record.ParseFromString(bytes) || record.key() != key || record.value().empty()) continue;
      record.mutable_value()->front() ^= 1;
      found = it->key();
      value = record.SerializeAsString();
    }
    if (!it->status().ok()) return it->status();
  }
  if (found.empty()) return absl::NotFoundError(key);
  backend::WriteBatch batch;
  batch.put(backend::Bucket::kKey, found, value);
  if (absl::Status s = store.commit(batch, Index(0), Term(0)); !s.ok()) return s;
  std::promise<absl::Status> flushed;
  store.flush([&](absl::Status status) { flushed.set_value(std::move(status)); });
  return flushed.get_future().get();
}

}  // namespace keelson::cluster
