// received_rules_test: a member whose state is replaced by a received one goes by the rules that
// came with it: at once, while clients are there, and after a restart, too.

#include <iostream>
#include <memory>
#include <string>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/crash/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;
using harness::CallOptions;
using harness::Stream;

constexpr char kInvalidToken[] = "etcdserver: invalid auth token";
constexpr char kDenied[] = "etcdserver: permission denied";
constexpr char kNobody[] = "etcdserver: user name is empty";

CallOptions as(const std::string& token) {
  CallOptions options{.deadline = Milliseconds(20000)};
  if (!token.empty()) options.metadata.emplace("token", token);
  return options;
}

class Trial {
 public:
  explicit Trial(const std::string& binary)
      : program_(binary,
                 {"--snapshot-count=50", "--snapshot-catchup-entries=10", "--bcrypt-cost=4"}),
        cluster_({program_, program_, program_}, &links_) {}

  int run();

 private:
  static constexpr int kAway = 2;  // whose state is replaced

  template <typename Answer = pb::AuthenticateResponse>
  std::string ask(int member, const std::string& token, const std::string& method,
                  const google::protobuf::Message& request, Answer* answer = nullptr) {
    Answer unused;
    const grpc::Status status = cluster_.at(member).client().unary(
        "/etcdserverpb." + method, request, answer ? answer : &unused, as(token));
    return status.ok() ? "OK" : status.error_message();
  }
  void must(const std::string& outcome, const std::string& wanted, const std::string& what) {
    cluster_.check(outcome == wanted, cat(what, ": ", outcome, ", not ", wanted));
  }

  std::string login(int member, const std::string& name, const std::string& password) {
    pb::AuthenticateRequest request;
    request.set_name(name);
    request.set_password(password);
    pb::AuthenticateResponse answer;
    const std::string outcome = ask(member, "", "Auth/Authenticate", request, &answer);
    return outcome == "OK" ? answer.token() : "refused: " + outcome;
  }
  // By what the member itself has applied.
  std::string read(int member, const std::string& token, const std::string& key) {
    pb::RangeRequest request;
    request.set_key(key);
    request.set_serializable(true);
    return ask<pb::RangeResponse>(member, token, "KV/Range", request);
  }
  std::string put(int member, const std::string& token, const std::string& key,
                  const std::string& value) {
    pb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    return ask<pb::PutResponse>(member, token, "KV/Put", request);
  }
  void user(const std::string& name) {
    pb::AuthUserAddRequest request;
    request.set_name(name);
    request.set_password(name);
    must(ask<pb::AuthUserAddResponse>(0, root_, "Auth/UserAdd", request), "OK", "add " + name);
  }
  void grant(const std::string& name, const std::string& role) {
    pb::AuthUserGrantRoleRequest request;
    request.set_user(name);
    request.set_role(role);
    must(ask<pb::AuthUserGrantRoleResponse>(0, root_, "Auth/UserGrantRole", request), "OK",
         "grant " + role);
  }
  void permit(const std::string& key) {
    pb::AuthRoleGrantPermissionRequest request;
    request.set_name("reads");
    request.mutable_perm()->set_key(key);
    request.mutable_perm()->set_permtype(authpb::Permission::READ);
    must(ask<pb::AuthRoleGrantPermissionResponse>(0, root_, "Auth/RoleGrantPermission", request),
         "OK", "permit " + key);
  }

  // The first row that begins so; 0: none.
  double metric(int member, const std::string& name) {
    const std::string text = page(cluster_, member, "/metrics");
    const size_t at = text.find("\n" + name);
    if (at == std::string::npos) return 0;
    const size_t end = text.find('\n', at + 1);
    return std::stod(text.substr(text.rfind(' ', end) + 1));
  }

  void set_up();
  void away(const std::function<void()>& meanwhile);
  void rules_change();
  void rules_go();
  void rules_come();

  Links links_;
  const Program program_;
  Cluster cluster_;
  std::string root_;  // a token at member 0; empty: there are no rules
};

void Trial::set_up() {
  user("root");
  grant("root", "root");
  pb::AuthRoleAddRequest role;
  role.set_name("reads");
  must(ask<pb::AuthRoleAddResponse>(0, "", "Auth/RoleAdd", role), "OK", "add a role");
  permit("before");
  for (const char* name : {"reader", "gone"}) {
    user(name);
    grant(name, "reads");
  }
  must(ask<pb::AuthEnableResponse>(0, "", "Auth/AuthEnable", pb::AuthEnableRequest()), "OK",
       "enable");
  root_ = login(0, "root", "root");
}

// The others go on so far that it has to be sent the state.
void Trial::away(const std::function<void()>& meanwhile) {
  const auto sent = [&] { return metric(kAway, "etcd_network_snapshot_receive_success{"); };
  const double before = sent();
  links_.isolate(kAway, cluster_.size());
  meanwhile();
  for (int i = 0; i < 200; ++i) must(put(0, root_, "fill", cat(i)), "OK", "put");
  links_.mend();
  cluster_.check(eventually([&] { return sent() > before; }), "a state was sent");
  const std::string revision = "etcd_debugging_mvcc_current_revision ";
  cluster_.check(eventually([&] { return metric(kAway, revision) == metric(0, revision); }),
                 "it has caught up");
}

