#include "server/auth.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "auth/password.h"
#include "base/log.h"
#include "base/text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using Options = std::map<std::string, std::string>;

absl::Status invalid_options() { return absl::InvalidArgumentError("auth: invalid auth options"); }

// What follows the kind: name=value each, none twice.
absl::StatusOr<Options> options_of(const std::vector<std::string>& parts) {
  Options options;
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (equals == std::string::npos || parts[i].find('=', equals + 1) != std::string::npos ||
        !options.emplace(parts[i].substr(0, equals), parts[i].substr(equals + 1)).second) {
      log::error("invalid token option", {{"option", parts[i].substr(0, equals)}});
      return invalid_options();
    }
  }
  return options;
}

absl::StatusOr<std::string> read_key(const Options& options, const std::string& name) {
  auto file = options.find(name);
  if (file == options.end() || file->second.empty()) return std::string();
  std::ifstream in(file->second, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  if (in.bad() || !in.is_open()) {
    log::error("problem loading JWT options", {{"option", name}, {"file", file->second}});
    return invalid_options();
  }
  return content;
}

absl::StatusOr<std::shared_ptr<const auth::Jwt>> make_jwt(const Options& options) {
  for (const auto& [name, value] : options) {
    if (name == "sign-method" || name == "pub-key" || name == "priv-key" || name == "ttl") continue;
    log::warn("unknown JWT options", {{"keys", name}});
  }
  auth::JwtOptions made;
  if (auto method = options.find("sign-method"); method != options.end()) {
    made.method = method->second;
  }
  if (auto ttl = options.find("ttl"); ttl != options.end() && !ttl->second.empty()) {
    absl::StatusOr<Duration> parsed = parse_duration(ttl->second);
    if (!parsed.ok()) {
      log::error("problem loading JWT options", {{"option", "ttl"}, {"value", ttl->second}});
      return invalid_options();
    }
    made.ttl = *parsed;
  }
  absl::StatusOr<std::string> public_key = read_key(options, "pub-key");
  if (!public_key.ok()) return public_key.status();
  absl::StatusOr<std::string> private_key = read_key(options, "priv-key");
  if (!private_key.ok()) return private_key.status();
  made.public_key = *std::move(public_key);
  made.private_key = *std::move(private_key);
  const std::string method = made.method;
  absl::StatusOr<std::unique_ptr<auth::Jwt>> jwt = auth::Jwt::create(std::move(made));
  if (!jwt.ok()) {
    log::error("problem loading JWT options",
               {{"sign-method", method}, {"error", message_of(jwt.status())}});
    return jwt.status();
  }
  return std::shared_ptr<const auth::Jwt>(*std::move(jwt));
}

int bcrypt_cost(uint64_t given) {
  if (given >= auth::kLeastBcryptCost && given <= auth::kMostBcryptCost) {
    return static_cast<int>(given);
  }
  log::warn("use default bcrypt cost instead of the invalid given cost",
            {{"min-cost", auth::kLeastBcryptCost},
             {"max-cost", auth::kMostBcryptCost},
             {"default-cost", auth::kDefaultBcryptCost},
             {"given-cost", given}});
  return auth::kDefaultBcryptCost;
}

// Go's split: the empty text is one empty part.
std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts = comma_parts(text);
  if (parts.empty()) parts.emplace_back();
  return parts;
}

}  // namespace

absl::StatusOr<AuthSetup> prepare_auth(const Config& config) {
  AuthSetup setup;
  setup.settings.client_cert_auth = config.client_tls.client_cert_auth;
  setup.settings.bcrypt_cost = bcrypt_cost(config.bcrypt_cost);
  // A century, where nanoseconds would not count as far.
  constexpr uint64_t kMostSeconds = 100ull * 365 * 24 * 3600;
  if (config.auth_token_ttl_seconds > 0) {
    setup.store.token_ttl =
        seconds(static_cast<int64_t>(std::min(config.auth_token_ttl_seconds, kMostSeconds)));
  }
  const std::vector<std::string> parts = parts_of(config.auth_token);
  absl::StatusOr<Options> options = options_of(parts);
  if (!options.ok()) return options.status();
  if (parts[0] == "simple") {
    log::warn("simple token is not cryptographically signed");
  } else if (parts[0] == "jwt") {
    absl::StatusOr<std::shared_ptr<const auth::Jwt>> jwt = make_jwt(*options);
    if (!jwt.ok()) return jwt.status();
    setup.settings.jwt = *std::move(jwt);
    setup.store.tokens = auth::TokenKind::kSelfContained;
  } else if (parts[0].empty()) {
    setup.store.tokens = auth::TokenKind::kNone;
  } else {
    log::warn("unknown token type", {{"type", parts[0]}});
    return invalid_options();
  }
  return setup;
}

}  // namespace keelson::server
