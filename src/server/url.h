// server/url.h
//
// The URLs that flags name: where to listen and what to advertise. The rules and error texts are
// etcd's (v3.7.1, client/pkg/types/urls.go): http, https, unix and unixs; the first two as
// host:port with no path, the others with the socket's path (or host:port as its file name).

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::server {

struct Url {
  std::string scheme;
  std::string host;  // "127.0.0.1:2379", "[::1]:2379"; for unix sockets what stands before a slash
  std::string path;  // only for unix and unixs

  bool is_unix() const { return scheme == "unix" || scheme == "unixs"; }
  bool is_tls() const { return scheme == "https" || scheme == "unixs"; }
  std::string socket_path() const { return host + path; }  // REQUIRES: is_unix()
  std::string hostname() const;  // without port and brackets; empty if there is none
  std::string port() const;      // empty if there is none
  std::string str() const;       // as etcd prints it

  friend auto operator<=>(const Url&, const Url&) = default;
};

absl::StatusOr<Url> parse_url(std::string_view text);
// Comma-separated; sorted and without duplicates, as etcd holds them. An empty list is an error.
absl::StatusOr<std::vector<Url>> parse_urls(std::string_view text);
// str() of each.
std::vector<std::string> url_texts(const std::vector<Url>& urls);
// Comma-separated str() of each.
std::string urls_text(const std::vector<Url>& urls);

}  // namespace keelson::server
