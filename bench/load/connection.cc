#include "load/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace keelson::bench {
namespace {

constexpr int32_t kStreamWindow = 16 << 20;
constexpr int32_t kConnectionWindow = 64 << 20;
constexpr size_t kReadBuffer = 256 << 10;
constexpr size_t kWriteAtOnce = 64 << 10;
constexpr size_t kFrameHead = 5;  // gRPC: a flag and four bytes of length

nghttp2_nv header(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

Call* call_of(nghttp2_session* session, int32_t id) {
  return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, id));
}

size_t frame_length(std::string_view head) {
  uint32_t length = 0;
  std::memcpy(&length, head.data() + 1, sizeof length);
  return ntohl(length);
}

}  // namespace

// ---- what nghttp2 calls

struct Connection::Callbacks {
  static ssize_t read_request(nghttp2_session*, int32_t, uint8_t* out, size_t room, uint32_t* flags,
                              nghttp2_data_source* source, void*) {
    Call& call = *static_cast<Call*>(source->ptr);
    size_t n = std::min(room, call.request.size() - call.sent);
    std::memcpy(out, call.request.data() + call.sent, n);
    call.sent += n;
    bool all = call.sent == call.request.size();
    if (call.stream) {
      if (n == 0) return NGHTTP2_ERR_DEFERRED;
      if (all) {
        call.request.clear();
        call.sent = 0;
      }
    } else if (all) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(n);
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    std::string_view key(reinterpret_cast<const char*>(name), name_size);
    if (key != "grpc-status" && key != "grpc-message" && key != ":status") return 0;
    Call* call = call_of(session, frame->hd.stream_id);
    if (!call) return 0;
    if (key == "grpc-message") {
      call->grpc_message.assign(reinterpret_cast<const char*>(value), value_size);
      return 0;
    }
    int number = std::atoi(std::string(reinterpret_cast<const char*>(value), value_size).c_str());
    (key == ":status" ? call->http_status : call->grpc_status) = number;
    return 0;
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                     size_t size, void* self) {
    Call* call = call_of(session, id);
    if (!call) return 0;
    static_cast<Connection*>(self)->take_answer(*call, {reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t id, uint32_t error, void*) {
    Call* call = call_of(session, id);
    if (!call) return 0;
    if (error != NGHTTP2_NO_ERROR || call->http_status != 200) call->grpc_status = -1;
    call->observer->on_done(*call);
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* all = nullptr;
    nghttp2_session_callbacks_new(&all);
    nghttp2_session_callbacks_set_on_header_callback(all, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_close);
    return all;
  }
};

// ---- opening

Connection::Connection(Poller* poller, const std::string& address)
    : poller_(poller), authority_(address) {
  connect(address);
  open_session();
  poller_->add(fd_, EPOLLIN, this);
  flush();
}

Connection::~Connection() {
  nghttp2_session_del(session_);
  close(fd_);
}

void Connection::connect(const std::string& address) {
  size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    fail("an endpoint is a numeric host:port, not", address.c_str());
  }
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) fail("socket", std::strerror(errno));
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    fail("connect", std::strerror(errno));
  }
  int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void Connection::open_session() {
  static nghttp2_session_callbacks* const callbacks = Callbacks::make();
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

// ---- calls

void Connection::start(Call* call) {
  call->sent = 0;
  call->answer.clear();
  call->received = 0;
  call->http_status = 0;
  call->grpc_status = -1;
  call->grpc_message.clear();
  call->started = now_ns();
  nghttp2_nv headers[] = {header(":method", "POST"),
                          header(":scheme", "http"),
                          header(":authority", authority_),
                          header(":path", call->path),
                          header("content-type", "application/grpc"),
                          header("te", "trailers")};
  nghttp2_data_provider body{};
  body.source.ptr = call;
  body.read_callback = &Callbacks::read_request;
  call->id = nghttp2_submit_request(session_, nullptr, headers, std::size(headers), &body, call);
  if (call->id < 0) fail("nghttp2_submit_request", nghttp2_strerror(call->id));
}

void Connection::resume(Call* call) { nghttp2_session_resume_data(session_, call->id); }

void Connection::take_answer(Call& call, std::string_view bytes) {
  call.received += bytes.size();
  if (call.stream) return take_messages(call, bytes);
  if (call.keep_answer) call.answer.append(bytes);
}

// Messages that lie whole in `bytes` are handed on where they lie; only a torn one is copied.
void Connection::take_messages(Call& call, std::string_view bytes) {
  while (!bytes.empty()) {
    if (!call.answer.empty()) {
      size_t need = kFrameHead;
      if (call.answer.size() >= kFrameHead) need += frame_length(call.answer);
      size_t n = std::min(need - call.answer.size(), bytes.size());
      call.answer.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (call.answer.size() < kFrameHead ||
          call.answer.size() < kFrameHead + frame_length(call.answer)) {
        continue;
      }
      call.observer->on_message(call, std::string_view(call.answer).substr(kFrameHead));
      call.answer.clear();
      continue;
    }
    size_t whole = bytes.size() < kFrameHead ? SIZE_MAX : kFrameHead + frame_length(bytes);
    if (bytes.size() < whole) {
      call.answer.assign(bytes);
      return;
    }
    call.observer->on_message(call, bytes.substr(kFrameHead, whole - kFrameHead));
    bytes.remove_prefix(whole);
  }
}

// ---- bytes

void Connection::on_ready(uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_all();
  flush();
}

// One read per readiness: epoll comes back when there is more, and other connections get a turn.
void Connection::read_all() {
  static std::vector<uint8_t> buffer(kReadBuffer);
  ssize_t n = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n == 0) fail("the server closed a connection");
  if (n < 0) fail("recv", std::strerror(errno));
  in_read_ = true;
  ssize_t used = nghttp2_session_mem_recv(session_, buffer.data(), static_cast<size_t>(n));
  in_read_ = false;
  if (used < 0) fail("nghttp2", nghttp2_strerror(static_cast<int>(used)));
}

void Connection::flush() {
  if (in_read_) return;  // on_ready() flushes once for all that one read set off
  for (;;) {
    while (out_.size() < kWriteAtOnce) {
      const uint8_t* data = nullptr;
      ssize_t n = nghttp2_session_mem_send(session_, &data);
      if (n < 0) fail("nghttp2", nghttp2_strerror(static_cast<int>(n)));
      if (n == 0) break;
      out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    }
    if (out_.empty()) return want_write(false);
    ssize_t n = send(fd_, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return want_write(true);
    if (n < 0) fail("send", std::strerror(errno));
    out_.erase(0, static_cast<size_t>(n));
  }
}

void Connection::want_write(bool wanted) {
  if (writing_ == wanted) return;
  writing_ = wanted;
  poller_->change(fd_, EPOLLIN | (wanted ? static_cast<uint32_t>(EPOLLOUT) : 0u), this);
}

}  // namespace keelson::bench
