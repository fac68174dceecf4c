// Making a log, and finding one: what a crash left at its end is cut off or erased, everything else
// that does not check out is refused.

#include <algorithm>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "wal/replay.h"
#include "wal/wal_impl.h"

namespace keelson::wal {

namespace {

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes the names in `dir` survive, its own, and those of the directories above it. One that we may
// not look into is not ours, and was there before.
absl::Status sync_names(FileSystem& fs, std::string dir) {
  while (true) {
    absl::Status status = fs.sync_dir(dir);
    if (absl::IsPermissionDenied(status)) return absl::OkStatus();
    std::string parent = parent_of(dir);
    if (!status.ok() || parent == dir) return status;
    dir = std::move(parent);
  }
}

absl::Status explain_lock(const absl::Status& status, const std::string& path) {
  if (!absl::IsUnavailable(status)) return status;
  return absl::FailedPreconditionError(
      to_absl(cat("wal: another process holds ", path,
                  "; stop it first: a data directory belongs to one running member only")));
}

absl::Status copy_file(File& from, File& to) {
  std::string chunk(1 << 20, '\0');
  for (uint64_t offset = 0;;) {
    absl::StatusOr<size_t> got = from.pread(offset, chunk.data(), chunk.size());
    if (!got.ok()) return got.status();
    if (*got == 0) return to.fsync();
    absl::Status status = to.pwrite(offset, std::string_view(chunk).substr(0, *got));
    if (!status.ok()) return status;
    offset += *got;
  }
}

// Whether a first segment holds no more than its head.
absl::StatusOr<bool> is_without_entries(FileSystem& fs, const std::string& path) {
  // A sum, the metadata and a mark; no entry of a new member's fits beside them.
  constexpr uint64_t kHead = 256;
  absl::StatusOr<std::unique_ptr<File>> file = fs.open(path, OpenMode::kRead);
  if (!file.ok()) return file.status();
  std::string chunk(1 << 20, '\0');
  for (uint64_t offset = kHead;;) {
    absl::StatusOr<size_t> got = (*file)->pread(offset, chunk.data(), chunk.size());
    if (!got.ok()) return got.status();
    if (*got == 0) return true;
    if (std::string_view(chunk).substr(0, *got).find_first_not_of('\0') != std::string::npos) {
      return false;
    }
    offset += *got;
  }
}

}  // namespace

// --- create ----------------------------------------------------------------------------------

absl::Status Wal::Impl::create(std::string_view metadata, SegmentName first) {
  absl::StatusOr<bool> there = exists(dir_, &fs_);
  if (!there.ok()) return there.status();
  if (*there) {
    return absl::AlreadyExistsError(to_absl(cat("wal: there is a log in ", dir_)));
  }
  metadata_ = std::string(metadata);
  const std::string building = cat(dir_, ".tmp");
  absl::Status status = clear_for_building(building, first);
  if (!status.ok()) return status;
  status = fs_.create_dirs(building);
  if (status.ok()) status = build_first_segment(building, first);
  if (status.ok()) status = adopt_directory(building);
  if (!status.ok()) {
    segments_.clear();
    fs_.remove_dir(building).IgnoreError();
    return status;
  }
  prepare_next();
  return claim(reserved_);
}

// What an earlier create() left that did not come to its end goes away: a first segment with no
// entry in it. Anything else is somebody's, a copy of a log perhaps.
absl::Status Wal::Impl::clear_for_building(const std::string& dir, SegmentName first) {
  absl::StatusOr<std::vector<std::string>> files = fs_.list(dir);
  if (absl::IsNotFound(files.status())) return absl::OkStatus();
  if (!files.ok()) return files.status();
  for (const std::string& name : *files) {
    absl::StatusOr<bool> ours = name == to_string(SegmentName()) || name == to_string(first);
    if (*ours) ours = is_without_entries(fs_, cat(dir, "/", name));
    if (!ours.ok()) return ours.status();
    if (*ours) continue;
    return absl::FailedPreconditionError(
        to_absl(cat("wal: a new log is built in ", dir, ", but there is ", name,
                    " in it, which no interrupted start of a new member leaves; move it away")));
  }
  return fs_.remove_dir(dir);
}

absl::Status Wal::Impl::build_first_segment(const std::string& dir, SegmentName name) {
  const std::string path = cat(dir, "/", to_string(name));
  absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path, OpenMode::kCreateEmpty);
  if (!file.ok()) return file.status();
  segments_.push_back({name, path_of(to_string(name)), *std::move(file)});

