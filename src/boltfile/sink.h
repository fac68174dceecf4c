// boltfile/sink.h
//
// Where a database goes that is written: a stream, a file, either with the SHA-256 behind it that
// etcd's snapshots have.
//
// Threads: one caller at a time.
// Errors: the errno's code with the path (ResourceExhausted: the disk is full), or the sink's own.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "boltfile/sha256.h"

namespace keelson::boltfile {

class Sink {
 public:
  virtual ~Sink() = default;
  // Takes the next bytes, of any number; they are the caller's again when it returns.
  virtual absl::Status write(std::string_view bytes) = 0;
};

// One that can be written to again further up.
class SeekableSink : public Sink {
 public:
  // REQUIRES: the place was written before.
  virtual absl::Status overwrite(uint64_t offset, std::string_view bytes) = 0;
};

// A file that was not there before, mode 0600. Nothing is durable before sync(), the name not even
// then: its directory is the caller's to sync.
class FileSink final : public SeekableSink {
 public:
  static absl::StatusOr<std::unique_ptr<FileSink>> create(const std::string& path);
  ~FileSink() override;

  absl::Status write(std::string_view bytes) override;
  absl::Status overwrite(uint64_t offset, std::string_view bytes) override;
  absl::Status sync();

 private:
  FileSink(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
  uint64_t size_ = 0;
};

// Hands everything on, and at the end the SHA-256 of it.
class SummingSink final : public Sink {
 public:
  explicit SummingSink(Sink* below) : below_(below) {}

  absl::Status write(std::string_view bytes) override;
  // Writes the sum. Called once, after everything.
  absl::Status finish();

 private:
  Sink* const below_;
  Sha256 sum_;
};

}  // namespace keelson::boltfile
