#include "peer/snapshot_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "peer/file_error.h"

namespace keelson::peer {

namespace {

// What a worker does before others have their turn.
constexpr uint64_t kPlanStep = 4 << 20;
constexpr uint64_t kPiece = 512 << 10;

class StringSink final : public boltfile::Sink {
 public:
  explicit StringSink(std::string* out) : out_(*out) {}
  absl::Status write(std::string_view bytes) override {
    out_.append(bytes);
    return absl::OkStatus();
  }

 private:
  std::string& out_;
};

// Everything that a copy has, but for what is made anew where it is opened.
absl::StatusOr<std::vector<StoreFile>> files_in(const std::string& directory) {
  namespace fs = std::filesystem;
  std::vector<StoreFile> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    StoreFile file{.name = fs::relative(at->path(), directory, error),
                   .size = at->file_size(error)};
    if (!error && is_store_file_name(file.name)) files.push_back(std::move(file));
  }
  if (error) return absl::UnavailableError(cat("cannot read ", directory, ": ", error.message()));
  std::sort(files.begin(), files.end(),
            [](const StoreFile& a, const StoreFile& b) { return a.name < b.name; });
  return files;
}

}  // namespace

// There is one job for it at a time, and few sources: nothing is ever refused.
void SnapshotSource::run(absl::AnyInvocable<void()> job) {
  workers_.go_on(reinterpret_cast<uintptr_t>(this),
                 [self = shared_from_this(), job = std::move(job)](int) mutable { job(); });
}

void SnapshotSource::plan(Then<Plan> then) {
  run([this, then = std::move(then)]() mutable {
    if (cancelled_) return drop();
    absl::StatusOr<std::optional<Plan>> made = plan_some();
    if (!made.ok()) return tell<Plan>(std::move(then), made.status());
    if (!made->has_value()) return plan(std::move(then));
    tell<Plan>(std::move(then), **std::move(made));
  });
}

void SnapshotSource::next(Then<Piece> then) {
  run([this, then = std::move(then)]() mutable {
    if (cancelled_) return drop();
    absl::StatusOr<Piece> piece = make_piece();
    if (piece.ok() && piece->last) drop();
    tell<Piece>(std::move(then), std::move(piece));
  });
}

void SnapshotSource::cancel() {
  if (cancelled_.exchange(true)) return;
  // Letting go of a state is work for the store, and not the loop's.
  run([this] { drop(); });
}

template <typename Value>
void SnapshotSource::tell(Then<Value> then, absl::StatusOr<Value> result) {
  loop_.post(
      [self = shared_from_this(), then = std::move(then), result = std::move(result)]() mutable {
        if (!self->cancelled_) then(std::move(result));
      });
}

// --- a database ------------------------------------------------------------------------------

DatabaseSource::DatabaseSource(Workers* workers, net::Loop* loop,
                               std::shared_ptr<const backend::Snapshot> state)
    : SnapshotSource(workers, loop),
      writer_(std::make_unique<interchange::DatabaseWriter>(std::move(state))) {}

absl::StatusOr<std::optional<SnapshotSource::Plan>> DatabaseSource::plan_some() {
  absl::StatusOr<bool> whole = writer_->plan_step(kPlanStep);
  if (!whole.ok()) return whole.status();
  if (!*whole) return std::nullopt;
  return Plan{.bytes = writer_->size()};
}

absl::StatusOr<SnapshotSource::Piece> DatabaseSource::make_piece() {
  CHECK(writer_);
  std::string bytes;
  StringSink sink(&bytes);
  absl::StatusOr<bool> last = writer_->write_step(kPiece, sink);
  if (!last.ok()) return last.status();
  return Piece{.bytes = Bytes::copy(bytes), .last = *last};
}

// --- the files of a store --------------------------------------------------------------------

absl::StatusOr<std::optional<SnapshotSource::Plan>> StoreSource::plan_some() {
  absl::StatusOr<std::unique_ptr<StoreCopy>> copy = home_.copy_store();
  if (!copy.ok()) return copy.status();
  copy_ = *std::move(copy);
  absl::StatusOr<std::vector<StoreFile>> files = files_in(copy_->directory());
  if (!files.ok()) return files.status();
  files_ = *std::move(files);
  if (files_.empty()) return absl::InternalError("a copy without files");
  if (files_.size() > kMaxStoreFiles) return absl::ResourceExhaustedError("too many files");
  Plan plan{.bytes = store_files_end().size(), .snapshot = copy_->snapshot()};
  for (const StoreFile& file : files_) {
    plan.bytes += store_file_head(file).size() + file.size + store_file_tail(0).size();
  }
  return plan;
}

void StoreSource::drop() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  copy_.reset();
}

absl::Status StoreSource::open_next() {
  CHECK(fd_ < 0);
  const std::string path = cat(copy_->directory(), "/", files_[at_].name);
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return file_error("open", path);
  left_ = files_[at_].size;
  crc_ = 0;
  return absl::OkStatus();
}

absl::Status StoreSource::read(char* out, size_t size) {
  size_t had = 0;
  while (had < size) {
    const ssize_t n = ::read(fd_, out + had, size - had);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("read", files_[at_].name);
    if (n == 0) return absl::DataLossError(cat(files_[at_].name, " became shorter"));
    had += static_cast<size_t>(n);
  }
  left_ -= size;
  crc_ = crc32c::extend(crc_, {out, size});
  return absl::OkStatus();
}

// What fits of one file, with what stands before its first byte and behind its last.
absl::StatusOr<SnapshotSource::Piece> StoreSource::make_piece() {
  CHECK(copy_);
  CHECK(at_ < files_.size());
  std::string before;
  if (fd_ < 0) {
    if (absl::Status s = open_next(); !s.ok()) return s;
    before = store_file_head(files_[at_]);
  }
  const size_t bytes = std::min<uint64_t>(left_, kPiece);
  const bool ends = bytes == left_, last = ends && at_ + 1 == files_.size();
  const size_t tail = ends ? store_file_tail(0).size() : 0;
  const std::string end = last ? store_files_end() : std::string();
  absl::Status status;
  Bytes piece = Bytes::build(before.size() + bytes + tail + end.size(), [&](char* out) {
    out += before.copy(out, before.size());
    status = read(out, bytes);
    if (ends) store_file_tail(crc_).copy(out + bytes, tail);
    end.copy(out + bytes + tail, end.size());
  });
  if (!status.ok()) return status;
  if (ends) {
    ::close(std::exchange(fd_, -1));
    ++at_;
  }
  return Piece{.bytes = std::move(piece), .last = last};
}

}  // namespace keelson::peer
