// net/protocol.h
//
// The seam between a connection's socket and what is spoken on it. A Protocol sees bytes in and
// bytes out and knows nothing of sockets, so it runs as well on memory (tests, fuzzers) or under
// TLS.
//
// Threads: all on the connection's loop.

#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "net/grpc.h"
#include "net/held_bytes.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/out_queue.h"

namespace keelson::net {

class Protocol;
class ProtocolHost;

// Makes what a connection speaks next (HTTP's Upgrade).
using ProtocolFactory = absl::AnyInvocable<std::unique_ptr<Protocol>(ProtocolHost*)>;

// What a protocol needs from its connection; outlives it.
class ProtocolHost {
 public:
  // Once this protocol is finished() and what it has produced is written, the connection goes on
  // with the one that `make` returns, instead of ending. `unread` is what the client has sent
  // beyond this protocol's part: the next one receives it first.
  virtual void hand_over(ProtocolFactory make, std::string unread) = 0;
  // There is something to produce(): ask for it at the end of this batch.
  virtual void wake() = 0;
  virtual Loop& loop() = 0;
  virtual const PeerInfo& peer() const = 0;
  // Bytes produced that the socket has not taken.
  virtual size_t unsent() const = 0;
  // Where the protocol counts what it holds, until closed() at the latest. What it has produced the
  // host counts itself.
  virtual HeldBytes& incoming() = 0;
  virtual HeldBytes& outgoing() = 0;

 protected:
  ~ProtocolHost() = default;
};

// Everything the connections of one listener share.
struct ServerContext {
  const Router* router = nullptr;
  CallObserver* observer = nullptr;  // may be null
  ListenerOptions options;           // its budgets are not null
};

class Protocol {
 public:
  virtual ~Protocol() = default;

  // Takes bytes from the client. False: the protocol is broken beyond an answer; write what is left
  // and close.
  virtual bool receive(std::string_view bytes) = 0;
  // Adds what may be sent now, up to about `limit` bytes in `out`. False: as for receive().
  virtual bool produce(OutQueue& out, size_t limit) = 0;
  // No more should be read for now.
  virtual bool input_full() const = 0;
  // Ends gracefully: no new requests, running ones go on.
  virtual void drain() = 0;
  // A handler has a request and has not answered it in full: what is left is not only for the
  // client to take or to send.
  virtual bool working() const = 0;
  // Nothing is left to do: close once everything is written.
  virtual bool finished() const = 0;
  // The client will send no more.
  virtual void input_ended() = 0;
  // The connection is gone; every running request is over. Last call before destruction.
  virtual void closed() = 0;

  // As Holder. The host sees to what is given up with the whole connection.
  virtual void each_held(HeldSort, absl::FunctionRef<void(const HeldItem&)>) const {}
  virtual void give_up(HeldSort, int64_t) {}
};

// Bytes a connection gathers before it looks whether the socket takes them.
inline constexpr size_t kOutputLimit = 256 << 10;

}  // namespace keelson::net
