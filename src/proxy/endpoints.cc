#include "proxy/endpoints.h"

#include <charconv>

#include "base/check.h"
#include "base/text.h"

namespace keelson::proxy {
namespace {

// Where weights are given, one without comes once in so many.
constexpr uint64_t kOneOf = 100;

// "host:port" of a URL, or all of what is none.
std::string_view authority_of(std::string_view text) {
  const size_t slashes = text.find("//");
  if (slashes == std::string_view::npos) return text;
  if (slashes != 0 && text[slashes - 1] != ':') return text;
  std::string_view rest = text.substr(slashes + 2);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const size_t user = rest.rfind('@');
  return user == std::string_view::npos ? rest : rest.substr(user + 1);
}

}  // namespace

std::string Endpoint::address() const {
  if (host.find(':') != std::string::npos) return cat("[", host, "]:", port);
  return cat(host, ":", port);
}

absl::StatusOr<Endpoint> parse_endpoint(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(cat("error parsing endpoint \"", text, "\""));
  const std::string_view place = authority_of(text);
  const size_t colon = place.rfind(':');
  if (colon == std::string_view::npos) return bad;
  std::string_view host = place.substr(0, colon);
  const std::string_view digits = place.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad;
  }
  Endpoint endpoint{.host = std::string(host)};
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, endpoint.port);
  if (error != std::errc() || stopped != end || endpoint.port == 0) return bad;
  return endpoint;
}

Endpoints::Endpoints(std::vector<Endpoint> all, Random* random)
    : all_(std::move(all)), active_(all_.size(), true), random_(*random) {}

bool Endpoints::set_active(size_t number, bool active) {
  if (active_[number] == active) return false;
  active_[number] = active;
  return true;
}

Endpoints::Best Endpoints::best(const Tried& tried) const {
  Best best;
  for (size_t i = 0; i < all_.size(); ++i) {
    if (!active_[i] || tried[i]) continue;
    if (best.count > 0 && all_[i].priority > best.priority) continue;
    if (best.count == 0 || all_[i].priority < best.priority) best = {all_[i].priority};
    ++best.count;
    if (all_[i].weight == 0) ++best.unweighted;
    best.weights += all_[i].weight;
  }
  return best;
}

bool Endpoints::eligible(size_t number, const Tried& tried, const Best& best) const {
  return active_[number] && !tried[number] && all_[number].priority == best.priority;
}

std::optional<size_t> Endpoints::pick(const Tried& tried) {
  CHECK(tried.size() == all_.size());
  const Best found = best(tried);
  if (found.count == 0) return std::nullopt;
  if (found.weights == 0) return in_turn(tried, found);
  if (found.unweighted > 0 && random_.below(kOneOf) == 0) return in_turn(tried, found);
  return by_weight(tried, found);
}

// Of those without a weight. REQUIRES: there is one.
size_t Endpoints::in_turn(const Tried& tried, const Best& best) {
  CHECK(best.unweighted > 0);
  size_t number = turn_ % all_.size();
  while (!eligible(number, tried, best) || all_[number].weight != 0) {
    number = (number + 1) % all_.size();
  }
  turn_ = number + 1;
  return number;
}

// REQUIRES: there is a weight.
size_t Endpoints::by_weight(const Tried& tried, const Best& best) {
  uint64_t left = random_.below(best.weights);
  size_t number = 0;
  while (true) {
    CHECK(number < all_.size());
    if (eligible(number, tried, best)) {
      if (left < all_[number].weight) return number;
      left -= all_[number].weight;
    }
    ++number;
  }
}

}  // namespace keelson::proxy
