// net/tls/transport.h
//
// A Transport under TLS, over another one. The handshake is a state of its own: it has a deadline,
// its expensive steps run on TlsHandshakes, and nothing of the connection's protocol exists before
// it is complete.
//
// Bounds: what write() takes it encrypts and sends at once; it takes nothing while ciphertext of
//   before waits for the socket, and does not read on while the client does not take what reading
//   had to answer.

#pragma once

#include <memory>
#include <string>

#include "net/tls/context.h"
#include "net/tls/handshakes.h"
#include "net/transport.h"

namespace keelson::net {

class Resolver;

// TLS on a listener.
struct ListenerTls {
  std::shared_ptr<TlsContext> context;  // shared by the listeners that were told the same
  TlsHandshakes* handshakes = nullptr;  // outlives the listener
  // Clients that do not speak TLS are served too: a port named by an http and an https URL.
  bool plaintext_too = false;
  // A client whose certificate has alternative names must come from where one of them says: etcd's
  // rule for members. By it those of DNS are looked up. Null: nothing is asked. Outlives the
  // listener's connections.
  Resolver* client_names = nullptr;
  std::string rejected = "rejected connection on client endpoint";  // the line of a failure
};

// `tls` outlives it; `remote` is for the log.
std::unique_ptr<Transport> make_tls_transport(const ListenerTls* tls, Loop* loop, int fd,
                                              std::string remote, TransportEvents* events);

}  // namespace keelson::net
