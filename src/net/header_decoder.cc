#include "net/header_decoder.h"

#include <nghttp2/nghttp2.h>

#include <optional>

#include "base/check.h"
#include "net/block_pool.h"
#include "net/decoded_fields.h"

namespace keelson::net {
namespace {

// What is remembered of a connection's last request is as long as this at most.
constexpr size_t kLongestBlock = 128;
constexpr size_t kLongestHead = 2048;

std::string_view view(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

HeaderDecoder::HeaderDecoder(size_t limit) : limit_(limit) {
  CHECK(nghttp2_hd_inflate_new2(&inflater_, pooled_memory()) == 0);
}

HeaderDecoder::~HeaderDecoder() { nghttp2_hd_inflate_del(inflater_); }

// Whether the block leaves the table as it is (RFC 7541, 6): all that is in it are indexes, and
// literals that are not kept.
bool HeaderDecoder::changes_nothing(std::string_view block) {
  if (block.size() > kLongestBlock) return false;
  // Takes a number off the block, of so many bits in its first byte.
  auto number = [&block](int bits) -> std::optional<size_t> {
    if (block.empty()) return std::nullopt;
    const auto most = static_cast<size_t>((1 << bits) - 1);
    const size_t first = static_cast<uint8_t>(block[0]) & most;
    block.remove_prefix(1);
    if (first < most) return first;
    // One more byte is enough for what is as short as this.
    if (block.empty() || (block[0] & 0x80)) return std::nullopt;
    const size_t more = static_cast<uint8_t>(block[0]);
    block.remove_prefix(1);
    return most + more;
  };
  auto text = [&] {
    const std::optional<size_t> size = number(7);
    if (!size || *size > block.size()) return false;
    block.remove_prefix(*size);
    return true;
  };
  while (!block.empty()) {
    const auto byte = static_cast<uint8_t>(block[0]);
    if (byte & 0x80) {
      if (!number(7)) return false;
    } else if (byte < 0x20) {
      const std::optional<size_t> name = number(4);
      if (!name || (*name == 0 && !text()) || !text()) return false;
    } else {
      return false;
    }
  }
  return true;
}

bool HeaderDecoder::take(std::string_view part, bool first, bool last, RequestHead* head) {
  if (head && first && last && !last_block_.empty() && part == last_block_) {
    *head = last_;
    return true;
  }
  const bool plain = first && last && changes_nothing(part) && !prints_decoded_fields();
  // What the last block meant it may mean no more.
  if (!plain) last_block_.clear();
  if (!inflate(part, last, head)) return false;
  if (!last || !head) return true;
  if (head->fault() != RequestHead::Fault::kNone || head->bytes() > kLongestHead) return true;
  last_ = *head;
  last_block_ = plain ? part : std::string_view();
  return true;
}

bool HeaderDecoder::inflate(std::string_view part, bool last, RequestHead* head) {
  auto* in = reinterpret_cast<const uint8_t*>(part.data());
  size_t left = part.size();
  const bool prints = prints_decoded_fields();
  while (true) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, left, last ? 1 : 0);
    if (n < 0) return false;
    in += n;
    left -= static_cast<size_t>(n);
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      const std::string_view name = view(field.name, field.namelen);
      const std::string_view value = view(field.value, field.valuelen);
      if (prints) print_decoded_field(name, value, field.flags & NGHTTP2_NV_FLAG_NO_INDEX);
      if (head) head->add(name, value, limit_, last_);
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) {
      nghttp2_hd_inflate_end_headers(inflater_);
      return true;
    }
    if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && left == 0) return !last;
  }
}

}  // namespace keelson::net
