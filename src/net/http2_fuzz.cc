// Any bytes on a fresh HTTP/2 connection, cut into pieces of any size, with the clock turned
// between them; or frames that are right for the most part, as the bytes say. The first byte
// chooses the way; without KEELSON_FUZZ this file is part of the corpus test.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/memory_connection.h"
#include "net/test_frames.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using test::call_block;
using test::frame;
using test::literal;

// Makes frames of what it reads.
class Script {
 public:
  explicit Script(std::string_view input) : input_(input) {}

  std::string frames() {
    std::string out;
    while (!input_.empty()) out += next();
    return out;
  }

 private:
  uint8_t byte() { return static_cast<uint8_t>((bytes(1) + '\0')[0]); }
  std::string bytes(size_t n) {
    std::string out(input_.substr(0, n));
    input_.remove_prefix(out.size());
    return out;
  }
  std::string whole(size_t n) {
    std::string out = bytes(n);
    out.resize(n);
    return out;
  }

  // What the flags promise in front of it and behind.
  static std::string padded(uint8_t flags, const std::string& payload) {
    std::string out;
    if (flags & kPadded) out.push_back('\3');
    if (flags & kHasPriority) out.append("\0\0\0\1p", 5);
    out += payload;
    if (flags & kPadded) out.append(3, '\0');
    return out;
  }
  std::string block() {
    switch (byte() % 6) {
      case 0:
        return call_block("/test.Echo/Unary");
      case 1:
        return call_block("/test.Echo/Unary") + literal("hang", "1");
      case 2:
        return call_block("/test.Echo/Unary") +
               "\x40\x05"
               "reply\x06"
               "100000";
      case 3:
        return call_block("/test.Echo/Stream");
      case 4:
        return call_block("/test.Echo/Flood") + literal("flood", "40 30000");
      default:
        return "\x82\x86" + literal(":path", "/parts");
    }
  }
  std::string next() {
    const uint8_t what = byte();
    const uint8_t flags = byte();
    const uint32_t stream = 1 + 2 * (what >> 5);
    switch (what % 12) {
      case 0: {
        const std::string data = bytes(byte());
        const uint8_t some = flags & (kEndStream | kPadded);
        return frame(kData, some, stream,
                     padded(some & kPadded,
                            big32(static_cast<uint32_t>(data.size())).insert(0, 1, 0) + data));
      }
      case 1:
        return frame(kHeaders, flags | kEndHeaders, stream, padded(flags, block()));
      case 2: {
        const std::string all = block() + bytes(byte() % 16);
        const size_t cut = byte() % all.size();
        return frame(kHeaders, flags & kEndStream, stream, all.substr(0, cut)) +
               frame(kContinuation, kEndHeaders, stream, all.substr(cut));
      }
      case 3:
        return frame(kHeaders, flags | kEndHeaders, stream, padded(flags, bytes(byte())));
      case 4:
        return frame(kHeaders, kEndStream | kEndHeaders, stream, literal("a", "b"));
      case 5:
        return frame(kRstStream, 0, stream, whole(4));
      case 6: {
        std::string settings;
        for (int n = flags % 4; n > 0; --n) {
          settings += test::setting(1 + byte() % 9, load_big32(whole(4).data()));
        }
        return frame(kSettings, 0, 0, settings);
      }
      case 7:
        return frame(kWindowUpdate, 0, flags % 4 ? stream : 0, whole(4));
      case 8:
        return frame(flags & 1 ? kPing : kGoaway, flags & kAck, 0, whole(8));
      case 9:
        return frame(kData, flags, stream, bytes(byte()));
      case 10:
        return frame(flags, byte(), stream, bytes(byte()));
      default:
        return frame(kSettings, kAck, 0, "");
    }
  }

  std::string_view input_;
};

}  // namespace

void fuzz_http2(std::string_view input) {
  if (input.empty()) return;
  auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  TestService service;
  ListenerOptions options;
  options.max_concurrent_streams = 1000;
  const bool scripted = !(way & 2) && (way & 16);
  if (scripted && (way & 32)) options.stream_window = 50;
  MemoryServer<Http2Session> server(&service.router, options);
  if (scripted || (way & 1)) server.feed(test::beginning());
  size_t cut = way & 2 ? 1 + (way >> 4) : input.size();
  std::string frames;
  if (scripted) {
    frames = Script(input).frames();
    input = frames;
    cut = way & 64 ? 7 : 300;
  }
  while (!input.empty()) {
    server.socket_full = (way & 4) && input.size() % 3 == 0;
    size_t n = input.size() < cut ? input.size() : cut;
    if (!server.feed(input.substr(0, n))) break;
    input.remove_prefix(n);
    if (way & 8) server.advance(std::chrono::milliseconds(700));
  }
  server.socket_full = false;
  if (way & 8) service.unary.release();
  server.settle();
  server.take();
  if (way & 4) server.session().drain();
  server.settle();
  service.unary.forget();
  server.close();
}

}  // namespace keelson::net

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::net::fuzz_http2({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
