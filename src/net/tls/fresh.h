// net/tls/fresh.h
//
// FreshTls keeps what was made of TLS files fresh: current() looks whether a file has changed and
// builds anew if so, certificate, authorities and revocations alike. A new file that cannot be used
// is said in the log once, and the old stays in force.
//
// State is what is built: State::check(settings) holds the rules for settings alone, and
//   State::build(settings, files) makes an immutable object of what the files say.
// Threads: any; current() takes a lock and may wait for the disk, so it is not for the loops.
// Lifetime: a state lives as long as a connection uses it.

#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "net/tls/material.h"
#include "net/tls/settings.h"

namespace keelson::net {

// Where the files are and when they changed; empty when that cannot be relied upon.
std::string fingerprint_of(const TlsSettings& settings);

void log_fresh_tls(const TlsSettings& settings);
// Unless `*complaint`, the last one, was the same.
void log_useless_tls(const TlsSettings& settings, const absl::Status& why, std::string* complaint);

template <typename State>
class FreshTls {
 public:
  // Reads the files. Errors: a rule of etcd's that the settings break, or a file that cannot be
  // used.
  static absl::StatusOr<std::shared_ptr<FreshTls>> create(TlsSettings settings) {
    if (absl::Status s = State::check(settings); !s.ok()) return s;
    std::shared_ptr<FreshTls> fresh(new FreshTls(std::move(settings)));
    std::string fingerprint = fingerprint_of(fresh->settings_);
    absl::StatusOr<TlsFiles> files = read_tls_files(fresh->settings_);
    if (!files.ok()) return files.status();
    absl::StatusOr<std::shared_ptr<const State>> state = State::build(fresh->settings_, *files);
    if (!state.ok()) return state.status();
    fresh->fingerprint_ = std::move(fingerprint);
    fresh->files_ = *std::move(files);
    fresh->state_ = *std::move(state);
    return fresh;
  }

  // Without a look at the files.
  std::shared_ptr<const State> last() {
    std::lock_guard lock(mutex_);
    return state_;
  }

  std::shared_ptr<const State> current() {
    std::lock_guard lock(mutex_);
    std::string fingerprint = fingerprint_of(settings_);
    if (!fingerprint.empty() && fingerprint == fingerprint_) return state_;
    fingerprint_ = std::move(fingerprint);
    absl::StatusOr<TlsFiles> files = read_tls_files(settings_);
    if (files.ok() && *files == files_) return state_;
    absl::StatusOr<std::shared_ptr<const State>> state =
        files.ok() ? State::build(settings_, *files) : files.status();
    if (!state.ok()) {
      log_useless_tls(settings_, state.status(), &complaint_);
      return state_;
    }
    files_ = *std::move(files);
    state_ = *std::move(state);
    complaint_.clear();
    log_fresh_tls(settings_);
    return state_;
  }

 private:
  explicit FreshTls(TlsSettings settings) : settings_(std::move(settings)) {}

  const TlsSettings settings_;
  std::mutex mutex_;
  std::string fingerprint_;             // of the files when they were last read; empty: read again
  TlsFiles files_;                      // what was read then
  std::string complaint_;               // the last one that was logged
  std::shared_ptr<const State> state_;  // never null once created
};

}  // namespace keelson::net
