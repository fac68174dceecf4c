#include "backend/rocks/options.h"

#include <algorithm>

#include "backend/rocks/info_log.h"
#include "rocksdb/slice_transform.h"
#include "rocksdb/table.h"

namespace keelson::backend::rocks {
namespace {

using Heads = rocksdb::TablePropertiesCollectorFactory;

// The write buffers of the key family: one being filled, the rest waiting for the disk. With four
// of them a flush may take three times as long as filling one before a commit has to wait.
constexpr int kKeyWriteBuffers = 4;
constexpr uint64_t kSmallestWriteBuffer = 64 << 10;  // RocksDB's own limit

rocksdb::CompressionType best_compression() {
  return rocksdb::kLZ4Compression;  // 0.3 µs per KeyValue; ratio 2 to 4 on Kubernetes objects
}

std::shared_ptr<rocksdb::TableFactory> table_format(std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.block_size = 8 << 10;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  // Memory stays bounded however large the database grows; the newest level's indexes stay in.
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  // No bloom filter: revisions are only looked up when the index says that they exist.
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

rocksdb::ColumnFamilyOptions small_family(std::shared_ptr<rocksdb::TableFactory> table) {
  rocksdb::ColumnFamilyOptions cf;
  cf.table_factory = std::move(table);
  cf.write_buffer_size = 4 << 20;
  cf.max_write_buffer_number = kKeyWriteBuffers;
  cf.arena_block_size = 64 << 10;
  cf.paranoid_file_checks = false;
  // Commits must not wait for merges: files of few records are cheap to read, stalls are not.
  cf.level0_file_num_compaction_trigger = 4;
  cf.level0_slowdown_writes_trigger = 64;
  cf.level0_stop_writes_trigger = 128;
  cf.compression = rocksdb::kNoCompression;
  return cf;
}

rocksdb::ColumnFamilyOptions key_family(const RocksOptions& options,
                                        std::shared_ptr<rocksdb::TableFactory> table,
                                        std::shared_ptr<Heads> heads) {
  rocksdb::ColumnFamilyOptions cf = small_family(std::move(table));
  cf.write_buffer_size =
      std::max<uint64_t>(options.write_buffers / kKeyWriteBuffers, kSmallestWriteBuffer);
  cf.arena_block_size = std::min<size_t>(1 << 20, cf.write_buffer_size / 8);
  cf.compression = best_compression();
  if (heads) cf.table_properties_collector_factories.push_back(std::move(heads));
  // Revisions only grow, so each insert belongs right behind the one before it, and files of
  // different flushes do not overlap: level compaction moves them down without rewriting them.
  cf.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewCappedPrefixTransform(1));
  cf.level_compaction_dynamic_level_bytes = true;
  cf.target_file_size_base = kTargetFileSize;
  // A file lies above at most as much of the level below, so that no merge is long.
  cf.max_compaction_bytes = 8 * kTargetFileSize;
  cf.max_bytes_for_level_base = 256 << 20;
  return cf;
}

}  // namespace

rocksdb::DBOptions database_options(
    const RocksOptions& options, std::vector<std::shared_ptr<rocksdb::EventListener>> listeners) {
  rocksdb::DBOptions db;
  db.create_if_missing = options.create_if_missing;
  db.create_missing_column_families = true;
  db.paranoid_checks = true;
  // Without a log, only this makes several families fall back to the same commit.
  db.atomic_flush = true;
  db.avoid_flush_during_shutdown = !options.flush_on_close;
  // One writer: the hint above needs it, and it is the cheaper path.
  db.allow_concurrent_memtable_write = false;
  db.enable_pipelined_write = false;
  db.max_background_jobs = options.background_threads;
  db.max_subcompactions = 1;
  // Recovery by itself would flush, and not safely (docs/rocksdb.md). We wait for space ourselves;
  // whatever else fails ends the member.
  db.max_bgerror_resume_count = 0;
  db.bytes_per_sync = 1 << 20;  // no burst of dirty pages in the way of the raft log's fsync
  db.max_file_opening_threads = options.opening_threads;
  db.max_open_files = -1;  // open() then reads every file's footer and index
  db.skip_stats_update_on_db_open = true;
  db.info_log = std::make_shared<InfoLog>();
  // Not 4 MB, of a disk that may be full.
  db.manifest_preallocation_size = 64 << 10;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.listeners = std::move(listeners);
  return db;
}

std::vector<rocksdb::ColumnFamilyDescriptor> families(const RocksOptions& options,
                                                      std::shared_ptr<Heads> heads) {
  auto cache = rocksdb::NewLRUCache(options.block_cache, /*num_shard_bits=*/4);
  auto table = table_format(cache);
  std::vector<rocksdb::ColumnFamilyDescriptor> out;
  for (size_t i = 0; i < kBucketCount; ++i) {
    auto bucket = static_cast<Bucket>(i);
    out.emplace_back(std::string(bucket_name(bucket)), bucket == Bucket::kKey
                                                           ? key_family(options, table, heads)
                                                           : small_family(table));
  }
  out.emplace_back(rocksdb::kDefaultColumnFamilyName, small_family(table));
  return out;
}

}  // namespace keelson::backend::rocks
