#include "net/transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "net/address.h"

namespace keelson::net {
namespace {

class SocketTransport final : public Transport, private Watch {
 public:
  SocketTransport(Loop::Impl* loop, int fd, TransportEvents* events) : fd_(fd), events_(events) {
    watch(&loop->poller(), fd);
  }
  ~SocketTransport() { close(); }

  void read(std::span<char> buffer, std::shared_ptr<void> keep) override {
    CHECK(buffer_.empty());
    CHECK(!buffer.empty());
    if (fd_ < 0) return;
    buffer_ = buffer;
    keep_ = std::move(keep);
    // Never from inside the caller, and not in this turn: others come first.
    if (readable_) call_again();
  }

  size_t write(std::span<const iovec> pieces, std::shared_ptr<void> keep) override {
    if (fd_ < 0) return 0;
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    size_t wanted = 0;
    for (const iovec& piece : pieces) wanted += piece.iov_len;
    ssize_t n = 0;
    do {
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      failed_ = true;
      errno_ = errno;
      call_again();
    }
    const size_t written = n > 0 ? static_cast<size_t>(n) : 0;
    if (written < wanted) {
      // The kernel has noted that there was no room, and tells when there is.
      full_ = true;
      keep_ = std::move(keep);
    }
    return written;
  }

  std::string why() const override { return errno_ == 0 ? "" : errno_text(errno_); }

  void shutdown_write() override {
    if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
  }

  void close() override {
    if (fd_ < 0) return;
    unwatch();
    ::close(std::exchange(fd_, -1));
    buffer_ = {};
    // Last: it may be what holds us.
    std::shared_ptr<void> keep = std::move(keep_);
  }

  void abort() override {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    if (fd_ >= 0) ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close();
  }

 private:
  static constexpr uint32_t kInput = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  static constexpr uint32_t kOutput = EPOLLOUT | EPOLLHUP | EPOLLERR;

  void on_ready(uint32_t events) override {
    // Whatever an event makes our owner let go of, we are here until it is over.
    std::shared_ptr<void> keep = std::move(keep_);
    handle(events);
    if (fd_ >= 0 && !keep_ && (full_ || !buffer_.empty())) keep_ = std::move(keep);
  }

  void handle(uint32_t events) {
    if (events & kInput) readable_ = true;
    if (events & EPOLLRDHUP) ended_ = true;
    if (events & (EPOLLHUP | EPOLLERR)) broken_ = true;
    if (failed_) return fail();
    if (full_ && (events & kOutput)) {
      full_ = false;
      events_->on_writable();
      if (fd_ < 0) return;
    }
    if (readable_ && !buffer_.empty()) receive();
    tell_if_gone();
  }

  void tell_if_gone() {
    if (fd_ < 0 || failed_ || !buffer_.empty()) return;
    if (ended_ && !std::exchange(told_ended_, true)) events_->on_gone(false);
    if (fd_ < 0 || !broken_ || std::exchange(told_broken_, true)) return;
    events_->on_gone(true);
  }

  // A write has failed. What the peer said before it went comes first: it may be why.
  void fail() {
    readable_ = !buffer_.empty();
    if (readable_) receive();
    if (fd_ < 0) return;
    readable_ ? call_again() : events_->on_error();
  }

  void receive() {
    ssize_t n = 0;
    do {
      n = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      readable_ = false;
      return;
    }
    const size_t asked = std::exchange(buffer_, {}).size();
    if (n < 0) {
      errno_ = errno;
      return events_->on_error();
    }
    // Less than asked for is all there was; whatever comes later is a new event. But the end of the
    // stream may have been part of this one.
    const auto bytes = static_cast<size_t>(n);
    if (bytes < asked && !ended_) readable_ = false;
    events_->on_read(bytes);
  }

  int fd_;  // -1: closed
  TransportEvents* const events_;
  std::span<char> buffer_;      // of the read() under way; empty: none is
  std::shared_ptr<void> keep_;  // while a read, or the wait for room, is under way
  bool readable_ = false;       // for all we know
  bool ended_ = false;          // the client has said its last …
  bool broken_ = false;         // … and hears nothing any more
  bool told_ended_ = false;
  bool told_broken_ = false;
  bool full_ = false;    // the socket took less than write() had
  bool failed_ = false;  // on_error() is on its way
  int errno_ = 0;        // what broke it
};

}  // namespace

std::unique_ptr<Transport> make_socket_transport(Loop::Impl* loop, int fd,
                                                 TransportEvents* events) {
  return std::make_unique<SocketTransport>(loop, fd, events);
}

}  // namespace keelson::net
