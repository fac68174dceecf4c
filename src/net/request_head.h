// net/request_head.h
//
// RequestHead is the header block of one HTTP/2 request: it takes the fields as they are decoded,
// checks them, and keeps them until the call that they begin is over. Clients send the same block
// with each request; then their calls share one.
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
#include "net/request_field.h"

namespace keelson::net {

class RequestHead {
 public:
  using Known = RequestField::Known;
  using enum RequestField::Known;
  enum class Fault { kNone, kMalformed, kTooLong };

  RequestHead() = default;
  ~RequestHead() { clear(); }
  // Shares what the other one has; neither may be added to any more.
  RequestHead(const RequestHead& other);
  RequestHead& operator=(const RequestHead& other);
  void swap(RequestHead& other) { std::swap(block_, other.block_); }
  void clear();

  // Adds the next field, of which RequestField has found what it is. `limit` is for names, values
  // and 32 bytes for each field, in sum. REQUIRES: this is not shared.
  void add(std::string_view name, std::string_view value, int8_t sort, size_t limit);
  // The next one is too long for any limit.
  void end_too_long();
  Fault fault() const;
  // It has no fault yet.
  bool takes_more() const { return fault() == Fault::kNone; }
  // Nor does a field of so many bytes bring it over the limit.
  bool takes(size_t field, size_t limit) const {
    return takes_more() && bytes() + field + kFieldCost <= limit;
  }
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
  static constexpr size_t kFieldCost = 32;

  static Block* make_block();
  static void let_go(Block* block);

  Block* block_ = nullptr;  // null: no fields
};

}  // namespace keelson::net
