#include "interchange/store_maker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/size_text.h"
#include "base/text.h"
#include "interchange/key_stretches.h"
#include "mvcc/row_head.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

absl::Status failed(std::string_view what, const std::string& path, const std::string& why) {
  return absl::UnavailableError(cat("interchange: ", what, " ", path, ": ", why));
}

absl::Status make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? failed("cannot make", path, error.message()) : absl::OkStatus();
}

absl::StatusOr<ReadResult> fill(boltfile::File& file, const std::string& path,
                                const ReadOptions& options) {
  absl::StatusOr<std::unique_ptr<backend::Backend>> store =
      backend::open_rocks_backend(path, {.heads = mvcc::kHeadFormat, .patient = false});
  if (!store.ok()) return store.status();
  absl::StatusOr<ReadResult> result = read_database(file, store->get(), options);
  if (!result.ok()) return result;
  KEELSON_FAILPOINT("interchange_store_read");
  // Whoever finds it without a log is told.
  if (absl::Status s = (*store)->note_log(); !s.ok()) return s;
  return result;
}

uint64_t keys_in(const backend::WriteBatch& batch) {
  uint64_t count = 0;
  batch.for_each([&](backend::Bucket bucket, std::string_view,
                     std::string_view) { count += bucket == backend::Bucket::kKey; },
                 [](backend::Bucket, std::string_view) {});
  return count;
}

}  // namespace

StoreMaker::~StoreMaker() {
  std::error_code ignored;
  if (unfinished_) fs::remove_all(unfinished(), ignored);
}

absl::StatusOr<ReadResult> StoreMaker::read(boltfile::File& file, const ReadOptions& options) {
  CHECK(!unfinished_);
  const std::string path = unfinished();
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return failed("cannot remove", path, error.message());
  if (absl::Status s = make_directories(member_dir_); !s.ok()) return s;
  unfinished_ = true;
  absl::StatusOr<ReadResult> result = fill(file, path, options);
  if (!result.ok()) return result;
  // As a member will find it.
  absl::StatusOr<std::unique_ptr<backend::Backend>> store =
      backend::open_rocks_backend(path, {.create_if_missing = false, .read_only = true});
  if (!store.ok()) return store.status();
  if ((*store)->consistent_index() != result->position.index) {
    return absl::DataLossError(cat("interchange: the new store stands at ",
                                   (*store)->consistent_index().value, ", not at ",
                                   result->position.index.value));
  }
  absl::Status s = check_keys(result->keys, **store,
                              {.added = keys_in(options.last), .progress = options.progress});
  if (!s.ok()) return s;
  return result;
}

absl::Status StoreMaker::install() {
  CHECK(unfinished_);
  KEELSON_FAILPOINT("interchange_store_closed");
  const std::string from = unfinished(), to = member_dir_ + "/keelson";
  if (::rename(from.c_str(), to.c_str()) != 0) return failed("cannot make", to, strerror(errno));
  unfinished_ = false;
  if (absl::Status s = sync_directory(member_dir_); !s.ok()) return s;
  KEELSON_FAILPOINT("interchange_store_installed");
  return absl::OkStatus();
}

uint64_t free_space(const std::string& path) {
  for (fs::path at = fs::absolute(path);; at = at.parent_path()) {
    std::error_code error;
    const fs::space_info disk = fs::space(at, error);
    if (!error) return disk.available;
    if (at == at.parent_path()) return UINT64_MAX;
  }
}

bool same_disk(const std::string& one, const std::string& other) {
  const auto disk_of = [](fs::path at) -> std::optional<dev_t> {
    for (at = fs::absolute(at);; at = at.parent_path()) {
      struct stat status;
      if (::stat(at.c_str(), &status) == 0) return status.st_dev;
      if (at == at.parent_path()) return std::nullopt;
    }
  };
  return disk_of(one) == disk_of(other);
}

absl::Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed("cannot open", path, strerror(errno));
  const bool synced = ::fsync(fd) == 0;
  const int why = errno;
  ::close(fd);
  return synced ? absl::OkStatus() : failed("cannot sync", path, strerror(why));
}

uint64_t space_for(const boltfile::File& file) {
  // The records as they are, files being merged, a segment of the log, the reserve.
  constexpr uint64_t kBeside = uint64_t{256} << 20;
  return file.size() + kBeside;
}

absl::Status check_space(const boltfile::File& file, const std::string& path, uint64_t beside) {
  const uint64_t needed = space_for(file) + beside, there = free_space(path);
  if (there >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(cat("interchange: not enough disk space for ", path, ": ",
                                          size_text(needed), " are needed, ", size_text(there),
                                          " are free; nothing was changed"));
}

}  // namespace keelson::interchange
