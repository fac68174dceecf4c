#include "boltfile/live_keys.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

// Of the keys with records up to `until`, how many end alive.
absl::StatusOr<uint64_t> count_up_to(File& file, int64_t until, size_t most) {
  absl::StatusOr<EtcdKeys> keys = EtcdKeys::open(file);
  if (!keys.ok()) return keys.status();
  uint64_t live = 0;
  // The first walk finds into how many shares the sums have to be parted.
  for (uint64_t share = 0, shares = 1; share < shares; ++share) {
    absl::flat_hash_set<uint64_t> sums;
    absl::Status s = keys->seek({});
    for (; s.ok() && keys->valid() && keys->record().revision.main <= until; s = keys->next()) {
      const EtcdRecord& record = keys->record();
      const uint64_t sum = absl::HashOf(to_absl(record.key));
      if (record.bump || sum % shares != share) continue;
      if (record.tombstone) {
        sums.erase(sum);
        continue;
      }
      sums.insert(sum);
      while (share == 0 && sums.size() > most) {
        shares *= 2;
        absl::erase_if(sums, [&](uint64_t kept) { return kept % shares != share; });
      }
    }
    if (!s.ok()) return s;
    live += sums.size();
  }
  return live;
}

}  // namespace

void LiveKeys::take(const EtcdRecord& record) {
  if (record.bump) {
    bumped_ = true;
  } else if (record.revision.main > compacted_) {
    born_ += record.tombstone ? -1 : record.version == 1 ? 1 : 0;
  } else if (complete_) {
    born_ += record.tombstone ? 0 : 1;
  }
}

absl::StatusOr<uint64_t> LiveKeys::count(File& file, size_t most) const {
  uint64_t before = 0;
  if (!complete_) {
    absl::StatusOr<uint64_t> counted = count_up_to(file, compacted_, most);
    if (!counted.ok()) return counted;
    before = *counted;
  }
  const int64_t live = static_cast<int64_t>(before) + born_ + (bumped_ ? 1 : 0);
  // Other records than etcd's may say anything.
  return static_cast<uint64_t>(std::max<int64_t>(live, 0));
}

}  // namespace keelson::boltfile
