// server/places.h
//
// From lists of URLs to the sockets that listen there, and to the address that connections to other
// members come from.
//
// Threads: pure functions.

#pragma once

#include <string>
#include <vector>

#include "server/config.h"
#include "server/url.h"

namespace keelson::server {

// One socket. Two URLs may name the same, one with TLS and one without.
struct Place {
  std::string address;  // as Listener::start() wants it
  bool plain = false;
  bool secure = false;
};

std::vector<Place> places_of(const std::vector<Url>& urls);

// With the feature gate SetMemberLocalAddr: the first address among the peer URLs that this member
// advertises which is not of this machine alone. Empty: the system chooses.
// Source: etcd v3.7.1, server/embed/config.go (InferLocalAddr).
std::string local_address(const Config& config);

}  // namespace keelson::server
