#include "server/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "base/endian.h"
#include "base/text.h"

namespace keelson::server {
namespace {

// syslog's numbers.
int priority_of(log::Level level) {
  switch (level) {
    case log::Level::kDebug:
      return 7;
    case log::Level::kInfo:
      return 6;
    case log::Level::kWarn:
      return 4;
    case log::Level::kError:
      return 3;
    case log::Level::kPanic:
    case log::Level::kFatal:
      return 2;
  }
  return 6;
}

// In the form that takes any bytes: the name, how long the value is, the value.
void append_field(std::string& entry, std::string_view name, std::string_view value) {
  entry += name;
  entry += '\n';
  char size[8];
  store_little64(size, value.size());
  entry.append(size, sizeof(size));
  entry += value;
  entry += '\n';
}

// The entry in a file that nobody can change any more.
void hand_over(int socket, std::string_view entry) {
  const int file = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return;
  bool good = ::write(file, entry.data(), entry.size()) == static_cast<ssize_t>(entry.size());
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  good = good && ::fcntl(file, F_ADD_SEALS, kSeals) == 0;
  if (good) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &file, sizeof(int));
    (void)::sendmsg(socket, &message, MSG_NOSIGNAL);
  }
  ::close(file);
}

}  // namespace

Journal::Journal(int socket) : socket_(socket), program_(program_invocation_short_name) {}

Journal::~Journal() { ::close(socket_); }

absl::StatusOr<std::unique_ptr<Journal>> Journal::open(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(cat("too long a path: ", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || ::connect(socket, reinterpret_cast<sockaddr*>(&address), size) != 0) {
    const int why = errno;
    if (socket >= 0) ::close(socket);
    return absl::UnavailableError(cat("no journal at ", path, ": ", std::strerror(why)));
  }
  return std::unique_ptr<Journal>(new Journal(socket));
}

void Journal::write(log::Level level, std::string_view line) {
  std::string entry;
  append_field(entry, "PRIORITY", cat(priority_of(level)));
  append_field(entry, "SYSLOG_IDENTIFIER", program_);
  append_field(entry, "MESSAGE", line);
  ssize_t n = 0;
  do {
    n = ::send(socket_, entry.data(), entry.size(), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EMSGSIZE || errno == ENOBUFS)) hand_over(socket_, entry);
}

}  // namespace keelson::server
