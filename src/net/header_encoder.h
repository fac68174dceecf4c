// net/header_encoder.h
//
// The header blocks of answers, as HPACK (RFC 7541). They leave the client's table alone, so that a
// block may be made long before it is sent, and in any order; only the two that nearly all answers
// of gRPC have go into the table, once a connection (UsualBlocks). Texts are spelled out as they
// are: what the code would save of the few that are sent is not worth making it.
//
// Threads: any; UsualBlocks: one.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace keelson::net {

struct HeaderField {
  std::string_view name;  // in lower case
  std::string_view value;
};

// A block that may be sent at any time.
std::string encode_fields(std::span<const HeaderField> fields);

// What of a client's table is in use.
class UsualBlocks {
 public:
  // More than any block of these takes.
  static constexpr size_t kMost = 48;

  // SETTINGS_HEADER_TABLE_SIZE. One below the usual is not used at all.
  void limit_table(uint32_t bytes);
  // What a block must begin with, once: "" or a change of the table's size.
  std::string_view begin();
  // ":status: 200, content-type: application/grpc"; the next call makes it invalid.
  std::string_view head();
  // "grpc-status: 0".
  std::string_view trailers();

 private:
  static constexpr uint8_t kNotThere = 0xff;

  std::string_view field(uint8_t* place, std::string_view with_indexing, bool after_status);

  uint8_t count_ = 0;  // entries that are in the table, all of them ours
  uint8_t head_at_ = kNotThere;
  uint8_t trailers_at_ = kNotThere;
  bool no_table_ = false;
  bool told_ = true;  // that there is none
  char out_[kMost];
};

}  // namespace keelson::net
