#include "wal/wal_reader_fuzz.h"

#include <string>
#include <vector>

#include "base/check.h"
#include "base/quiet_log.h"
#include "wal/memory_file_system.h"
#include "wal/wal.h"

namespace keelson::wal {

namespace {

constexpr char kSegment[] = "wal/0000000000000000-0000000000000000.wal";

}  // namespace

void fuzz_wal_reader(std::string_view bytes) {
  const log::QuietLog quiet;
  MemoryFileSystem fs;
  CHECK(fs.create_dirs("wal").ok());
  fs.set_contents(kSegment, std::string(bytes));
  Options options;
  options.fs = &fs;
  options.segment_bytes = 1024;
  newest_mark("wal", Index(UINT64_MAX), &fs).status().IgnoreError();
  verify("wal", {}, &fs).status().IgnoreError();
  CHECK(fs.contents(kSegment) == bytes);

  std::vector<raft::Entry> first;
  absl::StatusOr<Opened> opened = Wal::open("wal", {}, options, collect_into(&first));
  if (!opened.ok()) {
    CHECK(fs.contents(kSegment) == bytes);
    return;
  }
  // What was accepted can be written on, and reads back the same.
  raft::Entry entry;
  entry.index = opened->wal->last_index() + 1;
  entry.term = Term(first.empty() ? 1 : first.back().term.value);
  const bool follows = entry.index == Index(first.size() + 1);
  if (follows) {
    CHECK(opened->wal->append({}, {&entry, 1}).ok());
    first.push_back(entry);
  }
  CHECK(opened->wal->close().ok());
  opened->wal.reset();
  std::vector<raft::Entry> second;
  opened = Wal::open("wal", {}, options, collect_into(&second));
  CHECK(opened.ok());
  CHECK(!opened->repaired);
  CHECK(second == first);
}

}  // namespace keelson::wal
