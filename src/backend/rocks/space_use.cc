#include "backend/rocks/space_use.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::backend::rocks {
namespace {

using Property = rocksdb::DB::Properties;

rocksdb::ColumnFamilyHandle* key_family(const Families& families) {
  return families[static_cast<size_t>(Bucket::kKey)];
}

}  // namespace

uint64_t SpaceUse::property(rocksdb::ColumnFamilyHandle* family, const char* name) const {
  uint64_t value = 0;
  return db_.GetIntProperty(family, name, &value) ? value : 0;
}

uint64_t SpaceUse::sum(const char* name) const {
  uint64_t total = 0;
  for (rocksdb::ColumnFamilyHandle* family : families_) total += property(family, name);
  return total;
}

uint64_t SpaceUse::size() const {
  return sum(Property::kLiveSstFilesSize.c_str()) + sum(Property::kCurSizeAllMemTables.c_str());
}

uint64_t SpaceUse::size_in_use() const {
  const uint64_t all = size();
  const KeySpace keys = key_space();
  const uint64_t dead = keys.dead(live_bytes());
  if (dead == 0) return all;
  CHECK(dead <= keys.raw);
  const double share = static_cast<double>(dead) / static_cast<double>(keys.raw);
  const auto gone = static_cast<uint64_t>(share * static_cast<double>(keys.physical()));
  return all - std::min(all, gone);
}

KeySpace SpaceUse::key_space() const {
  rocksdb::ColumnFamilyHandle* family = key_family(families_);
  KeySpace space;
  space.on_disk = property(family, Property::kLiveSstFilesSize.c_str());
  space.buffered = property(family, Property::kCurSizeAllMemTables.c_str());
  const Files files = key_files();
  space.raw = files.raw + space.buffered;
  space.deletions = files.deletions +
                    property(family, Property::kNumDeletesActiveMemTable.c_str()) +
                    property(family, Property::kNumDeletesImmMemTables.c_str());
  return space;
}

SpaceUse::Files SpaceUse::key_files() const {
  rocksdb::ColumnFamilyHandle* family = key_family(families_);
  const uint64_t version = property(family, Property::kCurrentSuperVersionNumber.c_str());
  std::lock_guard lock(mutex_);
  if (files_.version == version) return files_;
  rocksdb::TablePropertiesCollection tables;
  if (!db_.GetPropertiesOfAllTables(family, &tables).ok()) return files_;
  files_ = {.version = version};
  for (const auto& [name, table] : tables) {
    files_.raw += table->raw_key_size + table->raw_value_size;
    files_.deletions += table->num_deletions;
  }
  return files_;
}

}  // namespace keelson::backend::rocks
