#include "net/router.h"

#include "base/check.h"
#include "base/text.h"
#include "net/grpc_codec.h"

namespace keelson::net {

const MethodEntry* Router::Table::find_method(std::string_view path) const {
  auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

absl::Status Router::Table::unknown(std::string_view path) const {
  size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0) {
    return absl::UnimplementedError(cat("malformed method name: ", quoted(path)));
  }
  std::string_view service = path.substr(1, slash - 1);
  if (!services_.contains(service))
    return absl::UnimplementedError(cat("unknown service ", service));
  return absl::UnimplementedError(
      cat("unknown method ", path.substr(slash + 1), " for service ", service));
}

const HttpEntry* Router::Table::find_http(std::string_view path) const {
  auto exact = http_.find(path);
  if (exact != http_.end()) return &exact->second;
  const HttpEntry* best = nullptr;
  size_t best_size = 0;
  for (const auto& [prefix, entry] : http_prefixes_) {
    if (path.starts_with(prefix) && (!best || prefix.size() > best_size)) {
      best = &entry;
      best_size = prefix.size();
    }
  }
  return best;
}

MethodEntry& Router::Table::add_method(std::string_view path, MethodKind kind,
                                       MethodOptions options) {
  size_t slash = path.rfind('/');
  CHECK(path.starts_with('/'));
  CHECK(slash > 0);
  CHECK(!by_path_.contains(path));
  MethodEntry& entry = entries_.emplace_back();
  entry.info.index = static_cast<int>(infos_.size());
  entry.info.path = path;
  entry.info.service = path.substr(1, slash - 1);
  entry.info.name = path.substr(slash + 1);
  entry.info.kind = kind;
  entry.options = options;
  by_path_.emplace(entry.info.path, &entry);
  services_.insert(entry.info.service);
  infos_.push_back(&entry.info);
  return entry;
}

Router::Router() : table_(std::make_unique<Table>()) {}
Router::~Router() = default;

void Router::unary(std::string_view path, UnaryHandler* handler, MethodOptions options) {
  CHECK(handler);
  table_->add_method(path, MethodKind::kUnary, options).unary = handler;
}

void Router::stream(std::string_view path, MethodKind kind, StreamHandler* handler,
                    MethodOptions options) {
  CHECK(handler);
  table_->add_method(path, kind, options).stream = handler;
}

void Router::http(std::string_view path, HttpHandler* handler) { http(path, handler, {}); }

void Router::http(std::string_view path, HttpHandler* handler, const HttpOptions& options) {
  table_->http_.insert_or_assign(std::string(path), HttpEntry{handler, nullptr, options});
}

void Router::http_prefix(std::string_view prefix, HttpHandler* handler) {
  http_prefix(prefix, handler, {});
}

void Router::http_prefix(std::string_view prefix, HttpHandler* handler,
                         const HttpOptions& options) {
  table_->http_prefixes_.emplace_back(std::string(prefix), HttpEntry{handler, nullptr, options});
}

void Router::http_stream(std::string_view path, HttpStreamHandler* handler) {
  table_->http_.insert_or_assign(std::string(path),
                                 HttpEntry{nullptr, handler, handler->options()});
}

void Router::http_stream_prefix(std::string_view prefix, HttpStreamHandler* handler) {
  table_->http_prefixes_.emplace_back(std::string(prefix),
                                      HttpEntry{nullptr, handler, handler->options()});
}

const std::vector<const MethodInfo*>& Router::methods() const { return table_->infos_; }

}  // namespace keelson::net
