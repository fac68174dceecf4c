// auth/rules.h
//
// Rules is an immutable picture of who may do what: the users with what their roles add up to, and
// the tokens by which clients say who they are. The apply lane makes one after the other
// (AuthStore); the io lanes check reads against the newest, without a lock.
//
// Threads: read from any; a Token's deadline moves from any.
// Errors: base/errors.h: UserEmpty for a request of nobody, AuthOldRevision for one admitted under
//   rules that have changed since, UserNotFound and PermissionDenied.
// Source of the rules: etcd v3.7.1, server/auth/store.go.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "auth/key_ranges.h"
#include "auth/shared_map.h"
#include "base/clock.h"

namespace keelson::auth {

inline constexpr std::string_view kRoot = "root";  // the user and the role of that name

// Who asks, and which revision of the rules was read when that was found out. Revision 0: nobody
// logged in. The view is whoever's the name is.
struct Identity {
  std::string_view user;
  uint64_t revision = 0;
};

enum class Access : uint8_t { kRead, kWrite };

// What the checks need of a user.
struct UserRules {
  UserRules(GrantOrder order, uint64_t n) : number(n), read(order), write(order) {}

  const uint64_t number;     // not 0; no other rules of this member's have it, before or after
  bool is_root = false;      // has the role: may do everything
  bool no_password = false;  // logs in by certificate only
  std::string password;      // hashed by bcrypt; what was stored, be it nonsense
  KeyRanges read;
  KeyRanges write;

  bool may(Access access, std::string_view key, std::string_view range_end) const {
    return is_root || (access == Access::kRead ? read : write).covers(key, range_end);
  }
};

// Of the simple sort: random letters and a place in the log.
struct Token {
  Token(std::string u, MonotonicTime until) : user(std::move(u)), deadline(until.since_origin) {}
  const std::string user;
  std::atomic<Duration> deadline;  // each use puts it off
};

class Rules {
 public:
  bool enabled() const { return enabled_; }
  uint64_t revision() const { return revision_; }

  // Whether `who` may read, or write, all keys from `key` to `range_end` (as requests write it).
  absl::Status may(const Identity& who, Access access, std::string_view key,
                   std::string_view range_end) const;
  // What decides about `who` now, for whoever has many keys to ask about: as may() otherwise. Never
  // null; valid as long as these rules. REQUIRES: enabled().
  absl::StatusOr<const UserRules*> rules_for(const Identity& who) const;
  // Whether `who` may administrate. Says nothing of the revision, as etcd.
  absl::Status may_administrate(const Identity& who) const;

  // Null: there is no such user.
  const UserRules* user(std::string_view name) const;

  // The user whose token this is at `now`, and puts its end off; null: nobody's, or it has ended.
  // Valid as long as these rules.
  const std::string* token_user(std::string_view token, MonotonicTime now) const;

 private:
  friend class AuthStore;

  bool enabled_ = false;
  uint64_t revision_ = 0;
  Duration token_ttl_{0};
  SharedMap<std::shared_ptr<const UserRules>, 64> users_;
  SharedMap<std::shared_ptr<Token>, 256> tokens_;
};

}  // namespace keelson::auth
