// mixed_auth_test: users whose grants begin at the same keys, transactions with ranges that end
// before they begin, and transactions that are refused for what they read, in one cluster of etcd
// 3.5 and of Keelson: each member permits and refuses the same, so all hold the same. Once etcd has
// gone they are permitted as by 3.7. Skipped without an etcd.

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/http.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;
using Range = std::pair<std::string, std::string>;

constexpr int kUsers = 12, kGrants = 9, kRequests = 12;

class Test {
 public:
  Test(const Program& ours, const Program& theirs) : cluster_({ours, theirs, ours}) {}

  bool run() {
    cluster_.start();
    // Until a version is decided nobody knows of which release the others are.
    cluster_.check(eventually([&] {
                     auto page = harness::http_request(cluster_.at(0).address(), "GET", "/version");
                     return page.ok() &&
                            page->body.find("\"etcdcluster\":\"3.5") != page->body.npos;
                   }),
                   "the cluster speaks 3.5");
    found();
    transactions_that_read("");
    cluster_.expect_equal();
    enable();
    transactions_that_read("u0");
    // Of these two the releases say otherwise.
    cluster_.check(!permitted_by_all(0, {"b", "a"}), "3.5 refuses it");
    cluster_.check(permitted_by_all(1, {"b", "a"}), "3.5 permits it");
    int permitted = 0, refused = 0;
    for (int user = 2; user < kUsers; ++user) {
      for (int i = 0; i < kRequests; ++i) {
        ++(permitted_by_all(user, random_request()) ? permitted : refused);
      }
    }
    std::cout << permitted << " permitted and " << refused << " refused by all\n";
    cluster_.check(permitted > 0 && refused > 0, "there is something of both");
    disable();
    cluster_.expect_equal();

    cluster_.remove(1, 0);
    cluster_.check(eventually([&] { return cluster_.at(1).exited(); }), "etcd has gone");
    cluster_.check(eventually([&] {
                     return cluster_.status(0).storageversion() == "3.7.0" &&
                            cluster_.status(2).storageversion() == "3.7.0";
                   }),
                   "the cluster speaks 3.7");
    enable();
    cluster_.check(permitted_by_all(0, {"b", "a"}), "3.7 permits it");
    cluster_.check(!permitted_by_all(1, {"b", "a"}), "3.7 refuses it");
    disable();
    cluster_.expect_equal();
    return cluster_.ok();
  }

 private:
  template <typename Response>
  Response ask(int i, const std::string& method, const google::protobuf::Message& request) {
    Response response;
    cluster_.check(cluster_.at(i).client().unary("/etcdserverpb.Auth/" + method, request, &response,
                                                 as(root_)),
                   cat(method, " at ", cluster_.at(i).name()));
    return response;
  }
  static harness::CallOptions as(const std::string& token) {
    harness::CallOptions options;
    if (!token.empty()) options.metadata.emplace("token", token);
    return options;
  }

  void found() {
    add_user("root", "root", {});
    add_user("u0", "r0", {{"a", "c"}, {"a", "b"}, {"a", "d"}});
    add_user("u1", "r1", {{"a", "b"}, {"a", "c"}, {"a", ""}});
    for (int i = 2; i < kUsers; ++i) {
      std::vector<Range> grants;
      while (grants.size() < kGrants) grants.push_back(random_grant());
      add_user(cat("u", i), cat("r", i), grants);
    }
  }

  void add_user(const std::string& name, const std::string& role,
                const std::vector<Range>& grants) {
    pb::AuthUserAddRequest user;
    user.set_name(name);
    user.set_password("p");
    ask<pb::AuthUserAddResponse>(0, "UserAdd", user);
    pb::AuthRoleAddRequest added;
    added.set_name(role);
    ask<pb::AuthRoleAddResponse>(0, "RoleAdd", added);
    for (const auto& [begin, end] : grants) {
      pb::AuthRoleGrantPermissionRequest grant;
      grant.set_name(role);
      grant.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
      grant.mutable_perm()->set_key(begin);
      grant.mutable_perm()->set_range_end(end);
      ask<pb::AuthRoleGrantPermissionResponse>(0, "RoleGrantPermission", grant);
    }
    // Whoever is asked about may always write here.
    if (name != "root") {
      pb::AuthRoleGrantPermissionRequest grant;
      grant.set_name(role);
      grant.mutable_perm()->set_permtype(authpb::Permission::WRITE);
      grant.mutable_perm()->set_key("z" + name);
      ask<pb::AuthRoleGrantPermissionResponse>(0, "RoleGrantPermission", grant);
    }
    pb::AuthUserGrantRoleRequest held;
    held.set_user(name);
    held.set_role(role);
    ask<pb::AuthUserGrantRoleResponse>(0, "UserGrantRole", held);
  }

  void enable() {
    ask<pb::AuthEnableResponse>(0, "AuthEnable", pb::AuthEnableRequest());
    root_ = log_in(0, "root");
  }
  void disable() {
    ask<pb::AuthDisableResponse>(0, "AuthDisable", pb::AuthDisableRequest());
    root_.clear();
  }
  std::string log_in(int i, const std::string& name) {
    pb::AuthenticateRequest login;
    login.set_name(name);
    login.set_password("p");
    return ask<pb::AuthenticateResponse>(i, "Authenticate", login).token();
  }

