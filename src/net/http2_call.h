// net/http2_call.h
//
// Http2Call is one gRPC call on one HTTP/2 stream: headers in, messages in, messages out, status.
//
// Lifetime: the session holds one reference while the stream is open; when it closes the call lets
//   go of the session and lives on for whoever else holds it. Objects are reused (a free list per
//   thread), so the usual call allocates nothing here.
// Invariant: session_ is set exactly while the stream is open.

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/call_record.h"
#include "net/grpc_codec.h"
#include "net/http2_framing.h"
#include "net/http2_stream.h"
#include "net/loop_impl.h"
#include "net/out_queue.h"
#include "net/pools.h"
#include "net/request_head.h"
#include "net/router.h"
#include "net/timer_wheel.h"

namespace keelson::net {

class Http2Call final : public ServerCall, public Http2Stream, private LoopWork, private Timer {
 public:
  // A call with one reference, which the session gives back through stream_closed(). Takes what
  // `head` holds.
  static Http2Call* make(Loop* loop, Http2Session* session, int32_t stream_id, RequestHead* head);

  // ---- from the session

  // Finds the method and starts it, or refuses. First of all calls.
  void begin(bool end_stream);
  // Returns how many of the bytes the client may be given window for.
  size_t on_data(std::string_view data) override;
  void on_end_stream() override;
  void go_on() override;
  void keep() override { refs_.fetch_add(1, std::memory_order_relaxed); }
  void let_go() override { unref(); }
  // The server is about to end.
  void on_drain() override;
  // The handler has a request and nothing of its answer waits for the client.
  bool working() const override {
    return !finished_ && (half_closed_ || got_message_) && queued_ == 0;
  }
  // The stream is no more. Gives up the session's reference.
  void stream_closed() override;
  Pulled pull(size_t most) override;
  void write_data(size_t length, OutQueue* out) override;
  size_t head_bytes() const override { return head_.bytes(); }
  size_t held_incoming() const override { return told_incoming_; }
  MonotonicTime incoming_since() const override {
    return told_incoming_ > 0 ? incoming_since_ : opened_;
  }
  size_t held_outgoing() const override { return told_outgoing_; }
  void give_up(HeldSort sort) override;

  // ---- ServerCall

  const MethodInfo& method() const override { return entry_->info; }
  std::optional<std::string_view> metadata(std::string_view name) const override;
  void each_metadata(
      absl::FunctionRef<void(std::string_view, std::string_view)> visit) const override;
  std::string_view authority() const override;
  const PeerInfo& peer() const override;
  std::optional<MonotonicTime> deadline() const override { return deadline_; }
  void add_header(std::string_view name, std::string_view value) override;
  void add_trailer(std::string_view name, std::string_view value) override;
  void respond(MessageParts message) override;
  void send(MessageParts message) override;
  void send_headers() override;
  size_t pending_bytes() const override { return queued_; }
  void finish(absl::Status status) override;
  void set_reading(bool on) override;
  void on_cancel(Task task) override;

 private:
  friend class FreeList<Http2Call>;
  struct OutMessage {
    char prefix[kGrpcPrefix];
    MessageParts parts;
  };
  enum class Posted { kAnswer, kRelease };

  explicit Http2Call(Loop* loop) : ServerCall(loop) {}
  ~Http2Call() override;

  void unreferenced() override;
  void post_answer(absl::Status status, MessageParts message) override;
  void run() override;
  void drop() override;
  void on_timer() override;  // the deadline

  std::string_view known(RequestHead::Known which) const { return head_.known(which); }
  void clear();
  void recycle();
  void unref();

  bool refuse_unfit();
  void refuse(int http_status, const absl::Status& status);
  absl::Status set_deadline();
  void start();
  void deliver(std::string_view data);
  void deliver_held();
  void take_message(Bytes message);
  // Tells the session what is held of incoming messages; ends the call when that is too much.
  void count_incoming();
  void drop_incoming();
  // Hands a unary call's request to its handler.
  void serve();

  void enqueue(MessageParts message);
  // What the session is told that an answer holds.
  static size_t cost_of(const MessageParts& message);
  static size_t whole_cost_of(const MessageParts& message);
  // Looks after an answer that is long, or made late, until it has been taken.
  void watch_over();
  void look_again();
  void look_after();
  // Bytes of queued_ ahead of the first part that is not made yet.
  size_t sendable() const;
  OutMessage* first_unmade();
  // Asks for the next part, if there is one and little is left to send before it.
  void want_part();
  void part_made(absl::StatusOr<Bytes> part);
  void fail_late(const absl::Status& why);
  void submit_headers();
  void submit_status_only(int http_status);
  void submit_trailers();
  void reset_stream(Http2Error error);
  void count_start();
  void report_end();
  void tell_cancelled();
  void drop_queue();
  void notify_writable();

  const MethodEntry* entry_ = nullptr;

  // What came in.
  RequestHead head_;
  std::optional<MonotonicTime> deadline_;
  MonotonicTime started_{};  // by the observer's reckoning, once counted_
  bool counted_ = false;     // the observer knows of the call
  MessageReader reader_;
  Bytes request_;  // unary: the message, until the client half-closes
  bool got_message_ = false;
  bool half_closed_ = false;  // and told to the receiver
  bool reading_ = true;
  size_t told_incoming_ = 0;        // what the session was told last …
  MonotonicTime incoming_since_{};  // … and since when it is not 0
  std::string held_;                // arrived while not reading_, or before its turn
  size_t arriving_ = 0;             // of held_, what the session does not know to wait yet

  std::unique_ptr<StreamReceiver> receiver_;
  Task cancel_task_;

  // What goes out.
  std::vector<OutMessage> out_;
  size_t out_first_ = 0;       // messages before it are gone
  size_t out_offset_ = 0;      // of out_[out_first_], its prefix included
  size_t out_part_ = 0;        // the part out_offset_ lies in …
  size_t out_part_start_ = 0;  // … and where it begins
  size_t queued_ = 0;          // bytes from there on
  size_t told_outgoing_ = 0;   // what the session was told that they hold
  bool headers_sent_ = false;
  bool above_low_water_ = false;
  bool finished_ = false;  // the status is set
  bool trailers_sent_ = false;
  bool late_parts_ = false;             // not all parts in out_ are made
  MonotonicTime late_until_{};          // then; of no meaning else
  bool making_ = false;                 // one of them is being made
  bool reported_ = false;               // the observer knows the end
  std::unique_ptr<CallRecord> record_;  // while the call is counted and has not ended; may be null
  absl::Status status_;
  std::vector<std::pair<std::string, std::string>> extra_headers_;
  std::vector<std::pair<std::string, std::string>> extra_trailers_;

  // An answer on its way from another lane.
  Posted posted_ = Posted::kRelease;
  absl::Status posted_status_;
  MessageParts posted_message_;
};

}  // namespace keelson::net