  absl::Status status = tail().file->try_lock();
  if (status.ok()) status = tail().file->allocate(options_.segment_bytes);
  if (!status.ok()) return status;
  reserved_ = options_.segment_bytes;
  add_head(buffer_);
  if (name.first_index == Index(0)) {
    status = save_snapshot({Index(0), Term(0)}, {});
  } else {
    last_index_ = name.first_index - 1;
  }
  if (status.ok()) status = sync();
  if (status.ok()) status = fs_.sync_dir(dir);
  return status;
}

// Gives the directory its name, lock held: there is no moment with half a log.
absl::Status Wal::Impl::adopt_directory(const std::string& built) {
  absl::Status status = clear_for_log();
  if (status.ok()) status = fs_.rename(built, dir_);
  if (status.ok() && !options_.unsafe_no_fsync) status = sync_names(fs_, dir_);
  return status;
}

// An empty directory in our place gives way, with segments that never got a name. Other files may
// be what is left of a log.
absl::Status Wal::Impl::clear_for_log() {
  absl::StatusOr<std::vector<std::string>> files = fs_.list(dir_);
  if (absl::IsNotFound(files.status())) return absl::OkStatus();
  if (!files.ok()) return files.status();
  for (const std::string& file : *files) {
    if (file == "0.tmp" || file == "1.tmp") continue;
    return absl::FailedPreconditionError(
        to_absl(cat("wal: there is no log in ", dir_, ", but ", file,
                    "; if that is left of a log, restore it from a backup, else move it away")));
  }
  return fs_.remove_dir(dir_);
}

// --- open ------------------------------------------------------------------------------------

absl::StatusOr<Opened> Wal::Impl::open(SnapshotMark from, const EntryVisitor& visit) {
  absl::StatusOr<std::vector<SegmentName>> all = list_segments(fs_, dir_);
  if (!all.ok()) return all.status();
  absl::StatusOr<std::vector<SegmentName>> names = select_segments(*all, from.index);
  if (!names.ok()) return names.status();
  older_.assign(all->begin(), all->end() - static_cast<std::ptrdiff_t>(names->size()));
  if (absl::Status status = lock_segments(*names); !status.ok()) return status;
  absl::StatusOr<std::optional<TailClaim::Claim>> claim = tail_claim_.read();
  if (!claim.ok()) return claim.status();
  if (absl::Status status = check_claim(*claim); !status.ok()) return status;
  if (absl::Status status = make_found_durable(); !status.ok()) return status;

  Replay replay(from, visit);
  LogReader reader(segments_);
  absl::StatusOr<LogReader::Outcome> outcome = replay.run(reader);
  if (!outcome.ok()) return outcome.status();
  if (absl::Status status = replay.found(); !status.ok()) return status;

  metadata_ = replay.metadata().str();
  state_ = replay.state();
  last_index_ = std::max(replay.last_index(), from.index);
  newest_mark_ = std::min(from.index, state_.commit);
  durable_mark_ = newest_mark_;
  released_ = durable_mark_;
  buffer_ = RecordBuffer(reader.chain());
  ends_in_sum_ = reader.ends_in_sum();
  written_ = reader.offset();

  bool torn = *outcome == LogReader::Outcome::kTorn;
  if (const auto& mark = replay.unfinished_mark();
      mark && mark->place.segment + 1 == segments_.size()) {
    CHECK(mark->place.offset < written_);
    last_index_ = std::max(mark->last_before, from.index);
    buffer_ = RecordBuffer(mark->place.chain);
    ends_in_sum_ = false;  // of the two possible answers the one that costs a few bytes
    written_ = mark->place.offset;
    torn = true;
  }
  absl::StatusOr<bool> rubbish = torn ? true : reader.rubbish_follows();
  if (!rubbish.ok()) return rubbish.status();
  absl::Status status = torn ? repair_tail(written_) : absl::OkStatus();
  if (status.ok()) status = settle_tail(written_, *rubbish);
  if (!status.ok()) return status;
  prepare_next();
  return Opened{nullptr, replay.metadata(), state_, replay.entries(), torn};
}

