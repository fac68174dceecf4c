// apply/slow_guard.h
//
// The obvious twin of users, roles and permissions for tests: sets and lists, a look at everything
// for every question. Its rules are written from etcd's (v3.7.1, server/auth/store.go and
// server/etcdserver/apply/auth.go), not from auth/'s.
//
// Threads: one.

#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "auth/grant_tree.h"
#include "base/errors.h"
#include "proto/auth.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

struct SlowGuard {
  struct User {
    std::set<std::string> roles;
    std::string password;
    bool no_password = false;
  };
  using Perms = std::vector<authpb::Permission>;

  bool enabled = false;
  uint64_t revision = 1;
  auth::GrantOrder order = auth::GrantOrder::kByEnd;
  std::map<std::string, User> users;
  std::map<std::string, Perms> roles;

  // ---- who may what

  absl::Status admin(const std::string& user) const {
    if (!enabled) return absl::OkStatus();
    if (user.empty()) return errors::UserEmpty();
    if (!users.contains(user)) return errors::UserNotFound();
    return is_root(user) ? absl::OkStatus() : errors::PermissionDenied();
  }

  absl::Status may(const std::string& user, uint64_t as_of, bool write, const std::string& key,
                   const std::string& end) const {
    if (!enabled) return absl::OkStatus();
    if (as_of == 0) return errors::UserEmpty();
    if (as_of < revision) return errors::AuthOldRevision();
    if (!users.contains(user)) return errors::PermissionDenied();
    if (is_root(user)) return absl::OkStatus();
    return covered(user, write, key, end) ? absl::OkStatus() : errors::PermissionDenied();
  }

 private:
  static bool is_open(const std::string& end) { return end == std::string(1, '\0'); }
  static bool in(const std::string& at, const std::string& key, const std::string& end) {
    if (end.empty()) return at == key;
    return at >= key && (is_open(end) || at < end);
  }
  bool is_root(const std::string& user) const { return users.at(user).roles.contains("root"); }

  // Of a range without keys; the tree has a twin of its own.
  bool covers_nothing(const std::vector<authpb::Permission>& all, const std::string& key,
                      const std::string& end) const {
    auth::GrantTree tree(order);
    for (const authpb::Permission& perm : all) {
      const std::string& last = perm.range_end();
      tree.add(perm.key(), last.empty() ? perm.key() + '\0' : is_open(last) ? "" : last);
    }
    tree.finish();
    return tree.contains({key, end});
  }

  // What is covered changes only where a permission begins or ends: those places are looked at.
  bool covered(const std::string& user, bool write, const std::string& key,
               const std::string& end) const {
    std::vector<authpb::Permission> all;
    for (const std::string& role : users.at(user).roles) {
      if (!roles.contains(role)) continue;
      for (const authpb::Permission& perm : roles.at(role)) {
        if (perm.permtype() == authpb::Permission::READWRITE ||
            (perm.permtype() == authpb::Permission::WRITE) == write) {
          all.push_back(perm);
        }
      }
    }
    if (!end.empty() && !is_open(end) && end <= key) return covers_nothing(all, key, end);
    std::vector<std::string> places = {key};
    for (const authpb::Permission& perm : all) {
      places.push_back(perm.key());
      places.push_back(perm.range_end().empty() ? perm.key() + '\0' : perm.range_end());
    }
    for (const std::string& place : places) {
      // An empty range asks for its key.
      if (place != key && !in(place, key, end)) continue;
      bool found = false;
      for (const authpb::Permission& perm : all) {
        found |= in(place, perm.key(), perm.range_end());
      }
      if (!found) return false;
    }
    return true;
  }

 public:
  // ---- changes

  absl::Status enable() {
    if (enabled) return absl::OkStatus();
    if (!users.contains("root")) return errors::RootUserNotExist();
    if (!is_root("root")) return errors::RootRoleNotExist();
    enabled = true;
    return absl::OkStatus();
  }
  void disable() {
    if (enabled) ++revision;
    enabled = false;
  }
  absl::Status add_user(const std::string& name, const std::string& password, bool none) {
    if (name.empty()) return errors::UserEmpty();
    if (users.contains(name)) return errors::UserAlreadyExist();
    users[name] = {.roles = {}, .password = none ? "" : password, .no_password = none};
    return raised();
  }
  absl::Status delete_user(const std::string& name) {
    if (enabled && name == "root") return errors::InvalidAuthMgmt();
    if (users.erase(name) == 0) return errors::UserNotFound();
    return raised();
  }
  absl::Status change_password(const std::string& name, const std::string& password) {
    if (!users.contains(name)) return errors::UserNotFound();
    if (!users[name].no_password) users[name].password = password;
    return raised();
  }
  absl::Status grant_role(const std::string& name, const std::string& role) {
    if (!users.contains(name)) return errors::UserNotFound();
    if (role != "root" && !roles.contains(role)) return errors::RoleNotFound();
    return users[name].roles.insert(role).second ? raised() : absl::OkStatus();
  }
  absl::Status revoke_role(const std::string& name, const std::string& role) {
    if (enabled && name == "root" && role == "root") return errors::InvalidAuthMgmt();
    if (!users.contains(name)) return errors::UserNotFound();
    return users[name].roles.erase(role) > 0 ? raised() : errors::RoleNotGranted();
  }
  absl::Status add_role(const std::string& name) {
    if (name.empty()) return errors::RoleEmpty();
    if (roles.contains(name)) return errors::RoleAlreadyExist();
    roles[name] = {};
    return raised();
  }
  absl::Status delete_role(const std::string& name) {
    if (enabled && name == "root") return errors::InvalidAuthMgmt();
    if (roles.erase(name) == 0) return errors::RoleNotFound();
    for (auto& [user, record] : users) record.roles.erase(name);
    return raised();
  }
  absl::Status grant(const std::string& name, const authpb::Permission& perm) {
    if (perm.key().empty()) return errors::InvalidAuthMgmt();
    const bool ranged = !perm.range_end().empty() && !is_open(perm.range_end());
    if (ranged && perm.key() >= perm.range_end()) return errors::InvalidAuthMgmt();
    if (!roles.contains(name)) return errors::RoleNotFound();
    // Where the key stands first; only that one can be the same permission.
    Perms& perms = roles[name];
    auto first = perms.begin();
    while (first != perms.end() && first->key() < perm.key()) ++first;
    if (first != perms.end() && first->key() == perm.key() &&
        first->range_end() == perm.range_end()) {
      first->set_permtype(perm.permtype());
      return raised();
    }
    // With few of them Go's sort puts it behind its equals.
    while (first != perms.end() && first->key() == perm.key()) ++first;
    perms.insert(first, perm);
    return raised();
  }
  absl::Status revoke(const std::string& name, const std::string& key, const std::string& end) {
    if (!roles.contains(name)) return errors::RoleNotFound();
    const size_t had = std::erase_if(roles[name], [&](const authpb::Permission& perm) {
      return perm.key() == key && perm.range_end() == end;
    });
    return had > 0 ? raised() : errors::PermissionNotGranted();
  }

 private:
  absl::Status raised() {
    ++revision;
    return absl::OkStatus();
  }
};

}  // namespace keelson::apply
