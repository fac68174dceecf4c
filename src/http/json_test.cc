// JSON in and out: where values end, in Go's words; messages as etcd's gateway has them; and the
// fuzzer's entry point over its corpus and random changes of it.

#include <gtest/gtest.h>

#include "base/protobuf.h"
#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "http/gateway_routes.h"
#include "http/json_form.h"
#include "http/json_plain.h"
#include "http/json_scanner.h"
#include "proto/rpc.pb.h"

namespace keelson::http {

void fuzz_json(std::string_view input);

namespace {

namespace pb = etcdserverpb;

// What becomes of a body: its values in brackets, then what is wrong or left.
std::string scanned(std::string_view body) {
  std::string out;
  JsonScanner scanner;
  while (true) {
    size_t used = 0;
    JsonScanner::Step step = scanner.feed(body, &used);
    const bool at_end = step == JsonScanner::Step::kNeedMore;
    if (at_end) step = scanner.end();
    if (step == JsonScanner::Step::kBad) return out + scanner.error();
    if (step == JsonScanner::Step::kValue) out += cat("[", body.substr(0, used), "]");
    body.remove_prefix(used);
    if (at_end) return out;
  }
}

TEST(JsonScanner, Values) {
  EXPECT_EQ(scanned(""), "");
  EXPECT_EQ(scanned(" \r\n\t"), "");
  EXPECT_EQ(scanned("{}{} []\n\"a\"5 6"), "[{}][{}][ []][\n\"a\"][5][ 6]");
  EXPECT_EQ(scanned("{\"a\":{\"b\":[1,-2.5e+3,true,null,\"\\u00e9\\\"\"]}}x"),
            "[{\"a\":{\"b\":[1,-2.5e+3,true,null,\"\\u00e9\\\"\"]}}]"
            "invalid character 'x' looking for beginning of value");
  EXPECT_EQ(scanned("truefalse"), "[true][false]");
}

TEST(JsonScanner, WordsOfGo) {
  EXPECT_EQ(scanned("{\"key\":"), "unexpected EOF");
  EXPECT_EQ(scanned("{key:1}"), "invalid character 'k' looking for beginning of object key string");
  EXPECT_EQ(scanned("{\"a\" \"b\"}"), "invalid character '\"' after object key");
  EXPECT_EQ(scanned("{\"a\":1 2}"), "invalid character '2' after object key:value pair");
  EXPECT_EQ(scanned("[1 2]"), "invalid character '2' after array element");
  EXPECT_EQ(scanned("tru}"), "invalid character '}' in literal true (expecting 'e')");
  EXPECT_EQ(scanned("[-]"), "invalid character ']' in numeric literal");
  EXPECT_EQ(scanned("[1.]"), "invalid character ']' after decimal point in numeric literal");
  EXPECT_EQ(scanned("[1e]"), "invalid character ']' in exponent of numeric literal");
  EXPECT_EQ(scanned("\"\\x\""), "invalid character 'x' in string escape code");
  EXPECT_EQ(scanned("\"\\u12g\""), "invalid character 'g' in \\u hexadecimal character escape");
  EXPECT_EQ(scanned("\"a\nb\""), "invalid character '\\n' in string literal");
  EXPECT_EQ(scanned("\xc3\xa9"), "invalid character 'Ã' looking for beginning of value");
  EXPECT_EQ(scanned("'"), "invalid character '\\'' looking for beginning of value");
  EXPECT_EQ(scanned(std::string(1, '\0')),
            "invalid character '\\x00' looking for beginning of value");
}

TEST(JsonScanner, DepthHasABound) {
  const size_t most = JsonScanner::kMostNested;
  const std::string fits = std::string(most, '[') + std::string(most, ']');
  EXPECT_EQ(scanned(fits), cat("[", fits, "]"));
  EXPECT_EQ(scanned(std::string(most + 1, '[')), "exceeded max depth");
}

std::string json_of_message(const google::protobuf::Message& message) {
  JsonWriter writer(message.GetDescriptor(), Parts::copy(message.SerializeAsString()));
  std::string out;
  EXPECT_EQ(writer.write(&out, SIZE_MAX), JsonWriter::Step::kDone);
  return out;
}

TEST(JsonForm, Answers) {
  pb::RangeResponse range;
  EXPECT_EQ(json_of_message(range), "{}");
  range.mutable_header()->set_cluster_id(UINT64_MAX);
  range.mutable_header()->set_revision(-1);
  auto* kv = range.add_kvs();
  kv->set_key(std::string("\0\xff", 2));
  kv->set_create_revision(2);
  range.add_kvs()->set_value("a");
  range.set_more(true);
  EXPECT_EQ(json_of_message(range),
            "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"revision\":\"-1\"},"
            "\"kvs\":[{\"key\":\"AP8=\",\"create_revision\":\"2\"},{\"value\":\"YQ==\"}],"
            "\"more\":true}");
  pb::AlarmResponse alarm;
  alarm.add_alarms()->set_alarm(pb::CORRUPT);
  alarm.add_alarms()->set_alarm(static_cast<pb::AlarmType>(77));
  EXPECT_EQ(json_of_message(alarm), "{\"alarms\":[{\"alarm\":\"CORRUPT\"},{\"alarm\":77}]}");
  pb::AuthUserListResponse users;
  users.add_users("a<b>\"\\\n\x01\xc3\xa9");
  users.add_users("");
  EXPECT_EQ(json_of_message(users), "{\"users\":[\"a<b>\\\"\\\\\\n\\u0001\xc3\xa9\",\"\"]}");
}

TEST(JsonForm, PartsThatAreMadeLate) {
  class Maker final : public PartMaker {
   public:
    void make(size_t, absl::AnyInvocable<void(absl::StatusOr<Bytes>)>) override {}
  };
  pb::RangeResponse range;
  for (int i = 0; i < 3; ++i) range.add_kvs()->set_value(std::string(50, 'v'));
  const std::string wire = range.SerializeAsString();
  // The late part begins and ends anywhere.
  for (size_t from = 0; from < wire.size(); ++from) {
    const size_t size = std::min<size_t>(60, wire.size() - from);
    Parts parts = Parts::copy(wire.substr(0, from));
    parts.add_late(size, std::make_shared<Maker>(), 0);
    parts.add(Bytes::copy(wire.substr(from + size)));
    JsonWriter writer(range.GetDescriptor(), std::move(parts));
    std::string out;
    ASSERT_EQ(writer.write(&out, SIZE_MAX), JsonWriter::Step::kLate);
    ASSERT_EQ(writer.late()->size, size);
    writer.made(Bytes::copy(wire.substr(from, size)));
    ASSERT_EQ(writer.write(&out, SIZE_MAX), JsonWriter::Step::kDone);
    ASSERT_EQ(out, json_of_message(range));
  }
}

// "key value" of a put, by the plain way; what the library is asked for is "-".
std::string plain_put(std::string_view json) {
  const std::optional<std::string> wire = plain_from_json(pb::PutRequest::descriptor(), json);
  pb::PutRequest request;
  if (!wire) return "-";
  EXPECT_TRUE(request.ParseFromString(*wire));
  return request.ShortDebugString();
}

TEST(JsonPlain, WhatIsAndWhatIsNot) {
  EXPECT_EQ(plain_put("{}"), "");
  EXPECT_EQ(plain_put(" { } \n"), "");
  EXPECT_EQ(plain_put("{\"key\":\"YQ==\",\"value\":\"YmI=\"}"), "key: \"a\" value: \"bb\"");
  EXPECT_EQ(plain_put("{ \"key\" : \"YWJj\" , \"lease\" : \"-7\" ,\"prev_kv\":true}"),
            "key: \"abc\" lease: -7 prev_kv: true");
  EXPECT_EQ(plain_put("{\"lease\":9223372036854775807,\"key\":\"\",\"ignore_lease\":false}"),
            "lease: 9223372036854775807");
  EXPECT_EQ(plain_put("{\"lease\":1,\"lease\":2}"), "lease: 2");
  for (const char* json : {"",
                           "[]",
                           "{\"key\":\"YQ\"}",
                           "{\"key\":\"YR==\"}",
                           "{\"key\":\"Y===\"}",
                           "{\"key\":\"====\"}",
                           "{\"key\":\"Y=Q=\"}",
                           "{\"key\":\"_-8=\"}",
                           "{\"key\":\"YQ==YQ==\"}",
                           "{\"key\":null}",
                           "{\"key\":1}",
                           "{\"key\":\"\\u0059Q==\"}",
                           "{\"prevKv\":true}",
                           "{\"unknown\":1}",
                           "{\"lease\":1e3}",
                           "{\"lease\":1.0}",
                           "{\"lease\":-0}",
                           "{\"lease\":01}",
                           "{\"lease\":\"\"}",
                           "{\"lease\":\" 1\"}",
                           "{\"lease\":9223372036854775808}",
                           "{\"lease\":true}",
                           "{\"prev_kv\":\"true\"}",
                           "{\"prev_kv\":1}",
                           "{\"key\":\"YQ==\",}",
                           "{\"key\":\"YQ==\"",
                           "{\"key\":\"YQ==\"}x",
                           "{\"key\" \"YQ==\"}",
                           "{,}",
                           "{\"key\":\"YQ==\" \"value\":\"YQ==\"}"}) {
    EXPECT_EQ(plain_put(json), "-") << json;
  }
  const auto is_plain = [](const google::protobuf::Descriptor* type, std::string_view json) {
    return plain_from_json(type, json).has_value();
  };
  EXPECT_TRUE(is_plain(pb::RangeRequest::descriptor(),
                       "{\"key\":\"AA==\",\"range_end\":\"AA==\",\"sort_order\":\"DESCEND\"}"));
  EXPECT_FALSE(is_plain(pb::RangeRequest::descriptor(), "{\"sort_order\":\"NOSUCH\"}"));
  EXPECT_FALSE(is_plain(pb::RangeRequest::descriptor(), "{\"sort_order\":1}"));
  EXPECT_TRUE(is_plain(pb::AuthUserAddRequest::descriptor(), "{\"name\":\"a b\"}"));
  EXPECT_FALSE(is_plain(pb::AuthUserAddRequest::descriptor(), "{\"name\":\"\xc3\xa9\"}"));
  EXPECT_FALSE(is_plain(pb::AuthUserAddRequest::descriptor(), "{\"options\":{}}"));
  EXPECT_FALSE(is_plain(pb::WatchRequest::descriptor(), "{\"cancel_request\":{}}"));
  EXPECT_FALSE(is_plain(pb::Compare::descriptor(), "{\"version\":\"0\"}"));
  EXPECT_TRUE(is_plain(pb::MemberRemoveRequest::descriptor(), "{\"ID\":\"18446744073709551615\"}"));
  EXPECT_FALSE(is_plain(pb::MemberRemoveRequest::descriptor(), "{\"ID\":-1}"));
}

// Texts of the pieces that requests are made of, most of them not quite right: what is taken for
// plain is what the library makes of it (which the fuzzer's entry point looks at).
TEST(JsonPlain, IsWhatTheLibraryMakesOfIt) {
  constexpr std::string_view kPieces[] = {"{",
                                          "}",
                                          ",",
                                          ":",
                                          "\"key\":",
                                          "\"value\":",
                                          "\"lease\":",
                                          "\"prev_kv\":",
                                          "\"limit\":",
                                          "\"sort_order\":",
                                          "\"range_end\":",
                                          "\"ASCEND\"",
                                          "\"NONE\"",
                                          "\"YQ==\"",
                                          "\"YWI=\"",
                                          "\"YWJj\"",
                                          "\"YR==\"",
                                          "\"\"",
                                          "\"7\"",
                                          "7",
                                          "-12",
                                          "0",
                                          "\"-0\"",
                                          "true",
                                          "false",
                                          "null",
                                          " ",
                                          "\n",
                                          "1e2",
                                          "\"1.0\"",
                                          "\"a\\n\""};
  for_each_seed({.count = 20}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 2000; ++i) {
      std::string text(1, static_cast<char>(random.below(2)));  // a put or a range
      text += '\x01';
      const bool in_order = random.below(4) != 0;
      text += '{';
      for (uint64_t members = random.below(4); members > 0; --members) {
        if (in_order) {
          text += kPieces[4 + random.below(7)];
          text += kPieces[11 + random.below(16)];
          if (members > 1) text += ',';
        } else {
          text += kPieces[random.below(std::size(kPieces))];
        }
      }
      fuzz_json(cat(text, "}"));
    }
  });
}

