// The part of AuthStore that is kept besides the records: who holds a role, what the checks need,
// the tokens, and the picture of it for other threads.

#include <algorithm>
#include <atomic>
#include <utility>

#include "auth/auth_store.h"
#include "base/check.h"
#include "base/endian.h"

namespace keelson::auth {
namespace {

using backend::Bucket;
using backend::WriteBatch;

}  // namespace

authpb::User* AuthStore::find_user(std::string_view name) {
  auto found = users_.find(std::string(name));
  return found == users_.end() ? nullptr : &found->second;
}

authpb::Role* AuthStore::find_role(std::string_view name) {
  auto found = roles_.find(std::string(name));
  return found == roles_.end() ? nullptr : &found->second;
}

bool AuthStore::has_role(std::string_view user, std::string_view role) const {
  auto found = users_.find(std::string(user));
  if (found == users_.end()) return false;
  const auto& roles = found->second.roles();
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

void AuthStore::put_user(authpb::User user, WriteBatch& batch) {
  batch.put(Bucket::kAuthUsers, user.name(), user.SerializeAsString());
  keep_user(std::move(user));
}

void AuthStore::put_role(authpb::Role role, WriteBatch& batch) {
  batch.put(Bucket::kAuthRoles, role.name(), role.SerializeAsString());
  std::string name = role.name();
  roles_[std::move(name)] = std::move(role);
}

void AuthStore::raise_revision(WriteBatch& batch) {
  ++rules_.revision_;
  CHECK(rules_.revision_ > 0);
  batch.put(Bucket::kAuth, "authRevision", big64(rules_.revision_));
  changed_ = true;
}

void AuthStore::keep_user(authpb::User user) {
  const std::string name = user.name();
  authpb::User& kept = users_[name];
  note_roles(kept, false);
  kept = std::move(user);
  note_roles(kept, true);
  rules_.users_.set(name, rules_of(kept));
  CHECK(rules_.users_.size() == users_.size());
  changed_ = true;
}

void AuthStore::note_roles(const authpb::User& user, bool held) {
  for (const std::string& role : user.roles()) {
    if (held) {
      holders_[role].insert(user.name());
    } else if (auto at = holders_.find(role); at != holders_.end()) {
      at->second.erase(user.name());
      if (at->second.empty()) holders_.erase(at);
    }
  }
}

// All that the roles give, together.
std::shared_ptr<const UserRules> AuthStore::rules_of(const authpb::User& user) {
  auto rules = std::make_shared<UserRules>(order_, ++rules_made_);
  rules->is_root = std::binary_search(user.roles().begin(), user.roles().end(), kRoot);
  rules->no_password = user.options().no_password();
  rules->password = user.password();
  for (const std::string& name : user.roles()) {
    auto role = roles_.find(name);
    if (role == roles_.end()) continue;
    for (const authpb::Permission& perm : role->second.keypermission()) {
      const bool both = perm.permtype() == authpb::Permission::READWRITE;
      if (both || perm.permtype() == authpb::Permission::READ) {
        rules->read.add(perm.key(), perm.range_end());
      }
      if (both || perm.permtype() == authpb::Permission::WRITE) {
        rules->write.add(perm.key(), perm.range_end());
      }
    }
  }
  rules->read.merge();
  rules->write.merge();
  return rules;
}

void AuthStore::order_grants(GrantOrder order) {
  if (std::exchange(order_, order) == order) return;
  for (const auto& [name, user] : users_) rules_.users_.set(name, rules_of(user));
  changed_ = true;
}

void AuthStore::refresh_holders(std::string_view role) {
  auto holders = holders_.find(std::string(role));
  if (holders == holders_.end()) return;
  for (const std::string& name : holders->second) {
    rules_.users_.set(name, rules_of(*find_user(name)));
  }
  changed_ = true;
}

void AuthStore::forget_tokens(std::string_view user) {
  rules_.tokens_.erase_if(
      [user](const std::shared_ptr<Token>& token) { return token->user == user; });
}

void AuthStore::publish() {
  if (!std::exchange(changed_, false)) return;
  auto next = std::make_shared<Rules>(rules_);
  rules_.users_.share();
  rules_.tokens_.share();
  std::atomic_store(&newest_, std::shared_ptr<const Rules>(std::move(next)));
  version_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const Rules> AuthStore::newest() const { return std::atomic_load(&newest_); }

void AuthStore::check_invariants() const {
  CHECK(rules_.users_.size() == users_.size());
  size_t held = 0;
  for (const auto& [name, user] : users_) {
    CHECK(user.name() == name);
    const UserRules* rules = rules_.user(name);
    CHECK(rules != nullptr);
    CHECK(rules->password == user.password());
    for (const std::string& role : user.roles()) {
      auto holders = holders_.find(role);
      CHECK(holders != holders_.end());
      CHECK(holders->second.contains(name));
    }
    held += absl::btree_set<std::string>(user.roles().begin(), user.roles().end()).size();
  }
  size_t noted = 0;
  for (const auto& [role, names] : holders_) noted += names.size();
  CHECK(noted == held);
  if (!rules_.enabled_) CHECK(rules_.tokens_.size() == 0);
}

}  // namespace keelson::auth
