// net/router.h
//
// What a Router has learned, in the shape that connections look it up.

#pragma once

#include <deque>
#include <optional>
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
  HttpOptions options{};
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
  // Finds out what the request's path means. False: nothing, an escape in it is none.
  bool settle_path(HttpRequest* request) const;
  // For a settled request; never null.
  const HttpEntry* find_http(const HttpRequest& request) const;
  // Nothing is there.
  bool is_rest(const HttpEntry* entry) const { return entry == &rest_; }

 private:
  friend class Router;
  // Answers what leads to no handler.
  class Elsewhere final : public HttpHandler {
   public:
    explicit Elsewhere(const Table& table) : table_(table) {}
    void handle(HttpRequest request, HttpReplyRef reply) override {
      reply->send(table_.elsewhere(request));
    }

   private:
    const Table& table_;
  };

  // Null: none. By path_key(), and by what the path means.
  const HttpEntry* look_up(std::string_view key, std::string_view meant) const;
  const HttpEntry* find_prefix(std::string_view key) const;
  std::optional<std::string> better_path(const HttpRequest& request) const;
  HttpResponse elsewhere(const HttpRequest& request) const;
  MethodEntry& add_method(std::string_view path, MethodKind kind, MethodOptions options);

  std::deque<MethodEntry> entries_;  // stable addresses
  std::unordered_map<std::string, const MethodEntry*, TextHash, std::equal_to<>> by_path_;
  std::unordered_set<std::string, TextHash, std::equal_to<>> services_;
  std::vector<const MethodInfo*> infos_;
  std::unordered_map<std::string, HttpEntry, TextHash, std::equal_to<>> http_;
  std::vector<std::pair<std::string, HttpEntry>> http_prefixes_;
  std::string alias_from_, alias_to_;  // empty: none
  Elsewhere elsewhere_{*this};
  HttpEntry rest_{.handler = &elsewhere_, .options = {.ignores_body = true}};
};

}  // namespace keelson::net