TEST(JsonForm, NestedAsDeepAsRequestsMayBe) {
  // As deep as an answer to the deepest request, and deeper than the library would go.
  std::string wire;
  for (int i = 0; i < 200; ++i) {
    for (uint32_t field : {4u, 3u}) {  // ResponseOp.response_txn, TxnResponse.responses
      std::string around;
      keelson::pb::append_bytes_field(around, field, wire);
      wire = std::move(around);
    }
  }
  JsonWriter writer(pb::TxnResponse::descriptor(), Parts::copy(wire));
  std::string out;
  EXPECT_EQ(writer.write(&out, SIZE_MAX), JsonWriter::Step::kDone);
  EXPECT_TRUE(out.starts_with("{\"responses\":[{\"response_txn\":{\"responses\":[{"));
}

TEST(JsonForm, Errors) {
  EXPECT_EQ(json_of(absl::InvalidArgumentError("a \"b\"")),
            "{\"code\":3,\"message\":\"a \\\"b\\\"\"}");
  EXPECT_EQ(json_of(absl::Status(absl::StatusCode::kNotFound, "")), "{\"code\":5}");
  const auto* put = pb::PutRequest::descriptor();
  EXPECT_EQ(from_json(put, "{\"key\":\"!\"}").status().code(), absl::StatusCode::kInvalidArgument);
  const std::string long_one = cat("{\"key\":\"", std::string(100000, '!'), "\"}");
  EXPECT_LT(from_json(put, long_one).status().message().size(), 1000u);
}

