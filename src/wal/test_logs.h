// wal/test_logs.h
//
// What the log's random tests share: silence, and values that are made to look like what a crash
// leaves and like what the log itself writes.
//
// Threads: tests only; one caller at a time.

#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/quiet_log.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "wal/framing.h"
#include "wal/record_buffer.h"
#include "wire/raft_types.h"

namespace keelson::wal {

inline raft::Entry entry(uint64_t index, uint64_t term, std::string_view data) {
  raft::Entry e;
  e.index = Index(index);
  e.term = Term(term);
  e.data = Bytes::copy(data);
  e.data_set = !data.empty();
  return e;
}

// Frames as the log writes them, sums among them, at some offset to the file's 8-byte grid.
inline std::string fake_records(Random& random) {
  RecordBuffer buffer(static_cast<uint32_t>(random.next()));
  for (uint64_t n = 1 + random.below(6); n > 0; --n) {
    if (random.below(2) == 0) buffer.add_crc();
    if (random.below(2) == 0) buffer.add_entry(entry(random.below(50), 1, "fake"));
    if (random.below(2) == 0) buffer.add_state({Term(1), MemberId(1), Index(random.below(50))});
  }
  return std::string(random.below(8), '\0') + std::string(buffer.view());
}

// A value: short text; or long, with zeros that fill sectors; or full of records of a log.
inline std::string odd_value(Random& random) {
  std::string data(random.below(8) == 0 ? random.below(3000) : random.below(100), '\0');
  for (char& c : data) c = static_cast<char>('a' + random.below(26));
  const uint64_t kind = random.below(8);
  if (kind == 0) data.insert(random.below(data.size() + 1), std::string(random.below(2500), '\0'));
  if (kind == 1) data = std::string(random.below(1600), '\0');
  if (kind <= 2) {
    const std::string fake = fake_records(random);
    for (uint64_t n = random.below(20); n > 0; --n) data += fake;
  }
  return data;
}

}  // namespace keelson::wal
