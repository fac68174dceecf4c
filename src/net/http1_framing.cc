#include "net/http1_framing.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "base/text.h"

namespace keelson::net {
namespace {

bool is_named(const HttpField& field, std::string_view name) {
  return absl::EqualsIgnoreCase(to_absl(field.name), to_absl(name));
}

bool is_host_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!$%&()*+,-.:;=['_]~").find(c) != std::string_view::npos;
}

// Exactly one coding, and that one; of HTTP/1.0 it means nothing.
std::optional<Refusal> check_coding(const HttpRequest& request, int version) {
  if (version < 11) return std::nullopt;
  size_t count = 0;
  bool chunked = false;
  for (const HttpField& field : request.fields) {
    if (!is_named(field, "Transfer-Encoding")) continue;
    ++count;
    chunked = absl::EqualsIgnoreCase(to_absl(field.value), "chunked");
  }
  if (count == 0 || (count == 1 && chunked)) return std::nullopt;
  return Refusal{501, "", "Unsupported transfer encoding"};
}

// Beast has found them to agree.
std::optional<Refusal> check_lengths(const HttpRequest& request) {
  for (const HttpField& field : request.fields) {
    if (!is_named(field, "Content-Length")) continue;
    auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (field.value.empty() || !std::all_of(field.value.begin(), field.value.end(), is_digit)) {
      return Refusal{};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> check_host(const HttpRequest& request, int version) {
  size_t hosts = 0;
  for (const HttpField& field : request.fields) {
    if (!is_named(field, "Host")) continue;
    ++hosts;
    if (!std::all_of(field.value.begin(), field.value.end(), is_host_byte)) {
      return Refusal{400, "malformed Host header", ""};
    }
  }
  if (hosts > 1) return Refusal{};
  if (version >= 11 && hosts == 0) return Refusal{400, "missing required Host header", ""};
  return std::nullopt;
}

void set_host(HttpRequest* request, std::string_view host) {
  for (HttpField& field : request->fields) {
    if (is_named(field, "Host")) {
      field.value = host;
      return;
    }
  }
  request->fields.push_back({"Host", std::string(host)});
}

std::optional<Refusal> settle_target(HttpRequest* request) {
  const std::string_view target = request->target;
  if (target.starts_with('/') || request->method == "CONNECT") return std::nullopt;
  if (target == "*" && request->method == "OPTIONS") return std::nullopt;
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos ||
      !(absl::EqualsIgnoreCase(to_absl(target.substr(0, scheme)), "http") ||
        absl::EqualsIgnoreCase(to_absl(target.substr(0, scheme)), "https"))) {
    return Refusal{};
  }
  std::string_view rest = target.substr(scheme + 3);
  const std::string host(rest.substr(0, rest.find_first_of("/?")));
  rest.remove_prefix(host.size());
  set_host(request, host.substr(host.find('@') == std::string::npos ? 0 : host.find('@') + 1));
  request->target = rest;
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> settle_head(HttpRequest* request, int version) {
  if (auto refusal = check_coding(*request, version)) return refusal;
  if (auto refusal = check_lengths(*request)) return refusal;
  if (auto refusal = check_host(*request, version)) return refusal;
  return settle_target(request);
}

}  // namespace keelson::net