  // A transaction that writes, and deletes the range; through each member in turn.
  bool permitted_by_all(int user, const Range& range) {
    const std::string name = cat("u", user);
    int permitted = 0, members = 0;
    std::string said;
    for (int i = 0; i < cluster_.size(); ++i) {
      if (cluster_.at(i).exited()) continue;
      pb::TxnRequest txn;
      pb::DeleteRangeRequest* del = txn.add_success()->mutable_request_delete_range();
      del->set_key(range.first);
      del->set_range_end(range.second);
      txn.add_success()->mutable_request_put()->set_key("z" + name);
      pb::TxnResponse done;
      const grpc::Status status =
          cluster_.at(i).client().unary("/etcdserverpb.KV/Txn", txn, &done, as(log_in(i, name)));
      ++members;
      permitted += status.ok();
      said += cat(" ", cluster_.at(i).name(), ": ", status.error_message());
      cluster_.check(status.ok() || status.error_message() == "etcdserver: permission denied",
                     status.error_message());
    }
    cluster_.check(permitted == 0 || permitted == members,
                   cat("one answer to ", name, " about ", range.first, "..", range.second, said));
    return permitted == members;
  }

  // A member of 3.5 that was not asked looks at no range of a transaction but at those within
  // transactions within it. `user` may write "zu0" and read from "a" to "d".
  void transactions_that_read(const std::string& user) {
    const auto with = [](auto&& more) {
      pb::TxnRequest txn;
      pb::RangeRequest* range = txn.add_success()->mutable_request_range();
      range->set_key("a");
      txn.add_success()->mutable_request_put()->set_key("zu0");
      more(txn, *range);
      return txn;
    };
    const auto wide = [](pb::TxnRequest& txn, pb::RangeRequest& range) {
      range.set_range_end("c");
      // As a range is hidden from members of 3.5, and that once more.
      pb::RequestOp* once = txn.add_success();
      *once->mutable_request_txn()->add_success()->mutable_request_range() = range;
      *txn.add_success()->mutable_request_txn()->add_success() = *once;
    };
    same_at_all(user, with(wide), "");
    same_at_all(user, with([](pb::TxnRequest& txn, pb::RangeRequest&) {
                  txn.mutable_success()->SwapElements(0, 1);
                  txn.mutable_failure()->CopyFrom(txn.success());
                  txn.add_compare()->set_key("a");
                }),
                "");
    same_at_all(user,
                with([](pb::TxnRequest&, pb::RangeRequest& range) { range.set_revision(1 << 30); }),
                "etcdserver: mvcc: required revision is a future revision");
    if (user.empty()) return;
    const std::string denied = "etcdserver: permission denied";
    const auto secret = [](pb::TxnRequest&, pb::RangeRequest& range) { range.set_key("x"); };
    same_at_all(user, with(secret), denied);
    // Of the branch that is not taken, too.
    same_at_all(user, with([](pb::TxnRequest& txn, pb::RangeRequest&) {
                  txn.add_failure()->mutable_request_range()->set_key("x");
                }),
                denied);
  }

  // Each member that is asked answers so, and as the others do.
  void same_at_all(const std::string& user, const pb::TxnRequest& txn, const std::string& error) {
    std::string first;
    for (int i = 0; i < cluster_.size(); ++i) {
      pb::TxnResponse done;
      const grpc::Status status = cluster_.at(i).client().unary(
          "/etcdserverpb.KV/Txn", txn, &done, user.empty() ? as("") : as(log_in(i, user)));
      const std::string& name = cluster_.at(i).name();
      cluster_.check(status.error_message() == error,
                     cat(name, " to ", txn.ShortDebugString(), ": ", status.error_message()));
      forget_revisions(done);
      const std::string answer = done.ShortDebugString();
      if (i == 0) first = answer;
      cluster_.check(answer == first, cat(name, " says ", answer, " and not ", first));
    }
  }
  static void forget_revisions(pb::TxnResponse& done) {
    done.clear_header();
    for (pb::ResponseOp& op : *done.mutable_responses()) {
      if (op.has_response_range()) op.mutable_response_range()->clear_header();
      if (op.has_response_put()) op.mutable_response_put()->clear_header();
      if (op.has_response_txn()) forget_revisions(*op.mutable_response_txn());
    }
  }

  // Many begin at one key.
  Range random_grant() {
    Range range{random_.below(2) == 0 ? "b" : text(), text()};
    if (random_.below(5) == 0) range.second.clear();
    if (random_.below(8) == 0) range.second = std::string(1, '\0');
    if (range.second.size() > 0 && range.second[0] != 0 && range.second <= range.first) {
      range.second = range.first + "c";
    }
    return range;
  }
  Range random_request() {
    Range range{text(), text()};
    if (range.first < range.second) std::swap(range.first, range.second);
    return range;
  }
  std::string text() {
    std::string out;
    do {
      out += static_cast<char>('a' + random_.below(4));
    } while (out.size() < 3 && random_.below(2) == 0);
    return out;
  }

  SeededRandom random_{1};
  Cluster cluster_;
  std::string root_;  // its token; empty: nobody need log in
};

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::etcd_test(
      argc, argv, "Users and permissions in a cluster of etcd and of Keelson.",
      [](const std::string& server, const std::string& etcd) {
        const std::vector<std::string> flags = {"--bcrypt-cost=4"};
        const bool ok = keelson::cluster::Test({server, flags}, {etcd, flags}).run();
        std::cout << (ok ? "ok" : "failed") << "\n";
        return ok ? 0 : 1;
      });
}
