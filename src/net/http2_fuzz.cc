// Any bytes on a fresh HTTP/2 connection, cut into pieces of any size, with the clock turned
// between them. The first byte chooses the way; without KEELSON_FUZZ this file is part of the
// corpus test.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/memory_connection.h"
#include "net/test_service.h"

namespace keelson::net {

void fuzz_http2(std::string_view input) {
  if (input.empty()) return;
  auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  TestService service;
  ListenerOptions options;
  options.max_concurrent_streams = 1000;
  MemoryServer<Http2Session> server(&service.router, options);
  if (way & 1) {
    server.feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    server.feed({"\0\0\0\4\0\0\0\0\0", 9});
  }
  size_t cut = way & 2 ? 1 + (way >> 4) : input.size();
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
