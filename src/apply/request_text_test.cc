// What is said of requests: etcd's words, and never what must not be said.

#include "apply/request_text.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <vector>

#include "apply/body.h"
#include "apply/slow_request.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "proto/raft_internal.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace etcd = etcdserverpb;
using wire::InternalKind;

template <typename Message>
std::string encoded(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message.SerializeAsString();
}

std::string range(const std::string& text) {
  return request_text(InternalKind::kRange, encoded<etcd::RangeRequest>(text));
}
std::string put(const std::string& text) {
  return request_text(InternalKind::kPut, encoded<etcd::PutRequest>(text));
}
std::string txn(const std::string& text) {
  return request_text(InternalKind::kTxn, encoded<etcd::TxnRequest>(text));
}
std::string entry(const std::string& text) {
  return entry_text(encoded<etcd::InternalRaftRequest>(text));
}

TEST(RequestText, OfARange) {
  EXPECT_EQ(range(""), "");
  EXPECT_EQ(range("key: 'a'"), R"(key:"a")");
  EXPECT_EQ(range("key: 'a' range_end: 'b' limit: 3 revision: -1 sort_order: DESCEND "
                  "sort_target: MOD serializable: true keys_only: true count_only: true "
                  "min_mod_revision: 1 max_mod_revision: 2 min_create_revision: 3 "
                  "max_create_revision: 4"),
            R"(key:"a" range_end:"b" limit:3 revision:-1 sort_order:DESCEND sort_target:MOD )"
            R"(serializable:true keys_only:true count_only:true min_mod_revision:1 )"
            R"(max_mod_revision:2 min_create_revision:3 max_create_revision:4)");
}

