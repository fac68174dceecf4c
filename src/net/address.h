// net/address.h
//
// Address is where a socket is or is to be: TCP over IPv4 or IPv6, or a Unix socket's path.
//
// Threads: values.

#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::net {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  // "127.0.0.1:2379", "[::1]:2379", or a path ("@" for a socket without a name). IPv4 is IPv4, also
  // on a socket for both.
  std::string text() const;
  // Of this machine alone; an IPv4 address in IPv6's clothes counts as what it is.
  bool is_loopback() const;
  // "0.0.0.0" or "::".
  bool is_unspecified() const;
};

// What is written as an IPv4 or IPv6 address, the latter perhaps with a zone ("fe80::1%eth0");
// nothing for a name. The port is 0.
std::optional<Address> ip_address(std::string_view text);

// Errors: InvalidArgument for a path that no socket can have.
absl::StatusOr<Address> unix_address(std::string_view path);

// Unavailable, with `what` and the text of errno.
absl::Status socket_error(std::string_view what);
// What errno means, as Go writes it: "connection refused".
std::string errno_text(int error);

}  // namespace keelson::net
