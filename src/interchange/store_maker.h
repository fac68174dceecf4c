// interchange/store_maker.h
//
// Makes a member's store, <member directory>/keelson, out of etcd's database: beside its place
// first (keelson.part), then by one rename. Until that rename there is no store; from then on there
// is a whole one.
//
//   StoreMaker maker(member_dir(data_dir));
//   s = maker.read(file, options);   // long
//   s = maker.install();             // the rename, durable when it returns
//
// Threads: one caller.
// Modes: whatever the process's umask leaves.
// Crashes: failpoints interchange_store_read, interchange_store_closed (before the rename),
//   interchange_store_installed (after it).
// Errors: those of read_database(); DataLoss when the store does not give back what was written.
//   What was begun is removed by the destructor, and by the next maker.

#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interchange/database_reader.h"

namespace keelson::interchange {

class StoreMaker {
 public:
  explicit StoreMaker(std::string member_dir) : member_dir_(std::move(member_dir)) {}
  ~StoreMaker();
  StoreMaker(const StoreMaker&) = delete;
  StoreMaker& operator=(const StoreMaker&) = delete;

  // Reads the database, closes the store, opens it again and checks what it gives back against the
  // sums of what was read. Once.
  absl::StatusOr<ReadResult> read(boltfile::File& file, const ReadOptions& options);
  // REQUIRES: read() succeeded; there is no store yet.
  absl::Status install();

 private:
  std::string unfinished() const { return member_dir_ + "/keelson.part"; }

  const std::string member_dir_;
  bool unfinished_ = false;  // something of ours lies beside the store's place
};

// Bytes that the disk of `path`, or of what stands above it, has for us; UINT64_MAX: cannot be
// told.
uint64_t free_space(const std::string& path);
// Whether two places, there or not yet, are of one file system.
bool same_disk(const std::string& one, const std::string& other);

// A directory's names are durable when it returns Ok.
absl::Status sync_directory(const std::string& path);

// What a store made of `file` takes, at most.
uint64_t space_for(const boltfile::File& file);

// ResourceExhausted, saying how much is missing, when the disk of `path` cannot take a store made
// of `file`, and `beside` more bytes.
absl::Status check_space(const boltfile::File& file, const std::string& path, uint64_t beside = 0);

}  // namespace keelson::interchange
