// proxy/relay.h
//
// Relay joins a client's socket and a server's: bytes go both ways unchanged, at the pace of
// whoever takes them more slowly.
//
// Ends: when one side has said its last the other is told so, and may go on talking; the relay is
//   over when both have. A side that breaks off is passed on as a broken one, so that nobody takes
//   half of something for all of it.
// Bounds: of each direction one read (64 KB) is held, and only while its receiver's socket is full;
//   until it has taken that, nothing more is read.
// Time: none of its own. TCP notices who has gone, or has not read for a minute (net/tcp.h).
// Threads: its loop's, all of it. Lifetime: shared between its owner and the operations under way.

#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "proxy/dialer.h"

namespace keelson::proxy {

class Relay final : public std::enable_shared_from_this<Relay> {
 public:
  // The last call, on the loop, once; not from inside the constructor or start().
  using Over = absl::AnyInvocable<void(Relay*)>;

  Relay(net::Loop* loop, Line client, Line server, Over over);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void start();
  // Ends it in order: what was read is still written, then both are told that it is over. Whoever
  // says more is not heard. It is over when both have gone; the owner decides how long that may be.
  void finish();
  void cut();

 private:
  // One of the two sockets, and what it is still to be sent.
  struct Side final : net::TransportEvents {
    explicit Side(Relay* relay) : relay(*relay) {}
    void on_read(size_t bytes) override { relay.received(*this, bytes); }
    void on_writable() override { relay.writable(*this); }
    void on_error() override { relay.broken(*this); }
    void on_gone(bool gone_for_good) override {
      if (gone_for_good) relay.gone(*this);
    }

    Relay& relay;
    std::unique_ptr<net::Transport> transport;
    std::string unsent;       // from the other side; its socket was full
    size_t sent = 0;          // of `unsent`; < its size, or both are 0
    bool reading = false;     // a read is under way
    bool input_over = false;  // it has said its last
    bool shut = false;        // we have told it ours; `unsent` is empty
  };

  Side& other(const Side& side) { return &side == &client_ ? server_ : client_; }
  void received(Side& from, size_t bytes);
  void pass(Side& from, Side& to, size_t bytes);
  void writable(Side& to);
  void broken(Side& side);
  void gone(Side& side);
  void read_more(Side& from);
  void shut(Side& side);
  void settle();
  void end();

  net::Loop& loop_;
  Over over_;
  Side client_{this};
  Side server_{this};
  bool finishing_ = false;
  bool ended_ = false;  // the transports are closed
};

}  // namespace keelson::proxy
