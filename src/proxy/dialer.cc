#include "proxy/dialer.h"

#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace keelson::proxy {
namespace {

constexpr Duration kDialTime = std::chrono::seconds(5);

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

Line socket_line(int fd) {
  return [socket = Descriptor(fd)](net::Loop* loop, net::TransportEvents* events) mutable {
    return net::make_socket_transport(&loop->impl(), socket.release(), events);
  };
}

void SocketDialer::dial(const Endpoint& endpoint, Done done) {
  CHECK(!stopped_);
  // The call is known by what holds it, which is there only after it has begun.
  auto self = std::make_shared<std::shared_ptr<net::Dial>>();
  *self = net::Dial::start_tcp(
      &loop_, &resolver_, endpoint.host, cat(endpoint.port), kDialTime, std::nullopt,
      [this, self, done = std::move(done)](absl::StatusOr<int> fd) mutable {
        under_way_.erase(*self);
        self->reset();
        if (!fd.ok()) return done(fd.status());
        done(socket_line(*fd));
      });
  under_way_.insert(*self);
}

void SocketDialer::stop() {
  stopped_ = true;
  for (const std::shared_ptr<net::Dial>& dial : std::exchange(under_way_, {})) dial->forget();
}

}  // namespace keelson::proxy
