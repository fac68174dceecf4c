// bench/net_heads.cc
//
// What unfolding the header block of a request costs (net/header_decoder.h):
//
//   valgrind --tool=callgrind --toggle-collect='*HeaderDecoder::take*' bench/net_heads same 100000
//
// and divided by the number. The cases: `same` (each request's block is the last one's, as those of
// h2load and Node are), `deadline` (one that goes into the table with each call, as Go's do, so
// that all indexes move), `token` (a value that is not to be kept), `two` (two requests in turns),
// `first` (the first request of a connection, everything spelled out). Paths are never kept, as
// nghttp2's encoder has it; Go's keeps them, and costs less.

#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "net/header_decoder.h"

namespace keelson::net {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

class Encoder {
 public:
  Encoder() { CHECK(nghttp2_hd_deflate_new(&hpack_, 4096) == 0); }
  ~Encoder() { nghttp2_hd_deflate_del(hpack_); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  std::string block(Fields fields) {
    std::vector<nghttp2_nv> nv;
    for (auto& [name, value] : fields) {
      const uint8_t never = name == "token" ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
      nv.push_back({reinterpret_cast<uint8_t*>(name.data()),
                    reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), never});
    }
    std::string out(nghttp2_hd_deflate_bound(hpack_, nv.data(), nv.size()), '\0');
    const ssize_t size = nghttp2_hd_deflate_hd(hpack_, reinterpret_cast<uint8_t*>(out.data()),
                                               out.size(), nv.data(), nv.size());
    CHECK(size >= 0);
    out.resize(static_cast<size_t>(size));
    return out;
  }

 private:
  nghttp2_hd_deflater* hpack_ = nullptr;
};

// As grpc-go has them.
Fields request(const Fields& more, std::string_view path = "Range") {
  Fields out = {{":method", "POST"},
                {":scheme", "http"},
                {":path", cat("/etcdserverpb.KV/", path)},
                {":authority", "127.0.0.1:2379"},
                {"content-type", "application/grpc"},
                {"user-agent", "grpc-go/1.71.0"},
                {"te", "trailers"}};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Fields numbered(const std::string& which, int i) {
  if (which == "deadline") return request({{"grpc-timeout", cat(4'900'000 + i % 99'991, "u")}});
  if (which == "token") return request({{"token", cat("hYuxAqTmcVRzKfWe.", 1000 + i % 8999)}});
  if (which == "two") return request({}, i % 2 ? "Range" : "Txn");
  return request({});
}

int run(const std::string& which, int times) {
  Encoder encoder;
  std::vector<std::string> blocks;
  for (int i = 0; i < times; ++i) blocks.push_back(encoder.block(numbered(which, i)));
  auto decoder = std::make_unique<HeaderDecoder>(size_t{1} << 20);
  std::chrono::nanoseconds spent{0};
  for (const std::string& block : blocks) {
    const auto begin = std::chrono::steady_clock::now();
    RequestHead head;
    CHECK(decoder->take(which == "first" ? blocks[0] : block, true, true, &head));
    spent += std::chrono::steady_clock::now() - begin;
    if (which == "first") decoder = std::make_unique<HeaderDecoder>(size_t{1} << 20);
  }
  std::printf("%s: %lld ns\n", which.c_str(), static_cast<long long>(spent.count() / times));
  return 0;
}

}  // namespace
}  // namespace keelson::net

int main(int argc, char** argv) {
  if (argc == 3) return keelson::net::run(argv[1], std::atoi(argv[2]));
  std::fprintf(stderr, "net_heads same|deadline|token|two|first TIMES\n");
  return 2;
}
