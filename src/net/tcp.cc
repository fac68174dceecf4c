#include "net/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace keelson::net {
namespace {

constexpr int kProbeAfter = 30;           // seconds of silence
constexpr int kProbeEvery = 10;           // seconds
constexpr int kProbes = 3;                // without an answer
constexpr unsigned kUnacked = 60 * 1000;  // milliseconds

}  // namespace

void set_tcp_options(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kProbeAfter, sizeof(kProbeAfter));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kProbeEvery, sizeof(kProbeEvery));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof(kProbes));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacked, sizeof(kUnacked));
}

}  // namespace keelson::net
