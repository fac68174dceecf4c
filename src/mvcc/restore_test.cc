// A restart finds each key as it was, however many records there are: batches of every fill, their
// last one with a single short record among them.

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "base/text.h"
#include "mvcc/restore_rows.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

TEST(Restore, EveryFillOfABatch) {
  constexpr size_t kBatch = RowReader::kBatch;
  for (size_t keys : {size_t{1}, size_t{2}, kBatch - 1, kBatch, kBatch + 1, 2 * kBatch + 1}) {
    backend::MemoryBackend backend;
    auto store = *Store::open(&backend, {});
    for (size_t i = 0; i < keys; ++i) {
      WriteTxn txn = store->begin();
      ASSERT_TRUE(txn.put({.key = cat("k", i), .value = "v"}).ok());
    }
    ASSERT_TRUE(store->publish(Index(1), Term(1)).ok());
    store.reset();

    store = *Store::open(&backend, {});
    store->check_invariants();
    std::unique_ptr<ReaderSlot> slot = store->register_reader();
    for (size_t i = 0; i < keys; ++i) {
      auto found = store->range(*slot, cat("k", i), "", {});
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->kvs.size(), 1u) << i << " of " << keys;
      KeyValueView kv;
      ASSERT_TRUE(decode_key_value(found->kvs[0], &kv));
      EXPECT_EQ(kv.key, cat("k", i));
      EXPECT_EQ(kv.value, "v");
    }
  }
}

}  // namespace
}  // namespace keelson::mvcc
