// net/test_client.h
//
// An HTTP/2 client in memory for the tests: nghttp2's own, wired to a MemoryServer.

#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/endian.h"
#include "net/memory_connection.h"

namespace keelson::net::test {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline std::string framed(std::string_view message) {
  std::string out(1, '\0');
  return out.append(big32(static_cast<uint32_t>(message.size()))).append(message);
}

inline Headers request(const std::string& path, Headers extra = {}) {
  Headers headers = {{":method", "POST"},
                     {":scheme", "http"},
                     {":path", path},
                     {":authority", "test"},
                     {"content-type", "application/grpc"},
                     {"te", "trailers"}};
  headers.insert(headers.end(), extra.begin(), extra.end());
  return headers;
}

// What the client saw of one stream.
struct Answer {
  std::map<std::string, std::string> headers;  // of both blocks
  int blocks = 0;
  std::string data;
  bool closed = false;
  uint32_t error = 0;
};

// An nghttp2 client wired to a MemoryServer.
class Client {
 public:
  explicit Client(MemoryServer<Http2Session>* server, uint32_t window = 65535,
                  bool auto_window = true)
      : server_(*server) {
    nghttp2_session_callbacks* c = nullptr;
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, auto_window ? 0 : 1);
    nghttp2_option_set_max_send_header_block_length(option, 4 << 20);
    nghttp2_session_client_new2(&session_, c, this, option);
    nghttp2_session_callbacks_del(c);
    nghttp2_option_del(option);
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
    nghttp2_submit_settings(session_, 0, settings, 1);
    exchange();
  }
  ~Client() { nghttp2_session_del(session_); }

  // Sends a request; `body` with END_STREAM unless `open`.
  int32_t send(const Headers& headers, std::string body, bool open = false) {
    std::vector<nghttp2_nv> nv;
    for (auto& [name, value] : headers) {
      nv.push_back({(uint8_t*)name.data(), (uint8_t*)value.data(), name.size(), value.size(), 0});
    }
    bodies_.push_back({std::move(body), open});
    nghttp2_data_provider provider;
    provider.source.ptr = &bodies_.back();
    provider.read_callback = read_body;
    int32_t id =
        nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), &provider, nullptr);
    streams_[id] = &bodies_.back();
    return id;
  }
  void add(int32_t id, std::string_view more, bool end = false) {
    streams_[id]->text.append(more);
    streams_[id]->open = !end;
    nghttp2_session_resume_data(session_, id);
  }
  void reset(int32_t id) { nghttp2_submit_rst_stream(session_, 0, id, NGHTTP2_CANCEL); }
  void ping() { nghttp2_submit_ping(session_, 0, nullptr); }
  // What may still be sent on all streams together.
  int32_t window() { return nghttp2_session_get_remote_window_size(session_); }
  void grant(int32_t id, size_t bytes) { nghttp2_session_consume(session_, id, bytes); }

  // Moves bytes both ways until both are quiet.
  void exchange() {
    while (true) {
      std::string out;
      const uint8_t* data = nullptr;
      ssize_t n = 0;
      while ((n = nghttp2_session_mem_send(session_, &data)) > 0) {
        out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      }
      if (!out.empty()) server_.feed(out);
      server_.settle();
      std::string in = server_.take();
      if (!in.empty()) {
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(in.data()), in.size());
      }
      if (out.empty() && in.empty()) return;
    }
  }

  Answer& operator[](int32_t id) { return answers_[id]; }

  int pings = 0;  // from the server
  bool ack_pings = true;
  int goaways = 0;
  uint32_t goaway_code = 0;
  int32_t goaway_last = 0;
  std::string goaway_text;

 private:
  struct Body {
    std::string text;
    bool open;
    size_t sent = 0;
  };

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* out, size_t length, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto* body = static_cast<Body*>(source->ptr);
    size_t n = std::min(length, body->text.size() - body->sent);
    std::memcpy(out, body->text.data() + body->sent, n);
    body->sent += n;
    if (body->sent == body->text.size() && !body->open) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n == 0 && body->open) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(n);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) {
    Answer& answer = static_cast<Client*>(user)->answers_[frame->hd.stream_id];
    answer.headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                     void* user) {
    static_cast<Client*>(user)->answers_[id].data.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    Answer& answer = static_cast<Client*>(user)->answers_[id];
    answer.closed = true;
    answer.error = error;
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto* me = static_cast<Client*>(user);
    if (frame->hd.type == NGHTTP2_HEADERS) ++me->answers_[frame->hd.stream_id].blocks;
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) ++me->pings;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      ++me->goaways;
      me->goaway_code = frame->goaway.error_code;
      me->goaway_last = frame->goaway.last_stream_id;
      me->goaway_text.assign(reinterpret_cast<const char*>(frame->goaway.opaque_data),
                             frame->goaway.opaque_data_len);
    }
    return 0;
  }

  MemoryServer<Http2Session>& server_;
  nghttp2_session* session_ = nullptr;
  std::deque<Body> bodies_;
  std::map<int32_t, Body*> streams_;
  std::map<int32_t, Answer> answers_;
};

}  // namespace keelson::net::test
