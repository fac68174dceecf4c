#include "sim/accounts.h"

#include <algorithm>
#include <cstdlib>

#include "base/errors.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::sim {

namespace pb = etcdserverpb;
using wire::InternalKind;

namespace {

constexpr Duration kPatience = std::chrono::milliseconds(700);
constexpr int kSetUp = 4;
// Of which Clients makes some.
constexpr char kFrom[] = "k", kTo[] = "l";

bool is_want_of_right(const absl::Status& status) {
  return status == errors::PermissionDenied() || status == errors::UserNotFound();
}

}  // namespace

void Accounts::act() {
  int member = static_cast<int>(world_.random().below(static_cast<uint64_t>(world_.size())));
  if (world_.leader() >= 0 && world_.random().below(2) == 0) member = world_.leader();
  if (!world_.serves(member)) return;
  if (world_.random().below(phase_ < Phase::kHas ? 12 : 2) == 0) return use(member);
  if (asking_ && world_.now() < asked_ + kPatience) return;
  if (set_up_ < kSetUp) return set_up(member);
  if (asking_) begin_turn();
  if (world_.random().below(4) == 0) return look(member);
  go_on(member);
}

void Accounts::begin_turn() {
  ++turn_;
  ++question_;
  phase_ = Phase::kNew;
  asking_ = returned_ = false;
}

template <typename Request>
void Accounts::ask(int member, InternalKind kind, const Request& request) {
  asking_ = true;
  asked_ = world_.now();
  world_.member(member).propose(kind, request.SerializeAsString(),
                                [this, question = ++question_](const apply::Reply& reply) {
                                  if (question == question_) answered(reply.status);
                                });
}

// All of these may be asked for twice.
void Accounts::set_up(int member) {
  const std::string root(auth::kRoot);
  switch (set_up_) {
    case 0:
      return add_user(member, root);
    case 1:
      return add_role(member, root);
    case 2:
      return grant(member, root, root);
    default:
      return ask(member, InternalKind::kAuthEnable, pb::AuthEnableRequest());
  }
}

void Accounts::answered(const absl::Status& status) {
  asking_ = false;
  if (set_up_ < kSetUp) {
    const bool is_there =
        status == errors::UserAlreadyExist() || status == errors::RoleAlreadyExist();
    if (status.ok() || is_there) ++set_up_;
    counts_ = set_up_ == kSetUp;
    return;
  }
  if (!status.ok()) return begin_turn();
  phase_ = static_cast<Phase>(static_cast<int>(phase_) + 1);
}

void Accounts::go_on(int member) {
  Random& random = world_.random();
  switch (phase_) {
    case Phase::kNew:
      return add_user(member, user());
    case Phase::kUser:
      return add_role(member, role());
    case Phase::kRole:
      return permit(member);
    case Phase::kPermission:
      return grant(member, user(), role());
    case Phase::kHas:
      if (random.below(10) == 0) take_away(member);
      return;
    case Phase::kGone:
      if (random.below(8) != 0) return;
      if (may_return_ && random.below(4) != 0) {
        phase_ = Phase::kRole;
        returned_ = true;
      } else {
        begin_turn();
      }
      return;
  }
}

void Accounts::add_user(int member, const std::string& name) {
  pb::AuthUserAddRequest request;
  request.set_name(name);
  request.set_hashedpassword("c2VjcmV0");
  ask(member, InternalKind::kAuthUserAdd, request);
}

void Accounts::add_role(int member, const std::string& name) {
  pb::AuthRoleAddRequest request;
  request.set_name(name);
  ask(member, InternalKind::kAuthRoleAdd, request);
}

void Accounts::permit(int member) {
  pb::AuthRoleGrantPermissionRequest request;
  request.set_name(role());
  request.mutable_perm()->set_permtype(authpb::Permission::WRITE);
  request.mutable_perm()->set_key(kFrom);
  request.mutable_perm()->set_range_end(kTo);
  ask(member, InternalKind::kAuthRoleGrantPermission, request);
}

void Accounts::grant(int member, const std::string& name, const std::string& role) {
  pb::AuthUserGrantRoleRequest request;
  request.set_user(name);
  request.set_role(role);
  ask(member, InternalKind::kAuthUserGrantRole, request);
}

