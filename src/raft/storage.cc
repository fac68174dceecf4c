#include "raft/storage.h"

namespace keelson::raft {

absl::Status compacted_error() {
  return absl::OutOfRangeError("requested index is unavailable due to compaction");
}
absl::Status unavailable_error() {
  return absl::NotFoundError("requested entry at index is unavailable");
}
absl::Status snapshot_out_of_date_error() {
  return absl::FailedPreconditionError("requested index is older than the existing snapshot");
}
absl::Status snapshot_temporarily_unavailable_error() {
  return absl::UnavailableError("snapshot is temporarily unavailable");
}

}  // namespace keelson::raft
