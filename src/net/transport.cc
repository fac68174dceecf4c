#include "net/transport.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cerrno>

#include "base/check.h"

namespace keelson::net {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;

class SocketTransport final : public Transport {
 public:
  SocketTransport(Loop::Impl* loop, int fd, TransportEvents* events)
      : socket_(loop->context()), events_(events) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    boost::system::error_code error;
    socket_.assign(asio::generic::stream_protocol(address.ss_family, 0), fd, error);
    CHECK(!error);
    socket_.non_blocking(true, error);
    CHECK(!error);
  }

  void read(std::span<char> buffer, std::shared_ptr<void> keep) override {
    // `keep` owns us too; a closed transport hears nothing more.
    socket_.async_read_some(
        asio::buffer(buffer.data(), buffer.size()),
        [this, keep = std::move(keep)](boost::system::error_code error, size_t bytes) {
          if (closed_) return;
          if (error && error != asio::error::eof) return events_->on_error();
          events_->on_read(error ? 0 : bytes);
        });
  }

  size_t write(std::span<const iovec> pieces, std::shared_ptr<void> keep) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    size_t wanted = 0;
    for (const iovec& piece : pieces) wanted += piece.iov_len;
    ssize_t n = 0;
    do {
      n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    size_t written = n > 0 ? static_cast<size_t>(n) : 0;
    // An error other than a full buffer makes the wait end at once, and the next write fails again:
    // told apart here so that it is reported once.
    failed_ = n < 0 && errno != EAGAIN && errno != EWOULDBLOCK;
    if (written < wanted) wait_writable(std::move(keep));
    return written;
  }

  void shutdown_write() override {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  void close() override {
    closed_ = true;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  void wait_writable(std::shared_ptr<void> keep) {
    socket_.async_wait(Socket::wait_write,
                       [this, keep = std::move(keep)](boost::system::error_code error) {
                         if (closed_) return;
                         if (error || failed_) return events_->on_error();
                         events_->on_writable();
                       });
  }

  Socket socket_;
  TransportEvents* const events_;
  bool closed_ = false;
  bool failed_ = false;
};

}  // namespace

std::unique_ptr<Transport> make_socket_transport(Loop::Impl* loop, int fd,
                                                 TransportEvents* events) {
  return std::make_unique<SocketTransport>(loop, fd, events);
}

}  // namespace keelson::net
