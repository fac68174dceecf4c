// net/request_head.h
//
// RequestHead is the header block of one HTTP/2 request: it takes the fields as they are decoded,
// checks them, and keeps them until the call that they begin is over. Clients send the same block
// with each request; then their calls share one.
//
// What is checked is what Go's HTTP/2 server and grpc-go check, and no more: an `:authority` may be
// anything that is a field value, or missing. (nghttp2's own rules would refuse Unix sockets' paths
// and the lists of endpoints that etcd's clients send, so its check of messages is not used.)
//
// Bounds: once the block is over the limit, or wrong, what still comes of it is neither looked at
//   nor kept; a compressed block of 64 KB can unfold into hundreds of megabytes of it.
// Memory: blocks are reused by their thread; an unused one keeps a few KB.
// Threads: one, and whoever reads what is complete.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace keelson::net {

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
  // Shares what the other one has; neither may be added to any more.
  RequestHead(const RequestHead& other);
  RequestHead& operator=(const RequestHead& other);
  void swap(RequestHead& other) { std::swap(block_, other.block_); }
  void clear();

  // Adds the next field. `limit` is for names, values and 32 bytes for each field, in sum. What
  // stands at the same place in `last`, which is without a fault, need not be checked again.
  // REQUIRES: this is not shared.
  void add(std::string_view name, std::string_view value, size_t limit, const RequestHead& last);
  Fault fault() const;
  // What the fields count for, by the measure of the limit.
  size_t bytes() const;

  bool has(Known which) const;
  // Empty when there is none.
  std::string_view known(Known which) const;
  // `:authority`, or what takes its place.
  std::string_view authority() const;
  // There was more than one `host`.
  bool many_hosts() const { return hosts() > 1; }
  size_t hosts() const;

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
  struct Block;

  static Block* make_block();
  static void let_go(Block* block);

  Block* block_ = nullptr;  // null: no fields
};

}  // namespace keelson::net
