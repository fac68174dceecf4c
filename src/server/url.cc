#include "server/url.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

absl::Status bad_parse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(cat("parse ", quoted(text), ": ", why));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

// The position of the colon after a scheme, or npos if the text begins with none.
size_t scheme_end(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == ':') return i;
    const bool inside = std::isdigit(c) || c == '+' || c == '-' || c == '.';
    if (!std::isalpha(c) && !(i > 0 && inside)) return std::string_view::npos;
  }
  return std::string_view::npos;
}

// Where the port's colon stands in "host:port" or "[v6]:port"; npos if there is none.
size_t port_colon(std::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos) return colon;
  if (bracket != std::string_view::npos) {
    return colon == bracket + 1 ? colon : std::string_view::npos;
  }
  return host.find(':') == colon ? colon : std::string_view::npos;  // a bare IPv6 has no port
}

absl::Status check_port(std::string_view text, std::string_view host) {
  const size_t colon = port_colon(host);
  if (colon == std::string_view::npos) return absl::OkStatus();
  const std::string_view port = host.substr(colon + 1);
  if (std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return absl::OkStatus();
  }
  return bad_parse(text, cat("invalid port ", quoted(host.substr(colon)), " after host"));
}

absl::Status check_rules(const Url& url, std::string_view text) {
  if (url.is_unix()) return absl::OkStatus();
  if (url.scheme != "http" && url.scheme != "https") {
    return absl::InvalidArgumentError(
        cat("URL scheme must be http, https, unix, or unixs: ", text));
  }
  if (port_colon(url.host) == std::string_view::npos) {
    return absl::InvalidArgumentError(
        cat("URL address does not have the form \"host:port\": ", text));
  }
  if (!url.path.empty()) {
    return absl::InvalidArgumentError(cat("URL must not contain a path: ", text));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Url::hostname() const {
  std::string_view name = std::string_view(host).substr(0, port_colon(host));
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  return std::string(name);
}

std::string Url::port() const {
  const size_t colon = port_colon(host);
  return colon == std::string::npos ? "" : host.substr(colon + 1);
}

std::string Url::str() const { return cat(scheme, "://", host, path); }

absl::StatusOr<Url> parse_url(std::string_view given) {
  const std::string_view text = trimmed(given);
  const size_t colon = scheme_end(text);
  if (colon == std::string_view::npos) {
    if (text.substr(0, text.find('/')).find(':') != std::string_view::npos) {
      return bad_parse(text, "first path segment in URL cannot contain colon");
    }
  } else if (colon == 0) {
    return bad_parse(text, "missing protocol scheme");
  }
  Url url;
  std::string_view rest = text;
  if (colon != std::string_view::npos) {
    url.scheme = text.substr(0, colon);
    std::transform(url.scheme.begin(), url.scheme.end(), url.scheme.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    rest = text.substr(colon + 1);
  }
  rest = rest.substr(0, rest.find_first_of("?#"));
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    const size_t slash = std::min(rest.find('/'), rest.size());
    std::string_view authority = rest.substr(0, slash);
    if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
      authority.remove_prefix(at + 1);
    }
    url.host = authority;
    rest.remove_prefix(slash);
    if (absl::Status s = check_port(text, authority); !url.is_unix() && !s.ok()) return s;
  }
  url.path = rest;
  if (absl::Status s = check_rules(url, text); !s.ok()) return s;
  return url;
}

absl::StatusOr<std::vector<Url>> parse_urls(std::string_view text) {
  std::vector<Url> urls;
  // An empty text has one empty part here, which is an error of its own.
  for (std::string_view part : text.empty() ? std::vector<std::string>{""} : comma_parts(text)) {
    absl::StatusOr<Url> url = parse_url(part);
    if (!url.ok()) return url.status();
    urls.push_back(*std::move(url));
  }
  std::sort(urls.begin(), urls.end(), [](const Url& a, const Url& b) { return a.str() < b.str(); });
  urls.erase(std::unique(urls.begin(), urls.end()), urls.end());
  return urls;
}

std::vector<std::string> url_texts(const std::vector<Url>& urls) {
  std::vector<std::string> texts;
  for (const Url& url : urls) texts.push_back(url.str());
  return texts;
}

std::string urls_text(const std::vector<Url>& urls) {
  std::string text;
  for (const Url& url : urls) text += (text.empty() ? "" : ",") + url.str();
  return text;
}

}  // namespace keelson::server
