// outbound/test_name_server.h
//
// For tests: a name server on loopback (UDP and TCP) that knows the SRV records it is given. What
// it does not know is NXDOMAIN. With `truncates` UDP gets the question back with TC set, so that
// whoever asks comes again by TCP.
//
// Threads: answers on one of its own, until the destructor.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace keelson::outbound {

class TestNameServer {
 public:
  struct Srv {
    uint16_t priority, port;
    std::string target;
    uint16_t weight = 0;
  };
  using Records = std::map<std::string, std::vector<Srv>>;  // by name, without a dot at its end

  explicit TestNameServer(Records records, bool truncates = false)
      : records_(std::move(records)), truncates_(truncates) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      udp_ = bound(SOCK_DGRAM, 0);
      port_ = port_of(udp_);
      tcp_ = bound(SOCK_STREAM, port_);
      if (tcp_ >= 0) break;
      ::close(udp_);
    }
    ::listen(tcp_, 4);
    thread_ = std::thread([this] { serve(); });
  }
  ~TestNameServer() {
    over_ = true;
    thread_.join();
    ::close(udp_);
    ::close(tcp_);
  }
  TestNameServer(const TestNameServer&) = delete;
  TestNameServer& operator=(const TestNameServer&) = delete;

  sockaddr_in address() const { return loopback(port_); }
  int asked_by_tcp() const { return by_tcp_; }

 private:
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static int bound(int type, uint16_t port) {
    const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in address = loopback(port);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
  }
  static uint16_t port_of(int fd) {
    sockaddr_in address = {};
    socklen_t length = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    return ntohs(address.sin_port);
  }

  static void put16(std::string& out, size_t value) {
    const uint16_t big = htons(static_cast<uint16_t>(value));
    out.append(reinterpret_cast<const char*>(&big), sizeof big);
  }
  // What a query by TCP is to be in all, its length's own two bytes included.
  static size_t framed_size(const std::string& query) {
    uint16_t big = 0;
    if (query.size() < sizeof big) return sizeof big;
    std::memcpy(&big, query.data(), sizeof big);
    return sizeof big + ntohs(big);
  }
  static std::string labels(const std::string& name) {
    std::string out;
    for (size_t at = 0; at < name.size();) {
      const size_t dot = std::min(name.find('.', at), name.size());
      out += static_cast<char>(dot - at);
      out += name.substr(at, dot - at);
      at = dot + 1;
    }
    return out + '\0';
  }
  static std::string asked_name(const std::string& query) {
    std::string name;
    for (size_t at = 12; at < query.size() && query[at] != 0;) {
      const auto length = static_cast<size_t>(static_cast<uint8_t>(query[at]));
      name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
      at += 1 + length;
    }
    return name;
  }

  std::string answer_to(const std::string& query, bool udp) const {
    if (query.size() < 17) return "";
    const std::string name = asked_name(query);
    const auto known = records_.find(name);
    const bool cut = udp && truncates_;
    const size_t count = known == records_.end() || cut ? 0 : known->second.size();
    std::string out = query.substr(0, 2);
    put16(out, 0x8180u | (cut ? 0x0200u : 0u) | (known == records_.end() ? 3u : 0u));
    put16(out, 1);
    put16(out, count);
    put16(out, 0);
    put16(out, 0);
    out += query.substr(12, labels(name).size() + 4);
    for (size_t i = 0; i < count; ++i) {
      const Srv& srv = known->second[i];
      put16(out, 0xc00c);  // the name that was asked for
      put16(out, 33);
      put16(out, 1);
      put16(out, 0);
      put16(out, 60);
      const std::string target = labels(srv.target);
      put16(out, 6 + target.size());
      put16(out, srv.priority);
      put16(out, srv.weight);
      put16(out, srv.port);
      out += target;
    }
    return out;
  }

  void serve() {
    while (!over_) {
      pollfd fds[] = {{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}};
      if (::poll(fds, 2, 20) <= 0) continue;
      if (fds[0].revents & POLLIN) serve_udp();
      if (fds[1].revents & POLLIN) serve_tcp();
    }
  }
  void serve_udp() {
    std::string query(512, '\0');
    sockaddr_in from = {};
    socklen_t length = sizeof from;
    const ssize_t got = ::recvfrom(udp_, query.data(), query.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &length);
    if (got <= 0) return;
    query.resize(static_cast<size_t>(got));
    const std::string answer = answer_to(query, true);
    (void)::sendto(udp_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
                   length);
  }
  void serve_tcp() {
    const int fd = ::accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++by_tcp_;
    std::string query;
    char chunk[512];
    ssize_t got = 0;
    while (query.size() < framed_size(query) || query.size() == 2) {
      if ((got = ::read(fd, chunk, sizeof chunk)) <= 0) break;
      query.append(chunk, static_cast<size_t>(got));
    }
    const std::string answer = query.size() < 2 ? "" : answer_to(query.substr(2), false);
    std::string framed;
    put16(framed, answer.size());
    framed += answer;
    (void)!::write(fd, framed.data(), framed.size());
    ::close(fd);
  }

  const Records records_;
  const bool truncates_;
  int udp_ = -1, tcp_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> over_ = false;
  std::atomic<int> by_tcp_ = 0;
  std::thread thread_;
};

}  // namespace keelson::outbound
