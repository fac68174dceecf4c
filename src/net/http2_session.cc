#include "net/http2_session.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "net/block_pool.h"
#include "net/decoded_fields.h"
#include "net/http2_exchange.h"

namespace keelson::net {
namespace {

constexpr int kMaxPingStrikes = 2;
constexpr Duration kIdlePingTime = std::chrono::hours(2);  // without a running call
constexpr Duration kDrainPause = std::chrono::seconds(1);  // between the two GOAWAYs
constexpr uint8_t kDrainPing[8] = {'k', 'e', 'e', 'l', 'd', 'r', 'n', 0};
constexpr uint8_t kAlivePing[8] = {'k', 'e', 'e', 'l', 'p', 'n', 'g', 0};

// A client may cancel as many calls as it likes within reason: etcd's clients cancel watches by the
// hundred. Past that it is an attack (CVE-2023-44487) and nghttp2 ends the connection.
constexpr uint64_t kResetBurst = 20000;
constexpr uint64_t kResetsPerSecond = 2000;

// What the large heads of one connection's open calls may hold together.
constexpr size_t kMostHeaderBytes = 4 << 20;
constexpr size_t kLargeHead = 8 << 10;

size_t large(size_t head) { return head < kLargeHead ? 0 : head; }

// What an open stream holds beside its head, about. With its head it counts among what comes in:
// the number of streams has no other bound.
constexpr size_t kStreamCost = 1024;

// Frames of 16 KB, as Go's clients cut a header block, up to the longest that is taken, and a few.
constexpr size_t kMostContinuations = 80;

Http2Stream* stream_of(nghttp2_session* session, int32_t stream_id) {
  return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, stream_id));
}

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

nghttp2_option* make_options() {
  nghttp2_option* option = nullptr;
  CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetBurst, kResetsPerSecond);
  nghttp2_option_set_max_outbound_ack(option, 1000);
  nghttp2_option_set_no_http_messaging(option, 1);  // RequestHead does it
  nghttp2_option_set_max_continuations(option, kMostContinuations);
  return option;
}

}  // namespace

struct Http2Session::Callbacks {
  static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& me = self(user);
    me.head_.clear();
    me.head_unfinished_ = true;
    me.owed_since_ = me.loop_.now();
    me.reading_head_ =
        frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value, uint8_t flags, void* user) {
    Http2Session& me = self(user);
    if (prints_decoded_fields()) {
      print_decoded_field(text_of(name), text_of(value), flags & NGHTTP2_NV_FLAG_NO_INDEX);
    }
    if (me.reading_head_) me.head_.add(name, value, me.server_.options.max_header_bytes, &me.memo_);
    return 0;
  }

  static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& me = self(user);
    me.settings_seen_ = true;     // nghttp2 takes nothing else as the first frame …
    me.head_unfinished_ = false;  // … and nothing in the middle of a head
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (std::exchange(me.reading_head_, false)) {
          me.open_stream(frame->hd.stream_id, end);
        } else if (!end) {
          // A second block of headers that is not the trailers.
          nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                    NGHTTP2_PROTOCOL_ERROR);
        } else if (Http2Stream* trailed = stream_of(session, frame->hd.stream_id)) {
          trailed->on_end_stream();
        }
        break;
      case NGHTTP2_DATA:
        if (Http2Stream* call = end ? stream_of(session, frame->hd.stream_id) : nullptr) {
          call->on_end_stream();
        }
        break;
      case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
          me.on_ping();
        } else if (std::memcmp(frame->ping.opaque_data, kDrainPing, 8) == 0 && me.draining_) {
          me.final_goaway();
        }
        break;
      default:
        break;
    }
    return 0;
  }

  static int on_data_chunk(nghttp2_session* session, uint8_t, int32_t stream_id,
                           const uint8_t* data, size_t size, void* user) {
    Http2Stream* call = stream_of(session, stream_id);
    size_t consumed = call ? call->on_data({reinterpret_cast<const char*>(data), size}) : size;
    if (consumed == size) {
      nghttp2_session_consume(session, stream_id, size);
    } else {
      self(user).took(stream_id, consumed, size - consumed);
    }
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, int32_t stream_id, uint32_t, void* user) {
    Http2Session& me = self(user);
    if (Http2Stream* call = stream_of(session, stream_id)) {
      nghttp2_session_set_stream_user_data(session, stream_id, nullptr);
      me.stream_closed(call);
      call->stream_closed();
    }
    return 0;
  }

  // An answer that ended before the request did: the client may stop sending. Not earlier: nghttp2
  // drops what is queued behind a reset, trailers too.
  static int on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    const bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!may_end || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    Http2Stream* call = stream_of(session, frame->hd.stream_id);
    if (call && !call->remote_done_) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header, size_t length,
                       nghttp2_data_source* source, void* user) {
    Http2Session& me = self(user);
    if (me.out_->size() >= me.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
    me.out_->append({reinterpret_cast<const char*>(frame_header), 9});
    static_cast<Http2Stream*>(source->ptr)->write_data(length, me.out_);
    return 0;
  }

  // The largest frame the client takes, but not so large that it delays everyone else's.
  static ssize_t data_length(nghttp2_session*, uint8_t, int32_t, int32_t session_window,
                             int32_t stream_window, uint32_t max_frame, void*) {
    return std::min({session_window, stream_window,
                     static_cast<int32_t>(std::min<uint32_t>(max_frame, 64 << 10))});
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* c = nullptr;
    CHECK(nghttp2_session_callbacks_new(&c) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(c, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, data_length);
    return c;
  }
};

Http2Session::Http2Session(const ServerContext* server, ProtocolHost* host)
    : server_(*server),
      host_(*host),
      loop_(host->loop().impl()),
      backlog_(new Backlog(host)),
      incoming_(host->incoming()),
      outgoing_(host->outgoing()) {
  // Shared by all sessions and never freed.
  static nghttp2_session_callbacks* callbacks = Callbacks::make();
  static nghttp2_option* option = make_options();
  CHECK(nghttp2_session_server_new3(&session_, callbacks, this, option, pooled_memory()) == 0);
  configure();
  last_read_ = owed_since_ = loop_.now();
  arm_timer();
}

Http2Session::~Http2Session() {
  closed();
  backlog_->abandon();
  nghttp2_session_del(session_);
}

void Http2Session::configure() {
  const ListenerOptions& o = server_.options;
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o.max_concurrent_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(o.max_header_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<int32_t>(o.connection_window)) == 0);
}

