// auth/auth_store.h
//
// AuthStore is the replicated part of authentication: users, roles, permissions, whether they
// count, and the revision that most changes raise. Entries of the log change it; the records are
// etcd's, byte for byte, in the buckets `auth`, `authUsers` and `authRoles`. From it come the Rules
// that requests are checked against, on this lane and on others.
//
// Threads: the apply lane, but for newest() and version().
// Determinism: records and answers depend on the entries alone. Tokens are this member's own: each
//   makes the same ones of the same entries, and each forgets them by its own clock, or by a start.
// Errors: base/errors.h, for the client. One of etcd's has no code of its own and comes as Unknown
//   with etcd's text. Unimplemented: no answer, an entry that cannot be applied here. DataLoss from
//   restore(): a record does not parse.
// Source: etcd v3.7.1, server/auth/store.go, simple_token.go and server/storage/schema.

#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "auth/rules.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/line_budget.h"
#include "proto/auth.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::auth {

// Simple ones are kept here; others say themselves whose they are (jwt); or nobody gets one.
enum class TokenKind : uint8_t { kSimple, kSelfContained, kNone };

struct StoreOptions {
  TokenKind tokens = TokenKind::kSimple;
  Duration token_ttl = std::chrono::seconds(300);
  size_t max_tokens = 1 << 20;  // more logins are refused until some have ended
  // Of lines about what entries do; null: no bound. Outlives the store.
  LineBudget* lines = nullptr;
  // Logins up to here in the log are of before the start: what they gave out has ended with it, or
  // long ago, and does not come back when the log is read again.
  Index started_at;
};

class AuthStore {
 public:
  AuthStore(StoreOptions options, const Clock* clock);

  // Reads the records; every token is forgotten. publish() shows it.
  absl::Status restore(const backend::Reader& reader);
  // A new member's store begins with revision 1: false if it had one, true if it is now in `batch`.
  bool begin(backend::WriteBatch& batch);

  // How grants are ordered from now on, of which the answers about ranges without keys depend; it
  // is in publish()'s next picture. REQUIRES: it follows from the entries before.
  void order_grants(GrantOrder order);

  // ---- what entries do; a change is in publish()'s next picture

  absl::Status enable(backend::WriteBatch& batch);
  void disable(backend::WriteBatch& batch);
  // The answer's token; empty where tokens are not of the simple sort. `before` is the place in the
  // log before the entry's, which etcd writes into it.
  absl::StatusOr<std::string> authenticate(std::string_view user, std::string_view letters,
                                           Index before);

  absl::Status user_add(const etcdserverpb::AuthUserAddRequest& request,
                        backend::WriteBatch& batch);
  absl::Status user_delete(const etcdserverpb::AuthUserDeleteRequest& request,
                           backend::WriteBatch& batch);
  absl::Status user_change_password(const etcdserverpb::AuthUserChangePasswordRequest& request,
                                    backend::WriteBatch& batch);
  absl::Status user_grant_role(const etcdserverpb::AuthUserGrantRoleRequest& request,
                               backend::WriteBatch& batch);
  absl::Status user_revoke_role(const etcdserverpb::AuthUserRevokeRoleRequest& request,
                                backend::WriteBatch& batch);
  absl::Status role_add(const etcdserverpb::AuthRoleAddRequest& request,
                        backend::WriteBatch& batch);
  absl::Status role_delete(const etcdserverpb::AuthRoleDeleteRequest& request,
                           backend::WriteBatch& batch);
  absl::Status role_grant_permission(const etcdserverpb::AuthRoleGrantPermissionRequest& request,
                                     backend::WriteBatch& batch);
  absl::Status role_revoke_permission(const etcdserverpb::AuthRoleRevokePermissionRequest& request,
                                      backend::WriteBatch& batch);

  // ---- questions; in byte order of names

  const absl::btree_map<std::string, authpb::User>& users() const { return users_; }
  const absl::btree_map<std::string, authpb::Role>& roles() const { return roles_; }
  bool has_role(std::string_view user, std::string_view role) const;
  // As of the last change, published or not.
  const Rules& rules() const { return rules_; }

  // ---- the picture

  // Shows what has changed since the last call. Before the effects of the same entries on the key
  // space are shown: who reads those and then asks version() again learns of it.
  void publish();
  // Any thread. Ask only when version() has moved: this may wait for another who asks.
  std::shared_ptr<const Rules> newest() const;
  // Any thread. Rises with each picture.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Tests: aborts if what is kept besides the records does not follow from them.
  void check_invariants() const;

 private:
  using Users = absl::btree_map<std::string, authpb::User>;
  using Roles = absl::btree_map<std::string, authpb::Role>;

  bool may_tell(std::initializer_list<std::string_view> texts) const;
  absl::Status restore_users(const backend::Reader& reader);
  absl::Status restore_roles(const backend::Reader& reader);
  authpb::User* find_user(std::string_view name);
  authpb::Role* find_role(std::string_view name);
  // Each writes the record, too.
  void put_user(authpb::User user, backend::WriteBatch& batch);
  void put_role(authpb::Role role, backend::WriteBatch& batch);
  void raise_revision(backend::WriteBatch& batch);

  void keep_user(authpb::User user);
  void note_roles(const authpb::User& user, bool held);
  std::shared_ptr<const UserRules> rules_of(const authpb::User& user);
  void refresh_holders(std::string_view role);
  void forget_tokens(std::string_view user);

  const StoreOptions options_;
  const Clock& clock_;

  Users users_;
  Roles roles_;
  // Exactly the users that name a role, by it; the role need not exist.
  absl::btree_map<std::string, absl::btree_set<std::string>> holders_;

  GrantOrder order_ = GrantOrder::kByEnd;
  uint64_t rules_made_ = 0;  // UserRules::number of the last
  Rules rules_;              // follows from the above, and the tokens
  bool changed_ = true;
  std::shared_ptr<const Rules> newest_;  // replaced whole, with std::atomic_store
  std::atomic<uint64_t> version_{0};
};

// The user may not have a password, or what came as its hash is none: etcd has no code for it.
absl::Status no_password_user();

}  // namespace keelson::auth
