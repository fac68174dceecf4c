// net/request_head.h
//
// RequestHead is the header block of one HTTP/2 request: it takes the fields as they are decoded,
// checks them, and keeps them until the call that they begin is over.
//
// What is checked is what Go's HTTP/2 server and grpc-go check, and no more: an `:authority` may be
// anything that is a field value, or missing. (nghttp2's own rules would refuse Unix sockets' paths
// and the lists of endpoints that etcd's clients send, so its check of messages is off.)
//
// Bounds: once the block is over the limit, or wrong, what still comes of it is neither looked at
//   nor kept; a compressed block of 64 KB can unfold into hundreds of megabytes of it.
// Memory: shares the decoder's buffers; when emptied it keeps a few KB for the next request.
// Threads: one.

#pragma once

#include <nghttp2/nghttp2.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace keelson::net {

// HeadMemo remembers the fields of a connection's last request. Clients send the same ones with
// each, and the decoder hands out the same buffers for what it has in its table: then nothing of
// them has to be looked at again.
//
// Bounds: the first few fields, and of those the short ones; it holds on to their buffers.
class HeadMemo {
 public:
  HeadMemo() = default;
  ~HeadMemo();
  HeadMemo(const HeadMemo&) = delete;
  HeadMemo& operator=(const HeadMemo&) = delete;

 private:
  friend class RequestHead;
  struct Field {
    nghttp2_rcbuf* name = nullptr;  // null: nothing is known of this place
    nghttp2_rcbuf* value = nullptr;
    uint32_t bytes = 0;
    int8_t known = -1;  // RequestHead::Known, or -1
  };
  static constexpr size_t kFields = 12;
  static constexpr size_t kLongest = 512;

  void note(size_t place, const Field& field);

  Field fields_[kFields];
};

class RequestHead {
 public:
  // Fields that the framework itself reads; they are not shown as metadata.
  enum Known {
    kPath,
    kMethod,
    kAuthority,
    kScheme,
    kLastPseudo = kScheme,
    kHost,
    kContentType,
    kEncoding,
    kTimeout,
    kKnownCount
  };
  enum class Fault { kNone, kMalformed, kTooLong };

  RequestHead() = default;
  ~RequestHead() { clear(); }
  RequestHead(const RequestHead&) = delete;
  RequestHead& operator=(const RequestHead&) = delete;
  void swap(RequestHead& other);
  void clear();

  // Adds the next field. `limit` is for names, values and 32 bytes for each field, in sum.
  void add(nghttp2_rcbuf* name, nghttp2_rcbuf* value, size_t limit, HeadMemo* memo);
  Fault fault() const { return fault_; }
  // What the fields count for, by the measure of the limit.
  size_t bytes() const { return bytes_; }

  bool has(Known which) const { return known_[which] != nullptr; }
  // Empty when there is none.
  std::string_view known(Known which) const;
  // `:authority`, or what takes its place.
  std::string_view authority() const;
  // There was more than one `host`.
  bool many_hosts() const { return hosts_ > 1; }
  size_t hosts() const { return hosts_; }

  // Fields but the known ones, in order of arrival.
  void each(absl::FunctionRef<void(std::string_view name, std::string_view value)> visit) const;

  // ---- as metadata of gRPC: without what grpc-go reserves

  // Of the first field of this name; of a "-bin" one the decoded bytes.
  std::optional<std::string_view> metadata(std::string_view name) const;
  void each_metadata(
      absl::FunctionRef<void(std::string_view name, std::string_view value)> visit) const;
  // Decodes the "-bin" values; an error with grpc-go's text when one is not base64.
  absl::Status decode_binary();

 private:
  struct Field {
    nghttp2_rcbuf* name;
    nghttp2_rcbuf* value;
    std::string decoded;  // of a -bin value
  };
  static constexpr size_t kKeptFields = 16;  // room for so many outlives a request

  static int known_index(std::string_view name);
  static bool check(HeadMemo::Field* field);
  void take(const HeadMemo::Field& field);

  nghttp2_rcbuf* known_[kKnownCount] = {};
  std::vector<Field> fields_;
  size_t bytes_ = 0;
  size_t added_ = 0;
  size_t hosts_ = 0;
  bool regular_seen_ = false;  // no pseudo-header field may follow
  Fault fault_ = Fault::kNone;
};

}  // namespace keelson::net
