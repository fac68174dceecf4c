#include "tests/cluster/links.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace keelson::cluster {
namespace {

constexpr size_t kMostAhead = 256 << 10;
constexpr size_t kLongestHead = 64 << 10;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int new_socket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

void send_at_once(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// The id in the head that `bytes` begin with: 0 when it names none, nothing when it is not all
// there.
std::optional<uint64_t> sender_in(const std::string& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string::npos && bytes.size() < kLongestHead) return std::nullopt;
  static constexpr std::string_view kName = "\r\nx-server-from:";
  std::string head = bytes.substr(0, end);
  std::transform(head.begin(), head.end(), head.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const size_t at = head.find(kName);
  if (at == std::string::npos) return 0;
  return std::strtoull(head.c_str() + at + kName.size(), nullptr, 16);
}

}  // namespace

// A connection to `to`, and ours from here on.
struct Links::Connection {
  struct Way {
    std::string bytes;  // taken, not passed on yet; at most kMostAhead and what one read brought
    bool ended = false;
    bool told = false;  // the other side knows that it has ended
  };
  int client = -1, server = -1;
  int to = -1;
  std::optional<uint64_t> sender;
  Way up, down;  // from the client, to the client
  bool broken = false;

  ~Connection() {
    if (client >= 0) ::close(client);
    if (server >= 0) ::close(server);
  }

  bool over() const { return broken || (up.told && down.told); }

  static void take(int fd, Way& way, bool* broken) {
    char buffer[64 << 10];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n > 0) way.bytes.append(buffer, static_cast<size_t>(n));
    if (n == 0) way.ended = true;
    if (n < 0 && errno != EAGAIN && errno != EINTR) *broken = true;
  }

  static void pass_on(int fd, Way& way, bool* broken) {
    if (!way.bytes.empty()) {
      const ssize_t n = ::send(fd, way.bytes.data(), way.bytes.size(), MSG_NOSIGNAL);
      if (n > 0) way.bytes.erase(0, static_cast<size_t>(n));
      if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) *broken = true;
    }
    if (way.ended && way.bytes.empty() && !std::exchange(way.told, true)) ::shutdown(fd, SHUT_WR);
  }
};

bool Links::State::holds(int from, int to) const {
  if (from >= 0) return cut.contains({from, to});
  return std::any_of(cut.begin(), cut.end(),
                     [to](const auto& link) { return link.first == to || link.second == to; });
}

Links::Links() : bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this] { run(); }) {}

Links::~Links() {
  {
    std::lock_guard lock(mutex_);
    state_.stopping = true;
  }
  wake();
  thread_.join();
  for (const Door& door : state_.doors) ::close(door.fd);
  ::close(bell_);
}

void Links::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(bell_, &one, sizeof one);
}

int Links::add(int port) {
  const int fd = new_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 128) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    ::close(fd);
    return 0;
  }
  {
    std::lock_guard lock(mutex_);
    state_.doors.push_back({fd, port});
  }
  wake();
  return ntohs(address.sin_port);
}

void Links::know(int member, uint64_t id) {
  std::lock_guard lock(mutex_);
  state_.members[id] = member;
}

void Links::cut(int from, int to) {
  {
    std::lock_guard lock(mutex_);
    state_.cut.emplace(from, to);
  }
  wake();
}

void Links::mend() {
  {
    std::lock_guard lock(mutex_);
    state_.cut.clear();
  }
  wake();
}

void Links::accept(const State& state, int to) {
  const Door& door = state.doors[static_cast<size_t>(to)];
  const int client = ::accept4(door.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  auto connection = std::make_unique<Connection>();
  connection->client = client;
  connection->server = new_socket();
  connection->to = to;
  const sockaddr_in address = loopback(door.port);
  if (::connect(connection->server, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 &&
      errno != EINPROGRESS) {
    return;
  }
  send_at_once(client);
  send_at_once(connection->server);
  connections_.push_back(std::move(connection));
}

// What is held up is not even looked at.
void Links::run() {
  while (true) {
    State state;
    {
      std::lock_guard lock(mutex_);
      state = state_;
    }
    if (state.stopping) return;
    std::vector<pollfd> fds = {{bell_, POLLIN, 0}};
    for (const Door& door : state.doors) fds.push_back({door.fd, POLLIN, 0});
    for (const auto& c : connections_) {
      // A connection that a question was asked on may be used for more than questions later.
      if (c->sender.value_or(0) == 0) {
        const std::optional<uint64_t> sender = sender_in(c->up.bytes);
        if (sender) c->sender = sender;
      }
      auto known = state.members.find(c->sender.value_or(0));
      const int from = known == state.members.end() ? -1 : known->second;
      const bool up = !state.holds(from, c->to), down = !state.holds(c->to, from);
      auto wants = [](const Connection::Way& in, const Connection::Way& out, bool reads,
                      bool writes) {
        const bool read = reads && !in.ended && in.bytes.size() < kMostAhead;
        const bool write = writes && (!out.bytes.empty() || (out.ended && !out.told));
        return static_cast<short>((read ? POLLIN : 0) | (write ? POLLOUT : 0));
      };
      const bool says = c->sender.value_or(0) != 0;
      const short client = wants(c->up, c->down, up || !says, down);
      const short server = wants(c->down, c->up, down, up && c->sender.has_value());
      fds.push_back({client != 0 ? c->client : -1, client, 0});
      fds.push_back({server != 0 ? c->server : -1, server, 0});
    }
    ::poll(fds.data(), fds.size(), -1);
    uint64_t rings = 0;
    if (fds[0].revents != 0) {
      [[maybe_unused]] const ssize_t taken = ::read(bell_, &rings, sizeof rings);
    }
    size_t at = 1 + state.doors.size();
    for (const auto& c : connections_) {
      const pollfd& client = fds[at++];
      const pollfd& server = fds[at++];
      const short gone = POLLERR | POLLNVAL;
      if ((client.revents | server.revents) & gone) c->broken = true;
      if (client.revents & (POLLIN | POLLHUP) && client.events & POLLIN) {
        Connection::take(c->client, c->up, &c->broken);
      }
      if (server.revents & (POLLIN | POLLHUP) && server.events & POLLIN) {
        Connection::take(c->server, c->down, &c->broken);
      }
      if (client.revents & (POLLOUT | POLLHUP) && client.events & POLLOUT) {
        Connection::pass_on(c->client, c->down, &c->broken);
      }
      if (server.revents & (POLLOUT | POLLHUP) && server.events & POLLOUT) {
        Connection::pass_on(c->server, c->up, &c->broken);
      }
    }
    std::erase_if(connections_, [](const auto& c) { return c->over(); });
    for (size_t i = 0; i < state.doors.size(); ++i) {
      if (fds[1 + i].revents != 0) accept(state, static_cast<int>(i));
    }
  }
}

}  // namespace keelson::cluster
