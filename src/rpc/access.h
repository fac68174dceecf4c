// rpc/access.h
//
// Access says who a call comes from, and holds reads and administration against the rules. What
// goes through the log takes the name along and is held against the rules where it is applied.
//
// Who it is: the user of the token in the metadata `token`, or else `authorization`; without one,
//   where client certificates are demanded, their common name, but never through the JSON gateway,
//   whose certificate says nothing of who asks.
// Threads: each io lane with its own LaneAccess, which holds the newest rules; no lock is taken but
//   to fetch rules that have changed.
// Errors: errors::InvalidAuthToken for a token that is nobody's, and those of auth/rules.h. No
//   token is in a log or an error: a fingerprint is.
// Cost: of a JWT that comes again, or is asked about several times in one call, the signature is
//   verified once, whether it holds or not, as long as a lane remembers.
// Source: etcd v3.7.1, server/auth/store.go (AuthInfoFromCtx, AuthInfoFromTLS), v3_server.go.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "auth/auth_store.h"
#include "auth/jwt.h"
#include "auth/rules.h"
#include "base/clock.h"
#include "base/keyed_hash.h"
#include "net/grpc.h"

namespace keelson::rpc {

struct AuthSettings {
  std::shared_ptr<const auth::Jwt> jwt;  // null: simple tokens
  bool client_cert_auth = false;
  int bcrypt_cost = 10;
};

// Numbers of the JWTs whose signature was last found not to hold, which is for good: at least so
// many as kMost, at most twice as many.
class RefusedTokens {
 public:
  static constexpr size_t kMost = 4096;

  bool know(uint64_t number) const { return last_.contains(number) || before_.contains(number); }
  void add(uint64_t number);

 private:
  absl::flat_hash_set<uint64_t> last_, before_;  // <= kMost each
};

// What one io lane knows.
struct LaneAccess {
  uint64_t version = 0;  // of the rules; 0: none fetched
  std::shared_ptr<const auth::Rules> rules;
  // JWTs whose signature holds, by their text: verifying costs more than a read does. At most
  // Access::kMostVerified.
  absl::flat_hash_map<std::string, auth::Jwt::Claims> verified;
  // The others, by a hash that nobody foresees: what clients make up may be long, and be many.
  RefusedTokens refused;
  uint64_t times_verified = 0;
  MonotonicTime next_warning;  // of bad tokens, of which there may be many
};

class Access {
 public:
  static constexpr size_t kMostVerified = 1024;

  Access(const auth::AuthStore& store, const Clock& clock, AuthSettings settings)
      : store_(store), clock_(clock), settings_(std::move(settings)) {}

  const AuthSettings& settings() const { return settings_; }

  // The newest; valid until the next call.
  const auth::Rules& rules(LaneAccess& lane) const {
    const uint64_t version = store_.version();
    if (version != lane.version) fetch(lane, version);
    return *lane.rules;
  }

  // By the newest rules, which are *lane.rules then. Valid until those are fetched anew, or the end
  // of the call. Nobody, with revision 0, where nothing says who it is, or it does not matter.
  absl::StatusOr<auth::Identity> who(LaneAccess& lane, const net::ServerCall& call) const;

  // False: who() says nobody, whatever the rules are and become.
  bool may_be_somebody(const net::ServerCall& call) const;

  // Somebody must be logged in, where that matters; an administrator.
  absl::Status require_user(LaneAccess& lane, const net::ServerCall& call) const;
  absl::Status require_admin(LaneAccess& lane, const net::ServerCall& call) const;
  // Of another member, for whoever showed it `token`; empty: nobody did.
  absl::Status require_admin(LaneAccess& lane, std::string_view token, MonotonicTime now) const;
  // What the call shows, to be shown on; empty: nothing.
  static std::string token_of(const net::ServerCall& call);

  // A token of an entry that is not applied here yet: it may be good when it is. `applied`: up to
  // where entries are.
  bool may_come(LaneAccess& lane, const net::ServerCall& call, uint64_t applied) const;

 private:
  void fetch(LaneAccess& lane, uint64_t version) const;
  absl::StatusOr<auth::Identity> of_token(LaneAccess& lane, std::string_view token,
                                          MonotonicTime now) const;
  const auth::Jwt::Claims* verified(LaneAccess& lane, std::string_view token) const;
  auth::Identity of_certificate(const auth::Rules& rules, const net::ServerCall& call) const;

  const auth::AuthStore& store_;
  const Clock& clock_;
  const AuthSettings settings_;
  const HashKey refused_key_ = random_hash_key();
};

}  // namespace keelson::rpc