bool Http2Session::receive(std::string_view bytes) {
  if (broken_ || expelled_) return false;
  last_read_ = loop_.now();
  ping_outstanding_ = false;
  host_.wake();
  ssize_t n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                       bytes.size());
  // Garbage instead of the preface, a flood, or no memory: there is nobody to talk to.
  if (n < 0) broken_ = true;
  if (head_unfinished_) {
    if (!count_head()) broken_ = true;
    arm_timer();
  }
  return !broken_;
}

bool Http2Session::produce(OutQueue& out, size_t limit) {
  if (broken_) return false;
  out_ = &out;
  out_limit_ = limit;
  while (out.size() < limit) {
    const uint8_t* data = nullptr;
    ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) broken_ = true;
    if (n <= 0) break;
    out.append({reinterpret_cast<const char*>(data), static_cast<size_t>(n)});
  }
  out_ = nullptr;
  return !broken_;
}

bool Http2Session::input_full() const {
  if (!backlog_->empty()) return true;
  // A client that sends requests without reading answers is not read from either, once the socket
  // is full and enough is waiting. It only waits for itself, so this cannot lock up.
  return streams_ >= 256 && host_.unsent() > 0;
}

bool Http2Session::finished() const {
  if (broken_) return true;
  if (expelled_) return !nghttp2_session_want_write(session_);
  if (final_goaway_sent_ && streams_ == 0 && !nghttp2_session_want_write(session_)) return true;
  return !nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_);
}

void Http2Session::drain() {
  if (draining_) return;
  draining_ = true;
  // Requests that crossed the first GOAWAY on the wire are still served; the answer to the ping
  // shows that the client has read it.
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing);
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
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  host_.wake();
  arm_timer();
}

void Http2Session::closed() {
  broken_ = true;
  Timer::cancel();
  reading_head_ = false;
  head_.clear();
  count_head();
  while (Http2Stream* call = open_) {
    nghttp2_session_set_stream_user_data(session_, call->id_, nullptr);
    stream_closed(call);
    call->stream_closed();
  }
}

