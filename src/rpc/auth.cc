// The Auth service. Everything goes through the log, who only asks included, as in etcd; passwords
// are hashed and checked before that, on threads of their own, and no entry has one.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apply/decode.h"
#include "auth/base64.h"
#include "auth/password.h"
#include "auth/token_text.h"
#include "base/errors.h"
#include "base/inner_errors.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "base/told.h"
#include "proto/raft_internal.pb.h"
#include "rpc/canonical.h"
#include "rpc/services.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
namespace field = keelson::pb;
using wire::InternalKind;

// A request that is logged as it came, but for what nobody knows in it.
template <typename Request, InternalKind kKind>
class Logged final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    Request request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    context_.propose(std::move(call), kKind, {canonical(request), bytes.size()});
  }
};

void forget(std::string* password) {
  password->assign(password->size(), '\0');
  password->clear();
}

// A request with a password, which is hashed ahead of the log. For that it must be an
// administrator's: etcd hashes for everybody.
template <typename Request, InternalKind kKind>
class WithPassword final : public Unary {
 public:
  using Unary::Unary;

 private:
  static bool has_password(const pb::AuthUserAddRequest& request) {
    return !request.options().no_password();
  }
  static bool has_password(const pb::AuthUserChangePasswordRequest& request) {
    return !request.password().empty();
  }

  void run(net::CallRef call, Bytes bytes) override {
    auto request = std::make_shared<Request>();
    if (absl::Status s = apply::decode(bytes, request.get()); !s.ok()) {
      return call->fail(std::move(s));
    }
    if (!has_password(*request)) {
      // What it may have all the same, be it as a field that came twice, is nobody's to read.
      forget(request->mutable_password());
      return context_.propose(std::move(call), kKind, {canonical(*request), bytes.size()});
    }
    if (context_.require_admin(*call).ok()) return hash(std::move(call), std::move(request));
    // Perhaps this member has yet to hear that it is one.
    context_.lane(*call).gateway->read(context_.origin(*call),
                                       [this, call, request](absl::Status status) {
                                         if (status.ok()) status = context_.require_admin(*call);
                                         if (!status.ok()) return call->fail(std::move(status));
                                         hash(call, request);
                                       });
  }

  void hash(net::CallRef call, std::shared_ptr<Request> request) {
    context_.logins().run(call, [this, call, request]() -> Task {
      absl::StatusOr<std::string> hash =
          auth::hash_password(request->password(), context_.auth().bcrypt_cost);
      forget(request->mutable_password());
      return [this, call, request, hash = std::move(hash)] {
        if (!hash.ok()) return call->fail(hash.status());
        request->set_hashedpassword(auth::encode_base64(*hash));
        const size_t whole = request->ByteSizeLong();
        context_.propose(call, kKind, {canonical(*request), whole});
      };
    });
  }
};

// One login. The password is checked against what is known here, and what was found counts only as
// long as nothing has changed until the entry is applied.
class Login : public std::enable_shared_from_this<Login> {
 public:
  Login(Context& context, net::CallRef call, pb::AuthenticateRequest request)
      : context_(context), call_(std::move(call)), request_(std::move(request)) {}
  ~Login() { forget(request_.mutable_password()); }

  // On the loop, behind everything committed.
  void check() {
    Lane& lane = context_.lane(*call_);
    const auth::Rules& rules = context_.rules(lane);
    if (!rules.enabled()) return call_->fail(errors::AuthNotEnabled());
    if (++tries_ > kMostTries) return call_->fail(errors::AuthOldRevision());
    revision_ = rules.revision();
    const auth::UserRules* user = rules.user(request_.name());
    const auth::UserRules* root = rules.user(auth::kRoot);
    // Who asks for a user that is not there waits as long.
    const int usual = root ? auth::cost_of(root->password) : 0;
    context_.logins().run(call_,
                          [self = shared_from_this(), hash = user ? user->password : std::string(),
                           no_password = user && user->no_password,
                           cost = usual > 0 ? usual : context_.auth().bcrypt_cost]() -> Task {
                            const bool matches = self->matches(hash, cost);
                            return [self, matches, no_password] {
                              self->checked(matches, no_password);
                            };
                          });
  }

 private:
  static constexpr int kMostTries = 10;

  bool matches(const std::string& hash, int cost) const {
    if (auth::cost_of(hash) > 0) return auth::password_matches(hash, request_.password());
    auth::waste_time_for(request_.password(), cost);
    return false;
  }

  void checked(bool matches, bool no_password) {
    if (call_->over()) return;
    if (!matches) {
      absl::Status why = no_password ? auth::no_password_user() : errors::AuthFailed();
      warn_of(why);
      return call_->fail(std::move(why));
    }
    absl::StatusOr<std::string> letters =
        context_.auth().jwt ? std::string() : auth::random_letters();
    if (!letters.ok()) return call_->fail(letters.status());
    pb::InternalAuthenticateRequest entry;
    entry.set_name(request_.name());
    entry.set_simple_token(*std::move(letters));
    Lane& lane = context_.lane(*call_);
    context_.propose_for_nobody(
        call_, InternalKind::kAuthenticate, entry.SerializeAsString(),
        [self = shared_from_this(), start = lane.loop.now()](apply::Reply reply) {
          self->applied(std::move(reply), start);
        });
  }

