#include "wal/tail_claim.h"

#include <utility>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::wal {
namespace {

constexpr std::string_view kMagic = "KEELTAIL";
constexpr size_t kSize = 32;
constexpr size_t kSummed = kSize - 8;

std::string encode(const TailClaim::Claim& claim) {
  std::string bytes(kMagic);
  bytes += big64(claim.sequence);
  bytes += big64(claim.bytes);
  return bytes + big64(crc32c::extend(0, bytes));
}

std::optional<TailClaim::Claim> decode(std::string_view bytes) {
  if (bytes.size() != kSize || !bytes.starts_with(kMagic)) return std::nullopt;
  const uint64_t sum = load_big64(bytes.data() + kSummed);
  if (sum != crc32c::extend(0, bytes.substr(0, kSummed))) return std::nullopt;
  return TailClaim::Claim{load_big64(bytes.data() + 8), load_big64(bytes.data() + 16)};
}

}  // namespace

TailClaim::TailClaim(FileSystem& fs, const std::string& dir)
    : fs_(fs), dir_(dir), path_(cat(dir, "/KEELSON.tail")) {}

absl::StatusOr<std::optional<TailClaim::Claim>> TailClaim::read() {
  absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path_, OpenMode::kReadWrite);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  std::string bytes(kSize + 1, '\0');
  absl::StatusOr<size_t> got = file_->pread(0, bytes.data(), bytes.size());
  if (!got.ok()) return got.status();
  if (absl::Status status = sync(); !status.ok()) return status;
  if (*got == 0) return std::nullopt;  // made, and never written to
  bytes.resize(*got);
  std::optional<Claim> claim = decode(bytes);
  if (!claim) log::warn("what is said of the end of the log cannot be read", {{"path", path_}});
  return claim;
}

absl::Status TailClaim::open() {
  absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path_, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  return fs_.sync_dir(dir_);
}

absl::Status TailClaim::write(Claim claim) {
  if (!file_) {
    if (absl::Status status = open(); !status.ok()) return status;
  }
  return file_->pwrite(0, encode(claim));
}

absl::Status TailClaim::sync() { return file_ ? file_->fdatasync() : absl::OkStatus(); }

absl::Status TailClaim::withdraw() {
  file_.reset();
  absl::Status status = fs_.unlink(path_);
  if (absl::IsNotFound(status)) return absl::OkStatus();
  return status.ok() ? fs_.sync_dir(dir_) : status;
}

}  // namespace keelson::wal
