// boltfile/source.h
//
// Where a database's bytes come from: a file, read with pread() and never mapped (a mapped file
// that somebody cuts short ends the process with SIGBUS), or memory.
//
// Threads: a Source may be read from any thread.
// Errors: the errno's code with the path; DataLoss when the bytes end before they should.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::boltfile {

class Source {
 public:
  virtual ~Source() = default;
  // Bytes that were there when the source was opened.
  virtual uint64_t size() const = 0;
  // Reads exactly `size` bytes at `offset`.
  virtual absl::Status read(uint64_t offset, char* out, size_t size) const = 0;
  // A hint: these bytes will be read soon.
  virtual void expect(uint64_t offset, uint64_t size) const {}
  // For messages.
  virtual std::string name() const = 0;
};

absl::StatusOr<std::unique_ptr<Source>> open_source(const std::string& path);

// The bytes are the caller's and outlive the source.
std::unique_ptr<Source> memory_source(std::string_view bytes);

}  // namespace keelson::boltfile
