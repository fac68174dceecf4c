// net/transport.h
//
// Transport is a byte stream to one client: a TCP or Unix socket, or the same under TLS
// (net/tls/transport.h).
//
// Threads: all on the loop it was made for. Lifetime: the connection owns it; events stop with
//   close(), which may be called from inside an event.

#pragma once

#include <sys/uio.h>

#include <memory>
#include <span>
#include <string>

#include "net/grpc.h"
#include "net/loop_impl.h"

namespace keelson::net {

class TransportEvents {
 public:
  // A read() has ended with this many bytes; 0 is the client's end of stream.
  virtual void on_read(size_t bytes) = 0;
  virtual void on_writable() = 0;
  // Broken for good.
  virtual void on_error() = 0;
  // The peer has said its last, or (`broken`) does not hear us any more either. Told while no read
  // is under way, each once; a read finds out by itself, behind what the peer said before.
  virtual void on_gone(bool broken) {}
  // TLS stands, before the first read ends. `identity` is the client's, null without a certificate.
  virtual void on_secured(std::shared_ptr<const TlsIdentity> identity) {}

 protected:
  ~TransportEvents() = default;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Reads once into `buffer`, which stays valid until on_read() or close(), and holds what was read
  // while on_read() runs: several transports of a loop may be given the same. One read at a time.
  // `keep` is what must outlive the operation.
  virtual void read(std::span<char> buffer, std::shared_ptr<void> keep) = 0;
  // Takes bytes now as far as it can without waiting and returns how many. If that is not all,
  // on_writable() follows once. Errors come as on_error(), later.
  virtual size_t write(std::span<const iovec> pieces, std::shared_ptr<void> keep) = 0;
  // Bytes taken by write() that the socket has not: on_writable() follows when there are none left.
  virtual size_t unsent() const { return 0; }
  // After on_error(): what broke, in a few words, as far as it is known.
  virtual std::string why() const { return ""; }
  // Says that nothing more will be written, keeping the reading side open.
  virtual void shutdown_write() = 0;
  virtual void close() = 0;
  // As close(), but the peer is told of a failure where it can be (by a reset), not of an end.
  virtual void abort() { close(); }
};

// Takes over a connected, non-blocking socket.
std::unique_ptr<Transport> make_socket_transport(Loop::Impl* loop, int fd, TransportEvents* events);

}  // namespace keelson::net