// A watch that goes on is one that was begun by right.
void Trial::rules_change() {
  const std::string root_there = login(kAway, "root", "root");
  const std::string reader = login(kAway, "reader", "reader");
  must(read(kAway, reader, "before"), "OK", "with the permission");
  must(read(kAway, reader, "after"), kDenied, "without");
  std::unique_ptr<Stream> watch =
      cluster_.at(kAway).client().stream("/etcdserverpb.Watch/Watch", as(reader));
  pb::WatchRequest create;
  create.mutable_create_request()->set_key("before");
  watch->send(create.SerializeAsString());
  cluster_.check(watch->receive(Milliseconds(20000)).has_value(), "a watch begins");
  away([&] {
    pb::AuthRoleRevokePermissionRequest revoke;
    revoke.set_role("reads");
    revoke.set_key("before");
    must(ask<pb::AuthRoleRevokePermissionResponse>(0, root_, "Auth/RoleRevokePermission", revoke),
         "OK", "revoke");
    permit("after");
    user("newcomer");
    grant("newcomer", "reads");
    pb::AuthUserDeleteRequest removal;
    removal.set_name("gone");
    must(ask<pb::AuthUserDeleteResponse>(0, root_, "Auth/UserDelete", removal), "OK", "remove");
    must(read(kAway, reader, "before"), "OK", "cut off, by the old rules");
  });
  // Tokens of the state that was replaced are of no use.
  must(read(kAway, reader, "after"), kInvalidToken, "an old token");
  must(read(kAway, root_there, "after"), kInvalidToken, "root's old token");
  const std::string again = login(kAway, "reader", "reader");
  must(read(kAway, again, "before"), kDenied, "what was revoked");
  must(read(kAway, again, "after"), "OK", "what was granted");
  must(put(kAway, again, "after", "x"), kDenied, "a write");
  must(read(kAway, login(kAway, "newcomer", "newcomer"), "after"), "OK", "who was added");
  must(login(kAway, "gone", "gone"),
       "refused: etcdserver: authentication failed, invalid user ID or password",
       "who was removed");
  must(read(kAway, "", "after"), kNobody, "nobody");
  must(put(kAway, login(kAway, "root", "root"), "before", "seen"), "OK", "root");
  bool seen = false;
  while (!seen) {
    const auto message = watch->receive(Milliseconds(20000));
    pb::WatchResponse response;
    if (!message || !response.ParseFromString(*message)) break;
    for (const mvccpb::Event& event : response.events()) seen |= event.kv().value() == "seen";
  }
  cluster_.check(seen, "a watch that was begun by right goes on");
  create.mutable_create_request()->set_key("before");
  watch->send(create.SerializeAsString());
  pb::WatchResponse refused;
  const auto message = watch->receive(Milliseconds(20000));
  cluster_.check(message && refused.ParseFromString(*message) && refused.canceled(),
                 "another of the same stream is refused");
}

void Trial::rules_go() {
  away([&] {
    must(ask<pb::AuthDisableResponse>(0, root_, "Auth/AuthDisable", pb::AuthDisableRequest()), "OK",
         "disable");
    root_.clear();
  });
  must(read(kAway, "", "before"), "OK", "nobody, without rules");
  must(put(kAway, "", "before", "x"), "OK", "a write of nobody's, without rules");
}

void Trial::rules_come() {
  away([&] {
    must(ask<pb::AuthEnableResponse>(0, "", "Auth/AuthEnable", pb::AuthEnableRequest()), "OK",
         "enable");
    root_ = login(0, "root", "root");
    must(read(kAway, "", "before"), "OK", "cut off, without rules still");
  });
  const auto enforced = [&](const std::string& when) {
    must(read(kAway, "", "before"), kNobody, "nobody " + when);
    must(put(kAway, "", "before", "x"), kNobody, "a write of nobody's " + when);
    must(read(kAway, login(kAway, "reader", "reader"), "before"), kDenied, "a reader " + when);
  };
  enforced("with rules again");
  cluster_.at(kAway).kill();
  cluster_.check(cluster_.at(kAway).start(), "restart");
  enforced("after a restart");
}

int Trial::run() {
  cluster_.start();
  cluster_.move_leader(0);
  set_up();
  rules_change();
  rules_go();
  rules_come();
  must(ask<pb::AuthDisableResponse>(0, root_, "Auth/AuthDisable", pb::AuthDisableRequest()), "OK",
       "disable");
  cluster_.expect_equal();
  std::cout << (cluster_.ok() ? "ok" : "failed") << "\n";
  return cluster_.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::crash::server_test(
      argc, argv, "Rules that come with a received state.",
      [](const std::string& binary) { return keelson::cluster::Trial(binary).run(); });
}
