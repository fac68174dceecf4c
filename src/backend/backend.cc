#include "backend/backend.h"

#include <array>

#include "base/crc32c.h"

namespace keelson::backend {
namespace {

constexpr std::array<std::string_view, kBucketCount> kNames = {
    "key",  "meta",      "lease",     "alarm", "cluster", "members", "members_removed",
    "auth", "authUsers", "authRoles",
};

constexpr std::array<Bucket, kBucketCount> kByName = {
    Bucket::kAlarm, Bucket::kAuth,  Bucket::kAuthRoles, Bucket::kAuthUsers,      Bucket::kCluster,
    Bucket::kKey,   Bucket::kLease, Bucket::kMembers,   Bucket::kMembersRemoved, Bucket::kMeta,
};

// What may differ between healthy members.
bool left_out_of_hash(Bucket bucket, std::string_view key) {
  if (bucket != Bucket::kMeta) return false;
  return key == kConsistentIndexKey || key == kTermKey || key == "storageVersion";
}

}  // namespace

std::string_view bucket_name(Bucket bucket) { return kNames[static_cast<size_t>(bucket)]; }

std::span<const Bucket> buckets_by_name() { return kByName; }

absl::StatusOr<uint32_t> hash_all(const Reader& reader) {
  uint32_t crc = 0;
  for (Bucket bucket : kByName) {
    crc = crc32c::extend(crc, bucket_name(bucket));
    std::unique_ptr<Iterator> it = reader.iterate(bucket);
    for (it->seek_to_first(); it->valid(); it->next()) {
      if (left_out_of_hash(bucket, it->key())) continue;
      crc = crc32c::extend(crc, it->key());
      crc = crc32c::extend(crc, it->value());
    }
    if (!it->status().ok()) return it->status();
  }
  return crc;
}

}  // namespace keelson::backend
