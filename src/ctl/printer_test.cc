// Each format against golden text.

#include "ctl/printer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "ctl/json_text.h"
#include "ctl/outcome.h"

namespace keelson::ctl {
namespace {

pb::ResponseHeader header() {
  pb::ResponseHeader h;
  h.set_cluster_id(255);
  h.set_member_id(16);
  h.set_revision(7);
  h.set_raft_term(2);
  return h;
}

pb::RangeResponse one_key() {
  pb::RangeResponse r;
  *r.mutable_header() = header();
  mvccpb::KeyValue& kv = *r.add_kvs();
  kv.set_key("k");
  kv.set_value("v\n");
  kv.set_create_revision(5);
  kv.set_mod_revision(6);
  kv.set_version(2);
  kv.set_lease(171);
  r.set_count(1);
  return r;
}

pb::MemberListResponse members() {
  pb::MemberListResponse r;
  *r.mutable_header() = header();
  pb::Member& m = *r.add_members();
  m.set_id(16);
  m.add_peerurls("http://p");
  return r;
}

template <typename Show>
std::string shown(const std::string& format, bool hex, Show&& show) {
  std::ostringstream out, err;
  auto printer = make_printer(format, hex, out, err);
  absl::Status status = show(*printer);
  return status.ok() ? out.str() : "exit " + std::to_string(exit_code_of(status));
}

std::string get(const std::string& format, bool hex = false) {
  return shown(format, hex, [](Printer& p) { return p.get(one_key()); });
}

TEST(Printer, Get) {
  EXPECT_EQ(get("simple"), "k\nv\n\n");
  EXPECT_EQ(get("simple", true), "\\x6b\n\\x76\\x0a\n");
  EXPECT_EQ(get("json"),
            R"({"header":{"cluster_id":255,"member_id":16,"revision":7,"raft_term":2},)"
            R"("kvs":[{"key":"aw==","create_revision":5,"mod_revision":6,"version":2,)"
            R"("value":"dgo=","lease":171}],"count":1})"
            "\n");
  EXPECT_EQ(
      get("fields", true),
      "\"ClusterID\" : ff\n\"MemberID\" : 10\n\"Revision\" : 7\n\"RaftTerm\" : 2\n"
      "\"Key\" : \"k\"\n\"CreateRevision\" : 5\n\"ModRevision\" : 6\n\"Version\" : 2\n"
      "\"Value\" : \"v\\n\"\n\"Lease\" : 00000000000000ab\n\"More\" : false\n\"Count\" : 1\n");
  EXPECT_EQ(get("protobuf"), one_key().SerializeAsString());
  EXPECT_EQ(get("table"), "exit 4");
}

TEST(Printer, NestedTransactionInJson) {
  pb::TxnResponse r;
  r.set_succeeded(true);
  r.add_responses()->mutable_response_txn()->add_responses()->mutable_response_put();
  EXPECT_EQ(json_message(r), R"({"succeeded":true,"responses":[{"Response":{"response_txn":)"
                             R"({"responses":[{"Response":{"response_put":{}}}]}}}]})");
}

TEST(Printer, MemberTable) {
  auto list = [](Printer& p) { return p.member_list(members()); };
  EXPECT_EQ(shown("table", false, list),
            "┌────┬───────────┬──────┬────────────┬──────────────┬────────────┐\n"
            "│ ID │  STATUS   │ NAME │ PEER ADDRS │ CLIENT ADDRS │ IS LEARNER │\n"
            "├────┼───────────┼──────┼────────────┼──────────────┼────────────┤\n"
            "│ 10 │ unstarted │      │   http://p │              │      false │\n"
            "└────┴───────────┴──────┴────────────┴──────────────┴────────────┘\n");
  EXPECT_EQ(shown("simple", false, list), "10, unstarted, , http://p, , false\n");
  EXPECT_EQ(shown("json", true, list),
            R"({"header":{"cluster_id":"ff","member_id":"10","revision":7,"raft_term":2},)"
            R"("members":[{"ID":"10","peerURLs":["http://p"]}]})"
            "\n");
}

TEST(Printer, LeaseInJsonKeepsZeroValues) {
  pb::LeaseTimeToLiveResponse r;
  *r.mutable_header() = header();
  r.set_id(171);
  r.set_ttl(-1);
  auto show = [&](Printer& p) { return p.time_to_live(r, true); };
  EXPECT_EQ(shown("json", false, show),
            R"({"cluster_id":255,"member_id":16,"revision":7,"raft_term":2,)"
            R"("id":171,"ttl":-1,"granted-ttl":0,"keys":null})"
            "\n");
  EXPECT_EQ(shown("simple", false, show), "lease 00000000000000ab already expired\n");
  EXPECT_EQ(shown("protobuf", false, show), header().SerializeAsString());
}

TEST(Json, StringsAreEscapedAsInGo) {
  EXPECT_EQ(json_string("a<b>&\"\\\n\x01\xff\u2028é"),
            R"("a\u003cb\u003e\u0026\"\\\n\u0001\ufffd\u2028é")");
}

}  // namespace
}  // namespace keelson::ctl
