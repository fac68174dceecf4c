// ctl/options.h
//
// The global options of one run: taken from the flags and, where a flag is not given, from
// ETCDCTL_* variables. A variable beside its flag is an error, as etcdctl has it (an old shell
// profile must not silently fight the command line).

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/command.h"

namespace keelson::ctl {

struct TlsFiles {
  std::string cert, key, cacert;
  std::string server_name;
  bool skip_verify = false;
};

struct Credentials {
  std::string user, password;
  std::string token;  // a ready-made JWT; then user and password are empty
};

struct Options {
  std::vector<std::string> endpoints;
  std::string write_out;
  bool hex = false;
  Nanos dial_timeout{};
  Nanos command_timeout{};
  Nanos keepalive_time{};
  Nanos keepalive_timeout{};
  int64_t max_request_bytes = 0;  // 0: 2 MiB
  int64_t max_receive_bytes = 0;  // 0: no limit
  bool insecure_transport = true;
  TlsFiles tls;
  std::optional<Credentials> credentials;
  // Hears what no error says: why an endpoint cannot be reached. On the caller's thread. May be
  // null.
  std::function<void(std::string_view)> warn;
};

// The flags that set them.
std::vector<Flag> global_flags();

// Applies the environment to the flags, then reads them. Asks for a password on the terminal if
// --user comes without one. With --debug every flag is listed on stderr.
absl::StatusOr<Options> read_options(Invocation& invocation);

// What --user ("name" or "name:password") and --password mean together; nothing without a user.
// Asks for a password that is in neither.
absl::StatusOr<std::optional<Credentials>> credentials_of(Console& console, const std::string& user,
                                                          const std::string& password,
                                                          std::string_view prompt);

// Asks on the terminal without echo; from a pipe, reads one line, which is empty at its end.
absl::StatusOr<std::string> ask_password(Console& console, std::string_view prompt);

}  // namespace keelson::ctl
