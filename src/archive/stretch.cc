#include "archive/stretch.h"

#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "wal/segment_name.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::archive {
namespace {

// False, and said, when a file stays.
bool remove_file(wal::FileSystem& fs, const std::string& path) {
  absl::Status s = fs.unlink(path);
  if (s.ok() || absl::IsNotFound(s)) return true;
  log::warn("cannot remove a file of the archive", {{"path", path}, {"error", message_of(s)}});
  return false;
}

// Times of which a later file begins at or before the snapshot.
void forget_times_before(wal::FileSystem& fs, const std::string& stretch,
                         const SnapshotName& snapshot) {
  absl::StatusOr<StretchFiles> files = list_stretch(fs, stretch);
  if (!files.ok()) return;
  const std::vector<Index>& times = files->times;
  for (size_t i = 0; i + 1 < times.size() && times[i + 1] <= snapshot.index; ++i) {
    if (!remove_file(fs, cat(stretch, "/", times_name(times[i])))) return;
  }
}

}  // namespace

absl::StatusOr<raft::ConfState> configuration_of(const backend::Reader& state) {
  membership::Cluster cluster{ClusterId(0)};
  if (absl::Status s = cluster.restore(state); !s.ok()) return s;
  raft::ConfState conf;
  for (const membership::Member& member : cluster.view()->members) {
    (member.is_learner ? conf.learners : conf.voters).push_back(member.id);
  }
  return conf;
}

wal::Options Stretch::log_options() const {
  wal::Options options;
  options.fs = place_.fs;
  options.segment_bytes = place_.segment_bytes;
  options.max_segments = 1;  // what is to go is said by forget_before()
  return options;
}

absl::StatusOr<std::unique_ptr<Stretch>> Stretch::begin(const Place& place, Owner owner,
                                                        const backend::Snapshot& state,
                                                        const Moment& at) {
  CHECK(at.index == state.consistent_index());
  auto stretch = std::unique_ptr<Stretch>(new Stretch(place));
  stretch->owner_ = owner;
  if (absl::Status s = place.fs->create_dirs(stretch->path_); !s.ok()) return s;
  if (absl::Status s = place.fs->sync_dir(place.archive); !s.ok()) return s;
  KEELSON_FAILPOINT("archive_stretch_made");
  if (absl::Status s = stretch->begin_log(state, at); !s.ok()) return s;
  absl::StatusOr<std::unique_ptr<TimesWriter>> times = TimesWriter::open(*place.fs, stretch->path_);
  if (!times.ok()) return times.status();
  stretch->times_ = *std::move(times);
  if (absl::Status s = stretch->note(at); !s.ok()) return s;
  return stretch;
}

absl::Status Stretch::begin_log(const backend::Snapshot& state, const Moment& at) {
  absl::StatusOr<raft::ConfState> conf = configuration_of(state);
  if (!conf.ok()) return conf.status();
  absl::StatusOr<std::unique_ptr<wal::Wal>> log = wal::Wal::create(
      log_path(path_), wire::encode(wire::WalMetadata{owner_.member, owner_.cluster}),
      log_options());
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  last_ = {at.index, at.term, std::nullopt};
  synced_ = at.index;
  return mark(at.index, at.term, *conf);
}

absl::StatusOr<std::unique_ptr<Stretch>> Stretch::open(const Place& place) {
  auto stretch = std::unique_ptr<Stretch>(new Stretch(place));
  if (absl::Status s = stretch->remove_unfinished(); !s.ok()) return s;
  if (absl::Status s = stretch->open_log(); !s.ok()) return s;
  absl::StatusOr<std::unique_ptr<TimesWriter>> times = TimesWriter::open(*place.fs, stretch->path_);
  if (!times.ok()) return times.status();
  stretch->times_ = *std::move(times);
  // Times of entries that are not there are those of another log.
  const std::optional<Moment>& noted = stretch->times_->last();
  if (noted && noted->index > stretch->last_.index) {
    return absl::DataLossError(cat("archive: the times in ", stretch->path_, " go up to entry ",
                                   noted->index.value, ", its log only to ",
                                   stretch->last_.index.value));
  }
  return stretch;
}

absl::Status Stretch::remove_unfinished() {
  absl::StatusOr<StretchFiles> files = list_stretch(*place_.fs, path_);
  if (!files.ok()) return files.status();
  for (const std::string& name : files->unfinished) remove_file(*place_.fs, cat(path_, "/", name));
  if (!files->snapshots.empty()) newest_ = files->snapshots.back();
  return absl::OkStatus();
}