  // Of a name that nobody has there may be megabytes.
  void warn_of(const absl::Status& why) {
    const std::string_view user = told(request_.name());
    if (!take_line(context_.lines(), kMostTold + user.size())) return;
    log::warn("invalid authentication was requested",
              {{"user", user}, {"error", errors::inner_text(why)}});
  }

  void applied(apply::Reply reply, MonotonicTime start) {
    Lane& lane = context_.lane(*call_);
    context_.proposal_done(lane, InternalKind::kAuthenticate, start, reply.status.ok());
    if (!reply.status.ok() || call_->over()) return context_.answer(*call_, std::move(reply));
    if (context_.rules(lane).revision() != revision_) {
      if (take_line(context_.lines(), kUsualLine)) {
        log::info("revision when password checked became stale; retrying");
      }
      return check();
    }
    if (!context_.auth().jwt) return context_.answer(*call_, std::move(reply));
    sign(reply.revision);
  }

  void sign(int64_t header_revision) {
    context_.logins().run(call_, [self = shared_from_this(), header_revision]() -> Task {
      Context& context = self->context_;
      absl::StatusOr<std::string> token = context.auth().jwt->sign(
          self->request_.name(), self->revision_, context.node().clock().unix_time());
      return [self, header_revision, token = std::move(token)] {
        if (!token.ok()) return self->call_->fail(token.status());
        std::string body;
        field::append_bytes_field(body, 2, *token);
        self->call_->respond(self->context_.respond(header_revision, Parts::copy(body)));
      };
    });
  }

  Context& context_;
  const net::CallRef call_;
  pb::AuthenticateRequest request_;
  uint64_t revision_ = 0;  // of the rules that had the password's hash
  int tries_ = 0;          // <= kMostTries + 1
};

class Authenticate final : public Unary {
 public:
  using Unary::Unary;

 private:
  void run(net::CallRef call, Bytes bytes) override {
    pb::AuthenticateRequest request;
    if (absl::Status s = apply::decode(bytes, &request); !s.ok()) return call->fail(std::move(s));
    auto login = std::make_shared<Login>(context_, call, std::move(request));
    context_.lane(*call).gateway->read(context_.origin(*call), [call, login](absl::Status status) {
      if (!status.ok()) return call->fail(std::move(status));
      login->check();
    });
  }
};

}  // namespace

std::vector<std::unique_ptr<net::UnaryHandler>> register_auth(Context& context, net::Router& router,
                                                              net::MethodOptions max) {
  std::vector<std::unique_ptr<net::UnaryHandler>> made;
  auto add = [&](std::string_view name, std::unique_ptr<net::UnaryHandler> handler) {
    router.unary(cat("/etcdserverpb.Auth/", name), handler.get(), max);
    made.push_back(std::move(handler));
  };
  add("AuthEnable",
      std::make_unique<Logged<pb::AuthEnableRequest, InternalKind::kAuthEnable>>(context));
  add("AuthDisable",
      std::make_unique<Logged<pb::AuthDisableRequest, InternalKind::kAuthDisable>>(context));
  add("AuthStatus",
      std::make_unique<Logged<pb::AuthStatusRequest, InternalKind::kAuthStatus>>(context));
  add("UserGet",
      std::make_unique<Logged<pb::AuthUserGetRequest, InternalKind::kAuthUserGet>>(context));
  add("UserList",
      std::make_unique<Logged<pb::AuthUserListRequest, InternalKind::kAuthUserList>>(context));
  add("UserDelete",
      std::make_unique<Logged<pb::AuthUserDeleteRequest, InternalKind::kAuthUserDelete>>(context));
  add("UserGrantRole",
      std::make_unique<Logged<pb::AuthUserGrantRoleRequest, InternalKind::kAuthUserGrantRole>>(
          context));
  add("UserRevokeRole",
      std::make_unique<Logged<pb::AuthUserRevokeRoleRequest, InternalKind::kAuthUserRevokeRole>>(
          context));
  add("RoleAdd",
      std::make_unique<Logged<pb::AuthRoleAddRequest, InternalKind::kAuthRoleAdd>>(context));
  add("RoleGet",
      std::make_unique<Logged<pb::AuthRoleGetRequest, InternalKind::kAuthRoleGet>>(context));
  add("RoleList",
      std::make_unique<Logged<pb::AuthRoleListRequest, InternalKind::kAuthRoleList>>(context));
  add("RoleDelete",
      std::make_unique<Logged<pb::AuthRoleDeleteRequest, InternalKind::kAuthRoleDelete>>(context));
  add("RoleGrantPermission",
      std::make_unique<
          Logged<pb::AuthRoleGrantPermissionRequest, InternalKind::kAuthRoleGrantPermission>>(
          context));
  add("RoleRevokePermission",
      std::make_unique<
          Logged<pb::AuthRoleRevokePermissionRequest, InternalKind::kAuthRoleRevokePermission>>(
          context));
  add("UserAdd",
      std::make_unique<WithPassword<pb::AuthUserAddRequest, InternalKind::kAuthUserAdd>>(context));
  add("UserChangePassword",
      std::make_unique<
          WithPassword<pb::AuthUserChangePasswordRequest, InternalKind::kAuthUserChangePassword>>(
          context));
  add("Authenticate", std::make_unique<Authenticate>(context));
  return made;
}

}  // namespace keelson::rpc
