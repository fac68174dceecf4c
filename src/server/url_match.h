// server/url_match.h
//
// Whether lists of URLs name the same places, however they spell them: hosts are looked up.
//
// Threads: any. Blocks while names are looked up.
// Source: etcd v3.7.1, pkg/netutil (URLStringsEqual), with its texts.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/url.h"

namespace keelson::server {

// "address:port" of the URL's host, an IPv4 address if it has one, as Go chooses. Nothing: the host
// cannot be found.
std::optional<std::string> address_of(const Url& url);

// Why the two lists do not name the same addresses; empty if they do. Both sorted.
std::string url_difference(const std::vector<Url>& ours, const std::vector<Url>& named);

}  // namespace keelson::server
