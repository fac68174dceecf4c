// mvcc/row_head.h
//
// What the key index keeps of a record of the key bucket: all but the value. The backend keeps
// these apart (backend::HeadFormat), so that a start does not read the values.
//
// Threads: values and pure functions.
// Format: docs/formats/heads.md. A change of it is a new kHeadFormat.version.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backend/backend.h"

namespace keelson::mvcc {

struct RowHead {
  // The user's; empty, with all the rest zero, for the record that a restore leaves where it raises
  // the revision: no value, and nothing that a client can ask for.
  std::string_view key;
  int64_t create_revision = 0;
  int64_t version = 0;
  int64_t lease = 0;
  uint32_t size = 0;  // of the encoded KeyValue
};

// kDataLoss: `row` is not a revision, or `value` not its KeyValue.
absl::Status append_row_head(std::string_view row, std::string_view value, std::string* head);
// False when `head` is not as append_row_head() writes it.
bool decode_row_head(std::string_view head, RowHead* out);

inline constexpr backend::HeadFormat kHeadFormat{append_row_head, 1};

// "mvcc: <what>; the database is damaged: …", saying what to do.
absl::Status damaged_database(std::string_view what);

}  // namespace keelson::mvcc
