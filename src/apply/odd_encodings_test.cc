// Requests in the log with unknown fields in every form that etcd up to 3.6 lets in, and with
// strings that are no UTF-8: each does what it does without them, at each member.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apply/test_member.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "proto/raft_internal.pb.h"
#include "wire/test_odd_fields.h"

namespace keelson::apply {
namespace {

namespace etcd = etcdserverpb;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using wire::InternalKind;

class Member {
 public:
  void reopen() { member_.reopen(); }

  // What was answered, or why the member has ended.
  std::string apply(InternalKind kind, std::string_view request) {
    const absl::StatusOr<Reply> reply =
        member_.apply(wire::wrap_internal(member_.next().value, {}, 0, kind, request));
    if (!reply.ok()) return cat("ended: ", message_of(reply.status()));
    return cat(message_of(reply->status), " at ", reply->revision, ": ", reply->body.flat());
  }

  std::map<std::string, std::string> records() const {
    std::map<std::string, std::string> out;
    for (backend::Bucket bucket : backend::buckets_by_name()) {
      for (const auto& [key, value] : member_.records(bucket)) {
        out[cat(backend::bucket_name(bucket), "/", key)] = value;
      }
    }
    return out;
  }

 private:
  TestMember member_;
};

// `message` in the log's form: what is known as protobuf writes it, and at the end of each message
// within it what `more` gives.
std::string encode(const Message& message, const std::function<std::string()>& more) {
  const google::protobuf::Reflection& of = *message.GetReflection();
  std::vector<const FieldDescriptor*> set;
  of.ListFields(message, &set);
  std::unique_ptr<Message> plain(message.New());
  plain->CopyFrom(message);
  std::string inner;
  for (const FieldDescriptor* field : set) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    of.ClearField(plain.get(), field);
    const auto number = static_cast<uint32_t>(field->number());
    if (!field->is_repeated()) {
      pb::append_bytes_field(inner, number, encode(of.GetMessage(message, field), more));
      continue;
    }
    for (int i = 0; i < of.FieldSize(message, field); ++i) {
      pb::append_bytes_field(inner, number, encode(of.GetRepeatedMessage(message, field, i), more));
    }
  }
  return plain->SerializeAsString() + inner + more();
}

struct Request {
  InternalKind kind;
  std::shared_ptr<Message> message;
};

class Requests {
 public:
  template <typename M>
  M& add(InternalKind kind) {
    auto message = std::make_shared<M>();
    M& made = *message;
    all.push_back({kind, std::move(message)});
    return made;
  }
  std::vector<Request> all;
};

void fill_txn(etcd::TxnRequest& txn, const std::string& key) {
  etcd::Compare* compare = txn.add_compare();
  compare->set_key(key);
  compare->set_target(etcd::Compare::VERSION);
  compare->set_result(etcd::Compare::GREATER);
  compare->set_version(0);
  etcd::TxnRequest* inner = txn.add_success()->mutable_request_txn();
  etcd::PutRequest* put = inner->add_success()->mutable_request_put();
  put->set_key(key + "/inner");
  put->set_value("v");
  put->set_prev_kv(true);
  txn.add_success()->mutable_request_delete_range()->set_key("gone");
  txn.add_failure()->mutable_request_put()->set_key(key + "/otherwise");
  txn.add_failure()->mutable_request_range()->set_key(key);
}

void add_keys(Requests& out) {
  auto& grant = out.add<etcd::LeaseGrantRequest>(InternalKind::kLeaseGrant);
  grant.set_id(7);
  grant.set_ttl(1000);
  auto& put = out.add<etcd::PutRequest>(InternalKind::kPut);
  put.set_key("k");
  put.set_value("v");
  put.set_lease(7);
  put.set_prev_kv(true);
  fill_txn(out.add<etcd::TxnRequest>(InternalKind::kTxn), "k");
  fill_txn(out.add<etcd::TxnRequest>(InternalKind::kTxn), "not there");
  auto& checkpoint =
      *out.add<etcd::LeaseCheckpointRequest>(InternalKind::kLeaseCheckpoint).add_checkpoints();
  checkpoint.set_id(7);
  checkpoint.set_remaining_ttl(500);
  auto& deletion = out.add<etcd::DeleteRangeRequest>(InternalKind::kDeleteRange);
  deletion.set_key("k");
  deletion.set_range_end("l");
  deletion.set_prev_kv(true);
  out.add<etcd::CompactionRequest>(InternalKind::kCompaction).set_revision(3);
  out.add<etcd::LeaseRevokeRequest>(InternalKind::kLeaseRevoke).set_id(7);
  auto& alarm = out.add<etcd::AlarmRequest>(InternalKind::kAlarm);
  alarm.set_action(etcd::AlarmRequest::ACTIVATE);
  alarm.set_memberid(5);
  alarm.set_alarm(etcd::NOSPACE);
}

// Names are given without a look at them, as gogo reads them: strings are set, not parsed.
void add_users(Requests& out, const std::string& user, const std::string& role) {
  out.add<etcd::AuthUserGetRequest>(InternalKind::kAuthUserGet).set_name(user);
  auto& add = out.add<etcd::AuthUserAddRequest>(InternalKind::kAuthUserAdd);
  add.set_name(user);
  add.mutable_options()->set_no_password(true);
  out.add<etcd::AuthRoleAddRequest>(InternalKind::kAuthRoleAdd).set_name(role);
  auto& allow =
      out.add<etcd::AuthRoleGrantPermissionRequest>(InternalKind::kAuthRoleGrantPermission);
  allow.set_name(role);
  allow.mutable_perm()->set_key("k");
  allow.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
  auto& grant = out.add<etcd::AuthUserGrantRoleRequest>(InternalKind::kAuthUserGrantRole);
  grant.set_user(user);
  grant.set_role(role);
  out.add<etcd::AuthUserGetRequest>(InternalKind::kAuthUserGet).set_name(user);
  out.add<etcd::AuthRoleGetRequest>(InternalKind::kAuthRoleGet).set_role(role);
  out.add<etcd::AuthUserListRequest>(InternalKind::kAuthUserList);
  out.add<etcd::AuthRoleListRequest>(InternalKind::kAuthRoleList);
}

void remove_users(Requests& out, const std::string& user, const std::string& role) {
  auto& change =
      out.add<etcd::AuthUserChangePasswordRequest>(InternalKind::kAuthUserChangePassword);
  change.set_name(user);
  change.set_hashedpassword("AAAA");
  auto& deny =
      out.add<etcd::AuthRoleRevokePermissionRequest>(InternalKind::kAuthRoleRevokePermission);
  deny.set_role(role);
  deny.set_key("k");
  auto& revoke = out.add<etcd::AuthUserRevokeRoleRequest>(InternalKind::kAuthUserRevokeRole);
  revoke.set_name(user);
  revoke.set_role(role);
  out.add<etcd::AuthRoleDeleteRequest>(InternalKind::kAuthRoleDelete).set_role(role);
  out.add<etcd::AuthUserDeleteRequest>(InternalKind::kAuthUserDelete).set_name(user);
  out.add<etcd::InternalAuthenticateRequest>(InternalKind::kAuthenticate).set_name(user);
}

std::vector<Request> every_kind() {
  Requests out;
  out.add<membershippb::ClusterVersionSetRequest>(InternalKind::kClusterVersionSet)
      .set_ver("3.6.0");
  add_keys(out);
  add_users(out, "u", "r");
  remove_users(out, "u", "r");
  return std::move(out.all);
}

TEST(OddEncodings, EachDoesWhatItDoesWithout) {
  for (const wire::OddField& odd : wire::odd_fields()) {
    Member clean, other;
    for (const Request& request : every_kind()) {
      const std::string what = cat(odd.what, " in ", wire::name_of(request.kind));
      const std::string bytes = encode(*request.message, [&] { return odd.bytes; });
      EXPECT_EQ(other.apply(request.kind, bytes),
                clean.apply(request.kind, request.message->SerializeAsString()))
          << what;
      ASSERT_FALSE(testing::Test::HasFailure()) << what;
    }
    EXPECT_EQ(other.records(), clean.records()) << odd.what;
  }
}

TEST(OddEncodings, WhatGogoRefusesEndsTheMember) {
  for (const wire::OddField& refused : wire::refused_fields()) {
    for (const Request& request : every_kind()) {
      if (request.message->ByteSizeLong() == 0) continue;  // is not decoded, as it says nothing
      Member member;
      const std::string bytes = encode(*request.message, [&] { return refused.bytes; });
      EXPECT_TRUE(member.apply(request.kind, bytes).starts_with("ended: "))
          << refused.what << " in " << wire::name_of(request.kind);
    }
  }
}

TEST(OddEncodings, NamesAreAnyBytes) {
  const std::string user = "u\xff", role = "\xed\xa0\x80r";
  Requests there, gone;
  add_users(there, user, role);
  remove_users(gone, user, role);
  Member member;
  std::string last;
  for (const Request& request : there.all) {
    last = member.apply(request.kind, request.message->SerializeAsString());
    EXPECT_FALSE(last.starts_with("ended: ")) << last;
  }
  EXPECT_NE(last.find(role), std::string::npos);
  member.reopen();
  etcd::AuthUserGetRequest get;
  get.set_name(user);
  last = member.apply(InternalKind::kAuthUserGet, get.SerializeAsString());
  EXPECT_NE(last.find(role), std::string::npos) << last;
  for (const Request& request : gone.all) {
    last = member.apply(request.kind, request.message->SerializeAsString());
    EXPECT_FALSE(last.starts_with("ended: ")) << last;
  }
  for (const auto& [key, value] : member.records()) {
    EXPECT_EQ(key.find(role), std::string::npos) << key;
  }
}

// Any of them, one or several, in some of the messages, behind each other.
TEST(OddEncodings, AnyMixtureDoes) {
  const std::vector<wire::OddField> odd = wire::odd_fields();
  for_each_seed(40, [&](uint64_t seed) {
    SeededRandom random(seed);
    Member clean, other;
    auto some = [&] {
      std::string out;
      for (uint64_t n = random.below(4); n > 0; --n) out += odd[random.below(odd.size())].bytes;
      return out;
    };
    const std::vector<Request> requests = every_kind();
    for (int i = 0; i < 60; ++i) {
      const Request& request = requests[random.below(requests.size())];
      const std::string bytes = encode(*request.message, some);
      ASSERT_EQ(other.apply(request.kind, bytes),
                clean.apply(request.kind, request.message->SerializeAsString()))
          << wire::name_of(request.kind);
    }
    ASSERT_EQ(other.records(), clean.records());
  });
}

}  // namespace
}  // namespace keelson::apply
