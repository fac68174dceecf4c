// http/json_call.h
//
// JsonCall is one request of the JSON gateway: its body becomes the messages of a call
// (net/inner_call.h), and what that answers the body of the answer.
//
// Streams: a body is a stream of JSON values, whatever is between them, where the method takes a
//   stream; else its first value is the message, no value an empty one, and the rest is not looked
//   at. An answer of a stream is a line for each message, {"result":…}, and {"error":…} at the end
//   of one that ends badly.
// Threads: the reply's loop. What is long is read and written on the gateway's workers.
// Lifetime: shared by what feeds it, until its end by the call, and until that is complete by the
//   reply.
// Bounds: a value is no longer than the method's longest message is in JSON. What is there of one
//   counts as the connection's, and what is long while it is worked at (JsonWork::Account). An
//   answer is written as the client takes it; a client that takes one message for longer than two
//   minutes, and a second for each megabyte, is cut off. For what is too much to wait the call ends
//   with errors::RequestTooManyRequests(), a stream behind what was let in.
// Source: grpc-gateway v2.29, runtime/handler.go and errors.go (forms, codes, fields).

#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/origin.h"
#include "base/shares.h"
#include "base/workers.h"
#include "http/gateway_metadata.h"
#include "http/gateway_routes.h"
#include "http/json_form.h"
#include "http/json_scanner.h"
#include "net/held_bytes.h"
#include "net/inner_call.h"

namespace keelson::http {

// What the calls of a gateway share.
class JsonWork : private net::Holder {
 public:
  // Longer than this is not for a lane.
  static constexpr size_t kShort = 32 << 10;

  // Who hears of the calls may be null.
  JsonWork(int loops, std::shared_ptr<net::HeldBudgets> budgets, net::CallObserver* observer,
           net::CallRecorder* recorder, trace::Tracer* tracer);
  // When the loops have stopped.
  ~JsonWork();

  // What is held of long messages: as much as one connection may, by all clients of one loop, each
  // of which has a share of it (base/shares.h).
  class Account {
   public:
    Account(std::shared_ptr<net::HeldBudget> budget, net::Loop* loop, size_t most,
            net::Holder* holder);
    // Whether the client may have so much more. One thing of any size is let in where there is
    // nothing, as far as the budget goes.
    LaneShares::Verdict ask(const Origin& from, size_t more);
    void add(const Origin& from, size_t bytes);
    void remove(const Origin& from, size_t bytes);
    // Once there are no clients.
    void clear() { held_.change(held_.bytes(), 0); }

   private:
    net::HeldBytes held_;
    LaneShares shares_;  // its total is held_.bytes()
  };

  // Of one loop.
  struct Lane {
    Account incoming, outgoing;
  };
  // On the loop.
  Lane& lane(net::Loop& loop);
  // Account::ask(), and counts what it refuses.
  bool admits(Account& account, const Origin& from, size_t more);
  Workers& workers() { return workers_; }
  // How often a request was refused, because there was too much to do in all, or for the client.
  // Any thread.
  uint64_t times_full() const { return full_.load() + workers_.times_full(); }
  uint64_t times_over_share() const { return over_share_.load() + workers_.times_over_share(); }
  net::CallObserver* observer() const { return observer_; }
  net::CallRecorder* recorder() const { return recorder_; }
  trace::Tracer* tracer() const { return tracer_; }

 private:
  // Who waits for a worker has nothing to give up.
  void each_held(net::HeldSort, absl::FunctionRef<void(const net::HeldItem&)>) const override {}
  void give_up(net::HeldSort, int64_t) override {}

  const std::shared_ptr<net::HeldBudgets> budgets_;
  net::CallObserver* const observer_;
  net::CallRecorder* const recorder_;
  trace::Tracer* const tracer_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::atomic<uint64_t> full_{0}, over_share_{0};
  Workers workers_;
};

// The HTTP status of a gRPC code.
int http_status(absl::StatusCode code);
// An answer that is an error.
net::HttpResponse error_response(const absl::Status& status, std::vector<net::HttpField> fields);

class JsonCall final : public net::InnerCall::Client,
                       public std::enable_shared_from_this<JsonCall> {
 public:
  // `work` and `route` outlive it; `fields` are of every answer.
  JsonCall(JsonWork& work, const GatewayRoute& route, std::vector<net::HttpField> fields,
           net::HttpReplyRef reply);

  // First of all; takes of the request what is not its body.
  void start(const net::HttpRequest& head);
  // The body: all of it, where the method takes one message …
  void whole_body(Bytes body);
  // … or as it comes.
  void body(std::string_view piece);
  void body_end();
  void body_aborted();

 private:
  // A piece of JSON that was made, and how far that goes.
  struct Made {
    std::unique_ptr<JsonWriter> writer;
    std::string text;
    JsonWriter::Step step = JsonWriter::Step::kMore;
  };

  void on_message(net::MessageParts message) override;
  void on_finish(absl::Status status) override;
  size_t pending() const override;
  void on_reading(bool on) override;

  // What comes in (json_call_in.cc).
  void read_input();
  void input_bad(const absl::Status& why);
  void settle_reading();
  void forget_taken();
  void convert(std::string json, bool whole);
  void take(absl::StatusOr<Bytes> message);

  // What goes out.
  void write_output();
  void make_piece(size_t most);
  void took(Made made);
  void make_late();
  void write(std::string text);
  void begin();
  void message_done();
  void end_output();
  void fail(const absl::Status& status);
  void gone();
  void drop_output();
  void end_overfull();
  void guard_against_slowness(size_t bytes);
  net::HttpResponse success();
  bool over() const { return done_ || reply_->over(); }

  JsonWork& work_;
  const GatewayRoute& route_;
  std::vector<net::HttpField> fields_;
  const net::HttpReplyRef reply_;
  Origin from_;  // whose turn it is, and whose share

  net::CallRef ref_;
  net::InnerCall* call_ = nullptr;  // what ref_ holds

  JsonScanner scanner_;
  std::string input_;
  size_t taken_ = 0;    // of it, values that were taken out; <= scanned_
  size_t scanned_ = 0;  // <= input_.size()
  bool body_ended_ = false;
  bool input_over_ = false;  // no more of the body is of interest
  bool converting_ = false;  // on a worker
  bool turn_over_ = false;   // the rest is for the next turn
  bool handler_reads_ = true;

  struct Waiting {
    net::MessageParts message;
    size_t cost;  // what is counted for it
  };
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  Made now_;             // the message that is being written; its writer null: none, or away
  size_t now_left_ = 0;  // of it
  size_t now_cost_ = 0;
  bool away_ = false;   // now_ is with a worker, or waits for a part
  bool begun_ = false;  // the answer
  bool finished_ = false;
  bool overfull_ = false;  // a message of a stream was more than may wait: it ends before that
  bool done_ = false;      // answered, or nobody waits
  absl::Status status_;
  uint64_t messages_ = 0;  // written
};

}  // namespace keelson::http
