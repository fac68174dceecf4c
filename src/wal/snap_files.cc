#include "wal/snap_files.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::wal {
namespace {

constexpr std::string_view kEnding = ".snap";
constexpr size_t kDigits = 16;
// What a crash leaves of one is removed with what is left of snapshots that were on their way.
constexpr std::string_view kUnfinished = "tmp-";

bool is_number(std::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string snap_file_name(Term term, Index index) {
  return cat(absl::Hex(term.value, absl::kZeroPad16), "-", absl::Hex(index.value, absl::kZeroPad16),
             kEnding);
}

bool is_snap_file_name(std::string_view name) {
  return name.size() == 2 * kDigits + 1 + kEnding.size() && name.ends_with(kEnding) &&
         is_number(name.substr(0, kDigits)) && name[kDigits] == '-' &&
         is_number(name.substr(kDigits + 1, kDigits));
}

SnapFiles::SnapFiles(Options options, const Clock* clock, FileSystem* files)
    : options_(std::move(options)), clock_(*clock), files_(*files) {}

absl::Status SnapFiles::save(const raft::Snapshot& snapshot) {
  CHECK(snapshot.metadata.index > Index(0));
  const MonotonicTime start = clock_.now();
  const Bytes bytes = wire::wrap_snap_file(wire::encode(snapshot));
  const std::string name = snap_file_name(snapshot.metadata.term, snapshot.metadata.index);
  Duration sync(0);
  if (absl::Status s = write(name, bytes, &sync); !s.ok()) {
    files_.unlink(cat(options_.dir, "/", kUnfinished, name)).IgnoreError();
    return s;
  }
  KEELSON_FAILPOINT("snap_file_saved");
  if (options_.saved) options_.saved(sync, clock_.now() - start);
  MonotonicTime due = purge_at_.load(std::memory_order_relaxed);
  if (start >= due && purge_at_.compare_exchange_strong(due, start + kPurgeInterval)) purge();
  return absl::OkStatus();
}

void SnapFiles::save_if_possible(const raft::Snapshot& snapshot) {
  const absl::Status saved = save(snapshot);
  if (failing_.exchange(!saved.ok()) || saved.ok()) return;
  log::warn("failed to write a snap file; going on without it",
            {{"dir", options_.dir},
             {"snapshot-index", snapshot.metadata.index.value},
             {"error", message_of(saved)}});
}

absl::Status SnapFiles::write(const std::string& name, std::string_view bytes, Duration* sync) {
  absl::Status s = files_.create_dirs(options_.dir);
  if (!s.ok()) return s;
  const std::string unfinished = cat(options_.dir, "/", kUnfinished, name);
  {
    absl::StatusOr<std::unique_ptr<File>> file = files_.open(unfinished, OpenMode::kCreateEmpty);
    if (!file.ok()) return file.status();
    s = (*file)->pwrite(0, bytes);
    const MonotonicTime written = clock_.now();
    if (s.ok()) s = (*file)->fsync();
    *sync = clock_.now() - written;
  }
  if (s.ok()) s = files_.rename(unfinished, cat(options_.dir, "/", name));
  if (s.ok()) s = files_.sync_dir(options_.dir);
  // The directory may be new.
  if (s.ok()) s = files_.sync_dir(options_.dir.substr(0, options_.dir.rfind('/')));
  return s;
}

// Their order by name is that of their terms and indexes. One that does not go is tried again.
void SnapFiles::purge() {
  if (options_.keep == 0) return;
  absl::StatusOr<std::vector<std::string>> names = files_.list(options_.dir);
  if (!names.ok()) return;
  std::erase_if(*names, [](const std::string& name) { return !is_snap_file_name(name); });
  CHECK(std::is_sorted(names->begin(), names->end()));
  for (size_t i = 0; i + options_.keep < names->size(); ++i) {
    const std::string path = cat(options_.dir, "/", (*names)[i]);
    absl::Status s = files_.unlink(path);
    if (s.ok()) {
      log::info("purged", {{"path", path}});
    } else if (!absl::IsNotFound(s)) {
      log::warn("cannot remove a snapshot file", {{"error", message_of(s)}});
    }
  }
}

}  // namespace keelson::wal
