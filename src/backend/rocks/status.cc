#include "backend/rocks/status.h"

#include <cstring>

#include "base/text.h"

namespace keelson::backend::rocks {

absl::Status to_status(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  std::string what = cat("backend: ", doing, ": ", status.ToString());
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) {
    return absl::ResourceExhaustedError(
        cat(what, "; the disk is full: free space, the store goes on by itself"));
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(
        cat(what,
            "; stored data is damaged: do not use this member's data. Remove the member from the "
            "cluster, clear its data directory and add it again, or restore it from a snapshot"));
  }
  if (status.IsIOError() && what.find("lock") != std::string::npos &&
      what.find("LOCK") != std::string::npos) {
    return absl::FailedPreconditionError(
        cat(what, "; another process has this data directory open"));
  }
  if (status.IsPathNotFound() || status.IsNotFound()) return absl::NotFoundError(what);
  if (status.IsInvalidArgument()) return absl::InvalidArgumentError(what);
  return absl::UnavailableError(cat(what, "; check the disk and the permissions of the directory"));
}

bool says(const rocksdb::IOStatus& status, int error) {
  return status.IsIOError() && std::string_view(status.getState() ? status.getState() : "")
                                   .ends_with(std::strerror(error));
}

}  // namespace keelson::backend::rocks
