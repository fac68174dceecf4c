// A state that somebody else made, or that was damaged where no sum shows it: what a member is
// willing to begin with it goes on with, whatever it is asked, and begins with again. (The other
// way round ends it for good: the log has its mark by then.)

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>
#include <utility>

#include "base/endian.h"
#include "base/protobuf.h"
#include "base/revision_key.h"
#include "base/test_seeds.h"
#include "node/received_state.h"
#include "node/test_member.h"

namespace keelson::node {
namespace {

using backend::Bucket;
using wire::InternalKind;

constexpr uint64_t kOddNumbers[] = {0,
                                    1,
                                    2,
                                    63,
                                    127,
                                    uint64_t{1} << 31,
                                    uint64_t{1} << 32,
                                    kMaxRevision,
                                    kMaxRevision + 1,
                                    INT64_MAX,
                                    uint64_t{1} << 63,
                                    UINT64_MAX - 1,
                                    UINT64_MAX};

class OddState {
 public:
  explicit OddState(uint64_t seed) : random_(seed) {}

  void run() {
    ASSERT_TRUE(begin().ok());
    for (int i = 0; i < 40; ++i) ask();
    ASSERT_TRUE(member_.stop().ok());
    member_.kill();
    for (uint64_t i = 0, changes = 1 + random_.below(3); i < changes; ++i) spoil();
    const bool willing = is_taken();
    absl::Status begun = begin();
    if (!willing) return;
    EXPECT_TRUE(begun.ok()) << begun;
    if (!begun.ok()) return;
    for (int i = 0; i < 60 && !member_.dead(); ++i) ask();
    EXPECT_FALSE(member_.dead()) << member_.fatal;
    EXPECT_TRUE(member_.read_here().ok()) << member_.read_here().status();
    for (int64_t back = 1; back < 60; ++back) {
      const int64_t revision = member_.node().store().revision() - back;
      if (revision < 1) break;
      const absl::Status read = member_.read_here(revision).status();
      EXPECT_TRUE(read.ok() || absl::IsOutOfRange(read)) << read;
    }
    EXPECT_TRUE(member_.stop().ok());
    member_.kill();
    begun = begin();
    EXPECT_TRUE(begun.ok()) << begun;
    if (begun.ok()) member_.stop().IgnoreError();
  }

 private:
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  std::string key() { return cat("k", random_.below(8)); }
  std::string name() { return cat("n", random_.below(3)); }
  int64_t lease() { return static_cast<int64_t>(1 + random_.below(4)); }

  absl::Status begin() {
    absl::Status started = member_.start();
    if (!started.ok()) return started;
    if (member_.run_until([&] { return member_.node().is_leader(); })) return started;
    return absl::InternalError(cat("nobody leads; ", message_of(member_.fatal)));
  }

  // As StoreFiles and SnapshotFile ask.
  bool is_taken() {
    ReceivedState state{.index = member_.disk.consistent_index()};
    absl::StatusOr<std::unique_ptr<mvcc::Store>> store = mvcc::Store::open(&member_.disk, {});
    if (!store.ok()) return false;
    state.store = *std::move(store);
    return check_tables(member_.disk, {}, &member_.schedule).ok() &&
           check_follows(state, /*revision=*/0).ok();
  }

  template <typename Request>
  void propose(InternalKind kind, const Request& request) {
    bool done = false;
    member_.propose(kind, request.SerializeAsString(), [&](const apply::Reply&) { done = true; });
    member_.run_until([&] { return done; }, 5000);
  }

