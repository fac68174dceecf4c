#include "server/places.h"

#include <algorithm>

namespace keelson::server {

std::vector<Place> places_of(const std::vector<Url>& urls) {
  std::vector<Place> places;
  for (const Url& url : urls) {
    std::string address = url.is_unix() ? "unix://" + url.socket_path() : url.host;
    auto found = std::find_if(places.begin(), places.end(),
                              [&](const Place& place) { return place.address == address; });
    if (found == places.end()) found = places.insert(found, {std::move(address)});
    (url.is_tls() ? found->secure : found->plain) = true;
  }
  return places;
}

}  // namespace keelson::server
