// net/header_decoder.h
//
// HeaderDecoder unfolds the header blocks of one connection (HPACK, RFC 7541) into RequestHeads.
// Many clients send the same block with each request, which changes nothing of their tables: it
// means what it meant the last time, and is not looked at again.
//
// Bounds: of a field whose end has not come its bytes are held while they may belong to a head
//   within the limit, or into the table. What cannot is passed over as it comes: its texts are not
//   even looked at, so that wrong ones are not found.
// Threads: one.
// Why not nghttp2: decision 23.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/hpack_table.h"
#include "net/request_head.h"

namespace keelson::net {

class HeaderDecoder {
 public:
  explicit HeaderDecoder(size_t limit);
  HeaderDecoder(const HeaderDecoder&) = delete;
  HeaderDecoder& operator=(const HeaderDecoder&) = delete;

  // Of a block that has begun, the next part, into `head` unless that is null (what is not kept
  // changes the table as well). `first`, `last`: of the block. False: it cannot be unfolded; the
  // connection's table is of no use any more.
  bool take(std::string_view part, bool first, bool last, RequestHead* head);

  // Bytes of a block that has not ended, beside what its head counts.
  size_t held() const { return rest_.size(); }

  const HpackTable& table() const { return table_; }

 private:
  enum class Step : uint8_t { kDone, kMore, kBroken };
  struct Input;
  struct Literal;

  void begin_block();
  void end_block(std::string_view block, const RequestHead* head);
  bool unfold(std::string_view* block, RequestHead* head);
  // Each of these takes what it is named for off `in`, or nothing when not all of it is there.
  Step field(Input* in, RequestHead* head);
  Step indexed(Input* in, RequestHead* head);
  Step resize(Input* in);
  Step literal(Input* in, RequestHead* head);
  Step pass_over(Input* in);

  bool wanted(const Literal& literal, const RequestHead* head) const;
  Step begin_to_pass(const Literal& literal, RequestHead* head);
  bool end_literal(const Literal& literal, RequestHead* head);
  void add(const HpackTable::Field& field, bool sensitive, RequestHead* head) const;

  const size_t limit_;
  const bool prints_;
  HpackTable table_;

  // Of the block that is coming in:
  bool changes_ = false;       // the table
  bool may_resize_ = false;    // no field has come
  bool passes_value_ = false;  // the next text is one that nobody wants
  size_t to_pass_ = 0;         // bytes of a text that nobody wants
  std::string rest_;           // a field that is not all there

  // The last request's whose block changed nothing, and had no fault; the table is as it was.
  RequestHead last_;
  std::string last_block_;  // empty: there is none
};

}  // namespace keelson::net
