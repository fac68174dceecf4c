// wal/tail_claim.h
//
// TailClaim says beside the log which segment is its last, and how long that one is at least. By it
// a log is recognized that is not all there: a segment's space is taken before anything is written
// to it, so no crash leaves a last segment that is shorter than was claimed, or none at all. A copy
// that was interrupted does. (Records cannot tell: a log that ends between two of them looks like a
// shorter log.)
//
// File: KEELSON.tail in the log's directory, 32 bytes: "KEELTAIL"; the segment's sequence number
//   and its length, 8 bytes big endian each; the CRC-32C of these 24, 8 bytes big endian. Written
//   in place: a sector goes to the disk whole or not at all.
// Durability: what is claimed has to be durable before, and stay true until the next claim, which
//   may get lost: then the one before still holds.
// Threads: one caller at a time.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wal/file_system.h"

namespace keelson::wal {

class TailClaim {
 public:
  struct Claim {
    uint64_t sequence = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Claim&, const Claim&) = default;
  };

  TailClaim(FileSystem& fs, const std::string& dir);

  // What was claimed; nothing when there is no file, or one that cannot be understood (then a
  // warning says so: it proves nothing, neither way). It is durable then: whoever wrote it may have
  // died before it was, and what it took the place of may not hold any more.
  absl::StatusOr<std::optional<Claim>> read();
  // Makes the claim; durable only after a sync().
  absl::Status write(Claim claim);
  absl::Status sync();
  // Nothing is claimed any more; for certain, when this returns Ok.
  absl::Status withdraw();

 private:
  absl::Status open();

  FileSystem& fs_;
  const std::string dir_;
  const std::string path_;
  std::unique_ptr<File> file_;  // once it was written to
};

}  // namespace keelson::wal
