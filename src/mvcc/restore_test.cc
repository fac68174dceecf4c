// A restart finds each key as it was, however many records there are: batches of every fill, their
// last one with a single short record among them.

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "mvcc/restore_rows.h"
#include "mvcc/revision_key.h"
#include "mvcc/row_head.h"
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

TEST(Restore, HeadsThatSayNothing) {
  RowHead head;
  EXPECT_FALSE(decode_row_head("", &head));
  EXPECT_FALSE(decode_row_head("\xff\xff", &head));
  std::string none;
  ASSERT_TRUE(append_row_head(RevisionKey({2, 0}).view(), "", &none).ok());
  EXPECT_TRUE(decode_row_head(none, &head));
  EXPECT_TRUE(head.key.empty());
}

// Of a database that another member sent, say.
TEST(Restore, NumbersThatNothingCanFollow) {
  const auto opens = [](int64_t main, int64_t create, int64_t version, int64_t compacted = 1) {
    backend::MemoryBackend backend;
    std::string value;
    pb::append_bytes_field(value, 1, "k");
    pb::append_varint_field(value, 2, static_cast<uint64_t>(create));
    pb::append_varint_field(value, 3, static_cast<uint64_t>(main));
    pb::append_varint_field(value, 4, static_cast<uint64_t>(version));
    pb::append_bytes_field(value, 5, "v");
    backend::WriteBatch batch;
    batch.put(backend::Bucket::kKey, RevisionKey({main, 0}).view(), value);
    batch.put(backend::Bucket::kMeta, "finishedCompactRev", RevisionKey({compacted, 0}).view());
    EXPECT_TRUE(backend.commit(batch, Index(1), Term(1)).ok());
    const absl::Status status = Store::open(&backend, {}).status();
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
    return status.ok();
  };
  constexpr int64_t kEnd = INT64_MAX;
  EXPECT_TRUE(opens(7, 5, 2));
  EXPECT_TRUE(opens(kMaxRevision, 5, 2));
  EXPECT_FALSE(opens(kMaxRevision + 1, 5, 2));
  EXPECT_FALSE(opens(kEnd, 5, 2));
  EXPECT_FALSE(opens(7, kEnd, 2));
  EXPECT_FALSE(opens(7, -1, 2));
  EXPECT_FALSE(opens(7, 8, 2));
  EXPECT_FALSE(opens(7, 5, 8));
  EXPECT_FALSE(opens(7, 5, kEnd));
  EXPECT_FALSE(opens(7, 5, -1));
  EXPECT_FALSE(opens(7, 5, 2, kEnd));
}

}  // namespace
}  // namespace keelson::mvcc