absl::Status Stretch::open_log() {
  const std::string dir = log_path(path_);
  absl::StatusOr<wire::WalSnapshot> found = wal::newest_mark(dir, Index(UINT64_MAX), place_.fs);
  if (!found.ok()) return found.status();
  // A log with the mark at 0 only is one whose making was interrupted.
  if (found->index == Index(0)) return absl::NotFoundError(cat("archive: nothing is in ", dir));
  last_ = {found->index, found->term, std::nullopt};
  std::optional<Term> of_newest;  // the newest snapshot's, if it has no mark
  absl::StatusOr<wal::Opened> opened =
      wal::Wal::open(dir, {found->index, found->term}, log_options(), [&](raft::Entry entry) {
        note_entry(entry);
        if (newest_ && entry.index == newest_->index) {
          of_newest = entry.term;
          bytes_since_newest_ = 0;
        }
        return absl::OkStatus();
      });
  if (!opened.ok()) return opened.status();
  log_ = std::move(opened->wal);
  synced_ = last_.index;
  absl::StatusOr<wire::WalMetadata> owner = wire::decode_wal_metadata(opened->metadata);
  if (!owner.ok()) return owner.status();
  owner_ = {owner->node_id, owner->cluster_id};
  if (newest_ && newest_->index > last_.index) {
    return absl::DataLossError(cat("archive: the log in ", dir, " ends at entry ",
                                   last_.index.value, ", before the snapshot at ",
                                   newest_->index.value));
  }
  return of_newest ? mark(newest_->index, *of_newest, found->conf_state.value_or(raft::ConfState()))
                   : absl::OkStatus();
}

void Stretch::note_entry(const raft::Entry& entry) {
  last_ = {entry.index, entry.term, wal::sum_of(entry)};
  bytes_since_newest_ += wire::wire_size(entry);
}

absl::Status Stretch::mark(Index index, Term term, const raft::ConfState& conf) {
  absl::Status s = log_->save_snapshot({index, term}, conf);
  return s.ok() ? log_->sync() : s;
}

absl::Status Stretch::append(std::span<const raft::Entry> entries) {
  CHECK(!entries.empty());
  CHECK(entries.front().index == last_.index + 1);
  const raft::HardState state{
      .term = entries.back().term, .vote = raft::kNobody, .commit = entries.back().index};
  if (absl::Status s = log_->append(state, entries); !s.ok()) return s;
  for (const raft::Entry& entry : entries) note_entry(entry);
  return absl::OkStatus();
}

absl::Status Stretch::sync() {
  KEELSON_FAILPOINT("archive_before_sync");
  if (absl::Status s = log_->sync(); !s.ok()) return s;
  synced_ = last_.index;
  KEELSON_FAILPOINT("archive_after_sync");
  return absl::OkStatus();
}

absl::Status Stretch::note(const Moment& moment) {
  CHECK(moment.index <= synced_);
  return times_->append(moment);
}

absl::Status Stretch::add(SnapshotWriter& snapshot) {
  CHECK(snapshot.index() <= synced_);
  absl::StatusOr<raft::ConfState> conf = configuration_of(snapshot.state());
  if (!conf.ok()) return conf.status();
  if (absl::Status s = snapshot.finish(); !s.ok()) return s;
  if (absl::Status s = mark(snapshot.index(), snapshot.term(), *conf); !s.ok()) return s;
  newest_ = snapshot.name();
  bytes_since_newest_ = 0;
  return absl::OkStatus();
}

void Stretch::forget_before(const SnapshotName& snapshot) {
  forget_times_before(*place_.fs, path_, snapshot);
  log_->release_to(snapshot.index);
}

absl::Status Stretch::close() { return log_->close(); }

void forget_before(wal::FileSystem& fs, const std::string& stretch, const SnapshotName& snapshot) {
  forget_times_before(fs, stretch, snapshot);
  const std::string dir = log_path(stretch);
  absl::StatusOr<std::vector<wal::SegmentName>> names = wal::list_segments(fs, dir);
  if (!names.ok()) return;
  // The one in which the snapshot's own entry is stays.
  for (size_t i = 0; i + 1 < names->size() && (*names)[i + 1].first_index <= snapshot.index; ++i) {
    if (!remove_file(fs, cat(dir, "/", wal::to_string((*names)[i])))) return;
  }
}

absl::Status remove_stretch(wal::FileSystem& fs, const std::string& stretch) {
  absl::StatusOr<StretchFiles> files = list_stretch(fs, stretch);
  if (!files.ok()) return files.status();
  for (const SnapshotName& name : files->snapshots) {
    absl::Status s = fs.unlink(cat(stretch, "/", to_string(name)));
    if (!s.ok() && !absl::IsNotFound(s)) return s;
  }
  KEELSON_FAILPOINT("archive_stretch_emptied");
  for (const std::string& dir : {log_path(stretch), log_path(stretch) + ".tmp", stretch}) {
    if (absl::Status s = fs.remove_dir(dir); !s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace keelson::archive