  void ask() {
    switch (random_.below(12)) {
      case 0:
        return grant();
      case 1: {
        etcdserverpb::LeaseRevokeRequest request;
        request.set_id(lease());
        return propose(InternalKind::kLeaseRevoke, request);
      }
      case 2: {
        etcdserverpb::DeleteRangeRequest request;
        request.set_key(key());
        if (one_in(4)) request.set_range_end("kz");
        request.set_prev_kv(one_in(2));
        return propose(InternalKind::kDeleteRange, request);
      }
      case 3: {
        etcdserverpb::CompactionRequest request;
        request.set_revision(member_.node().store().revision() -
                             static_cast<int64_t>(random_.below(5)));
        return propose(InternalKind::kCompaction, request);
      }
      case 4:
        return administer();
      case 5: {
        etcdserverpb::AlarmRequest request;
        request.set_action(one_in(2) ? etcdserverpb::AlarmRequest::ACTIVATE
                                     : etcdserverpb::AlarmRequest::DEACTIVATE);
        request.set_memberid(random_.below(3));
        request.set_alarm(etcdserverpb::NOSPACE);
        if (request.action() == etcdserverpb::AlarmRequest::ACTIVATE && !one_in(6)) return;
        return propose(InternalKind::kAlarm, request);
      }
      case 6: {
        etcdserverpb::TxnRequest request;
        etcdserverpb::Compare& compare = *request.add_compare();
        compare.set_key(key());
        compare.set_target(one_in(2) ? etcdserverpb::Compare::VERSION
                                     : etcdserverpb::Compare::CREATE);
        compare.set_result(etcdserverpb::Compare::GREATER);
        if (compare.target() == etcdserverpb::Compare::VERSION) compare.set_version(1);
        if (compare.target() == etcdserverpb::Compare::CREATE) compare.set_create_revision(3);
        request.add_success()->mutable_request_put()->set_key(key());
        request.add_failure()->mutable_request_range()->set_key(key());
        return propose(InternalKind::kTxn, request);
      }
      default: {
        etcdserverpb::PutRequest request;
        request.set_key(key());
        request.set_value(cat("v", random_.below(100)));
        if (one_in(3)) request.set_lease(lease());
        request.set_prev_kv(one_in(2));
        return propose(InternalKind::kPut, request);
      }
    }
  }

  void grant() {
    etcdserverpb::LeaseGrantRequest request;
    request.set_id(lease());
    request.set_ttl(static_cast<int64_t>(10 + random_.below(1000)));
    propose(InternalKind::kLeaseGrant, request);
  }

  void administer() {
    switch (random_.below(6)) {
      case 0: {
        etcdserverpb::AuthUserAddRequest request;
        request.set_name(one_in(3) ? "root" : name());
        request.mutable_options()->set_no_password(true);
        return propose(InternalKind::kAuthUserAdd, request);
      }
      case 1: {
        etcdserverpb::AuthRoleAddRequest request;
        request.set_name(one_in(3) ? "root" : name());
        return propose(InternalKind::kAuthRoleAdd, request);
      }
      case 2: {
        etcdserverpb::AuthUserGrantRoleRequest request;
        request.set_user(one_in(3) ? "root" : name());
        request.set_role(request.user());
        return propose(InternalKind::kAuthUserGrantRole, request);
      }
      case 3: {
        etcdserverpb::AuthRoleGrantPermissionRequest request;
        request.set_name(name());
        request.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
        request.mutable_perm()->set_key(key());
        if (one_in(2)) request.mutable_perm()->set_range_end("kz");
        return propose(InternalKind::kAuthRoleGrantPermission, request);
      }
      case 4:
        return propose(InternalKind::kAuthEnable, etcdserverpb::AuthEnableRequest());
      default:
        return propose(InternalKind::kAuthDisable, etcdserverpb::AuthDisableRequest());
    }
  }

  // --- what is wrong with it

  using Record = std::pair<std::string, std::string>;

