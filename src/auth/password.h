// auth/password.h
//
// Passwords as etcd keeps them: hashed by bcrypt, "$2a$", as Go's golang.org/x/crypto/bcrypt. Each
// call takes from milliseconds to seconds by the cost: for worker threads, never for a lane.
//
// Threads: any.
// Library: libcrypt's crypt_r. Two things are not as it has them. "$2a$" there is guarded against a
//   fault that Go's never had; so it is asked for "$2b$", which computes what Go does. And it stops
//   at a zero byte, where Go does not: such passwords are refused, before "a\0b" is taken for "a".

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::auth {

inline constexpr int kLeastBcryptCost = 4;
inline constexpr int kMostBcryptCost = 31;
inline constexpr int kDefaultBcryptCost = 10;

// With a salt of its own. Unknown, with Go's text, for one of more than 72 bytes.
// REQUIRES: kLeastBcryptCost <= cost <= kMostBcryptCost.
absl::StatusOr<std::string> hash_password(std::string_view password, int cost);

// Whether `hash` is of this password. Compared in the same time, whatever differs.
bool password_matches(std::string_view hash, std::string_view password);

// The cost that a hash was made with; 0: it is none.
int cost_of(std::string_view hash);

// Takes as long as password_matches() with a hash of this cost, and never matches: for a user that
// does not exist. Who asks learns nothing from the time.
void waste_time_for(std::string_view password, int cost);

}  // namespace keelson::auth
