// server/auth.h
//
// How users of this member log in, as --auth-token, --auth-token-ttl, --bcrypt-cost and
// --client-cert-auth say.
//
// Threads: the main thread, at start. Reads the key files.
// Errors: InvalidArgument with etcd's text ("auth: invalid auth options"). A cost that bcrypt does
//   not have is a warning, and the usual one taken.
// Source: etcd v3.7.1, server/auth/store.go (NewTokenProvider) and options.go.

#pragma once

#include "absl/status/statusor.h"
#include "auth/auth_store.h"
#include "rpc/access.h"
#include "server/config.h"

namespace keelson::server {

struct AuthSetup {
  auth::StoreOptions store;
  rpc::AuthSettings settings;
};
absl::StatusOr<AuthSetup> prepare_auth(const Config& config);

}  // namespace keelson::server
