// net/connection.h
//
// Connection joins one socket to the protocol spoken on it: it finds out which, reads, and writes
// what the protocol has gathered once per batch of the loop.
//
// Threads: its loop's, all of it. Lifetime: shared between its listener's list and the operations
//   under way on the socket; close() ends both.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/protocol.h"
#include "net/timer_wheel.h"
#include "net/transport.h"

namespace keelson::net {

class Connection final : public std::enable_shared_from_this<Connection>,
                         private TransportEvents,
                         private ProtocolHost,
                         private Flushable,
                         private Holder,
                         private Timer {
 public:
  // `on_closed` is called once, on the loop, when the connection has ended.
  Connection(std::shared_ptr<const ServerContext> server, Loop* loop, int fd, PeerInfo peer,
             std::function<void(Connection*)> on_closed);
  ~Connection();

  void start();
  // Ends it gracefully: see Protocol::drain().
  void drain();
  void close();

 private:
  void on_read(size_t bytes) override;
  void on_writable() override;
  void on_error() override { close(); }
  void on_gone(bool broken) override {
    if (broken) close();
  }
  void on_secured(std::shared_ptr<const TlsIdentity> identity) override;
  void flush() override;
  void on_timer() override;

  void wake() override {
    if (!closed_) loop_.impl().flush_later(this);
  }
  Loop& loop() override { return loop_; }
  const PeerInfo& peer() const override { return peer_; }
  size_t unsent() const override { return (blocked_ ? out_.size() : 0) + transport_->unsent(); }

  void hand_over(ProtocolFactory make, std::string unread) override;
  HeldBytes& incoming() override { return incoming_; }
  HeldBytes& outgoing() override { return outgoing_; }

  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override;
  void give_up(HeldSort sort, int64_t id) override;

  void sniff(std::string_view bytes);
  void become_next();
  void read_more();
  bool write_out();
  void wait_to_write();
  void count_output();
  bool leaving() const;
  Duration patience() const;
  bool moved();
  void linger();

  const std::shared_ptr<const ServerContext> server_;
  Loop& loop_;
  PeerInfo peer_;
  std::function<void(Connection*)> on_closed_;
  HeldBytes incoming_;
  HeldBytes outgoing_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Protocol> protocol_;  // once the first bytes have told which
  std::string first_bytes_;             // until then
  ProtocolFactory next_;                // of what is spoken after protocol_; null: nothing
  std::string unread_;                  // for that one
  OutQueue out_;
  std::shared_ptr<Connection> self_;  // from start() to the flush() after close()
  bool reading_ = false;              // a read is under way
  bool input_over_ = false;           // the client has said its last
  bool blocked_ = false;              // the socket is full; on_writable() will tell
  bool ending_ = false;               // close once out_ is written
  bool lingering_ = false;            // we have ended; reading what is still on the wire
  bool drain_asked_ = false;
  size_t told_output_ = 0;  // what outgoing_ was told of out_ and the transport
  HeldPace output_pace_;    // of those, while the socket is full
  size_t last_write_ = 0;   // bytes that went out in the last write_out()
  bool moved_ = false;      // anything went out since moved() looked last
  size_t unsent_seen_ = 0;  // of the transport, by moved()
  bool closed_ = false;
};

}  // namespace keelson::net
