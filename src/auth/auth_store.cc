#include "auth/auth_store.h"

#include <algorithm>
#include <utility>

#include "auth/base64.h"
#include "auth/go_sort.h"
#include "base/check.h"
#include "base/endian.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"
#include "wire/logged_message.h"

namespace keelson::auth {
namespace {

using backend::Bucket;
using backend::WriteBatch;
namespace pb = etcdserverpb;

constexpr std::string_view kEnabledKey = "authEnabled";
constexpr std::string_view kRevisionKey = "authRevision";
constexpr std::string_view kYes("\1", 1);
constexpr std::string_view kNo("\0", 1);

// As etcd looks for it: the names are sorted when they are written.
bool has_root_role(const authpb::User& user) {
  return std::binary_search(user.roles().begin(), user.roles().end(), kRoot);
}

void save_enabled(bool enabled, WriteBatch& batch) {
  batch.put(Bucket::kAuth, kEnabledKey, enabled ? kYes : kNo);
}

authpb::User without_role(const authpb::User& user, std::string_view role) {
  authpb::User left;
  left.set_name(user.name());
  left.set_password(user.password());
  if (user.has_options()) *left.mutable_options() = user.options();
  for (const std::string& name : user.roles()) {
    if (name != role) left.add_roles(name);
  }
  return left;
}

// etcd before 3.5 logged passwords as they are, and each of its members hashed them for itself.
absl::StatusOr<std::string> stored_password(const std::string& plain, const std::string& hashed) {
  if (!plain.empty() && hashed.empty()) {
    return absl::UnimplementedError("it has a password that is not hashed, as before etcd 3.5");
  }
  std::string password;
  if (!decode_base64(hashed, &password)) return no_password_user();
  return password;
}

bool is_valid_range(std::string_view key, std::string_view range_end) {
  if (key.empty()) return false;
  return range_end.empty() || key < range_end || range_end == std::string_view("\0", 1);
}

template <typename Record>
absl::Status read_all(const backend::Reader& reader, Bucket bucket,
                      absl::btree_map<std::string, Record>* out) {
  std::unique_ptr<backend::Iterator> at = reader.iterate(bucket);
  for (at->seek_to_first(); at->valid(); at->next()) {
    Record record;
    if (!wire::read_logged(at->value(), &record)) {
      return absl::DataLossError(
          cat("a record in bucket ", backend::bucket_name(bucket), " does not parse"));
    }
    (*out)[std::string(at->key())] = std::move(record);
  }
  return at->status();
}

}  // namespace

absl::Status no_password_user() {
  return absl::UnknownError("auth: authentication failed, password was given for no password user");
}

AuthStore::AuthStore(StoreOptions options, const Clock* clock)
    : options_(options), clock_(*clock), newest_(std::make_shared<Rules>()) {
  rules_.token_ttl_ = options_.token_ttl;
}

absl::Status AuthStore::restore(const backend::Reader& reader) {
  users_.clear();
  roles_.clear();
  holders_.clear();
  rules_ = Rules();
  rules_.token_ttl_ = options_.token_ttl;
  changed_ = true;
  absl::StatusOr<std::optional<Bytes>> enabled = reader.get(Bucket::kAuth, kEnabledKey);
  if (!enabled.ok()) return enabled.status();
  rules_.enabled_ = enabled->has_value() && (*enabled)->view() == kYes;
  absl::StatusOr<std::optional<Bytes>> revision = reader.get(Bucket::kAuth, kRevisionKey);
  if (!revision.ok()) return revision.status();
  if (revision->has_value()) {
    if ((*revision)->size() != sizeof(uint64_t)) {
      return absl::DataLossError("the revision of the auth store does not parse");
    }
    rules_.revision_ = load_big64((*revision)->data());
  }
  if (absl::Status s = read_all(reader, Bucket::kAuthRoles, &roles_); !s.ok()) return s;
  Users found;
  if (absl::Status s = read_all(reader, Bucket::kAuthUsers, &found); !s.ok()) return s;
  for (auto& [name, user] : found) {
    user.set_name(name);
    keep_user(std::move(user));
  }
  return absl::OkStatus();
}

bool AuthStore::begin(WriteBatch& batch) {
  if (rules_.revision_ != 0) return false;
  raise_revision(batch);
  return true;
}

// Whether a line of the log with these in it may be written.
bool AuthStore::may_tell(std::initializer_list<std::string_view> texts) const {
  size_t size = kUsualLine;
  for (std::string_view text : texts) size += told(text).size();
  return take_line(options_.lines, size);
}

absl::Status AuthStore::enable(WriteBatch& batch) {
  if (rules_.enabled_) {
    if (may_tell({})) {
      log::info("authentication is already enabled; ignored auth enable request");
    }
    return absl::OkStatus();
  }
  const authpb::User* root = find_user(kRoot);
  if (root == nullptr) return errors::RootUserNotExist();
  if (!has_root_role(*root)) return errors::RootRoleNotExist();
  save_enabled(true, batch);
  rules_.enabled_ = true;
  changed_ = true;
  if (may_tell({})) {
    log::info("enabled authentication");
  }
  return absl::OkStatus();
}

void AuthStore::disable(WriteBatch& batch) {
  if (!rules_.enabled_) return;
  save_enabled(false, batch);
  raise_revision(batch);
  rules_.enabled_ = false;
  rules_.tokens_ = {};
  if (may_tell({})) {
    log::info("disabled authentication");
  }
}

// Whoever wrote the entry has checked the password.
absl::StatusOr<std::string> AuthStore::authenticate(std::string_view name, std::string_view letters,
                                                    Index before) {
  if (!rules_.enabled_) return errors::AuthNotEnabled();
  const UserRules* user = rules_.user(name);
  if (user == nullptr) return errors::AuthFailed();
  if (user->no_password) return errors::AuthFailed();
  if (options_.tokens == TokenKind::kNone) return errors::AuthFailed();
  if (options_.tokens == TokenKind::kSelfContained) return std::string();
  std::string token = cat(letters, ".", before.value);
  if (before < options_.started_at) return token;
  const Duration now = clock_.now().since_origin;
  auto ended = [now](const std::shared_ptr<Token>& one) {
    return one->deadline.load(std::memory_order_relaxed) <= now;
  };
  rules_.tokens_.erase_around(token, ended);
  if (rules_.tokens_.size() >= options_.max_tokens) rules_.tokens_.erase_if(ended);
  if (rules_.tokens_.size() >= options_.max_tokens) return errors::RequestTooManyRequests();
  rules_.tokens_.set(
      token, std::make_shared<Token>(std::string(name), MonotonicTime{now + options_.token_ttl}));
  changed_ = true;
  return token;
}

absl::Status AuthStore::user_add(const pb::AuthUserAddRequest& request, WriteBatch& batch) {
  if (request.name().empty()) return errors::UserEmpty();
  if (find_user(request.name()) != nullptr) return errors::UserAlreadyExist();
  authpb::User user;
  user.set_name(request.name());
  if (!request.options().no_password()) {
    absl::StatusOr<std::string> password =
        stored_password(request.password(), request.hashedpassword());
    if (!password.ok()) return password.status();
    user.set_password(*std::move(password));
  }
  *user.mutable_options() = request.options();
  put_user(std::move(user), batch);
  raise_revision(batch);
  if (may_tell({request.name()})) {
    log::info("added a user", {{"user-name", told(request.name())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::user_delete(const pb::AuthUserDeleteRequest& request, WriteBatch& batch) {
  if (rules_.enabled_ && request.name() == kRoot) {
    if (may_tell({request.name()})) {
      log::error("cannot delete 'root' user", {{"user-name", told(request.name())}});
    }
    return errors::InvalidAuthMgmt();
  }
  const authpb::User* user = find_user(request.name());
  if (user == nullptr) return errors::UserNotFound();
  note_roles(*user, false);
  users_.erase(request.name());
  rules_.users_.erase(request.name());
  batch.del(Bucket::kAuthUsers, request.name());
  raise_revision(batch);
  forget_tokens(request.name());
  if (may_tell({request.name()})) {
    log::info("deleted a user", {{"user-name", told(request.name())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::user_change_password(const pb::AuthUserChangePasswordRequest& request,
                                             WriteBatch& batch) {
  const authpb::User* user = find_user(request.name());
  if (user == nullptr) return errors::UserNotFound();
  authpb::User changed;
  changed.set_name(request.name());
  *changed.mutable_roles() = user->roles();
  if (user->has_options()) *changed.mutable_options() = user->options();
  if (!user->options().no_password()) {
    absl::StatusOr<std::string> password =
        stored_password(request.password(), request.hashedpassword());
    if (!password.ok()) return password.status();
    changed.set_password(*std::move(password));
  }
  put_user(std::move(changed), batch);
  raise_revision(batch);
  forget_tokens(request.name());
  if (may_tell({request.name()})) {
    log::info("changed a password of a user", {{"user-name", told(request.name())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::user_grant_role(const pb::AuthUserGrantRoleRequest& request,
                                        WriteBatch& batch) {
  const authpb::User* user = find_user(request.user());
  if (user == nullptr) return errors::UserNotFound();
  // The role named root need not exist.
  if (request.role() != kRoot && find_role(request.role()) == nullptr) {
    return errors::RoleNotFound();
  }
  if (std::binary_search(user->roles().begin(), user->roles().end(), request.role())) {
    if (may_tell({request.user(), request.role()})) {
      log::warn(
          "ignored grant role request to a user",
          {{"user-name", told(request.user())}, {"duplicate-role-name", told(request.role())}});
    }
    return absl::OkStatus();
  }
  authpb::User granted = *user;
  granted.add_roles(request.role());
  std::sort(granted.mutable_roles()->begin(), granted.mutable_roles()->end());
  put_user(std::move(granted), batch);
  raise_revision(batch);
  if (may_tell({request.user(), request.role()})) {
    log::info("granted a role to a user",
              {{"user-name", told(request.user())}, {"added-role-name", told(request.role())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::user_revoke_role(const pb::AuthUserRevokeRoleRequest& request,
                                         WriteBatch& batch) {
  if (rules_.enabled_ && request.name() == kRoot && request.role() == kRoot) {
    if (may_tell({request.name(), request.role()})) {
      log::error("'root' user cannot revoke 'root' role",
                 {{"user-name", told(request.name())}, {"role-name", told(request.role())}});
    }
    return errors::InvalidAuthMgmt();
  }
  const authpb::User* user = find_user(request.name());
  if (user == nullptr) return errors::UserNotFound();
  authpb::User left = without_role(*user, request.role());
  if (left.roles_size() == user->roles_size()) return errors::RoleNotGranted();
  put_user(std::move(left), batch);
  raise_revision(batch);
  if (may_tell({request.name(), request.role()})) {
    log::info("revoked a role from a user",
              {{"user-name", told(request.name())}, {"revoked-role-name", told(request.role())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::role_add(const pb::AuthRoleAddRequest& request, WriteBatch& batch) {
  if (request.name().empty()) return errors::RoleEmpty();
  if (find_role(request.name()) != nullptr) return errors::RoleAlreadyExist();
  authpb::Role role;
  role.set_name(request.name());
  put_role(std::move(role), batch);
  raise_revision(batch);
  if (may_tell({request.name()})) {
    log::info("created a role", {{"role-name", told(request.name())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::role_delete(const pb::AuthRoleDeleteRequest& request, WriteBatch& batch) {
  if (rules_.enabled_ && request.role() == kRoot) {
    if (may_tell({request.role()})) {
      log::error("cannot delete 'root' role", {{"role-name", told(request.role())}});
    }
    return errors::InvalidAuthMgmt();
  }
  if (find_role(request.role()) == nullptr) return errors::RoleNotFound();
  batch.del(Bucket::kAuthRoles, request.role());
  roles_.erase(request.role());
  auto holders = holders_.find(request.role());
  if (holders != holders_.end()) {
    const absl::btree_set<std::string> names = holders->second;
    for (const std::string& name : names) {
      put_user(without_role(*find_user(name), request.role()), batch);
    }
  }
  raise_revision(batch);
  if (may_tell({request.role()})) {
    log::info("deleted a role", {{"role-name", told(request.role())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::role_grant_permission(const pb::AuthRoleGrantPermissionRequest& request,
                                              WriteBatch& batch) {
  if (!request.has_perm()) return errors::PermissionNotGiven();
  const authpb::Permission& perm = request.perm();
  if (!is_valid_range(perm.key(), perm.range_end())) return errors::InvalidAuthMgmt();
  const authpb::Role* found = find_role(request.name());
  if (found == nullptr) return errors::RoleNotFound();
  authpb::Role role = *found;
  auto* perms = role.mutable_keypermission();
  auto at = std::lower_bound(
      perms->begin(), perms->end(), perm.key(),
      [](const authpb::Permission& p, const std::string& key) { return p.key() < key; });
  // Only the first with this key is looked at, as in etcd: others with the same key stay doubled.
  if (at != perms->end() && at->key() == perm.key() && at->range_end() == perm.range_end()) {
    at->set_permtype(perm.permtype());
  } else {
    authpb::Permission* added = perms->Add();
    added->set_key(perm.key());
    added->set_range_end(perm.range_end());
    added->set_permtype(perm.permtype());
    go_sort(
        perms->size(), [&](int a, int b) { return perms->Get(a).key() < perms->Get(b).key(); },
        [&](int a, int b) { perms->SwapElements(a, b); });
  }
  put_role(std::move(role), batch);
  refresh_holders(request.name());
  raise_revision(batch);
  if (may_tell({request.name(), perm.key(), perm.range_end()})) {
    log::info("granted/updated a permission to a user",
              {{"user-name", told(request.name())},
               {"permission-name", authpb::Permission_Type_Name(perm.permtype())},
               {"key", told(perm.key())},
               {"range-end", told(perm.range_end())}});
  }
  return absl::OkStatus();
}

absl::Status AuthStore::role_revoke_permission(const pb::AuthRoleRevokePermissionRequest& request,
                                               WriteBatch& batch) {
  const authpb::Role* role = find_role(request.role());
  if (role == nullptr) return errors::RoleNotFound();
  authpb::Role left;
  left.set_name(role->name());
  for (const authpb::Permission& perm : role->keypermission()) {
    if (perm.key() == request.key() && perm.range_end() == request.range_end()) continue;
    *left.add_keypermission() = perm;
  }
  if (left.keypermission_size() == role->keypermission_size()) {
    return errors::PermissionNotGranted();
  }
  put_role(std::move(left), batch);
  refresh_holders(request.role());
  raise_revision(batch);
  if (may_tell({request.role(), request.key(), request.range_end()})) {
    log::info("revoked a permission on range", {{"role-name", told(request.role())},
                                                {"key", told(request.key())},
                                                {"range-end", told(request.range_end())}});
  }
  return absl::OkStatus();
}

}  // namespace keelson::auth
