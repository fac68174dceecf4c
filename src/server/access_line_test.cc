// What a line of the access log says, and what it never does.

#include "server/access_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

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
            "{\"op\":\"delete_range\",\"key\":\"d\",\"range_end\":\"e\"}]");
  for (int i = 0; i < 1000; ++i) *txn.add_success() = txn.success(0);
  const json long_one = parsed(about(form, txn, true));
  EXPECT_EQ(long_one["successes"], 1002);
  EXPECT_EQ(long_one["operations"].size() + long_one["left_out"].get<size_t>(), 1004u);
  EXPECT_LT(about(form, txn, true).size(), kMostOfKeys + 1000);
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
