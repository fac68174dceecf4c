// http/test_exchange.h
//
// For tests: one HTTP request on a connection of its own.
//
// Threads: any. Blocks until the server has closed.

#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace keelson::http {

// The whole answer, its head included.
inline std::string exchange(uint16_t port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char piece[4096];
  for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;) {
    answer.append(piece, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

}  // namespace keelson::http
