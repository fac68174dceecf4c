// net/client_connection.h
//
// ClientConnection is a connected socket of an HttpClient, with TLS where its place has it: it
// carries one exchange at a time and tells its owner when it can carry the next. For
// net/http_client.cc.
//
// Threads: the client's loop.
// Lifetime: shared between its owner and the operations under way on the socket; its end, or
//   drop(), lets go of both.

#pragma once

#include <memory>
#include <string>

#include "net/client_exchange.h"
#include "net/transport.h"

namespace keelson::net {

class ClientConnection;

class ClientConnectionOwner {
 public:
  // It can carry an exchange: its TLS stands (`first`), or the exchange before is over.
  virtual void connection_free(ClientConnection* connection, bool first) = 0;
  // The last call. `why` is for who waits for it if it has never been free; `again` is an exchange
  // that it could not carry and that may go out on another, or null.
  virtual void connection_closed(ClientConnection* connection, absl::Status why,
                                 std::shared_ptr<ClientExchange> again) = 0;

 protected:
  ~ClientConnectionOwner() = default;
};

class ClientConnection final : public std::enable_shared_from_this<ClientConnection>,
                               public ExchangeCarrier,
                               private TransportEvents,
                               private Flushable,
                               private Timer {
 public:
  // A connected, non-blocking socket.
  ClientConnection(Loop* loop, int fd, const HttpPlace& place, const HttpClientOptions& options,
                   ClientConnectionOwner* owner);
  ~ClientConnection();

  // `handshake_time`: for TLS to stand.
  void start(Duration handshake_time);
  // REQUIRES: free. Not free any more.
  void carry(std::shared_ptr<ClientExchange> exchange);
  // Free for `time`; then it closes.
  void keep_for(Duration time);
  // Ends it without a word to the owner.
  void drop();

  const HttpPlace& place() const { return place_; }
  // It has been free, so that a failure is not that of connecting.
  bool stood() const { return stood_; }

  void exchange_ready() override {
    if (!closed_) loop_.impl().flush_later(this);
  }
  size_t unsent() const override { return out_.size() + transport_->unsent(); }
  void exchange_over(ClientExchange* exchange, bool reusable) override;

 private:
  void on_read(size_t bytes) override;
  void on_writable() override;
  void on_error() override;
  void on_secured(std::shared_ptr<const TlsIdentity> identity) override;
  void flush() override;
  void on_timer() override;

  void now_free();
  void read_more();
  bool write_out();
  void close(absl::Status why);

  Loop& loop_;
  const HttpPlace place_;
  ClientConnectionOwner* owner_;  // null once closed
  std::unique_ptr<Transport> transport_;
  std::shared_ptr<ClientExchange> exchange_;  // null: free, or not yet
  OutQueue out_;
  std::shared_ptr<ClientConnection> self_;  // from start() to the flush() after its end
  bool secured_ = false;                    // TLS stands, or there is none
  bool stood_ = false;
  bool used_ = false;     // has carried an exchange before this one
  bool reading_ = false;  // a read is under way
  bool blocked_ = false;  // the socket is full; on_writable() will tell
  bool closed_ = false;
};

}  // namespace keelson::net
