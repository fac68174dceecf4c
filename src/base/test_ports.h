// base/test_ports.h
//
// Ports for the servers of tests: free, and this process's until it ends, also while the server
// that had one is down. Without that another test that runs beside takes the port of a member that
// was killed, and is taken for it.
//
// Threads: any.

#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "base/text.h"

namespace keelson {

inline bool is_free_port(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return free;
}

// 0 if there is none. Outside of the range that the system gives to clients' sockets.
inline int reserve_test_port() {
  constexpr int kFirst = 10000, kPorts = 10000;
  static std::atomic<int> tried = 0;
  const std::string directory = cat("/tmp/keelson-test-ports-", ::getuid());
  ::mkdir(directory.c_str(), 0700);
  for (int i = 0; i < kPorts; ++i) {
    const int port = kFirst + (::getpid() * 37 + tried++) % kPorts;
    const int lock = ::open(cat(directory, "/", port).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (lock < 0) continue;
    // The lock is the reservation, and stays open.
    if (::flock(lock, LOCK_EX | LOCK_NB) == 0 && is_free_port(port)) return port;
    ::close(lock);
  }
  return 0;
}

}  // namespace keelson
