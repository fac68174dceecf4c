// Reading a log that stays as it is: whether there is one, where to start, whether it is whole.

#include "base/text.h"
#include "wal/replay.h"
#include "wal/wal.h"

namespace keelson::wal {

namespace {

FileSystem& or_default(FileSystem* fs) { return fs ? *fs : *posix_file_system(); }

absl::StatusOr<std::vector<Segment>> open_for_reading(FileSystem& fs, const std::string& dir,
                                                      const std::vector<SegmentName>& names) {
  std::vector<Segment> segments;
  for (const SegmentName& name : names) {
    std::string path = cat(dir, "/", to_string(name));
    absl::StatusOr<std::unique_ptr<File>> file = fs.open(path, OpenMode::kRead);
    if (!file.ok()) return file.status();
    segments.push_back({name, std::move(path), *std::move(file)});
  }
  return segments;
}

// The marks of one segment at or below `at_most`; how far it says that the log is committed.
struct MarksOfSegment {
  std::vector<wire::WalSnapshot> marks;
  Index commit;
};

absl::StatusOr<MarksOfSegment> marks_of(FileSystem& fs, const std::string& dir, SegmentName name,
                                        LogReader::Ending ending, Index at_most) {
  absl::StatusOr<std::vector<Segment>> segment = open_for_reading(fs, dir, {name});
  if (!segment.ok()) return segment.status();
  const EntryVisitor nobody;
  Replay replay(std::nullopt, nobody);
  LogReader reader(*segment, ending);
  if (absl::Status status = replay.run(reader).status(); !status.ok()) return status;
  MarksOfSegment found{replay.marks(), replay.state().commit};
  std::erase_if(found.marks, [&](const auto& mark) { return mark.index > at_most; });
  return found;
}

}  // namespace

absl::StatusOr<bool> exists(const std::string& dir, FileSystem* fs) {
  absl::Status status = list_segments(or_default(fs), dir).status();
  if (absl::IsNotFound(status)) return false;
  if (!status.ok()) return status;
  return true;
}

void drop_prepared(const std::string& dir, FileSystem* fs) {
  absl::StatusOr<bool> there = exists(dir, fs);
  if (!there.ok() || !*there) return;
  for (std::string_view name : {"0.tmp", "1.tmp"}) {
    const std::string path = cat(dir, "/", name);
    absl::StatusOr<std::unique_ptr<File>> file = or_default(fs).open(path, OpenMode::kReadWrite);
    // Locked: the log is open somewhere, and this is its next segment.
    if (!file.ok() || !(*file)->try_lock().ok()) continue;
    or_default(fs).unlink(path).IgnoreError();
  }
}

// A segment begins with the last hard state before it: the newest one knows the last commit.
absl::StatusOr<wire::WalSnapshot> newest_mark(const std::string& dir, Index at_most,
                                              FileSystem* fs) {
  absl::StatusOr<std::vector<SegmentName>> names = list_segments(or_default(fs), dir);
  if (!names.ok()) return names.status();
  std::optional<wire::WalSnapshot> best;
  for (size_t i = names->size(); i > 0 && !best; --i) {
    const bool last = i == names->size();
    absl::StatusOr<MarksOfSegment> found =
        marks_of(or_default(fs), dir, (*names)[i - 1],
                 last ? LogReader::Ending::kOfLog : LogReader::Ending::kOfSegment, at_most);
    if (!found.ok()) return found.status();
    if (last) at_most = std::min(at_most, found->commit);
    for (wire::WalSnapshot& mark : found->marks) {
      if (mark.index > at_most) continue;
      if (!best || mark.index >= best->index) best = std::move(mark);
    }
  }
  if (best) return *std::move(best);
  return absl::NotFoundError(
      to_absl(cat("wal: no snapshot mark at or below index ", at_most.value, " in ", dir)));
}

absl::StatusOr<Contents> read(const std::string& dir, SnapshotMark from, const EntryVisitor& visit,
                              FileSystem* fs) {
  absl::StatusOr<std::vector<SegmentName>> names = list_segments(or_default(fs), dir);
  if (!names.ok()) return names.status();
  names = select_segments(*std::move(names), from.index);
  if (!names.ok()) return names.status();
  absl::StatusOr<std::vector<Segment>> segments = open_for_reading(or_default(fs), dir, *names);
  if (!segments.ok()) return segments.status();
  Replay replay(from, visit);
  LogReader reader(*segments);
  absl::Status status = replay.run(reader).status();
  if (status.ok()) status = replay.found();
  if (!status.ok()) return status;
  return Contents{replay.metadata(), replay.state(), replay.entries()};
}

absl::StatusOr<History> read_history(const std::string& dir, const EntryVisitor& visit,
                                     FileSystem* fs) {
  absl::StatusOr<std::vector<SegmentName>> names = list_segments(or_default(fs), dir);
  if (!names.ok()) return names.status();
  size_t oldest = names->size() - 1;
  while (oldest > 0 && (*names)[oldest - 1].sequence + 1 == (*names)[oldest].sequence) --oldest;
  names->erase(names->begin(), names->begin() + static_cast<std::ptrdiff_t>(oldest));
  absl::StatusOr<std::vector<Segment>> segments = open_for_reading(or_default(fs), dir, *names);
  if (!segments.ok()) return segments.status();
  Replay replay(Replay::Everything(), visit);
  LogReader reader(*segments);
  if (absl::Status status = replay.run(reader).status(); !status.ok()) return status;
  return History{names->front(), replay.marks(), replay.state()};
}

absl::StatusOr<raft::HardState> verify(const std::string& dir, SnapshotMark from, FileSystem* fs) {
  absl::StatusOr<Contents> contents = read(dir, from, {}, fs);
  if (!contents.ok()) return contents.status();
  return contents->state;
}

}  // namespace keelson::wal
