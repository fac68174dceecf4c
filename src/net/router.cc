#include "net/router.h"

#include <algorithm>

#include "absl/strings/str_replace.h"
#include "base/check.h"
#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/http_path.h"
#include "net/http_reply.h"

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
    return absl::UnimplementedError(cat("unknown service ", repeated(service)));
  return absl::UnimplementedError(
      cat("unknown method ", repeated(path.substr(slash + 1)), " for service ", service));
}

bool Router::Table::settle_path(HttpRequest* request) const {
  const std::string_view written = request->path();
  const bool by_other_name = !alias_from_.empty() && written.starts_with(alias_from_);
  if (!by_other_name && written.find('%') == written.npos) return true;
  std::optional<std::string> meant = meant_path(written);
  if (!meant) return false;
  if (!alias_from_.empty() && meant->starts_with(alias_from_)) {
    meant = cat(alias_to_, meant->substr(alias_from_.size()));
  }
  request->meant = *std::move(meant);
  return true;
}

namespace {

std::string_view written_part(const HttpRequest& request) {
  return std::string_view(request.target).substr(0, request.target.find('?'));
}

std::string html_escaped(std::string_view text) {
  return absl::StrReplaceAll(
      to_absl(text),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&#34;"}, {"'", "&#39;"}});
}

// The path of no such request is put in order.
bool is_as_it_is(const HttpRequest& request) { return request.method == "CONNECT"; }

}  // namespace

const HttpEntry* Router::Table::find_http(const HttpRequest& request) const {
  const std::string_view path = request.path();
  const HttpEntry* found = nullptr;
  if (request.meant.empty() && is_plain_path(path)) {
    found = look_up(path, path);
  } else {
    const std::string written = written_path(written_part(request), path);
    if (is_as_it_is(request) || clean_path(written) == written) {
      found = look_up(path_key(written), path);
    }
  }
  return found ? found : &rest_;
}

const HttpEntry* Router::Table::look_up(std::string_view key, std::string_view meant) const {
  auto exact = http_.find(key);
  if (exact != http_.end()) return &exact->second;
  const HttpEntry* prefix = find_prefix(key);
  if (!prefix || !prefix->options.escaped_slashes || key == meant) return prefix;
  exact = http_.find(meant);
  return exact == http_.end() ? prefix : &exact->second;
}

const HttpEntry* Router::Table::find_prefix(std::string_view key) const {
  const HttpEntry* best = nullptr;
  size_t best_size = 0;
  for (const auto& [prefix, entry] : http_prefixes_) {
    if (key.starts_with(prefix) && (!best || prefix.size() > best_size)) {
      best = &entry;
      best_size = prefix.size();
    }
  }
  return best;
}

// Where the request belongs, if that is another path than its own.
std::optional<std::string> Router::Table::better_path(const HttpRequest& request) const {
  const std::string written = written_path(written_part(request), request.path());
  const std::string clean = is_as_it_is(request) ? written : clean_path(written);
  const std::string key = path_key(clean);
  const bool is_directory =
      !http_.contains(key) &&
      std::any_of(http_prefixes_.begin(), http_prefixes_.end(),
                  [&](const auto& prefix) { return prefix.first == cat(key, "/"); });
  if (is_directory) return written_path(cat(clean_path(request.path()), "/"));
  if (clean != written) return clean;
  return std::nullopt;
}

// As Go's http.Redirect and http.NotFound have it.
HttpResponse Router::Table::elsewhere(const HttpRequest& request) const {
  const std::optional<std::string> path = better_path(request);
  if (!path) return not_found();
  const std::string_view query = request.query();
  const std::string location = cat(*path, query.empty() ? "" : "?", query);
  HttpResponse response;
  response.status = 307;
  const bool is_get = request.method == "GET";
  if (is_get || request.method == "HEAD") {
    response.fields.push_back({"Content-Type", "text/html; charset=utf-8"});
  }
  response.fields.push_back({"Location", location});
  if (is_get) {
    response.body = MessageParts::copy(
        cat("<a href=\"", html_escaped(location), "\">Temporary Redirect</a>.\n\n"));
  }
  return response;
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

void Router::http_alias(std::string_view from, std::string_view to) {
  CHECK(table_->alias_from_.empty());
  CHECK(!from.empty());
  table_->alias_from_ = from;
  table_->alias_to_ = to;
}

void Router::http_rest(HttpHandler* handler) { table_->rest_.handler = handler; }

HttpResponse Router::http_elsewhere(const HttpRequest& request) const {
  return table_->elsewhere(request);
}

const std::vector<const MethodInfo*>& Router::methods() const { return table_->infos_; }

}  // namespace keelson::net
