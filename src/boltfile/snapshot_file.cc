#include "boltfile/snapshot_file.h"

#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/live_keys.h"
#include "boltfile/sha256.h"

namespace keelson::boltfile {
namespace {

constexpr uint64_t kSector = 512;
constexpr size_t kPiece = 1 << 20;

// Takes the elements of a database as they come.
class Summary {
 public:
  explicit Summary(const EtcdMeta& meta) : live_(meta) {}

  void take(const Element& element) {
    if (element.depth > 1) return;
    status.hash = crc32c::extend(status.hash, element.key);
    if (element.depth == 0) {
      in_keys_ = element.key == "key";
      if (!element.bucket) note(absl::DataLossError("boltfile: a key outside of buckets"));
      return;
    }
    ++status.records;
    // A bucket within has no value there.
    if (!element.bucket) status.hash = crc32c::extend(status.hash, element.value);
    if (in_keys_) take_key(element);
  }

  const LiveKeys& live() const { return live_; }
  const absl::Status& error() const { return error_; }
  SnapshotStatus status;

 private:
  void take_key(const Element& element) {
    if (element.bucket) return note(absl::DataLossError("boltfile: bucket key: holds a bucket"));
    absl::StatusOr<EtcdRecord> record = parse_etcd_record(element.key, element.value);
    if (!record.ok()) return note(record.status());
    status.revision = record->revision.main;
    live_.take(*record);
  }
  void note(const absl::Status& error) { error_.Update(error); }

  LiveKeys live_;
  bool in_keys_ = false;
  absl::Status error_;
};

}  // namespace

bool has_sum(const Source& source) { return source.size() % kSector == kSha256Size; }

absl::StatusOr<bool> check_sum(const Source& source) {
  if (!has_sum(source)) return false;
  const uint64_t end = source.size() - kSha256Size;
  Sha256 sum;
  std::string piece;
  for (uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(std::min<uint64_t>(kPiece, end - at));
    if (absl::Status s = source.read(at, piece.data(), piece.size()); !s.ok()) return s;
    sum.update(piece);
  }
  std::string stored(kSha256Size, '\0');
  if (absl::Status s = source.read(end, stored.data(), stored.size()); !s.ok()) return s;
  if (sum.finish() == stored) return true;
  return absl::DataLossError(
      cat("boltfile: ", source.name(), ": the SHA-256 at its end is not that of its content"));
}

absl::StatusOr<SnapshotStatus> snapshot_status(File& file, Verdict* verdict) {
  // Damage there is told with all other.
  const absl::StatusOr<EtcdMeta> meta = read_etcd_meta(file);
  Summary summary(meta.ok() ? *meta : EtcdMeta());
  absl::StatusOr<Verdict> found =
      verify(file, [&summary](const Element& element) { summary.take(element); });
  if (!found.ok()) return found.status();
  const absl::Status whole = found->status();
  if (verdict) *verdict = *std::move(found);
  if (!whole.ok()) return whole;
  if (!meta.ok()) return meta.status();
  if (!summary.error().ok()) return summary.error();
  absl::StatusOr<uint64_t> live = summary.live().count(file);
  if (!live.ok()) return live.status();
  summary.status.live_keys = *live;
  summary.status.size = file.size();
  summary.status.storage_version = meta->storage_version.value_or("");
  return std::move(summary.status);
}

}  // namespace keelson::boltfile
