#include "archive/times.h"

#include <algorithm>

#include "archive/layout.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::archive {
namespace {

constexpr size_t kRecord = 40;
constexpr size_t kSummed = 32;
constexpr uint64_t kStep = 64 << 10;
// None becomes so long; one that says so is not read into memory.
constexpr uint64_t kMostBytes = 256 << 20;

std::string encode(const Moment& moment) {
  std::string out(kRecord, '\0');
  store_big64(out.data(), static_cast<uint64_t>(moment.unix_ms));
  store_big64(out.data() + 8, moment.index.value);
  store_big64(out.data() + 16, moment.term.value);
  store_big64(out.data() + 24, static_cast<uint64_t>(moment.revision));
  store_big64(out.data() + 32, crc32c::extend(0, std::string_view(out).substr(0, kSummed)));
  return out;
}

std::optional<Moment> decode(std::string_view in) {
  if (load_big64(in.data() + 32) != crc32c::extend(0, in.substr(0, kSummed))) return std::nullopt;
  return Moment{.unix_ms = static_cast<int64_t>(load_big64(in.data())),
                .index = Index(load_big64(in.data() + 8)),
                .term = Term(load_big64(in.data() + 16)),
                .revision = static_cast<int64_t>(load_big64(in.data() + 24))};
}

absl::Status damaged(const std::string& path, uint64_t offset, std::string_view what) {
  return absl::DataLossError(cat("archive: ", path, " is damaged at offset ", offset, ": ", what));
}

absl::StatusOr<std::string> contents(wal::File& file, const std::string& path) {
  absl::StatusOr<uint64_t> size = file.size();
  if (!size.ok()) return size.status();
  if (*size > kMostBytes) return damaged(path, kMostBytes, "no file of times is so long");
  std::string bytes(*size, '\0');
  absl::StatusOr<size_t> got = file.pread(0, bytes.data(), bytes.size());
  if (!got.ok()) return got.status();
  bytes.resize(*got);
  return bytes;
}

// The records in `bytes`. What follows the last one is zeros, or one that a crash tore.
absl::StatusOr<std::vector<Moment>> parse(std::string_view bytes, const std::string& path) {
  std::vector<Moment> moments;
  size_t at = 0;
  for (; at + kRecord <= bytes.size(); at += kRecord) {
    const std::optional<Moment> moment = decode(bytes.substr(at, kRecord));
    if (!moment) break;
    if (!moments.empty() && moment->index < moments.back().index) {
      return damaged(path, at, "an index that goes back");
    }
    moments.push_back(*moment);
  }
  if (bytes.size() > at + kRecord &&
      bytes.substr(at + kRecord).find_first_not_of('\0') != std::string_view::npos) {
    return damaged(path, at, "a record that does not check out, and others behind it");
  }
  return moments;
}

}  // namespace

absl::StatusOr<std::vector<Moment>> read_times_file(wal::FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::unique_ptr<wal::File>> file = fs.open(path, wal::OpenMode::kRead);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> bytes = contents(**file, path);
  if (!bytes.ok()) return bytes.status();
  return parse(*bytes, path);
}

absl::StatusOr<std::vector<Moment>> read_times(wal::FileSystem& fs, const std::string& stretch) {
  absl::StatusOr<StretchFiles> files = list_stretch(fs, stretch);
  if (!files.ok()) return files.status();
  std::vector<Moment> all;
  for (const Index first : files->times) {
    const std::string path = cat(stretch, "/", times_name(first));
    absl::StatusOr<std::vector<Moment>> more = read_times_file(fs, path);
    if (!more.ok()) return more.status();
    if (!more->empty() && !all.empty() && more->front().index < all.back().index) {
      return damaged(path, 0, "it begins before the end of the file before");
    }
    all.insert(all.end(), more->begin(), more->end());
  }
  return all;
}

absl::StatusOr<std::unique_ptr<TimesWriter>> TimesWriter::open(wal::FileSystem& fs,
                                                               const std::string& stretch,
                                                               uint64_t file_bytes) {
  auto writer = std::unique_ptr<TimesWriter>(new TimesWriter(fs, stretch, file_bytes));
  absl::StatusOr<StretchFiles> files = list_stretch(fs, stretch);
  if (!files.ok()) return files.status();
  if (files->times.empty()) return writer;
  const std::string path = cat(stretch, "/", times_name(files->times.back()));
  absl::StatusOr<std::unique_ptr<wal::File>> file = fs.open(path, wal::OpenMode::kReadWrite);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> bytes = contents(**file, path);
  if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) return bytes.status();
  absl::StatusOr<std::vector<Moment>> moments =
      bytes.ok() ? parse(*bytes, path) : absl::StatusOr<std::vector<Moment>>(bytes.status());
  if (!moments.ok()) {
    log::error("the archive goes on in another file of times",
               {{"error", message_of(moments.status())}});
    writer->damaged_ = files->times.back();
    return writer;
  }
  // What is there may never have been synced.
  if (absl::Status s = (*file)->fdatasync(); !s.ok()) return s;
  if (absl::Status s = fs.sync_dir(stretch); !s.ok()) return s;
  if (!moments->empty()) writer->last_ = moments->back();
  writer->file_ = *std::move(file);
  writer->end_ = moments->size() * kRecord;
  writer->reserved_ = std::max<uint64_t>(bytes->size(), writer->end_);
  return writer;
}

absl::Status TimesWriter::append(const Moment& moment) {
  CHECK(!last_ || moment.index >= last_->index);
  // A file is named by its first index, so it begins with one that has no file yet.
  if (damaged_ && moment.index <= *damaged_) return absl::OkStatus();
  const bool is_full = end_ >= file_bytes_ && moment.index > last_->index;
  if (!file_ || is_full) {
    if (absl::Status s = begin_file(moment.index); !s.ok()) return s;
  }
  if (end_ + kRecord > reserved_) {
    if (absl::Status s = file_->allocate(reserved_ + kStep); !s.ok()) return s;
    reserved_ += kStep;
    CHECK(end_ + kRecord <= reserved_);
  }
  if (absl::Status s = file_->pwrite(end_, encode(moment)); !s.ok()) return s;
  if (absl::Status s = file_->fdatasync(); !s.ok()) return s;
  end_ += kRecord;
  last_ = moment;
  return absl::OkStatus();
}

absl::Status TimesWriter::begin_file(Index first) {
  file_.reset();
  absl::StatusOr<std::unique_ptr<wal::File>> file =
      fs_.open(cat(stretch_, "/", times_name(first)), wal::OpenMode::kCreateEmpty);
  if (!file.ok()) return file.status();
  if (absl::Status s = fs_.sync_dir(stretch_); !s.ok()) return s;
  file_ = *std::move(file);
  end_ = 0;
  reserved_ = 0;
  return absl::OkStatus();
}

}  // namespace keelson::archive
