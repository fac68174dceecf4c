// net/router.h
//
// What a Router has learned, in the shape that connections look it up.

#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "net/grpc.h"
#include "net/http.h"

namespace keelson::net {

struct MethodEntry {
  MethodInfo info;
  MethodOptions options;
  UnaryHandler* unary = nullptr;  // one of the two
  StreamHandler* stream = nullptr;
};

struct HttpEntry {
  HttpHandler* handler = nullptr;  // one of the two
  HttpStreamHandler* stream = nullptr;
  HttpOptions options;
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

class Router::Table {
 public:
  const MethodEntry* find_method(std::string_view path) const;
  // The framework's answer to a path that is not registered (texts as grpc-go's).
  absl::Status unknown(std::string_view path) const;
  const HttpEntry* find_http(std::string_view path) const;

 private:
  friend class Router;
  MethodEntry& add_method(std::string_view path, MethodKind kind, MethodOptions options);

  std::deque<MethodEntry> entries_;  // stable addresses
  std::unordered_map<std::string, const MethodEntry*, TextHash, std::equal_to<>> by_path_;
  std::unordered_set<std::string, TextHash, std::equal_to<>> services_;
  std::vector<const MethodInfo*> infos_;
  std::unordered_map<std::string, HttpEntry, TextHash, std::equal_to<>> http_;
  std::vector<std::pair<std::string, HttpEntry>> http_prefixes_;
};

}  // namespace keelson::net
