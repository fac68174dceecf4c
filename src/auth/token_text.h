// auth/token_text.h
//
// The texts that stand for logins: the letters of a new simple token, and what logs show of one.
//
// Threads: any.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keelson::auth {

// 16 letters that nobody can guess, as etcd's tokens begin. Fails when the system has no
// randomness.
absl::StatusOr<std::string> random_letters();

// The first 12 hexadecimal digits of a token's SHA-256, as in etcd's logs.
std::string fingerprint(std::string_view token);

}  // namespace keelson::auth
