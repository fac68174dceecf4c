// net/client_exchange.h
//
// ClientExchange is one request of an HttpClient and its answer, without a socket: bytes to send
// come out of produce(), bytes that arrived go into receive(). For net/http_client.cc.
//
// Threads: the client's loop. Lifetime: shared by whoever asked and by what carries it, a waiting
//   queue first and a connection then; the carrier is told of its end and lets go.

#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "net/loop_impl.h"
#include "net/out_queue.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class ClientExchange;

// The queue or the connection that has an exchange.
class ExchangeCarrier {
 public:
  // There is something to produce(), or reading may go on.
  virtual void exchange_ready() = 0;
  // Bytes produced that the socket has not taken.
  virtual size_t unsent() const = 0;
  // It is over. `reusable`: request and answer are complete and nothing came behind.
  virtual void exchange_over(ClientExchange* exchange, bool reusable) = 0;

 protected:
  ~ExchangeCarrier() = default;
};

class ClientExchange final : public HttpExchange,
                             public std::enable_shared_from_this<ClientExchange>,
                             private Timer {
 public:
  // Errors of the request are told later, through fail().
  ClientExchange(Loop* loop, HttpClientRequest request, std::unique_ptr<HttpReceiver> receiver,
                 const HttpClientOptions& options);

  // What is wrong with the request, for a method or fields that would forge others.
  absl::Status check() const;

  void write(MessageParts piece) override;
  void end_body() override;
  size_t pending_bytes() const override;
  void on_writable(Task task) override { writable_ = std::move(task); }
  void pause() override;
  void resume() override;
  void cancel() override;
  bool over() const override { return over_; }

  const HttpPlace& place() const { return request_.place; }

  // Waits for a connection, `time` at most.
  void wait_in(ExchangeCarrier* queue, Duration time);
  // Nobody will find it a connection: fail() follows.
  void leave_queue() { carrier_ = nullptr; }
  // Goes out on a connection. REQUIRES: !over().
  void go_out_on(ExchangeCarrier* connection);
  // It may be sent again on another connection, as nothing has come back: a connection that was
  // kept is found to be closed only by using it.
  bool may_go_again() const;
  void go_again(ExchangeCarrier* queue, Duration time);

  // From the connection.
  void produce(OutQueue& out, size_t limit);
  void sent();  // some of it has gone
  bool reads() const { return !paused_; }
  void receive(std::string_view bytes);
  void input_ended();
  void fail(absl::Status status);

 private:
  void make_head(const std::string& user_agent);
  void queue_request();
  void queue_body(MessageParts piece);
  void queue(Bytes bytes);
  bool has_length() const { return !request_.streamed || request_.length; }
  bool all_sent() const { return body_ended_ && pending_bytes() == 0; }
  void process();
  bool deliver_head();
  bool deliver_body();
  void on_timer() override;
  MonotonicTime due() const;
  void rearm();
  absl::Status late(MonotonicTime now) const;
  void finish(absl::Status status, bool reusable);

  Loop& loop_;
  HttpClientRequest request_;
  std::unique_ptr<HttpReceiver> receiver_;  // null once over
  ExchangeCarrier* carrier_ = nullptr;      // null before it waits, and once over
  bool attached_ = false;                   // carrier_ is a connection
  bool over_ = false;
  std::string head_;  // of the request

  std::deque<Bytes> out_;
  size_t queued_ = 0;        // bytes in out_
  uint64_t body_taken_ = 0;  // bytes of the body that write() has had; <= request_.length if set
  bool body_ended_ = false;
  bool was_full_ = false;
  Task writable_;

  Http1Response response_;
  std::string input_;   // what response_ has not taken
  bool heard_ = false;  // anything has come
  bool ended_ = false;  // no more will come
  bool head_told_ = false;
  bool paused_ = false;
  bool processing_ = false;

  // When each is late; the end of time where there is no such limit now.
  MonotonicTime queue_due_, head_due_, stall_due_, whole_due_;
};

}  // namespace keelson::net
