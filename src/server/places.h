// server/places.h
//
// From lists of URLs to the sockets that listen there.
//
// Threads: pure functions.

#pragma once

#include <string>
#include <vector>

#include "server/url.h"

namespace keelson::server {

// One socket. Two URLs may name the same, one with TLS and one without.
struct Place {
  std::string address;  // as Listener::start() wants it
  bool plain = false;
  bool secure = false;
};

std::vector<Place> places_of(const std::vector<Url>& urls);

}  // namespace keelson::server
