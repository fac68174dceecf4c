#include "rpc/access.h"

#include <charconv>
#include <optional>
#include <utility>

#include "auth/token_text.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "net/tls/identity.h"

namespace keelson::rpc {
namespace {

std::string_view without_scheme(std::string_view token) {
  if (token.starts_with("Bearer ")) token.remove_prefix(7);
  return token;
}

std::optional<std::string_view> shown_by(const net::ServerCall& call) {
  std::optional<std::string_view> token = call.metadata("token");
  if (!token) token = call.metadata("authorization");
  if (!token) return std::nullopt;
  return without_scheme(*token);
}

// The place in the log that a simple token names: what follows its only point.
std::optional<uint64_t> place_of(std::string_view token) {
  const size_t point = token.find('.');
  if (point == token.npos) return std::nullopt;
  uint64_t place = 0;
  const char* end = token.data() + token.size();
  auto [at, error] = std::from_chars(token.data() + point + 1, end, place);
  if (error != std::errc() || at != end) return std::nullopt;
  return place;
}

}  // namespace

void RefusedTokens::add(uint64_t number) {
  CHECK(!know(number));
  if (last_.size() == kMost) before_ = std::exchange(last_, {});
  last_.insert(number);
  CHECK(last_.size() <= kMost);
}

void Access::fetch(LaneAccess& lane, uint64_t version) const {
  lane.rules = store_.newest();
  lane.version = version;
}

absl::StatusOr<auth::Identity> Access::who(LaneAccess& lane, const net::ServerCall& call) const {
  const auth::Rules& newest = rules(lane);
  if (newest.enabled()) {
    if (std::optional<std::string_view> token = shown_by(call)) {
      return of_token(lane, *token, call.loop().now());
    }
  }
  return settings_.client_cert_auth ? of_certificate(newest, call) : auth::Identity();
}

bool Access::may_be_somebody(const net::ServerCall& call) const {
  return shown_by(call).has_value() || (settings_.client_cert_auth && call.identity());
}

absl::StatusOr<auth::Identity> Access::of_token(LaneAccess& lane, std::string_view token,
                                                MonotonicTime now) const {
  if (settings_.jwt) {
    const auth::Jwt::Claims* claims = verified(lane, token);
    if (claims) return auth::Identity{claims->user, claims->revision};
  } else if (const std::string* user = lane.rules->token_user(token, now)) {
    return auth::Identity{*user, lane.rules->revision()};
  }
  if (now >= lane.next_warning) {
    lane.next_warning = now + std::chrono::seconds(1);
    log::warn("invalid auth token", {{"token-fingerprint", auth::fingerprint(token)}});
  }
  return errors::InvalidAuthToken();
}

const auth::Jwt::Claims* Access::verified(LaneAccess& lane, std::string_view token) const {
  auto known = lane.verified.find(to_absl(token));
  if (known == lane.verified.end()) {
    const uint64_t number = keyed_hash(refused_key_, token);
    if (lane.refused.know(number)) return nullptr;
    std::optional<auth::Jwt::Claims> claims = settings_.jwt->verify(token);
    ++lane.times_verified;
    if (!claims) {
      lane.refused.add(number);
      return nullptr;
    }
    if (lane.verified.size() >= kMostVerified) lane.verified.clear();
    known = lane.verified.emplace(to_absl(token), *std::move(claims)).first;
  }
  return known->second.good_at(clock_.unix_time()) ? &known->second : nullptr;
}

auth::Identity Access::of_certificate(const auth::Rules& rules, const net::ServerCall& call) const {
  if (!call.identity() || call.metadata("grpcgateway-accept")) return {};
  return {call.identity()->common_name, rules.revision()};
}

absl::Status Access::require_user(LaneAccess& lane, const net::ServerCall& call) const {
  if (!rules(lane).enabled()) return absl::OkStatus();
  absl::StatusOr<auth::Identity> asks = who(lane, call);
  if (!asks.ok()) return asks.status();
  // Who has a certificate without a name has shown one.
  return asks->revision == 0 && asks->user.empty() ? errors::UserEmpty() : absl::OkStatus();
}

absl::Status Access::require_admin(LaneAccess& lane, const net::ServerCall& call) const {
  absl::StatusOr<auth::Identity> asks = who(lane, call);
  if (!asks.ok()) return asks.status();
  return lane.rules->may_administrate(*asks);
}

absl::Status Access::require_admin(LaneAccess& lane, std::string_view token,
                                   MonotonicTime now) const {
  const auth::Rules& newest = rules(lane);
  if (token.empty() || !newest.enabled()) return newest.may_administrate({});
  absl::StatusOr<auth::Identity> asks = of_token(lane, without_scheme(token), now);
  if (!asks.ok()) return asks.status();
  return newest.may_administrate(*asks);
}

std::string Access::token_of(const net::ServerCall& call) {
  return std::string(shown_by(call).value_or(""));
}

bool Access::may_come(LaneAccess& lane, const net::ServerCall& call, uint64_t applied) const {
  const auth::Rules& newest = rules(lane);
  if (!newest.enabled() || settings_.jwt) return false;
  std::optional<std::string_view> token = shown_by(call);
  if (!token || newest.token_user(*token, call.loop().now()) != nullptr) return false;
  // etcd names the entry before its own.
  std::optional<uint64_t> place = place_of(*token);
  return place && *place >= applied;
}

}  // namespace keelson::rpc