// What the writer knows of values is what the schema's answers have.
void check_kinds(const google::protobuf::Descriptor* type, int depth) {
  using google::protobuf::FieldDescriptor;
  for (int i = 0; i < type->field_count() && depth < 8; ++i) {
    const FieldDescriptor* field = type->field(i);
    EXPECT_FALSE(field->is_map()) << field->full_name();
    EXPECT_TRUE(field->type() != FieldDescriptor::TYPE_SINT32 &&
                field->type() != FieldDescriptor::TYPE_SINT64 &&
                field->type() != FieldDescriptor::TYPE_FIXED32 &&
                field->type() != FieldDescriptor::TYPE_FIXED64 &&
                field->type() != FieldDescriptor::TYPE_SFIXED32 &&
                field->type() != FieldDescriptor::TYPE_SFIXED64 &&
                field->type() != FieldDescriptor::TYPE_GROUP &&
                field->type() != FieldDescriptor::TYPE_FLOAT &&
                field->type() != FieldDescriptor::TYPE_DOUBLE)
        << field->full_name();
    if (field->message_type()) check_kinds(field->message_type(), depth + 1);
  }
}

// etcd v3.7.1's, by hand from its gateway.
TEST(GatewayRoutes, AreEtcds) {
  const std::vector<std::string> wanted = {
      "/v3/auth/authenticate etcdserverpb.Auth.Authenticate",
      "/v3/auth/disable etcdserverpb.Auth.AuthDisable",
      "/v3/auth/enable etcdserverpb.Auth.AuthEnable",
      "/v3/auth/role/add etcdserverpb.Auth.RoleAdd",
      "/v3/auth/role/delete etcdserverpb.Auth.RoleDelete",
      "/v3/auth/role/get etcdserverpb.Auth.RoleGet",
      "/v3/auth/role/grant etcdserverpb.Auth.RoleGrantPermission",
      "/v3/auth/role/list etcdserverpb.Auth.RoleList",
      "/v3/auth/role/revoke etcdserverpb.Auth.RoleRevokePermission",
      "/v3/auth/status etcdserverpb.Auth.AuthStatus",
      "/v3/auth/user/add etcdserverpb.Auth.UserAdd",
      "/v3/auth/user/changepw etcdserverpb.Auth.UserChangePassword",
      "/v3/auth/user/delete etcdserverpb.Auth.UserDelete",
      "/v3/auth/user/get etcdserverpb.Auth.UserGet",
      "/v3/auth/user/grant etcdserverpb.Auth.UserGrantRole",
      "/v3/auth/user/list etcdserverpb.Auth.UserList",
      "/v3/auth/user/revoke etcdserverpb.Auth.UserRevokeRole",
      "/v3/cluster/member/add etcdserverpb.Cluster.MemberAdd",
      "/v3/cluster/member/list etcdserverpb.Cluster.MemberList",
      "/v3/cluster/member/promote etcdserverpb.Cluster.MemberPromote",
      "/v3/cluster/member/remove etcdserverpb.Cluster.MemberRemove",
      "/v3/cluster/member/update etcdserverpb.Cluster.MemberUpdate",
      "/v3/election/campaign v3electionpb.Election.Campaign",
      "/v3/election/leader v3electionpb.Election.Leader",
      "/v3/election/observe v3electionpb.Election.Observe",
      "/v3/election/proclaim v3electionpb.Election.Proclaim",
      "/v3/election/resign v3electionpb.Election.Resign",
      "/v3/kv/compaction etcdserverpb.KV.Compact",
      "/v3/kv/deleterange etcdserverpb.KV.DeleteRange",
      "/v3/kv/lease/leases etcdserverpb.Lease.LeaseLeases",
      "/v3/kv/lease/revoke etcdserverpb.Lease.LeaseRevoke",
      "/v3/kv/lease/timetolive etcdserverpb.Lease.LeaseTimeToLive",
      "/v3/kv/put etcdserverpb.KV.Put",
      "/v3/kv/range etcdserverpb.KV.Range",
      "/v3/kv/txn etcdserverpb.KV.Txn",
      "/v3/lease/grant etcdserverpb.Lease.LeaseGrant",
      "/v3/lease/keepalive etcdserverpb.Lease.LeaseKeepAlive",
      "/v3/lease/leases etcdserverpb.Lease.LeaseLeases",
      "/v3/lease/revoke etcdserverpb.Lease.LeaseRevoke",
      "/v3/lease/timetolive etcdserverpb.Lease.LeaseTimeToLive",
      "/v3/lock/lock v3lockpb.Lock.Lock",
      "/v3/lock/unlock v3lockpb.Lock.Unlock",
      "/v3/maintenance/alarm etcdserverpb.Maintenance.Alarm",
      "/v3/maintenance/defragment etcdserverpb.Maintenance.Defragment",
      "/v3/maintenance/downgrade etcdserverpb.Maintenance.Downgrade",
      "/v3/maintenance/hash etcdserverpb.Maintenance.Hash",
      "/v3/maintenance/hashkv etcdserverpb.Maintenance.HashKV",
      "/v3/maintenance/snapshot etcdserverpb.Maintenance.Snapshot",
      "/v3/maintenance/status etcdserverpb.Maintenance.Status",
      "/v3/maintenance/transfer-leadership etcdserverpb.Maintenance.MoveLeader",
      "/v3/watch etcdserverpb.Watch.Watch",
  };
  std::vector<std::string> got;
  for (const GatewayRoute& route : gateway_routes(net::Router())) {
    got.push_back(cat(route.path, " ", route.method->full_name()));
    check_kinds(route.method->output_type(), 0);
  }
  EXPECT_EQ(got, wanted);
}

TEST(JsonFuzz, Corpus) {
  const auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/http/testdata/fuzz_json");
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) fuzz_json(input);
  for_each_seed({.count = 100}, [&](uint64_t seed) {
    SeededRandom random(seed);
    for (int i = 0; i < 30; ++i) fuzz_json(mutated(inputs[random.below(inputs.size())], random));
  });
}

}  // namespace
}  // namespace keelson::http
