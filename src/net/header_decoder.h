// net/header_decoder.h
//
// HeaderDecoder unfolds the header blocks of one connection (HPACK, by nghttp2) into RequestHeads.
// Many clients send the same block with each request, which changes nothing of their tables: it
// means what it meant the last time, and is not looked at again.
//
// Threads: one.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "net/request_head.h"

struct nghttp2_hd_inflater;

namespace keelson::net {

class HeaderDecoder {
 public:
  explicit HeaderDecoder(size_t limit);
  ~HeaderDecoder();
  HeaderDecoder(const HeaderDecoder&) = delete;
  HeaderDecoder& operator=(const HeaderDecoder&) = delete;

  // Of a block that has begun, the next part, into `head` unless that is null (what is not kept
  // changes the table as well). `first`, `last`: of the block. False: it cannot be unfolded; the
  // connection's table is of no use any more.
  bool take(std::string_view part, bool first, bool last, RequestHead* head);

 private:
  static bool changes_nothing(std::string_view block);
  bool inflate(std::string_view part, bool last, RequestHead* head);

  const size_t limit_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  RequestHead last_;        // the last request's that had no fault
  std::string last_block_;  // its block, if it is worth a comparison; else empty
};

}  // namespace keelson::net
