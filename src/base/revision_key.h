// base/revision_key.h
//
// Keys of the key bucket: 8 bytes main (big endian), '_', 8 bytes sub, and a 't' behind a
// tombstone. Source: etcd v3.7.1, server/storage/mvcc/revision.go; docs/formats/mvcc.md.
//
// Threads: values.

#pragma once

#include <cstdint>
#include <string_view>

#include "base/endian.h"
#include "base/ids.h"

namespace keelson {

class RevisionKey {
 public:
  static constexpr size_t kSize = 17;
  static constexpr size_t kTombstoneSize = 18;

  explicit RevisionKey(Revision revision, bool tombstone = false)
      : size_(tombstone ? kTombstoneSize : kSize) {
    store_big64(bytes_, static_cast<uint64_t>(revision.main));
    bytes_[8] = '_';
    store_big64(bytes_ + 9, static_cast<uint64_t>(revision.sub));
    bytes_[17] = 't';
  }
  std::string_view view() const { return {bytes_, size_}; }

 private:
  char bytes_[kTombstoneSize];
  size_t size_;
};

// No store comes there that began at kMaxTakenRevision at most, as one does that is made of what
// somebody else has: at a million a second that takes seventy thousand years.
inline constexpr int64_t kMaxRevision = int64_t{1} << 62;
inline constexpr int64_t kMaxTakenRevision = kMaxRevision / 2;

struct ParsedRevision {
  Revision revision;
  bool tombstone = false;
};

// False when `key` is not a revision, or of one that no store comes to.
inline bool parse_revision_key(std::string_view key, ParsedRevision* out) {
  bool marked = key.size() == RevisionKey::kTombstoneSize;
  if (key.size() != RevisionKey::kSize && !marked) return false;
  if (key[8] != '_' || (marked && key[17] != 't')) return false;
  out->revision.main = static_cast<int64_t>(load_big64(key.data()));
  out->revision.sub = static_cast<int64_t>(load_big64(key.data() + 9));
  out->tombstone = marked;
  return out->revision.main >= 0 && out->revision.main <= kMaxRevision && out->revision.sub >= 0;
}

}  // namespace keelson
