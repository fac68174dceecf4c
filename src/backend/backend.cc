#include "backend/backend.h"

#include <array>
#include <cstdint>

#include "base/check.h"
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

constexpr size_t kSliceBytes = 1 << 20;

// What may differ between healthy members.
bool left_out_of_hash(Bucket bucket, std::string_view key) {
  if (bucket != Bucket::kMeta) return false;
  return key == kConsistentIndexKey || key == kTermKey || key == "storageVersion";
}

}  // namespace

std::string_view bucket_name(Bucket bucket) { return kNames[static_cast<size_t>(bucket)]; }

std::span<const Bucket> buckets_by_name() { return kByName; }

absl::StatusOr<bool> HashAllJob::step(size_t max_records) {
  size_t records = 0;
  size_t bytes = 0;
  for (; bucket_ < kBucketCount; ++bucket_) {
    const Bucket bucket = kByName[bucket_];
    if (!position_) {
      crc_ = crc32c::extend(crc_, bucket_name(bucket));
      position_ = reader_.iterate(bucket);
      position_->seek_to_first();
    }
    for (; position_->valid(); position_->next()) {
      if (records >= max_records || bytes >= kSliceBytes) return false;
      const std::string_view key = position_->key();
      const std::string_view value = position_->value();
      ++records;
      bytes += key.size() + value.size();
      if (left_out_of_hash(bucket, key)) continue;
      crc_ = crc32c::extend(crc_, key);
      crc_ = crc32c::extend(crc_, value);
    }
    if (!position_->status().ok()) return position_->status();
    position_.reset();
  }
  return true;
}

uint32_t HashAllJob::result() const {
  CHECK(bucket_ == kBucketCount);
  return crc_;
}

absl::StatusOr<uint32_t> hash_all(const Reader& reader) {
  HashAllJob job(reader);
  for (;;) {
    absl::StatusOr<bool> done = job.step(SIZE_MAX);
    if (!done.ok()) return done.status();
    if (*done) return job.result();
  }
}

}  // namespace keelson::backend