void Http2Session::open_stream(int32_t stream_id, bool end_stream) {
  if (told_head_ > 0) count_head();
  switch (head_.fault()) {
    case RequestHead::Fault::kNone:
      break;
    case RequestHead::Fault::kMalformed:
      return reset(stream_id, NGHTTP2_PROTOCOL_ERROR);
    case RequestHead::Fault::kTooLong:
      return reset(stream_id, NGHTTP2_FRAME_SIZE_ERROR);  // grpc-go's code
  }
  // Who holds much by way of headers, or much at all, is told to try again later.
  if (header_bytes_ + large(head_.bytes()) > kMostHeaderBytes ||
      !incoming_.admits(kStreamCost + head_.bytes())) {
    return reset(stream_id, NGHTTP2_REFUSED_STREAM);
  }
  if (!is_grpc_content_type(head_.known(RequestHead::kContentType)) &&
      open_exchange(stream_id, end_stream)) {
    return;
  }
  Http2Call* call = Http2Call::make(&host_.loop(), this, stream_id, &head_);
  stream_opened(call);
  call->begin(end_stream);
}

// What is not gRPC is for the plain HTTP handlers. Without one for its path it gets the answer that
// etcd gives: over TLS that of its HTTP server, else that of grpc-go (false: not taken).
bool Http2Session::open_exchange(int32_t stream_id, bool end_stream) {
  const Router::Table& table = server_.router->table();
  HttpRequest request;
  request.method = head_.known(RequestHead::kMethod);
  request.target = head_.known(RequestHead::kPath);
  const bool has_path = table.settle_path(&request);
  const HttpEntry* entry = has_path ? table.find_http(request) : nullptr;
  if ((!entry || table.is_rest(entry)) && !host_.peer().tls) return false;
  if (!entry || !head_.has(RequestHead::kMethod)) {
    reset(stream_id, NGHTTP2_PROTOCOL_ERROR);
    return true;
  }
  // Its stream's end deletes it.
  auto* exchange = new Http2Exchange(this, stream_id, head_, std::move(request), entry);
  head_.clear();
  stream_opened(exchange);
  exchange->begin(end_stream);
  return true;
}

void Http2Session::reset(int32_t stream_id, uint32_t error_code) {
  head_.clear();
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_id, error_code);
  host_.wake();
}

void Http2Session::stream_opened(Http2Stream* call) {
  nghttp2_session_set_stream_user_data(session_, call->id_, call);
  call->opened_ = loop_.now();
  call->prev_ = nullptr;
  call->next_ = open_;
  if (open_) open_->prev_ = call;
  open_ = call;
  ++streams_;
  header_bytes_ += large(call->head_bytes());
  incoming_.change(0, kStreamCost + call->head_bytes());
}

void Http2Session::stream_closed(Http2Stream* call) {
  (call->prev_ ? call->prev_->next_ : open_) = call->next_;
  if (call->next_) call->next_->prev_ = call->prev_;
  --streams_;
  header_bytes_ -= large(call->head_bytes());
  incoming_.change(kStreamCost + call->head_bytes(), 0);
}

// ---- what is held

void Http2Session::took(int32_t stream_id, size_t used, size_t waiting) {
  if (used > 0) nghttp2_session_consume_stream(session_, stream_id, used);
  const size_t most = server_.options.connection_window / 2;
  withheld_ += waiting;
  const size_t beyond = withheld_ > most ? withheld_ - most : 0;
  withheld_ -= beyond;
  if (used + beyond > 0) nghttp2_session_consume_connection(session_, used + beyond);
}

void Http2Session::used(size_t bytes) {
  const size_t back = std::min(bytes, withheld_);
  withheld_ -= back;
  if (back > 0) nghttp2_session_consume_connection(session_, back);
}

// A head may come in for a long time. False: it is too much.
bool Http2Session::count_head() {
  const size_t now = reading_head_ ? head_.bytes() : 0;
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
  if (Http2Stream* stream = stream_of(session_, static_cast<int32_t>(id))) stream->give_up(sort);
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
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kAlivePing);
    ping_outstanding_ = true;
    ping_sent_ = now;
    host_.wake();
  }
  arm_timer();
}

void Http2Session::on_ping() {
  MonotonicTime now = loop_.now();
  auto last = std::exchange(last_ping_, now);
  if (std::exchange(forgive_ping_, false)) {
    ping_strikes_ = 0;
    return;
  }
  Duration wait = streams_ == 0 ? kIdlePingTime : server_.options.keepalive_min_time;
  if (last && *last + wait > now) ++ping_strikes_;
  if (ping_strikes_ <= kMaxPingStrikes) return;
  static constexpr char kReason[] = "too_many_pings";
  nghttp2_submit_goaway(
      session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
      NGHTTP2_ENHANCE_YOUR_CALM, reinterpret_cast<const uint8_t*>(kReason), sizeof(kReason) - 1);
  expelled_ = true;
  host_.wake();
}

}  // namespace keelson::net
