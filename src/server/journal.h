// server/journal.h
//
// Journal writes entries to systemd's journal by its native protocol: one datagram an entry, or,
// for one that is too long for that, a sealed file in memory that is handed over.
//
// Threads: one caller at a time.
// Errors: an entry that the journal does not take is dropped.
// Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; the fields are those that etcd sends.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/log.h"

namespace keelson::server {

class Journal {
 public:
  static constexpr std::string_view kSocket = "/run/systemd/journal/socket";

  // Unavailable where no journal listens.
  static absl::StatusOr<std::unique_ptr<Journal>> open(std::string_view socket = kSocket);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void write(log::Level level, std::string_view line);

 private:
  explicit Journal(int socket);

  const int socket_;
  const std::string program_;
};

}  // namespace keelson::server
