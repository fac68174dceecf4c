// net/tls/client_transport.h
//
// A Transport under TLS for who connects: as net/tls/transport.h, but we speak first. The first
// read() begins the handshake; on_secured() says that it is complete, and nothing is written
// before. Whoever made it holds the time that a handshake may take.

#pragma once

#include <memory>
#include <string>

#include "net/tls/client_context.h"
#include "net/tls/handshakes.h"
#include "net/transport.h"

namespace keelson::net {

struct TlsClientEnd {
  std::shared_ptr<TlsClientContext> context;
  TlsHandshakes* handshakes = nullptr;  // outlives the connection
  std::string host;                     // whose name the server must prove
};

// Takes over a connected, non-blocking socket.
std::unique_ptr<Transport> make_tls_client_transport(TlsClientEnd end, Loop* loop, int fd,
                                                     TransportEvents* events);

}  // namespace keelson::net
