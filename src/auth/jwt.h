// auth/jwt.h
//
// Jwt signs and verifies tokens that say themselves whose they are: JSON Web Tokens with the claims
// `username`, `revision` (of the rules, when it was signed) and `exp`. HMAC, RSA (with either
// padding), elliptic curves and Ed25519, as --auth-token=jwt,sign-method=… chooses.
//
// Threads: immutable; any thread. A signature takes up to a few milliseconds, verifying up to one.
// Errors: verify() gives nothing for a token that is not good now, and does not say why. create():
//   etcd's texts where it has some. sign(): Unknown, with etcd's text, where only the public key is
//   known.
// Source: etcd v3.7.1, server/auth/jwt.go and options.go, and what golang-jwt 5 takes for valid:
//   an expiry is looked at if there is one, and so is `nbf`. RFC 7518 for the signatures.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

struct evp_pkey_st;

namespace keelson::auth {

struct JwtOptions {
  std::string method;       // "RS256", "EdDSA", …
  std::string public_key;   // PEM; may be empty
  std::string private_key;  // PEM, or the secret itself for HS…; may be empty
  Duration ttl = std::chrono::minutes(5);
};

class Jwt {
 public:
  struct Claims {
    std::string user;
    uint64_t revision = 0;
    // Good at unix times t: not_before <= t < expires.
    Duration not_before{INT64_MIN};
    Duration expires{INT64_MAX};

    bool good_at(Duration unix_time) const {
      return not_before <= unix_time && unix_time < expires;
    }
  };

  static absl::StatusOr<std::unique_ptr<Jwt>> create(JwtOptions options);
  ~Jwt();

  absl::StatusOr<std::string> sign(std::string_view user, uint64_t revision,
                                   Duration unix_time) const;
  // What a token says whose signature holds, good now or not.
  std::optional<Claims> verify(std::string_view token) const;

 private:
  enum class Family : uint8_t { kHmac, kRsa, kRsaPss, kEcdsa, kEdDsa };
  struct Method;
  static const Method* find_method(std::string_view name);

  Jwt(const Method& method, Duration ttl) : method_(method), ttl_(ttl) {}
  absl::Status load_keys(const JwtOptions& options);
  std::string hmac(std::string_view text) const;
  bool signature_holds(std::string_view text, std::string_view signature) const;
  absl::StatusOr<std::string> signature_of(std::string_view text) const;

  const Method& method_;
  const Duration ttl_;
  std::string secret_;                // of HMAC
  std::shared_ptr<evp_pkey_st> key_;  // of the others; never null there
  bool may_sign_ = false;
};

}  // namespace keelson::auth
