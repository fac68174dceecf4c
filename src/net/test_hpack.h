// net/test_hpack.h
//
// What a client reads in header blocks, by nghttp2, for tests.

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

 private:
  nghttp2_hd_inflater* hpack_ = nullptr;
};

}  // namespace keelson::net::test
