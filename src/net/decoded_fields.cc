#include "net/decoded_fields.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "net/grpc_codec.h"

namespace keelson::net {
namespace {

constexpr size_t kLongestName = 64;
constexpr size_t kLongestValue = 448;  // a byte prints as four signs at most

// `token` is etcd's metadata, `authorization` that of its gateway.
bool is_secret(std::string_view name) {
  for (std::string_view secret : {"token", "authorization", "proxy-authorization", "cookie"}) {
    if (name.ends_with(secret)) return true;
  }
  return name.find("password") != name.npos || name.find("secret") != name.npos;
}

std::string shown(std::string_view text, size_t longest) {
  return cat(quoted(text.substr(0, longest)), text.size() > longest ? "..." : "");
}

}  // namespace

bool prints_decoded_fields() {
  static const bool asked = [] {
    const char* value = std::getenv("GODEBUG");
    return value != nullptr && std::string_view(value).find("http2debug=2") != std::string::npos;
  }();
  return asked;
}

std::string decoded_field_line(std::time_t now, std::string_view name, std::string_view value,
                               bool sensitive) {
  std::tm parts{};
  localtime_r(&now, &parts);
  char time[32];
  const size_t length = std::strftime(time, sizeof time, "%Y/%m/%d %H:%M:%S", &parts);
  return cat(std::string_view(time, length), " http2: decoded hpack field header field ",
             shown(name, kLongestName), " = ",
             is_secret(name) ? "(left out)" : shown(value, kLongestValue),
             sensitive ? " (sensitive)" : "", "\n");
}

void print_decoded_field(std::string_view name, std::string_view value, bool sensitive) {
  const std::string line = decoded_field_line(std::time(nullptr), name, value, sensitive);
  // Who cannot be told of a request is no reason to fail it.
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace keelson::net