absl::Status Wal::Impl::lock_segments(const std::vector<SegmentName>& names) {
  for (const SegmentName& name : names) {
    std::string path = path_of(to_string(name));
    absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path, OpenMode::kReadWrite);
    if (!file.ok()) return file.status();
    absl::Status status = (*file)->try_lock();
    if (!status.ok()) return explain_lock(status, path);
    segments_.push_back({name, std::move(path), *std::move(file)});
  }
  return absl::OkStatus();
}

// Whether all of the log is there. What is claimed holds from here on, too, unless nothing is
// synced.
absl::Status Wal::Impl::check_claim(const std::optional<TailClaim::Claim>& claim) {
  if (!claim) return absl::OkStatus();
  absl::StatusOr<uint64_t> bytes = tail().file->size();
  if (!bytes.ok()) return bytes.status();
  const uint64_t last = tail().name.sequence;
  if (last < claim->sequence || (last == claim->sequence && *bytes < claim->bytes)) {
    return absl::DataLossError(to_absl(cat(
        "wal: the log is not all there, as after a copy that was interrupted: its last segment is ",
        tail().path, " with ", *bytes, " bytes, but there was segment ", claim->sequence, " with ",
        claim->bytes,
        " or more; copy all of it again from a stopped member, or restore the data "
        "directory from a backup (removing ",
        dir_, "/KEELSON.tail gives up what is missing)")));
  }
  if (options_.unsafe_no_fsync) return tail_claim_.withdraw();
  claimed_ = claim;
  return absl::OkStatus();
}

// What was found may never have been synced, by whoever wrote it: a process that died takes nothing
// with it, the power that fails later does. So it is synced before the first entry is handed out.
absl::Status Wal::Impl::make_found_durable() {
  if (options_.unsafe_no_fsync) return absl::OkStatus();
  for (const Segment& segment : segments_) {
    if (absl::Status status = segment.file->fdatasync(); !status.ok()) return status;
  }
  return sync_names(fs_, dir_);
}

// Cuts the torn record off, and what may follow of the same batch, with a copy left behind for
// whoever wants to look.
absl::Status Wal::Impl::repair_tail(uint64_t end) {
  const std::string copy_path = broken_copy_of(tail().path);
  log::warn("the write-ahead log ends in a record that a crash cut off; repairing",
            {{"path", tail().path}, {"offset", end}, {"copy", copy_path}});
  absl::StatusOr<std::unique_ptr<File>> copy = fs_.open(copy_path, OpenMode::kCreateEmpty);
  absl::Status status = copy.ok() ? copy_file(*tail().file, **copy) : copy.status();
  // Looking into it later is worth less than starting: a full disk does not keep us from that.
  if (absl::IsResourceExhausted(status)) {
    log::warn("no space for a copy of the broken segment", {{"error", message_of(status)}});
    if (copy.ok()) fs_.unlink(copy_path).IgnoreError();
    return absl::OkStatus();
  }
  // The copy is there for good before the original is changed.
  return status.ok() ? fs_.sync_dir(dir_) : status;
}

// Makes everything after `end` zero, whole and reserved, so that the next record stands before
// zeros. Unless something must be erased, nothing is written.
absl::Status Wal::Impl::settle_tail(uint64_t end, bool rubbish) {
  absl::StatusOr<uint64_t> size = tail().file->size();
  if (!size.ok()) return size.status();
  if (rubbish) {
    if (absl::Status status = claim_at_most(end); !status.ok()) return status;
    log::info("erasing what a crash left behind the end of the write-ahead log",
              {{"path", tail().path}, {"offset", end}});
    absl::Status status = tail().file->truncate(end);
    if (status.ok()) status = tail().file->fsync();
    if (!status.ok()) return status;
  }
  const uint64_t wanted = std::max({*size, options_.segment_bytes, end});
  absl::Status status = tail().file->allocate(wanted);
  if (status.ok() && rubbish) status = tail().file->fsync();
  if (status.ok()) {
    reserved_ = wanted;
    CHECK(written_ <= reserved_);
    // What was just allocated is durable only if it was synced.
    return claim(rubbish ? wanted : *size);
  }
  if (!absl::IsResourceExhausted(status)) return status;
  log::warn("no space to preallocate the open WAL segment", {{"error", message_of(status)}});
  // What whoever wrote it had taken is still taken.
  reserved_ = rubbish ? end : std::max(*size, end);
  CHECK(written_ <= reserved_);
  return absl::OkStatus();
}

}  // namespace keelson::wal
