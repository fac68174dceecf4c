#include "server/places.h"

#include <algorithm>
#include <optional>

#include "net/address.h"

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

std::string local_address(const Config& config) {
  if (!config.feature("SetMemberLocalAddr")) return "";
  for (const Url& url : config.initial_advertise_peer_urls) {
    const std::optional<net::Address> address = net::ip_address(url.hostname());
    if (address && !address->is_loopback() && !address->is_unspecified()) return url.hostname();
  }
  return "";
}

}  // namespace keelson::server