  void spoil() {
    constexpr std::array kBuckets = {
        Bucket::kKey,   Bucket::kKey,     Bucket::kKey,  Bucket::kLease,     Bucket::kMeta,
        Bucket::kAlarm, Bucket::kCluster, Bucket::kAuth, Bucket::kAuthUsers, Bucket::kAuthRoles};
    const Bucket bucket = kBuckets[random_.below(kBuckets.size())];
    std::vector<Record> records;
    auto at = member_.disk.iterate(bucket, {});
    for (at->seek_to_first(); at->valid(); at->next()) {
      // Where it stands, and in which configuration, is held against the log.
      if (bucket == Bucket::kMeta && !at->key().ends_with("CompactRev")) continue;
      records.emplace_back(at->key(), at->value());
    }
    backend::WriteBatch batch;
    if (records.empty()) {
      batch.put(bucket, bucket == Bucket::kMeta ? "finishedCompactRev" : bytes(),
                bucket == Bucket::kMeta ? odd_key(RevisionKey({2, 0}).view()) : bytes());
    } else {
      auto [key, value] = records[random_.below(records.size())];
      if (one_in(4)) batch.del(bucket, key);
      if (!one_in(3)) value = bucket == Bucket::kMeta ? odd_key(value) : odd_value(value);
      if (one_in(3) && bucket != Bucket::kMeta) key = odd_key(key);
      if (!one_in(6)) batch.put(bucket, key, value);
    }
    ASSERT_TRUE(member_.disk.commit(batch, Index(0), Term(0)).ok());
  }

  std::string bytes() { return big64(random_.next()); }

  uint64_t odd_number() {
    if (one_in(3)) return random_.below(60);
    return kOddNumbers[random_.below(std::size(kOddNumbers))];
  }

  // One of its numbers is another one, where it consists of some.
  std::string odd_key(std::string_view key) {
    std::string odd(key);
    if (odd.empty()) return "x";
    const std::string number = big64(odd_number());
    switch (random_.below(4)) {
      case 0:
        if (odd.size() >= 8) odd.replace(0, 8, number);
        break;
      case 1:
        if (odd.size() >= 17) odd.replace(9, 8, number);
        break;
      case 2:
        if (odd.ends_with('t')) {
          odd.pop_back();
        } else {
          odd.push_back('t');
        }
        break;
      default:
        odd[random_.below(odd.size())] = static_cast<char>(random_.below(256));
    }
    return odd;
  }

  std::string odd_value(std::string_view value) {
    std::string odd(value);
    if (odd.empty() || one_in(8)) return std::string(random_.below(20), 'x');
    if (one_in(4)) {
      odd[random_.below(odd.size())] = static_cast<char>(random_.below(256));
      return odd;
    }
    if (one_in(8)) return odd.substr(0, random_.below(odd.size()));
    return with_odd_field(value);
  }

  // Of a message: one of its fields is left out, there twice, or has another value.
  std::string with_odd_field(std::string_view message) {
    size_t fields = 0;
    pb::Reader count(message);
    for (pb::Field field; count.next(&field);) ++fields;
    if (fields == 0 || !count.ok()) return std::string(message);
    std::string odd;
    const size_t chosen = random_.below(fields);
    const uint64_t what = random_.below(6);
    pb::Reader reader(message);
    size_t at = 0;
    for (pb::Field field; reader.next(&field); ++at) {
      const bool is_chosen = at == chosen;
      if (is_chosen && what == 0) continue;
      for (int i = 0; i < (is_chosen && what == 1 ? 2 : 1); ++i) {
        if (field.type == pb::kVarint) {
          pb::append_varint_field(odd, field.number,
                                  is_chosen && what > 1 ? odd_number() : field.value);
        } else if (field.type == pb::kBytes) {
          const bool deeper = is_chosen && what > 3;
          pb::append_bytes_field(odd, field.number,
                                 deeper                  ? with_odd_field(field.bytes)
                                 : is_chosen && what > 1 ? odd_value("some text")
                                                         : std::string(field.bytes));
        }
      }
    }
    return odd;
  }

  log::QuietLog quiet_;
  SeededRandom random_;
  TestMember member_{random_};
};

TEST(OddStateRandom, WhatIsTakenIsGoneOnWith) {
  for_each_seed(Seeds{.count = 400}, [](uint64_t seed) { OddState(seed).run(); });
}

}  // namespace
}  // namespace keelson::node
