// What a line of the access log says, and what it never does.

#include "server/access_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/protobuf.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"

namespace keelson::server {
namespace {

namespace pb = etcdserverpb;
using nlohmann::json;

std::string about(RequestForm form, const google::protobuf::Message& request, bool keys) {
  std::string out;
  append_request(out, form, request.SerializeAsString(), keys);
  return out;
}

json parsed(const std::string& members) { return json::parse(cat("{\"x\":0", members, "}")); }

TEST(AccessLine, OfACall) {
  AccessLine line{.time = "2026-11-22T22:39:15.934732Z",
                  .remote = "10.0.0.1:5",
                  .user = "alice",
                  .common_name = "client",
                  .method = "/etcdserverpb.KV/Range",
                  .request = ",\"key\":\"a\"",
                  .received = 1,
                  .received_bytes = 3,
                  .sent = 1,
                  .sent_bytes = 40,
                  .code = absl::StatusCode::kResourceExhausted,
                  .took = std::chrono::microseconds(1042)};
  std::string out;
  append_line(out, line);
  EXPECT_EQ(out,
            R"({"ts":"2026-11-22T22:39:15.934732Z","remote":"10.0.0.1:5","user":"alice",)"
            R"("common_name":"client","method":"/etcdserverpb.KV/Range","key":"a","received":1,)"
            R"("received_bytes":3,"sent":1,"sent_bytes":40,"code":"RESOURCE_EXHAUSTED",)"
            R"("duration_ms":1.042})"
            "\n");
}

TEST(AccessLine, OfAStreamThatBegins) {
  std::string out;
  append_line(out, {.event = "begin",
                    .time = "t",
                    .remote = "@",
                    .through_gateway = true,
                    .method = "/etcdserverpb.Watch/Watch",
                    .ended = false});
  EXPECT_EQ(out,
            "{\"ts\":\"t\",\"event\":\"begin\",\"remote\":\"@\",\"gateway\":true,"
            "\"method\":\"/etcdserverpb.Watch/Watch\"}\n");
}

TEST(AccessLine, KeysAreToldWhenTheyAreWanted) {
  pb::RangeRequest range;
  range.set_key("a\"\n");
  range.set_range_end(std::string("\xff\0", 2));
  EXPECT_EQ(about(request_form("/etcdserverpb.KV/Range"), range, false), "");
  EXPECT_EQ(about(request_form("/etcdserverpb.KV/RangeStream"), range, true),
            ",\"key\":\"a\\\"\\u000a\",\"range_end_base64\":\"/wA=\"");
}

TEST(AccessLine, WhatIsLongIsCutInWholeCharacters) {
  std::string out;
  const std::string text = std::string(255, 'a') + "\xc3\xa4" + std::string(1000, 'b');
  append_text(out, "key", text);
  EXPECT_EQ(out, cat(",\"key\":\"", std::string(255, 'a'), "\",\"key_bytes\":1257"));
  out.clear();
  append_text(out, "key", std::string(10'000, '\xff'));
  EXPECT_EQ(parsed(out)["key_bytes"], 10'000);
  EXPECT_LT(out.size(), 400u);
}

TEST(AccessLine, OfATransactionItsOperations) {
  pb::TxnRequest txn;
  auto* compare = txn.add_compare();
  compare->set_key("c");
  compare->set_value("SECRET");
  auto* put = txn.add_success()->mutable_request_put();
  put->set_key("p");
  put->set_value("SECRET");
  txn.add_success()->mutable_request_txn()->add_success()->mutable_request_put()->set_key("nested");
  auto* gone = txn.add_failure()->mutable_request_delete_range();
  gone->set_key("d");
  gone->set_range_end("e");
  const RequestForm form = request_form("/etcdserverpb.KV/Txn");
  EXPECT_EQ(about(form, txn, false), ",\"compares\":1,\"successes\":2,\"failures\":1");
  EXPECT_EQ(about(form, txn, true),
            ",\"compares\":1,\"successes\":2,\"failures\":1,\"operations\":["
            "{\"op\":\"compare\",\"key\":\"c\"},{\"op\":\"put\",\"key\":\"p\"},{\"op\":\"txn\"},"
            "{\"op\":\"put\",\"depth\":1,\"key\":\"nested\"},"
            "{\"op\":\"delete_range\",\"key\":\"d\",\"range_end\":\"e\"}]");
  for (int i = 0; i < 1000; ++i) *txn.add_success() = txn.success(0);
  const json long_one = parsed(about(form, txn, true));
  EXPECT_EQ(long_one["successes"], 1002);
  EXPECT_EQ(long_one["operations"].size() + long_one["left_out"].get<size_t>(), 1005u);
  EXPECT_LT(about(form, txn, true).size(), kMostOfKeys + 1000);
}

TEST(AccessLine, ATransactionIsNotHiddenInOthers) {
  pb::TxnRequest txn;
  pb::TxnRequest* inner = &txn;
  for (int depth = 0; depth < 40; ++depth) {
    auto* next = inner->add_failure()->mutable_request_txn();
    inner->add_success()->mutable_request_put()->set_key(cat("k", depth));
    inner = next;
  }
  inner->add_compare()->set_key("deepest");
  const json told = parsed(about(RequestForm::kTxn, txn, true));
  EXPECT_EQ(told["operations"].size(), 2u * 16 + 1);
  EXPECT_EQ(told["operations"][2].dump(), R"({"depth":1,"key":"k1","op":"put"})");
  EXPECT_EQ(told["left_out"], 1);
}

// Protobuf merges what stands there more than once.
TEST(AccessLine, ARequestInPartsIsToldAsItIsMeant) {
  pb::WatchRequest named, empty, cancel;
  named.mutable_create_request()->set_key("secret");
  empty.mutable_create_request();
  cancel.mutable_cancel_request();
  const std::string all = named.SerializeAsString() + empty.SerializeAsString();
  std::string out;
  EXPECT_TRUE(append_watch(out, all, true));
  EXPECT_EQ(out, ",\"key\":\"secret\"");
  // Of a choice the last one counts, and what came before another one is forgotten.
  EXPECT_FALSE(append_watch(out, all + cancel.SerializeAsString(), true));
  out.clear();
  EXPECT_TRUE(
      append_watch(out, all + cancel.SerializeAsString() + empty.SerializeAsString(), true));
  EXPECT_EQ(out, ",\"key\":\"\"");

  v3electionpb::ResignRequest leader, nobody;
  leader.mutable_leader()->set_name("a");
  nobody.mutable_leader();
  out.clear();
  append_request(out, RequestForm::kLeader, leader.SerializeAsString() + nobody.SerializeAsString(),
                 true);
  EXPECT_EQ(out, ",\"key\":\"a\"");

  pb::AuthRoleGrantPermissionRequest key, end, role;
  key.mutable_perm()->set_key("k");
  end.mutable_perm()->set_range_end("l");
  role.set_name("r");
  role.mutable_perm();
  out.clear();
  append_request(out, RequestForm::kRoleMay,
                 key.SerializeAsString() + end.SerializeAsString() + role.SerializeAsString(),
                 true);
  EXPECT_EQ(out, ",\"name\":\"r\",\"key\":\"k\",\"range_end\":\"l\"");

  pb::RequestOp put, range, no_range;
  put.mutable_request_put()->set_key("p");
  range.mutable_request_range()->set_key("r");
  no_range.mutable_request_range();
  std::string txn;
  keelson::pb::append_bytes_field(
      txn, 2, put.SerializeAsString() + range.SerializeAsString() + no_range.SerializeAsString());
  out.clear();
  append_request(out, RequestForm::kTxn, txn, true);
  EXPECT_EQ(parsed(out)["operations"].dump(), R"([{"key":"r","op":"range"}])");
}

TEST(AccessLine, NothingInItCommandsATerminal) {
  std::string out;
  append_text(out, "key",
              "a\xc2\x9b"
              "31m\xc2\x80\xc2\xa0\x1b");
  EXPECT_EQ(out, ",\"key\":\"a\\u009b31m\\u0080\xc2\xa0\\u001b\"");
}

TEST(AccessLine, OfAWatcherItsRange) {
  pb::WatchRequest watch;
  watch.mutable_create_request()->set_key("a");
  watch.mutable_create_request()->set_range_end("b");
  std::string out;
  EXPECT_FALSE(append_watch(out, watch.SerializeAsString(), false));
  EXPECT_TRUE(append_watch(out, watch.SerializeAsString(), true));
  EXPECT_EQ(out, ",\"key\":\"a\",\"range_end\":\"b\"");
  watch.mutable_cancel_request()->set_watch_id(1);
  EXPECT_FALSE(append_watch(out, watch.SerializeAsString(), true));
}

TEST(AccessLine, OfUsersRolesAndLeases) {
  pb::AuthUserGrantRoleRequest grant;
  grant.set_user("alice");
  grant.set_role("reader");
  EXPECT_EQ(about(request_form("/etcdserverpb.Auth/UserGrantRole"), grant, false),
            ",\"name\":\"alice\",\"role\":\"reader\"");
  pb::AuthRoleGrantPermissionRequest may;
  may.set_name("reader");
  may.mutable_perm()->set_key("a");
  EXPECT_EQ(about(request_form("/etcdserverpb.Auth/RoleGrantPermission"), may, false),
            ",\"name\":\"reader\"");
  EXPECT_EQ(about(request_form("/etcdserverpb.Auth/RoleGrantPermission"), may, true),
            ",\"name\":\"reader\",\"key\":\"a\"");
  pb::LeaseRevokeRequest revoke;
  revoke.set_id(0x1234);
  EXPECT_EQ(about(request_form("/etcdserverpb.Lease/LeaseRevoke"), revoke, false),
            ",\"lease\":\"1234\"");
}

// Every method is asked with a request in which whatever may be a secret is one.
TEST(AccessLine, SecretsAreNeverTold) {
  pb::AuthenticateRequest login;
  login.set_name("alice");
  login.set_password("SECRET");
  pb::AuthUserAddRequest add;
  add.set_name("alice");
  add.set_password("SECRET");
  add.set_hashedpassword("SECRET");
  pb::AuthUserChangePasswordRequest change;
  change.set_name("alice");
  change.set_password("SECRET");
  change.set_hashedpassword("SECRET");
  pb::PutRequest put;
  put.set_key("a");
  put.set_value("SECRET");
  v3electionpb::CampaignRequest campaign;
  campaign.set_name("a");
  campaign.set_value("SECRET");
  v3electionpb::ProclaimRequest proclaim;
  proclaim.mutable_leader()->set_name("a");
  proclaim.mutable_leader()->set_key("a/1");
  proclaim.set_value("SECRET");
  const struct {
    const char* method;
    const google::protobuf::Message& request;
    const char* told;
  } cases[] = {
      {"/etcdserverpb.Auth/Authenticate", login, ",\"name\":\"alice\""},
      {"/etcdserverpb.Auth/UserAdd", add, ",\"name\":\"alice\""},
      {"/etcdserverpb.Auth/UserChangePassword", change, ",\"name\":\"alice\""},
      {"/etcdserverpb.KV/Put", put, ",\"key\":\"a\""},
      {"/v3electionpb.Election/Campaign", campaign, ",\"key\":\"a\""},
      {"/v3electionpb.Election/Proclaim", proclaim, ",\"key\":\"a\""},
  };
  for (const auto& one : cases) {
    const RequestForm form = request_form(one.method);
    EXPECT_EQ(about(form, one.request, true), one.told) << one.method;
    EXPECT_EQ(about(form, one.request, false).find("SECRET"), std::string::npos) << one.method;
  }
}

TEST(AccessLine, OfWhatIsMalformedNothingIsTold) {
  std::string out;
  append_request(out, RequestForm::kRange, "\x0a\xff", true);
  append_request(out, RequestForm::kTxn, "\x0a\xff", true);
  append_request(out, RequestForm::kName, "\x0a\xff", true);
  append_request(out, RequestForm::kLease, "\x08", true);
  EXPECT_EQ(out, "");
  EXPECT_FALSE(append_watch(out, "\x0a\xff", true));
}

}  // namespace
}  // namespace keelson::server
