// backend/rocks/head_walk.h
//
// A walk over the heads of the whole key family: the head files of all tables, merged as RocksDB
// would merge the tables; where a table has no head file that can be used, the tables are read.
//
// Threads: one, while nobody commits. Merges may go on: they change no record, and no file is
// removed while the walk lives.
// Lifetime: the database, the reader and the keeper outlive it.
// Source of the order: of the rows of one key the one with the larger sequence number counts.

#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/rocks/head_keeper.h"

namespace keelson::backend::rocks {

std::unique_ptr<HeadWalk> merge_head_files(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family,
                                           const Reader& reader, const HeadKeeper& keeper,
                                           const HeadFormat& format);

}  // namespace keelson::backend::rocks
