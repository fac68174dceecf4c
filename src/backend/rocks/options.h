// backend/rocks/options.h
//
// How RocksDB is set up, in one place, each setting with its reason.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/rocks/rocks_backend.h"
#include "rocksdb/db.h"

namespace keelson::backend::rocks {

// Of the key family's files, in bytes.
inline constexpr uint64_t kTargetFileSize = 32 << 20;

rocksdb::DBOptions database_options(const RocksOptions& options,
                                    std::vector<std::shared_ptr<rocksdb::EventListener>> listeners);

// One descriptor per bucket in the order of the enum, then RocksDB's own "default" family, unused.
// `heads`: of the key family's tables; may be null.
std::vector<rocksdb::ColumnFamilyDescriptor> families(
    const RocksOptions& options, std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> heads);

}  // namespace keelson::backend::rocks
