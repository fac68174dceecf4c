#include "archive/catalogue.h"

#include <algorithm>

#include "absl/time/time.h"
#include "archive/inventory.h"
#include "base/check.h"
#include "base/text.h"
#include "wal/log_reader.h"
#include "wal/segment_name.h"
#include "wire/wal_record.h"

namespace keelson::archive {
namespace {

// As the first record behind the sum of any segment has it. NotFound: there is no log.
absl::StatusOr<Owner> owner_of(wal::FileSystem& fs, const std::string& stretch) {
  const std::string dir = log_path(stretch);
  absl::StatusOr<std::vector<wal::SegmentName>> names = wal::list_segments(fs, dir);
  if (!names.ok()) return names.status();
  const wal::SegmentName name = names->back();
  std::string path = cat(dir, "/", wal::to_string(name));
  absl::StatusOr<std::unique_ptr<wal::File>> file = fs.open(path, wal::OpenMode::kRead);
  if (!file.ok()) return file.status();
  std::vector<wal::Segment> segments;
  segments.push_back({name, std::move(path), *std::move(file)});
  wal::LogReader reader(segments);
  wal::LogReader::Record record;
  absl::StatusOr<wal::LogReader::Outcome> outcome = reader.next(&record);
  if (!outcome.ok()) return outcome.status();
  if (*outcome != wal::LogReader::Outcome::kRecord || record.type != wire::RecordType::kMetadata) {
    return absl::DataLossError(cat("archive: ", segments[0].path, " does not begin as a log does"));
  }
  absl::StatusOr<wire::WalMetadata> metadata = wire::decode_wal_metadata(record.data);
  if (!metadata.ok()) return metadata.status();
  return Owner{metadata->node_id, metadata->cluster_id};
}

absl::StatusOr<StretchEntry> read_stretch(wal::FileSystem& fs, const std::string& archive,
                                          const StoredStretch& stored) {
  StretchEntry entry{.number = stored.number, .bytes = stored.bytes};
  const std::string path = stretch_path(archive, stored.number);
  absl::StatusOr<std::vector<Moment>> times = read_times(fs, path);
  if (times.ok()) {
    entry.times = *std::move(times);
  } else {
    if (!absl::IsDataLoss(times.status())) return times.status();
    entry.damage = times.status();
  }
  for (const StoredSnapshot& snapshot : stored.snapshots) {
    const auto at = std::find_if(entry.times.begin(), entry.times.end(), [&](const Moment& moment) {
      return moment.index >= snapshot.name.index;
    });
    const int64_t time = at == entry.times.end() ? 0 : at->unix_ms;
    entry.snapshots.push_back({snapshot.name, time, snapshot.bytes});
  }
  absl::StatusOr<Owner> owner = owner_of(fs, path);
  if (absl::IsNotFound(owner.status()) && !stored.snapshots.empty()) {
    owner = absl::DataLossError(cat("archive: there is no log in ", path));
  }
  if (absl::IsDataLoss(owner.status())) {
    entry.damage = owner.status();
  } else {
    if (!owner.ok()) return owner.status();
    entry.owner = *owner;
  }
  return entry;
}

absl::Status missing(std::string what) { return absl::NotFoundError(std::move(what)); }

std::string stretch_text(const StretchEntry& stretch) {
  std::string text = cat("stretch ", stretch.number, ", revisions ", stretch.first_revision(),
                         " to ", stretch.last().revision);
  if (!stretch.times.empty()) {
    text += cat(", ", time_text(stretch.first_time()), " to ", time_text(stretch.last_time()));
  }
  if (!stretch.damage.ok()) text += cat(" (", message_of(stretch.damage), ")");
  return text;
}

// The newest of those that may have it. Two clusters number their revisions each for itself.
absl::StatusOr<const StretchEntry*> only_one(const std::vector<const StretchEntry*>& candidates,
                                             std::string_view what) {
  CHECK(!candidates.empty());
  for (const StretchEntry* candidate : candidates) {
    if (candidate->owner.cluster == candidates.back()->owner.cluster) continue;
    std::string text = cat(what,
                           " is in the history of several clusters: name one of them by "
                           "--stretch:");
    for (const StretchEntry* each : candidates) text += cat("\n  ", stretch_text(*each));
    return absl::FailedPreconditionError(text);
  }
  return candidates.back();
}

std::vector<const StretchEntry*> usable(const std::vector<StretchEntry>& catalogue,
                                        const Target& target) {
  std::vector<const StretchEntry*> all;
  for (const StretchEntry& stretch : catalogue) {
    if (target.stretch && stretch.number != *target.stretch) continue;
    if (stretch.is_usable()) all.push_back(&stretch);
  }
  return all;
}

absl::Status nothing_there(const std::vector<StretchEntry>& catalogue, const Target& target) {
  for (const StretchEntry& stretch : catalogue) {
    const bool meant = !target.stretch || stretch.number == *target.stretch;
    if (meant && !stretch.damage.ok()) return stretch.damage;
  }
  if (target.stretch)
    return missing(cat("archive: there is no stretch ", *target.stretch,
                       " from which a state can be brought back"));
  return missing("archive: there is no snapshot yet, so there is nothing to begin with");
}

absl::StatusOr<Route> route_to_revision(const std::vector<const StretchEntry*>& all,
                                        int64_t revision) {
  std::vector<const StretchEntry*> candidates;
  const StretchEntry* before = nullptr;  // ends before it, nearest
  const StretchEntry* behind = nullptr;  // begins behind it, nearest
  for (const StretchEntry* stretch : all) {
    if (stretch->first_revision() > revision) {
      if (!behind || stretch->first_revision() < behind->first_revision()) behind = stretch;
    } else if (stretch->last().revision >= revision) {
      candidates.push_back(stretch);
    } else {
      before = stretch;
    }
  }
  // The log goes on behind the last time that was noted.
  if (candidates.empty() && before) candidates.push_back(before);
  if (candidates.empty()) {
    return missing(cat("archive: revision ", revision,
                       " is before what is archived: ", stretch_text(*behind)));
  }
  absl::StatusOr<const StretchEntry*> stretch = only_one(candidates, cat("revision ", revision));
  if (!stretch.ok()) return stretch.status();
  Route route{.stretch = (*stretch)->number,
              .owner = (*stretch)->owner,
              .revision = revision,
              .last = (*stretch)->last()};
  // One at that revision may have some of what came after it.
  for (const SnapshotEntry& snapshot : (*stretch)->snapshots) {
    const bool is_first = &snapshot == &(*stretch)->snapshots.front();
    if (is_first || snapshot.name.revision < revision) route.snapshot = snapshot.name;
  }
  return route;
}

absl::StatusOr<Route> route_to_time(const std::vector<const StretchEntry*>& all, int64_t unix_ms) {
  std::vector<const StretchEntry*> candidates;
  for (const StretchEntry* stretch : all) {
    if (stretch->times.empty()) continue;
    if (stretch->first_time() <= unix_ms && stretch->last_time() >= unix_ms) {
      candidates.push_back(stretch);
    }
  }
  if (candidates.empty()) {
    std::string text = cat("archive: nothing is known of ", time_text(unix_ms), "; there is:");
    for (const StretchEntry* each : all) text += cat("\n  ", stretch_text(*each));
    return missing(text);
  }
  absl::StatusOr<const StretchEntry*> stretch = only_one(candidates, time_text(unix_ms));
  if (!stretch.ok()) return stretch.status();
  Route route{
      .stretch = (*stretch)->number, .owner = (*stretch)->owner, .last = (*stretch)->last()};
  for (const Moment& moment : (*stretch)->times) {
    if (moment.unix_ms <= unix_ms) route.index = moment.index;
  }
  for (const SnapshotEntry& snapshot : (*stretch)->snapshots) {
    if (route.index && snapshot.name.index <= *route.index) route.snapshot = snapshot.name;
  }
  if (!route.index || route.snapshot.index == Index(0)) {
    return missing(cat("archive: ", time_text(unix_ms), " is before the first snapshot of ",
                       stretch_text(**stretch)));
  }
  return route;
}

}  // namespace

Moment StretchEntry::last() const {
  if (!times.empty()) return times.back();
  const SnapshotName& newest = snapshots.back().name;
  return {.index = newest.index, .revision = newest.revision};
}

int64_t StretchEntry::last_time() const {
  const auto earlier = [](const Moment& a, const Moment& b) { return a.unix_ms < b.unix_ms; };
  return std::max_element(times.begin(), times.end(), earlier)->unix_ms;
}

absl::StatusOr<std::vector<StretchEntry>> read_catalogue(wal::FileSystem& fs,
                                                         const std::string& archive) {
  absl::StatusOr<std::unique_ptr<wal::File>> marker =
      fs.open(marker_path(archive), wal::OpenMode::kRead);
  if (absl::IsNotFound(marker.status())) {
    return absl::NotFoundError(cat("archive: there is none in ", archive));
  }
  if (!marker.ok()) return marker.status();
  std::string format(kFormat.size(), '\0');
  absl::StatusOr<size_t> got = (*marker)->pread(0, format.data(), format.size());
  if (!got.ok()) return got.status();
  if (format.substr(0, *got) != kFormat) {
    return absl::FailedPreconditionError(
        cat("archive: ", marker_path(archive), " is of another version"));
  }
  absl::StatusOr<Inventory> inventory = inventory_of(fs, archive);
  if (!inventory.ok()) return inventory.status();
  std::vector<StretchEntry> all;
  for (const StoredStretch& stored : inventory->stretches) {
    absl::StatusOr<StretchEntry> stretch = read_stretch(fs, archive, stored);
    // One that is just being made, or removed.
    if (absl::IsNotFound(stretch.status())) continue;
    if (!stretch.ok()) return stretch.status();
    all.push_back(*std::move(stretch));
  }
  return all;
}

absl::StatusOr<Route> find_route(const std::vector<StretchEntry>& catalogue, const Target& target) {
  CHECK(target.revision.has_value() != target.unix_ms.has_value());
  const std::vector<const StretchEntry*> all = usable(catalogue, target);
  if (all.empty()) return nothing_there(catalogue, target);
  return target.revision ? route_to_revision(all, *target.revision)
                         : route_to_time(all, *target.unix_ms);
}

std::string time_text(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(unix_ms),
                          absl::UTCTimeZone());
}

std::optional<int64_t> parse_time(std::string_view text) {
  absl::Time time;
  std::string ignored;
  if (!absl::ParseTime(absl::RFC3339_full, to_absl(text), &time, &ignored)) return std::nullopt;
  if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) return std::nullopt;
  return absl::ToUnixMillis(time);
}

}  // namespace keelson::archive
