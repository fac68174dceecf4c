// Random users, roles, permissions and requests in their names, against the obvious twin: every
// answer, and every record, before and after starts.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>

#include "apply/slow_guard.h"
#include "apply/test_member.h"
#include "auth/base64.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "proto/membership.pb.h"
#include "proto/raft_internal.pb.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;
using backend::Bucket;
using wire::InternalKind;

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  void run(int steps) {
    expect(log<pb::AuthUserAddRequest>(InternalKind::kAuthUserAdd,
                                       [](auto& r) { r.set_name("root"); }),
           guard_.add_user("root", "", false));
    expect(log<pb::AuthUserGrantRoleRequest>(InternalKind::kAuthUserGrantRole,
                                             [](auto& r) {
                                               r.set_user("root");
                                               r.set_role("root");
                                             }),
           guard_.grant_role("root", "root"));
    for (int64_t id = 1; id <= 3; ++id) {
      log<pb::LeaseGrantRequest>(InternalKind::kLeaseGrant, [&](auto& r) {
        r.set_id(id);
        r.set_ttl(1000);
      });
      leases_[id] = {};
    }
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) step();
    compare_records();
    member_.reopen();
    compare_records();
  }

 private:
  void step() {
    choose_who();
    switch (random_.below(10)) {
      case 0:
        return random_.below(4) == 0 ? change_all() : change_user();
      case 1:
      case 2:
        return change_user();
      case 3:
      case 4:
        return change_role();
      case 5:
        return random_.below(8) == 0   ? start_again()
               : random_.below(4) == 0 ? change_version()
                                       : put();
      case 6:
        return put();
      case 7:
        return remove();
      case 8:
        return random_.below(3) == 0 ? revoke_lease() : read();
      default:
        return txn();
    }
  }

  // ---- choices

  // Mostly an administrator for changes to go through; and users with rules of today, of before, or
  // of nobody.
  void choose_who() {
    user_ = random_.below(2) == 0 ? "root" : random_.below(8) == 0 ? "" : user();
    const uint64_t kind = random_.below(10);
    as_of_ = user_.empty() || kind == 0 ? 0 : kind == 1 ? guard_.revision - 1 : guard_.revision;
  }
  std::string user() { return std::string(1, static_cast<char>('u' + random_.below(4))); }
  std::string role() {
    return random_.below(12) == 0 ? "root" : "r" + std::to_string(random_.below(4));
  }
  std::string key() {
    std::string out;
    do {
      out += random_.below(6) == 0 ? '\0' : static_cast<char>('a' + random_.below(3));
    } while (out.size() < 3 && random_.below(2) == 0);
    return out;
  }
  std::string end() {
    const uint64_t kind = random_.below(5);
    return kind < 2 ? "" : kind == 2 ? std::string(1, '\0') : key();
  }

  // ---- what is compared

  template <typename Request, typename Fill>
  Reply log(InternalKind kind, Fill&& fill) {
    Request request;
    fill(request);
    absl::StatusOr<Reply> reply =
        member_.apply(wire::wrap_internal(1, user_, as_of_, kind, request.SerializeAsString()));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *std::move(reply) : Reply();
  }

  void expect(const Reply& reply, const absl::Status& status) {
    EXPECT_EQ(reply.status, status)
        << "for " << user_ << " as of " << as_of_ << " of " << guard_.revision;
    EXPECT_EQ(member_.applier().auth().rules().revision(), guard_.revision);
    EXPECT_EQ(member_.applier().auth().newest()->revision(), guard_.revision);
  }

  // The change itself is made only if it may be.
  template <typename Change>
  absl::Status as_admin(Change&& change) {
    absl::Status may = guard_.admin(user_);
    return may.ok() ? change() : may;
  }

  void compare_records() {
    std::map<std::string, std::string> users, roles;
    for (const auto& [name, user] : guard_.users) {
      authpb::User record;
      record.set_name(name);
      record.set_password(user.password);
      for (const std::string& role : user.roles) record.add_roles(role);
      record.mutable_options()->set_no_password(user.no_password);
      users[name] = record.SerializeAsString();
    }
    for (const auto& [name, perms] : guard_.roles) {
      authpb::Role record;
      record.set_name(name);
      for (const authpb::Permission& perm : perms) *record.add_keypermission() = perm;
      roles[name] = record.SerializeAsString();
    }
    EXPECT_EQ(member_.records(Bucket::kAuthUsers), users);
    EXPECT_EQ(member_.records(Bucket::kAuthRoles), roles);
    EXPECT_EQ(member_.applier().auth().rules().enabled(), guard_.enabled);
  }

  void start_again() {
    compare_records();
    member_.reopen();
    compare_records();
  }

  // ---- changes

  // To any, up or down; the first of them says that none is decided.
  void change_version() {
    constexpr std::array<const char*, 4> kVersions = {"3.0.0", "3.5.0", "3.6.0", "3.7.0"};
    const size_t chosen = random_.below(kVersions.size());
    using Set = membershippb::ClusterVersionSetRequest;
    expect(
        log<Set>(InternalKind::kClusterVersionSet, [&](auto& r) { r.set_ver(kVersions[chosen]); }),
        absl::OkStatus());
    const bool before = chosen == 1 || chosen == 2;
    guard_.order = before ? auth::GrantOrder::kAsAdded : auth::GrantOrder::kByEnd;
  }

  void change_all() {
    if (random_.below(3) > 0) {
      expect(log<pb::AuthEnableRequest>(InternalKind::kAuthEnable, [](auto&) {}),
             as_admin([&] { return guard_.enable(); }));
    } else {
      expect(log<pb::AuthDisableRequest>(InternalKind::kAuthDisable, [](auto&) {}), as_admin([&] {
               guard_.disable();
               return absl::OkStatus();
             }));
    }
  }

  void change_user() {
    const std::string name = random_.below(15) == 0 ? "root" : user(), role = this->role();
    const std::string password = "p" + std::to_string(random_.below(100));
    const bool none = random_.below(4) == 0;
    switch (random_.below(6)) {
      case 0:
        return expect(
            log<pb::AuthUserAddRequest>(InternalKind::kAuthUserAdd,
                                        [&](auto& r) {
                                          r.set_name(name);
                                          r.set_hashedpassword(auth::encode_base64(password));
                                          r.mutable_options()->set_no_password(none);
                                        }),
            as_admin([&] { return guard_.add_user(name, password, none); }));
      case 1:
        if (random_.below(3) > 0) return;
        return expect(log<pb::AuthUserDeleteRequest>(InternalKind::kAuthUserDelete,
                                                     [&](auto& r) { r.set_name(name); }),
                      as_admin([&] { return guard_.delete_user(name); }));
      case 2:
        return expect(log<pb::AuthUserChangePasswordRequest>(InternalKind::kAuthUserChangePassword,
                                                             [&](auto& r) {
                                                               r.set_name(name);
                                                               r.set_hashedpassword(
                                                                   auth::encode_base64(password));
                                                             }),
                      as_admin([&] { return guard_.change_password(name, password); }));
      case 3:
        return expect(log<pb::AuthUserRevokeRoleRequest>(InternalKind::kAuthUserRevokeRole,
                                                         [&](auto& r) {
                                                           r.set_name(name);
                                                           r.set_role(role);
                                                         }),
                      as_admin([&] { return guard_.revoke_role(name, role); }));
      default:
        return expect(log<pb::AuthUserGrantRoleRequest>(InternalKind::kAuthUserGrantRole,
                                                        [&](auto& r) {
                                                          r.set_user(name);
                                                          r.set_role(role);
                                                        }),
                      as_admin([&] { return guard_.grant_role(name, role); }));
    }
  }

  void change_role() {
    const std::string name = role();
    authpb::Permission perm;
    // Many begin at one key: how those are ordered is what releases differ in.
    perm.set_key(random_.below(2) == 0 ? "a" : key());
    perm.set_range_end(end());
    perm.set_permtype(static_cast<authpb::Permission::Type>(random_.below(3)));
    switch (random_.below(8)) {
      case 0:
      case 1:
        return expect(log<pb::AuthRoleAddRequest>(InternalKind::kAuthRoleAdd,
                                                  [&](auto& r) { r.set_name(name); }),
                      as_admin([&] { return guard_.add_role(name); }));
      case 2:
        if (random_.below(3) > 0) return;
        return expect(log<pb::AuthRoleDeleteRequest>(InternalKind::kAuthRoleDelete,
                                                     [&](auto& r) { r.set_role(name); }),
                      as_admin([&] { return guard_.delete_role(name); }));
      case 3: {
        if (guard_.roles.contains(name) && !guard_.roles[name].empty()) {
          perm = guard_.roles[name][random_.below(guard_.roles[name].size())];
        }
        return expect(
            log<pb::AuthRoleRevokePermissionRequest>(InternalKind::kAuthRoleRevokePermission,
                                                     [&](auto& r) {
                                                       r.set_role(name);
                                                       r.set_key(perm.key());
                                                       r.set_range_end(perm.range_end());
                                                     }),
            as_admin([&] { return guard_.revoke(name, perm.key(), perm.range_end()); }));
      }
      default:
        // Few enough for Go's sort to be stable: the twin's is.
        if (guard_.roles.contains(name) && guard_.roles[name].size() >= 12) return;
        return expect(
            log<pb::AuthRoleGrantPermissionRequest>(InternalKind::kAuthRoleGrantPermission,
                                                    [&](auto& r) {
                                                      r.set_name(name);
                                                      *r.mutable_perm() = perm;
                                                    }),
            as_admin([&] { return guard_.grant(name, perm); }));
    }
  }

  // ---- requests: the twin says first whether they may be

  absl::Status may(bool write, const std::string& key, const std::string& end) const {
    return guard_.may(user_, as_of_, write, key, end);
  }
  absl::Status may_write_lease(int64_t id) const {
    if (guard_.admin(user_).ok() || !leases_.contains(id)) return absl::OkStatus();
    for (const std::string& key : leases_.at(id)) {
      if (absl::Status s = may(true, key, ""); !s.ok()) return s;
    }
    return absl::OkStatus();
  }
  absl::Status may(const pb::PutRequest& put) const {
    absl::Status s = may(true, put.key(), "");
    if (s.ok() && put.lease() != 0) s = may_write_lease(put.lease());
    if (s.ok() && put.prev_kv()) s = may(false, put.key(), "");
    return s;
  }
  absl::Status may(const pb::DeleteRangeRequest& range) const {
    absl::Status s = may(true, range.key(), range.range_end());
    if (s.ok() && range.prev_kv()) s = may(false, range.key(), range.range_end());
    return s;
  }
  absl::Status may(const pb::TxnRequest& txn) const {
    absl::Status s;
    for (const auto& compare : txn.compare()) {
      if (s.ok()) s = may(false, compare.key(), compare.range_end());
    }
    for (const auto& ops : {txn.success(), txn.failure()}) {
      for (const pb::RequestOp& op : ops) {
        if (!s.ok()) return s;
        if (op.has_request_range()) {
          s = may(false, op.request_range().key(), op.request_range().range_end());
        }
        if (op.has_request_put()) s = may(op.request_put());
        if (op.has_request_delete_range()) s = may(op.request_delete_range());
        if (op.has_request_txn()) s = may(op.request_txn());
      }
    }
    return s;
  }

  pb::PutRequest random_put() {
    pb::PutRequest request;
    request.set_key(key());
    request.set_prev_kv(random_.below(3) == 0);
    if (random_.below(2) == 0) {
      request.set_lease(
          leases_.empty() ? 0 : std::next(leases_.begin(), random_.below(leases_.size()))->first);
    }
    return request;
  }
  pb::DeleteRangeRequest random_delete() {
    pb::DeleteRangeRequest request;
    request.set_key(key());
    request.set_range_end(end());
    request.set_prev_kv(random_.below(3) == 0);
    return request;
  }

  void put() {
    const pb::PutRequest request = random_put();
    absl::Status may = this->may(request);
    expect(log<pb::PutRequest>(InternalKind::kPut, [&](auto& r) { r = request; }), may);
    take_leases();
  }
  void remove() {
    const pb::DeleteRangeRequest request = random_delete();
    absl::Status may = this->may(request);
    expect(log<pb::DeleteRangeRequest>(InternalKind::kDeleteRange, [&](auto& r) { r = request; }),
           may);
    take_leases();
  }
  void revoke_lease() {
    const int64_t id = 1 + static_cast<int64_t>(random_.below(3));
    if (!leases_.contains(id)) return;
    absl::Status may = may_write_lease(id);
    expect(log<pb::LeaseRevokeRequest>(InternalKind::kLeaseRevoke, [&](auto& r) { r.set_id(id); }),
           may);
    if (!may.ok()) return;
    user_ = "";
    as_of_ = 0;
    log<pb::LeaseGrantRequest>(InternalKind::kLeaseGrant, [&](auto& r) {
      r.set_id(id);
      r.set_ttl(1000);
    });
    take_leases();
  }
  // As an io lane asks.
  void read() {
    const std::string key = this->key(), end = this->end();
    const std::shared_ptr<const auth::Rules> rules = member_.applier().auth().newest();
    EXPECT_EQ(Permits(*rules, {user_, as_of_}, nullptr).range(key, end), may(false, key, end));
    EXPECT_EQ(rules->may_administrate({user_, as_of_}), guard_.admin(user_));
  }

  void fill(pb::TxnRequest& txn, int depth) {
    if (random_.below(2) == 0) {
      pb::Compare* compare = txn.add_compare();
      compare->set_key(key());
      compare->set_range_end(end());
      compare->set_target(pb::Compare::VERSION);
    }
    for (auto* ops : {txn.mutable_success(), txn.mutable_failure()}) {
      for (uint64_t i = random_.below(3); i > 0; --i) {
        pb::RequestOp* op = ops->Add();
        const uint64_t kind = random_.below(depth < 3 ? 5 : 3);
        if (kind == 0) {
          op->mutable_request_range()->set_key(key());
          op->mutable_request_range()->set_range_end(end());
        } else if (kind == 1) {
          *op->mutable_request_put() = random_put();
        } else if (kind == 2) {
          *op->mutable_request_delete_range() = random_delete();
        } else {
          fill(*op->mutable_request_txn(), depth + 1);
        }
      }
    }
  }
  void txn() {
    pb::TxnRequest request;
    fill(request, 0);
    absl::Status may = this->may(request);
    expect(log<pb::TxnRequest>(InternalKind::kTxn, [&](auto& r) { r = request; }), may);
    take_leases();
  }

  // Which keys hang on which lease is the lease table's own proof's matter.
  void take_leases() {
    for (auto& [id, keys] : leases_)
      keys = member_.applier().leases().list_keys(LeaseId(id)).sorted();
  }

  SeededRandom random_;
  TestMember member_;
  SlowGuard guard_;
  std::map<int64_t, std::vector<std::string>> leases_;
  std::string user_;
  uint64_t as_of_ = 0;
};

TEST(ApplyAuthRandom, EveryAnswerAndRecordIsTheTwins) {
  for_each_seed(300, [](uint64_t seed) { World(seed).run(500); });
}

}  // namespace
}  // namespace keelson::apply