void Accounts::take_away(int member) {
  const uint64_t way = world_.random().below(5);
  may_return_ = way > 1;
  switch (way) {
    case 0: {
      pb::AuthUserDeleteRequest request;
      request.set_name(user());
      return ask(member, InternalKind::kAuthUserDelete, request);
    }
    case 1: {
      pb::AuthRoleDeleteRequest request;
      request.set_role(role());
      return ask(member, InternalKind::kAuthRoleDelete, request);
    }
    case 2: {
      pb::AuthUserRevokeRoleRequest request;
      request.set_name(user());
      request.set_role(role());
      return ask(member, InternalKind::kAuthUserRevokeRole, request);
    }
    default: {
      pb::AuthRoleRevokePermissionRequest request;
      request.set_role(role());
      request.set_key(kFrom);
      request.set_range_end(kTo);
      return ask(member, InternalKind::kAuthRoleRevokePermission, request);
    }
  }
}

// What changes no right: logins, other passwords, questions; and seldom, that nobody is asked for
// a name any more.
void Accounts::look(int member) {
  auto send = [&](InternalKind kind, const auto& request) {
    world_.member(member).propose(kind, request.SerializeAsString(), [](const apply::Reply&) {});
  };
  switch (world_.random().below(8)) {
    case 0: {
      pb::InternalAuthenticateRequest request;
      request.set_name(user());
      request.set_simple_token("letters");
      return send(InternalKind::kAuthenticate, request);
    }
    case 1: {
      pb::AuthUserChangePasswordRequest request;
      request.set_name(std::string(auth::kRoot));
      request.set_hashedpassword("b3RoZXI=");
      return send(InternalKind::kAuthUserChangePassword, request);
    }
    case 2: {
      pb::AuthUserGetRequest request;
      request.set_name(user());
      return send(InternalKind::kAuthUserGet, request);
    }
    case 3: {
      pb::AuthRoleGetRequest request;
      request.set_role(role());
      return send(InternalKind::kAuthRoleGet, request);
    }
    case 4:
      return send(InternalKind::kAuthUserList, pb::AuthUserListRequest());
    case 5:
      return send(InternalKind::kAuthRoleList, pb::AuthRoleListRequest());
    case 6:
      return send(InternalKind::kAuthStatus, pb::AuthStatusRequest());
    default:
      if (for_ever_ || world_.random().below(30) != 0) return;
      perhaps_ = true;
      return send(InternalKind::kAuthDisable, pb::AuthDisableRequest());
  }
}

// One key, alone or in a transaction, or several.
void Accounts::use(int member) {
  if (for_ever_ && counts_ && world_.random().below(4) == 0) return revoke_a_lease(member);
  pb::DeleteRangeRequest request;
  request.set_key(cat("k", world_.random().below(5)));
  if (world_.random().below(4) == 0) request.set_range_end("k5");
  auto answer = [this, member, phase = phase_, question = question_,
                 counts = counts_](const apply::Reply& reply) {
    if (counts) used(member, phase, question, reply.status);
  };
  if (world_.random().below(2) == 0) {
    return world_.member(member).propose(InternalKind::kDeleteRange, request.SerializeAsString(),
                                         answer, user());
  }
  pb::TxnRequest both;
  *both.add_success()->mutable_request_delete_range() = request;
  world_.member(member).propose(InternalKind::kTxn, both.SerializeAsString(), answer, user());
}

void Accounts::revoke_a_lease(int member) {
  const History::State there = world_.history().state(world_.history().newest());
  auto lock = there.lower_bound("lock");
  if (lock == there.end()) return;
  pb::LeaseRevokeRequest request;
  request.set_id(std::strtoll(lock->second.value.c_str() + 1, nullptr, 10));
  world_.member(member).propose(
      InternalKind::kLeaseRevoke, request.SerializeAsString(), [](const apply::Reply&) {}, user());
}

// `phase` and `question`: where things stood when it was asked for.
void Accounts::used(int member, Phase phase, uint64_t question, const absl::Status& status) {
  ++(status.ok() ? admitted_ : refused_);
  if (question != question_ || phase != phase_ || perhaps_) return;
  const bool has = phase == Phase::kHas && !asking_ && (!returned_ || has_the_right(member));
  if (has && is_want_of_right(status)) {
    world_.verdict().violated(cat(user(), " has the right, and is refused: ", message_of(status)));
  }
  if (phase == Phase::kGone && status.ok() && !has_the_right(member)) {
    world_.verdict().violated(cat("what ", user(), " has no right to any more is done"));
  }
}

bool Accounts::has_the_right(int member) const {
  const auth::AuthStore& records = world_.member(member).node().auth();
  auto found = records.roles().find(role());
  if (found == records.roles().end() || !records.has_role(user(), role())) return false;
  return std::any_of(found->second.keypermission().begin(), found->second.keypermission().end(),
                     [](const authpb::Permission& p) { return p.key() == kFrom; });
}

}  // namespace keelson::sim
