// net/inner_call.h
//
// InnerCall is a gRPC call whose client is inside this process: whoever translates another protocol
// (the JSON gateway) calls the registered methods with it, as the wire would.
//
// Who calls: nobody known by a certificate. Whatever the client's connection has shown, the call
//   carries what its metadata say and no identity (etcd's gateway is a client of its own).
// Threads: the loop's; CallRef as ever. The client may be called from inside its own calls.
// Lifetime: references keep it; it keeps the client until the end (on_finish or cancel()).
// Flow: the client says what it has not passed on yet (Client::pending()), and when that has become
//   less (moved()); it stops sending when the handler wants no more for now (on_reading).

#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/call_record.h"
#include "net/grpc.h"
#include "net/loop.h"
#include "net/router.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class InnerCall final : public ServerCall, private LoopWork, private Timer {
 public:
  // The other end.
  class Client {
   public:
    virtual ~Client() = default;
    virtual void on_message(MessageParts message) = 0;
    // The end, good or bad. Last call.
    virtual void on_finish(absl::Status status) = 0;
    // Of what on_message() brought, what is not passed on.
    virtual size_t pending() const = 0;
    // The handler wants no more messages for now, or wants them again.
    virtual void on_reading(bool /*on*/) {}
  };

  struct Options {
    const MethodEntry* method = nullptr;  // outlives the call
    CallObserver* observer = nullptr;     // may be null
    CallRecorder* recorder = nullptr;     // may be null
    // Names in lower case; values of those that end in "-bin" decoded.
    std::vector<std::pair<std::string, std::string>> metadata;
    trace::Tracer* tracer = nullptr;  // may be null; see ListenerOptions
    std::string address;              // of the client's connection, for logs
    std::string local = {};           // PeerInfo's
    bool tls = false;
    uint64_t connection = 0;  // PeerInfo's, as `client`: its calls share what is one connection's
    uint64_t client = 0;
    std::optional<Duration> timeout;
  };

  // On the loop. Nothing happens before open(). `owner`, if there is one, outlives all calls.
  static InnerCall* make(Loop* loop, Options options, std::shared_ptr<Client> client);

  // The client's side; each does nothing once the call is over.
  void open();
  void message(Bytes message);
  void half_close();
  // The client has gone; it hears no more.
  void cancel();
  // The server is about to end.
  void drain();
  // Client::pending() has become less.
  void moved();

  // ---- ServerCall

  const MethodInfo& method() const override { return options_.method->info; }
  std::optional<std::string_view> metadata(std::string_view name) const override;
  void each_metadata(
      absl::FunctionRef<void(std::string_view, std::string_view)> visit) const override;
  std::string_view authority() const override { return {}; }
  const PeerInfo& peer() const override { return peer_; }
  std::optional<MonotonicTime> deadline() const override { return deadline_; }
  // Metadata of an answer; etcd's services send none.
  void add_header(std::string_view, std::string_view) override {}
  void add_trailer(std::string_view, std::string_view) override {}
  void respond(MessageParts message) override;
  void send(MessageParts message) override;
  void send_headers() override {}
  size_t pending_bytes() const override { return client_ ? client_->pending() : 0; }
  void finish(absl::Status status) override;
  void set_reading(bool on) override;
  void on_cancel(Task task) override;

 private:
  InnerCall(Loop* loop, Options options, std::shared_ptr<Client> client);
  ~InnerCall() override = default;

  void unreferenced() override;
  void post_answer(absl::Status status, MessageParts message) override;
  void run() override;
  void drop() override;
  void on_timer() override;  // the deadline

  bool unary() const { return options_.method->unary != nullptr; }
  void count_start();
  void take(Bytes message);
  void deliver();
  void pass(MessageParts message);
  void end(absl::Status status);
  void report_end(const absl::Status& status, const MessageParts* response);
  void tell_cancelled();

  const Options options_;
  const PeerInfo peer_;
  std::shared_ptr<Client> client_;  // null: over
  std::optional<MonotonicTime> deadline_;
  MonotonicTime started_{};
  bool counted_ = false;                // the observer knows of the call, and not of its end
  std::unique_ptr<CallRecord> record_;  // while it does and the call has not ended; may be null
  bool opened_ = false;
  bool got_message_ = false;
  bool reading_ = true;
  bool half_closed_ = false;
  bool told_half_close_ = false;
  bool above_low_water_ = false;
  Bytes request_;           // unary
  std::deque<Bytes> held_;  // arrived while not reading_
  std::unique_ptr<StreamReceiver> receiver_;
  Task cancel_task_;

  // An answer on its way from another lane, or the last reference gone.
  bool posted_answer_ = false;
  absl::Status posted_status_;
  MessageParts posted_message_;
};

}  // namespace keelson::net