// Go's library leaves characters that are more than one byte as they are.
TEST(RequestText, BytesAsGoQuotesThem) {
  EXPECT_EQ(range(R"(key: "\000\001\n\r\t\"\\'\177")"), R"(key:"\x00\x01\n\r\t\"\\'\x7f")");
  EXPECT_EQ(range(R"(key: "\303\251\342\202\254\360\237\230\200")"), "key:\"é€😀\"");
  EXPECT_EQ(range(R"(key: "\377\303\251\303")"), "key:\"\\xffé\\xc3\"");
  EXPECT_EQ(range(R"(key: "\300\200\355\240\200\364\220\200\200")"),
            R"(key:"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80")");
  EXPECT_EQ(range(R"(key: "\302\200\302\237\302\240")"), "key:\"\\u0080\\u009f\xc2\xa0\"");
}

TEST(RequestText, OfAPut) {
  EXPECT_EQ(put(""), "");
  EXPECT_EQ(put("key: 'a' value: 'secret' lease: 7 prev_kv: true ignore_value: true "
                "ignore_lease: true"),
            R"(key:"a" value_size:6 lease:7 prev_kv:true ignore_value:true ignore_lease:true )");
  EXPECT_EQ(put(R"(key: "\000\303\251\n\"\\")"), R"(key:"\000\303\251\n\"\\" )");
}

TEST(RequestText, OfADelete) {
  EXPECT_EQ(request_text(InternalKind::kDeleteRange,
                         encoded<etcd::DeleteRangeRequest>("key: 'a' range_end: 'b' prev_kv: 1")),
            R"(key:"a" range_end:"b" prev_kv:true)");
}

TEST(RequestText, OfATransaction) {
  EXPECT_EQ(txn(""), "compare:<> success:<> failure:<>");
  EXPECT_EQ(txn("compare { key: 'a' version: 0 } "
                "compare { result: NOT_EQUAL target: VALUE key: 'b' value: 'secret' "
                "range_end: 'c' } "
                "compare { target: LEASE key: 'd' lease: 5 range_end: 'e' } "
                "compare { key: 'f' }"),
            R"(compare:<key:"a" version:0 )"
            R"(result:NOT_EQUAL target:VALUE key:"b" value_size:6 range_end:"c"  )"
            R"(target:LEASE key:"d" lease:5 range_end:"e" key:"f"> success:<> failure:<>)");
  EXPECT_EQ(txn("success { request_put { key: 'a' value: 'secret' } } "
                "success { request_range { key: 'b' limit: 1 } } "
                "success { } "
                "failure { request_delete_range { key: 'c' } } "
                "failure { request_txn { compare { target: VALUE value: 'secret' } "
                "                        success { request_put { value: 'secret' } } } }"),
            R"(compare:<> success:<request_put:<key:"a" value_size:6 > )"
            R"(request_range:{key:"b" limit:1} > )"
            R"(failure:<request_delete_range:{key:"c"} request_txn:<compare:<target:VALUE )"
            R"(value_size:6 > success:<request_put:<value_size:6 >> failure:<>>>)");
  EXPECT_EQ(txn("compare { result: 77 target: 99 key: 'a' value: '' }"),
            R"(compare:<result:77 target:99 key:"a" > success:<> failure:<>)");
}

TEST(RequestText, IsNoLongerThanItMayBe) {
  const std::string long_key = cat("key: '", std::string(100'000, 'k'), "' limit: 1");
  EXPECT_EQ(range(long_key).size(), kMostText);
  EXPECT_EQ(request_text(InternalKind::kRange, encoded<etcd::RangeRequest>(long_key), 9),
            "key:\"kkkk");
  // Deeper than it could be walked.
  std::string nested;
  for (int i = 0; i < 4'000; ++i) {
    std::string op, outer;
    pb::append_bytes_field(op, 4, nested);
    pb::append_bytes_field(outer, 2, op);
    nested = outer;
  }
  const std::string text = request_text(InternalKind::kTxn, nested);
  EXPECT_EQ(text.size(), kMostText);
  EXPECT_TRUE(text.starts_with("compare:<> success:<request_txn:<compare:<> success:<"));
}

TEST(RequestText, OfAnEntry) {
  EXPECT_EQ(entry("header { ID: 5 username: 'root' auth_revision: 3 } put { key: 'a' value: 'b' }"),
            R"(header:<ID:5 username:"root" auth_revision:3> put:<key:"a" value_size:1 >)");
  EXPECT_EQ(entry("header { ID: 5 } txn { success { request_put { key: 'a' } } }"),
            R"(header:<ID:5> txn:<compare:<> success:<request_put:<key:"a" >> failure:<>>)");
  EXPECT_EQ(entry("header { ID: 5 } delete_range { key: 'a' }"),
            R"(header:{ID:5} delete_range:{key:"a"})");
  EXPECT_EQ(entry("header { ID: 5 } lease_grant { TTL: 10 ID: 255 }"),
            "header:<ID:5> lease_grant:<ttl:10-second id:00000000000000ff>");
  EXPECT_EQ(entry("header { ID: 5 } lease_revoke { ID: 255 }"),
            "header:<ID:5> lease_revoke:<id:00000000000000ff>");
  EXPECT_EQ(entry("header { ID: 5 } alarm { action: ACTIVATE memberID: 9 alarm: NOSPACE }"),
            "header:{ID:5} alarm:{action:ACTIVATE memberID:9 alarm:NOSPACE}");
  EXPECT_EQ(entry("header { ID: 5 } auth_role_grant_permission { name: 'r' "
                  "perm { permType: READWRITE key: 'a' range_end: 'b' } }"),
            R"(header:{ID:5} auth_role_grant_permission:{name:"r" )"
            R"(perm:{permType:READWRITE key:"a" range_end:"b"}})");
  EXPECT_EQ(entry_text("\xff\xff"), "");
}

TEST(RequestText, NoSecretIsSaid) {
  const std::string entries[] = {
      "auth_user_add { name: 'u' password: 'secret' hashedPassword: 'secret' }",
      "auth_user_change_password { name: 'u' password: 'secret' hashedPassword: 'secret' }",
      "authenticate { name: 'u' password: 'secret' simple_token: 'secret' }",
  };
  for (const std::string& text : entries) {
    const std::string said = entry(cat("header { ID: 5 } ", text));
    EXPECT_TRUE(said.starts_with("header:<ID:5> ")) << said;
    EXPECT_TRUE(said.ends_with(":<name:u>")) << said;
    EXPECT_EQ(said.find("secret"), std::string::npos) << said;
  }
}

// A whole response: a header as rpc/ writes it, then the body.
Parts response(Parts body, uint64_t term = 2) {
  std::string header, head;
  pb::append_varint_field(header, 1, UINT64_MAX);
  pb::append_varint_field(header, 2, UINT64_MAX);
  pb::append_varint_field(header, 3, 5);
  pb::append_varint_field(header, 4, term);
  pb::append_bytes_field(head, 1, header);
  Parts out = Parts::copy(head);
  out.add(std::move(body));
  return out;
}

std::string told(const RequestStats& stats) {
  return cat(stats.request_count, " ", stats.request_size, " ", stats.response_count, " ",
             stats.response_size, " ", stats.content);
}

RequestStats stats_of(InternalKind kind, std::string_view request, const Parts* response) {
  return request_stats(kind, request, request.size(), response);
}

TEST(RequestStats, CountWhatEtcdCounts) {
  const std::string request = encoded<etcd::RangeRequest>("key: 'a'");
  EXPECT_EQ(told(stats_of(InternalKind::kRange, request, nullptr)), R"(0 3 0 0 key:"a")");
  const Parts none = response({});
  EXPECT_EQ(told(stats_of(InternalKind::kRange, request, &none)),
            cat("0 3 0 ", none.size(), R"( key:"a")"));
  const std::string one = encoded<etcd::PutRequest>("key: 'a' value: 'b'");
  EXPECT_EQ(told(stats_of(InternalKind::kPut, one, &none)),
            cat("1 6 0 ", none.size(), R"( key:"a" value_size:1 )"));
  EXPECT_EQ(told(stats_of(InternalKind::kPut, "", nullptr)), "1 0 0 0 ");
  mvcc::DeleteResult deleted;
  deleted.deleted = 300;
  const Parts gone = response(delete_body(deleted));
  const std::string removal = encoded<etcd::DeleteRangeRequest>("key: 'a'");
  EXPECT_EQ(told(stats_of(InternalKind::kDeleteRange, removal, &gone)),
            cat("0 3 300 ", gone.size(), R"( key:"a")"));
  EXPECT_EQ(told(stats_of(InternalKind::kDeleteRange, removal, &none)),
            cat("0 3 0 ", none.size(), R"( key:"a")"));
  EXPECT_EQ(told(stats_of(InternalKind::kCompaction, "\x08\x05", &none)), "-1 -1 -1 -1 ");
}

TEST(RequestStats, OfATransactionWhatWasDoneCounts) {
  const std::string request = encoded<etcd::TxnRequest>(
      "success { request_put { key: 'a' } } success { request_range { key: 'bc' } } "
      "failure { request_range { key: 'def' } }");
  const std::string text = request_text(InternalKind::kTxn, request);
  const Parts yes = response(txn_body(true, {})), no = response(txn_body(false, {}));
  EXPECT_EQ(told(stats_of(InternalKind::kTxn, request, &yes)),
            cat("2 11 0 ", yes.size(), " ", text));
  EXPECT_EQ(told(stats_of(InternalKind::kTxn, request, &no)), cat("1 7 0 ", no.size(), " ", text));
  EXPECT_EQ(told(stats_of(InternalKind::kTxn, request, nullptr)), "0 0 0 0 ");
  // Of what is too long to be kept, its size.
  EXPECT_EQ(told(request_stats(InternalKind::kTxn, "", 70'000, nullptr)), "-1 70000 0 0 ");
  EXPECT_EQ(told(request_stats(InternalKind::kRange, "", 70'000, nullptr)), "0 70000 0 0 ");
}

// The term of the header ends as a count would.
TEST(RequestStats, TheCountIsReadFromTheEnd) {
  for (const int64_t count : {0, 1, 127, 128, 16383, 16384, 1 << 30}) {
    for (const uint64_t term : {0, 2, 128, 1 << 20}) {
      for (const bool kvs : {false, true}) {
        mvcc::RangeResult result;
        result.count = count;
        result.more = kvs;
        if (kvs && count > 0) result.kvs.push_back(Bytes::copy("\x0a\x01\x61\x20\x05"));
        const Parts whole = response(range_body(result), term);
        EXPECT_EQ(range_count(whole), count) << term;
      }
    }
  }
}

TEST(SlowRequest, SaysWhatIsInTheAnswer) {
  mvcc::RangeResult result;
  result.count = 7;
  for (int i = 0; i < 2; ++i) result.kvs.push_back(Bytes::copy("\x0a\x01\x61"));
  Reply ranged{absl::OkStatus(), 5, range_body(result), 2};
  EXPECT_EQ(range_answer_text(ranged), "range_response_count:2 size:16");
  EXPECT_EQ(answer_text(Reply{absl::OkStatus(), 5}), "size:4");
  std::vector<Parts> ops;
  ops.push_back(response_op(1, 5, range_body(result)));
  ops.push_back(response_op(4, 5, txn_body(true, {})));
  ops.push_back(response_op(1, 5, {}));
  Reply done{absl::OkStatus(), 5, txn_body(true, std::move(ops))};
  EXPECT_EQ(
      txn_answer_text(done),
      cat("responses:<range_response_count:2 range_response_count:0> size:", 4 + done.body.size()));
}

}  // namespace
}  // namespace keelson::apply
