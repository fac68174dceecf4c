// Values that were found on the way: kept in memory while there is room, as if they had been
// written a moment ago. After a start no value is in memory (restore.cc).

#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {

bool StoreImpl::warm(const backend::PassingRecords& records) {
  for (const auto& [row, value] : records) {
    if (cache_.full()) return false;
    ParsedRevision at;
    KeyValueView kv;
    if (!parse_revision_key(row, &at) || at.tombstone) continue;
    if (!decode_key_value(value, &kv)) continue;  // who reads it hears of it
    KeyRecord* record = tree_.find(kv.key);
    if (!record) continue;
    Version* head = record->head.load(std::memory_order_relaxed);
    const bool wanted =
        head->revision() == at.revision && !head->block() && head->size == value.size();
    if (!wanted) continue;
    head->value.store(reinterpret_cast<uintptr_t>(Bytes::copy(value).give()),
                      std::memory_order_release);
    cache_.added(record, head->size);
  }
  return true;
}

}  // namespace keelson::mvcc
