// Any bytes on a fresh HTTP/1 connection, cut into pieces of any size.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/memory_connection.h"
#include "net/test_service.h"

namespace keelson::net {

void fuzz_http1(std::string_view input) {
  if (input.empty()) return;
  auto way = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  TestService service;
  MemoryServer<Http1Session> server(&service.router);
  size_t cut = way & 1 ? 1 + (way >> 3) : input.size();
  while (!input.empty()) {
    size_t n = input.size() < cut ? input.size() : cut;
    if (!server.feed(input.substr(0, n))) break;
    input.remove_prefix(n);
  }
  if (way & 2) server.session().drain();
  if (way & 4) server.session().input_ended();
  server.settle();
  server.take();
  server.close();
}

}  // namespace keelson::net

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::net::fuzz_http1({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
