// net/grpc_codec.h
//
// The small codings of gRPC over HTTP/2: timeouts, percent-encoded messages, binary metadata, gzip,
// and the five-byte message frame. Pure functions and one small state machine; no HTTP/2 here.
// Source: grpc/doc/PROTOCOL-HTTP2.md; texts as grpc-go's.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"

namespace keelson::net {

inline constexpr size_t kGrpcPrefix = 5;

// No longer message is sent (grpc-go's MaxSendMsgSize, as etcd's servers set it).
inline constexpr size_t kMostToSend = INT32_MAX;
// What a call ends with that would have sent one: as the answer, or as one of a stream.
absl::Status answer_too_long(size_t bytes);
absl::Status message_too_long(size_t bytes);

// "100m" → 100 ms. One to eight digits and one of H M S m u n.
absl::StatusOr<Duration> parse_grpc_timeout(std::string_view text);

// What goes into grpc-message: printable ASCII but '%' as it is, every other byte as %XX; bytes
// that are not UTF-8 become U+FFFD first.
std::string percent_encode(std::string_view text);

// Standard base64, padded or not. False if it is not.
bool decode_base64(std::string_view text, std::string* out);
std::string encode_base64(std::string_view bytes);

// What the client sent, as far as an error text repeats it: a client that sends much pays for it,
// and is told no more than that.
inline constexpr size_t kMostRepeated = 512;
inline std::string_view repeated(std::string_view text) { return text.substr(0, kMostRepeated); }
// Go's %q of that.
std::string quoted(std::string_view text);

// "application/grpc", "application/grpc+x" or "application/grpc;x".
bool is_grpc_content_type(std::string_view value);

// Undoes gzip. ResourceExhausted when more than `max` bytes come out, Internal when it is not gzip.
absl::StatusOr<Bytes> gunzip(std::string_view compressed, size_t max);

// Puts messages together from whatever pieces they arrive in.
//
// Memory: grows with what has arrived, not with what a prefix promises.
class MessageReader {
 public:
  enum class Step { kNeedMore, kMessage, kBad };

  void reset(size_t max_message, bool gzip);

  // Takes bytes from the front of `in` until a message is complete or nothing is left. After
  // kMessage, take() gives it and more may follow in `in`. After kBad, error() says why and nothing
  // more may be fed.
  Step feed(std::string_view* in);
  Bytes take() { return std::move(message_); }
  const absl::Status& error() const { return error_; }
  // Bytes that it holds.
  size_t held() const { return buffer_.size() + message_.size(); }
  // A message has begun and not ended.
  bool in_message() const { return prefix_size_ > 0; }

 private:
  Step begin_body(std::string_view* in);
  Step finish(Bytes body);
  Step bad(absl::Status status);
  void grow();

  size_t max_ = 0;
  bool gzip_ = false;
  char prefix_[kGrpcPrefix];
  size_t prefix_size_ = 0;
  size_t length_ = 0;    // promised by the prefix
  size_t received_ = 0;  // of it, in buffer_
  Bytes buffer_;
  char* write_ = nullptr;  // into buffer_, which nobody else sees yet
  Bytes message_;
  absl::Status error_;
};

}  // namespace keelson::net
