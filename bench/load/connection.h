// bench/load/connection.h
//
// Connection: one HTTP/2 connection of a gRPC client, on nghttp2 and a non-blocking socket.
//
// What it leaves out is the point: no channel, no completion queue, no message objects. A call's
// request is a ready gRPC frame, its answer is counted, kept or handed on piece by piece.
// Threads: one, the poller's. Lifetime: calls and observers outlive the connection's last callback.
// Errors: a lost connection ends the program (a load test of a server that went away says nothing);
//   a failed call is reported by its status.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "load/poller.h"

namespace keelson::bench {

struct Call;

class CallObserver {
 public:
  // One whole message of a call with `stream` set; `message` is valid during the call only.
  virtual void on_message(Call& call, std::string_view message) {}
  // The call is over; its slot may be reused at once, from inside this function too.
  virtual void on_done(Call& call) = 0;

 protected:
  ~CallObserver() = default;
};

// One call, reused for the next one of its place.
struct Call {
  CallObserver* observer = nullptr;
  size_t slot = 0;           // the observer's number for it
  const char* path = "";     // a string with static lifetime
  std::string request;       // framed; for a stream, all that is still to be sent
  bool stream = false;       // both sides stay open; answers go to on_message
  bool keep_answer = false;  // unary: collect the answer's bytes, for `answer`

  // Set while it runs.
  uint64_t started = 0;   // ns
  size_t sent = 0;        // bytes of `request`
  std::string answer;     // the framed answer (or, in a stream, a message not yet whole)
  uint64_t received = 0;  // bytes of answers
  int http_status = 0;
  int grpc_status = -1;      // -1: none came
  std::string grpc_message;  // as sent: escaped
  int32_t id = 0;

  bool ok() const { return grpc_status == 0; }
};

class Connection final : public Pollable {
 public:
  // Connects at once (loopback). `address` is "host:port" with a numeric host.
  Connection(Poller* poller, const std::string& address);
  ~Connection() override;
  Connection(const Connection&) = delete;

  // Starts the call; the bytes leave with the next flush().
  void start(Call* call);
  // A stream got more in `request`.
  void resume(Call* call);
  void flush();

  void on_ready(uint32_t events) override;

 private:
  struct Callbacks;

  void connect(const std::string& address);
  void open_session();
  void read_all();
  void take_answer(Call& call, std::string_view bytes);
  void take_messages(Call& call, std::string_view bytes);
  void want_write(bool wanted);

  Poller* poller_;
  std::string authority_;
  int fd_ = -1;
  nghttp2_session* session_ = nullptr;
  std::string out_;  // taken from the session, not yet written
  bool writing_ = false;
  bool in_read_ = false;
};

}  // namespace keelson::bench
