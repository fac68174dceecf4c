#include "net/http2_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "net/http2_exchange.h"

namespace keelson::net {
namespace {

constexpr int kMaxPingStrikes = 2;
constexpr Duration kIdlePingTime = std::chrono::hours(2);  // without a running call
constexpr Duration kDrainPause = std::chrono::seconds(1);  // between the two GOAWAYs
constexpr std::string_view kDrainPing("keeldrn", 8);
constexpr std::string_view kAlivePing("keelpng", 8);

// What the large heads of one connection's open calls may hold together.
constexpr size_t kMostHeaderBytes = 4 << 20;
constexpr size_t kLargeHead = 8 << 10;

size_t large(size_t head) { return head < kLargeHead ? 0 : head; }

// What an open stream holds beside its head, about. With its head it counts among what comes in:
// the number of streams has no other bound.
constexpr size_t kStreamCost = 1024;

// Of what must be said first (Http2Framing::urgent) so much may wait for a client that does not
// read.
constexpr size_t kMostUrgent = 64 << 10;

Http2Framing::Options framing_options(const ListenerOptions& options) {
  return {.max_streams = options.max_concurrent_streams,
          .stream_window = options.stream_window,
          .connection_window = options.connection_window,
          .max_header_bytes = static_cast<uint32_t>(options.max_header_bytes)};
}

}  // namespace

Http2Session::Http2Session(const ServerContext* server, ProtocolHost* host)
    : server_(*server),
      host_(*host),
      loop_(host->loop().impl()),
      framing_(framing_options(server->options), this),
      backlog_(new Backlog(host)),
      incoming_(host->incoming()),
      outgoing_(host->outgoing()) {
  last_read_ = owed_since_ = loop_.now();
  arm_timer();
}

Http2Session::~Http2Session() {
  closed();
  backlog_->abandon();
}

bool Http2Session::receive(std::string_view bytes) {
  if (broken_ || framing_.over()) return false;
  last_read_ = loop_.now();
  ping_outstanding_ = false;
  host_.wake();
  // Garbage instead of the preface, or a flood: there is nobody to talk to.
  if (!framing_.receive(bytes)) broken_ = true;
  // Of a block that is nobody's head the end is not told.
  if ((head_unfinished_ || told_head_ > 0) && !count_head()) broken_ = true;
  if (head_unfinished_) arm_timer();
  return !broken_;
}

bool Http2Session::produce(OutQueue& out, size_t limit) {
  if (broken_) return false;
  framing_.produce(out, limit);
  return !broken_;
}

bool Http2Session::input_full() const {
  if (!backlog_->empty()) return true;
  // A client that sends requests without reading answers is not read from either, once the socket
  // is full and enough is waiting. It only waits for itself, so this cannot lock up.
  return (streams_ >= 256 || framing_.urgent() >= kMostUrgent) && host_.unsent() > 0;
}

bool Http2Session::finished() const {
  if (broken_) return true;
  if (framing_.wants_write()) return false;
  return framing_.over() || (final_goaway_sent_ && streams_ == 0);
}

void Http2Session::drain() {
  if (draining_) return;
  draining_ = true;
  // Requests that crossed the first GOAWAY on the wire are still served; the answer to the ping
  // shows that the client has read it.
  framing_.announce_end();
  framing_.send_ping(kDrainPing);
  loop_.timers().arm(this, loop_.now() + kDrainPause);
  // Behind the notice on the wire, so who opens another one at once does so elsewhere.
  for (Http2Stream* call = open_; call;) {
    Http2Stream* next = call->next_;
    call->on_drain();
    call = next;
  }
  host_.wake();
}

bool Http2Session::working() const {
  for (const Http2Stream* call = open_; call; call = call->next_) {
    if (call->working()) return true;
  }
  return false;
}

void Http2Session::final_goaway() {
  if (final_goaway_sent_) return;
  final_goaway_sent_ = true;
  framing_.end();
  host_.wake();
  arm_timer();
}

void Http2Session::closed() {
  broken_ = true;
  Timer::cancel();
  if (told_head_ > 0) incoming_.change(std::exchange(told_head_, 0), 0);
  while (Http2Stream* call = open_) {
    framing_.forget(call);
    stream_ended(call);
  }
}

// ---- what the framing tells

void Http2Session::head_began() {
  head_unfinished_ = true;
  owed_since_ = loop_.now();
}

void Http2Session::frame_ended() {
  settings_seen_ = true;     // nothing else is taken as the first frame …
  head_unfinished_ = false;  // … and nothing in the middle of a head
}

void Http2Session::ping_answered(std::string_view opaque) {
  if (draining_ && opaque == kDrainPing) final_goaway();
}

void Http2Session::data_waits(size_t waiting) {
  const size_t most = server_.options.connection_window / 2;
  withheld_ += waiting;
  const size_t beyond = withheld_ > most ? withheld_ - most : 0;
  withheld_ -= beyond;
  if (beyond > 0) framing_.used_of_connection(beyond);
}

void Http2Session::stream_ended(Http2Stream* stream) {
  unlink(stream);
  stream->stream_closed();
}

void Http2Session::request(int32_t stream_id, bool end_stream) {
  if (told_head_ > 0) count_head();
  RequestHead& head = framing_.head();
  switch (head.fault()) {
    case RequestHead::Fault::kNone:
      break;
    case RequestHead::Fault::kMalformed:
      return refuse(stream_id, Http2Error::kProtocol);
    case RequestHead::Fault::kTooLong:
      return refuse(stream_id, Http2Error::kFrameSize);  // grpc-go's code
  }
  // Who holds much by way of headers, or much at all, is told to try again later.
  if (header_bytes_ + large(head.bytes()) > kMostHeaderBytes ||
      !incoming_.admits(kStreamCost + head.bytes())) {
    return refuse(stream_id, Http2Error::kRefusedStream);
  }
  if (!is_grpc_content_type(head.known(RequestHead::kContentType)) &&
      open_exchange(stream_id, end_stream)) {
    return;
  }
  Http2Call* call = Http2Call::make(&host_.loop(), this, stream_id, &head);
  stream_opened(call);
  call->begin(end_stream);
}

// What is not gRPC is for the plain HTTP handlers. Without one for its path it gets the answer that
// etcd gives: over TLS that of its HTTP server, else that of grpc-go (false: not taken).
bool Http2Session::open_exchange(int32_t stream_id, bool end_stream) {
  const Router::Table& table = server_.router->table();
  RequestHead& head = framing_.head();
  HttpRequest request;
  request.method = head.known(RequestHead::kMethod);
  request.target = head.known(RequestHead::kPath);
  const bool has_path = table.settle_path(&request);
  const HttpEntry* entry = has_path ? table.find_http(request) : nullptr;
  if ((!entry || table.is_rest(entry)) && !host_.peer().tls) return false;
  if (!entry || !head.has(RequestHead::kMethod)) {
    refuse(stream_id, Http2Error::kProtocol);
    return true;
  }
  // Its stream's end deletes it.
  auto* exchange = new Http2Exchange(this, stream_id, head, std::move(request), entry);
  head.clear();
  stream_opened(exchange);
  exchange->begin(end_stream);
  return true;
}

void Http2Session::refuse(int32_t stream_id, Http2Error error) {
  framing_.head().clear();
  framing_.refuse(stream_id, error);
  host_.wake();
}

void Http2Session::stream_opened(Http2Stream* call) {
  framing_.add(call, call->id_);
  call->opened_ = loop_.now();
  call->prev_ = nullptr;
  call->next_ = open_;
  if (open_) open_->prev_ = call;
  open_ = call;
  ++streams_;
  header_bytes_ += large(call->head_bytes());
  incoming_.change(0, kStreamCost + call->head_bytes());
}

void Http2Session::unlink(Http2Stream* call) {
  (call->prev_ ? call->prev_->next_ : open_) = call->next_;
  if (call->next_) call->next_->prev_ = call->prev_;
  --streams_;
  header_bytes_ -= large(call->head_bytes());
  incoming_.change(kStreamCost + call->head_bytes(), 0);
}

// ---- what is held

void Http2Session::used(size_t bytes) {
  const size_t back = std::min(bytes, withheld_);
  withheld_ -= back;
  if (back > 0) framing_.used_of_connection(back);
}

// A head may come in for a long time. False: it is too much.
bool Http2Session::count_head() {
  const size_t now = framing_.unfinished_head();
  return now == told_head_ || incoming_.change(std::exchange(told_head_, now), now);
}

void Http2Session::each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const {
  for (const Http2Stream* stream = open_; stream; stream = stream->next_) {
    if (sort == HeldSort::kOutgoing) {
      const size_t bytes = stream->held_outgoing();
      if (bytes > 0) visit({stream->id_, bytes, stream->out_pace_.since});
    } else if (!stream->working()) {
      visit({stream->id_, kStreamCost + stream->head_bytes() + stream->held_incoming(),
             stream->incoming_since()});
    }
  }
  if (sort == HeldSort::kIncoming && told_head_ > 0) {
    visit({HeldItem::kConnection, told_head_, owed_since_});
  }
}

void Http2Session::give_up(HeldSort sort, int64_t id) {
  if (Http2Stream* stream = framing_.find(static_cast<int32_t>(id))) stream->give_up(sort);
}

// ---- keepalive

// The client has yet to say its first word, or to end a head that it has begun.
bool Http2Session::client_owes() const { return !settings_seen_ || head_unfinished_; }

// After how much silence we ask whether the client is there. One without a call is asked sooner: it
// may have nothing to say for ever, and costs a descriptor.
Duration Http2Session::silence() const {
  Duration interval = server_.options.keepalive_interval;
  return streams_ == 0 ? std::min(interval, server_.options.idle_timeout) : interval;
}

void Http2Session::arm_timer() {
  if (draining_ && !final_goaway_sent_) return;  // armed for that
  const ListenerOptions& options = server_.options;
  std::optional<MonotonicTime> due;
  if (client_owes()) due = owed_since_ + options.read_header_timeout;
  if (options.keepalive_interval > Duration(0)) {
    MonotonicTime next =
        ping_outstanding_ ? ping_sent_ + options.keepalive_timeout : last_read_ + silence();
    // Calls end without a look at the timer, so it looks by itself.
    if (!ping_outstanding_) next = std::min(next, loop_.now() + options.idle_timeout);
    if (!due || next < *due) due = next;
  }
  if (due) loop_.timers().arm(this, *due);
}

void Http2Session::on_timer() {
  if (draining_ && !final_goaway_sent_) return final_goaway();
  MonotonicTime now = loop_.now();
  if (client_owes() && now >= owed_since_ + server_.options.read_header_timeout) {
    broken_ = true;
    host_.wake();
    return;
  }
  if (ping_outstanding_ && now >= ping_sent_ + server_.options.keepalive_timeout) {
    log::debug("closing a connection: keepalive ping not acked within timeout",
               {{"remote-addr", host_.peer().address}});
    broken_ = true;
    host_.wake();
    return;
  }
  if (!ping_outstanding_ && now >= last_read_ + silence() &&
      server_.options.keepalive_interval > Duration(0)) {
    framing_.send_ping(kAlivePing);
    ping_outstanding_ = true;
    ping_sent_ = now;
    host_.wake();
  }
  arm_timer();
}

void Http2Session::ping() {
  MonotonicTime now = loop_.now();
  auto last = std::exchange(last_ping_, now);
  if (std::exchange(forgive_ping_, false)) {
    ping_strikes_ = 0;
    return;
  }
  Duration wait = streams_ == 0 ? kIdlePingTime : server_.options.keepalive_min_time;
  if (last && *last + wait > now) ++ping_strikes_;
  if (ping_strikes_ <= kMaxPingStrikes) return;
  framing_.expel(Http2Error::kEnhanceYourCalm, "too_many_pings");
  host_.wake();
}

}  // namespace keelson::net
