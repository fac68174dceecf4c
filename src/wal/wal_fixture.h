// wal/wal_fixture.h
//
// WalTest is a log on a disk in memory, with small segments.
//
// Threads: tests only; one caller at a time.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/failpoint.h"
#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/segment_name.h"
#include "wal/test_logs.h"
#include "wal/wal.h"

namespace keelson::wal {

inline const MemberId kMe{0x8e9e05c52164694d};
inline constexpr std::string_view kDir = "wal";

inline raft::HardState state(uint64_t term, uint64_t commit) {
  return {Term(term), kMe, Index(commit)};
}

class WalTest : public testing::Test {
 protected:
  void TearDown() override { failpoint::disarm(); }

  Options options(uint64_t segment_bytes = 8192) {
    Options o;
    o.fs = &fs_;
    o.segment_bytes = segment_bytes;
    return o;
  }
  std::unique_ptr<Wal> make(Options o) {
    wire::WalMetadata metadata{kMe, ClusterId(0xcdf818194e3a8c32)};
    return *Wal::create(std::string(kDir), wire::encode(metadata), o);
  }
  std::unique_ptr<Wal> make() { return make(options()); }

  absl::StatusOr<Opened> open(SnapshotMark from = {}) {
    entries_.clear();
    return Wal::open(std::string(kDir), from, options(), collect_into(&entries_));
  }
  std::vector<std::string> segments() {
    std::vector<std::string> names;
    const std::vector<std::string> files = *fs_.list(std::string(kDir));
    for (const std::string& name : files) {
      if (parse_segment_name(name)) names.push_back(cat(kDir, "/", name));
    }
    return names;
  }
  // 60 entries of various sizes over several segments; all committed.
  void fill(Wal& wal, uint64_t from = 1, uint64_t to = 60) {
    for (uint64_t i = from; i <= to; ++i) {
      ASSERT_TRUE(wal.append(state(2, i - 1), {{entry(i, 2, text(i))}}).ok());
      ASSERT_TRUE(wal.sync().ok());
    }
  }
  static std::string text(uint64_t i) {
    return std::string(i * 37 % 700, static_cast<char>('a' + i % 26));
  }

  MemoryFileSystem fs_;
  std::vector<raft::Entry> entries_;
};

}  // namespace keelson::wal
