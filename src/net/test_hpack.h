// net/test_hpack.h
//
// Header blocks as nghttp2 reads and writes them, for tests.

#pragma once

#include <nghttp2/nghttp2.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace keelson::net::test {

using Fields = std::vector<std::pair<std::string, std::string>>;

class Inflater {
 public:
  Inflater() { CHECK(nghttp2_hd_inflate_new(&hpack_) == 0); }
  ~Inflater() { nghttp2_hd_inflate_del(hpack_); }
  // As a client that has announced it.
  void limit_table(size_t bytes) {
    CHECK(nghttp2_hd_inflate_change_table_size(hpack_, bytes) == 0);
  }
  bool take(std::string_view block, Fields* fields) {
    auto* in = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    while (true) {
      nghttp2_nv nv;
      int flags = 0;
      const ssize_t n = nghttp2_hd_inflate_hd2(hpack_, &nv, &flags, in, left, 1);
      if (n < 0) return false;
      in += n;
      left -= static_cast<size_t>(n);
      if (flags & NGHTTP2_HD_INFLATE_EMIT) {
        fields->emplace_back(std::string(reinterpret_cast<char*>(nv.name), nv.namelen),
                             std::string(reinterpret_cast<char*>(nv.value), nv.valuelen));
      }
      if (flags & NGHTTP2_HD_INFLATE_FINAL) {
        nghttp2_hd_inflate_end_headers(hpack_);
        return true;
      }
      if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && left == 0) return false;
    }
  }
  // What its table holds beside the fields that all know, the newest first.
  Fields table() {
    Fields out;
    for (size_t i = kStaticFields; i < nghttp2_hd_inflate_get_num_table_entries(hpack_); ++i) {
      const nghttp2_nv* nv = nghttp2_hd_inflate_get_table_entry(hpack_, i + 1);
      out.emplace_back(std::string(reinterpret_cast<char*>(nv->name), nv->namelen),
                       std::string(reinterpret_cast<char*>(nv->value), nv->valuelen));
    }
    return out;
  }

 private:
  static constexpr size_t kStaticFields = 61;
  nghttp2_hd_inflater* hpack_ = nullptr;
};

class Deflater {
 public:
  Deflater() { CHECK(nghttp2_hd_deflate_new(&hpack_, 4096) == 0); }
  ~Deflater() { nghttp2_hd_deflate_del(hpack_); }
  void resize(size_t bytes) { CHECK(nghttp2_hd_deflate_change_table_size(hpack_, bytes) == 0); }
  std::string block(const Fields& fields, bool keeps) {
    std::vector<nghttp2_nv> nv;
    for (const auto& [name, value] : fields) {
      const uint8_t flags = keeps ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX;
      nv.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), flags});
    }
    std::string out(nghttp2_hd_deflate_bound(hpack_, nv.data(), nv.size()), '\0');
    const ssize_t n =
        nghttp2_hd_deflate_hd(hpack_, bytes_of(out), out.size(), nv.data(), nv.size());
    CHECK(n >= 0);
    out.resize(static_cast<size_t>(n));
    return out;
  }

 private:
  static uint8_t* bytes_of(const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  }
  nghttp2_hd_deflater* hpack_ = nullptr;
};

// A number behind the flags in the first byte, of which `bits` are its own.
inline std::string hpack_number(uint8_t flags, int bits, size_t value) {
  const size_t most = (size_t{1} << bits) - 1;
  if (value < most) return {static_cast<char>(flags | value)};
  std::string out{static_cast<char>(flags | most)};
  for (value -= most; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  return out + static_cast<char>(value);
}

// Spelled out as it is.
inline std::string hpack_text(std::string_view text) {
  return hpack_number(0, 7, text.size()).append(text);
}

// Spells texts in the code that it has learnt from nghttp2's encoder.
class Speller {
 public:
  Speller() {
    for (int symbol = 0; symbol < 256; ++symbol) {
      // Behind it so many of a short one that the code is worth while, and shows where it ends.
      const std::string value = static_cast<char>(symbol) + std::string(kTimes, 'e');
      const std::string block = Deflater().block({{"x", value}}, false);
      std::string bits;
      for (char byte : block.substr(block.size() - (block[2 + 1] & 0x7f))) {
        for (int bit = 7; bit >= 0; --bit) bits.push_back(byte >> bit & 1 ? '1' : '0');
      }
      while (!bits.ends_with("00101")) bits.pop_back();
      codes_.push_back(bits.substr(0, bits.size() - 5 * kTimes));
    }
  }
  // What the bits are padded with may be wrong.
  std::string code(std::string_view text, std::string_view padding = "1111111") const {
    std::string bits, out;
    for (const char c : text) bits += codes_[static_cast<uint8_t>(c)];
    if (padding.size() < 8) padding = padding.substr(0, (8 - bits.size() % 8) % 8);
    bits += padding;
    while (bits.size() % 8 != 0) bits.push_back('1');
    for (size_t i = 0; i < bits.size(); i += 8) {
      out.push_back(static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2)));
    }
    return out;
  }

 private:
  static constexpr size_t kTimes = 20;
  std::vector<std::string> codes_;  // as 0 and 1
};

}  // namespace keelson::net::test
