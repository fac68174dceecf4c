// What is refused when a database is read, with which words, and what a crash leaves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "backend/rocks/rocks_backend.h"
#include "base/protobuf.h"
#include "base/revision_key.h"
#include "interchange/applicable.h"
#include "interchange/database_reader.h"
#include "interchange/etcd_directory.h"
#include "interchange/etcd_version.h"
#include "interchange/key_stretches.h"
#include "interchange/test_states.h"
#include "proto/rpc.pb.h"
#include "wire/internal_request.h"

namespace keelson::interchange {
namespace {

using backend::Bucket;
using boltfile::TestBucket;
using testing::HasSubstr;

std::string key_value(std::string_view key, int64_t at) {
  return mvcc::encode_key_value({.key = key,
                                 .create_revision = at,
                                 .mod_revision = at,
                                 .version = 1,
                                 .value = "value"})
      .str();
}

// One member, two keys, a lease.
TestBucket good_tree() {
  TestBucket root;
  for (std::string_view name : boltfile::kEtcdBuckets) root.buckets[std::string(name)];
  root.buckets["meta"].keys = {{"consistent_index", big64(9)}, {"term", big64(2)}};
  root.buckets["cluster"].keys = {{"clusterVersion", "3.7.0"}};
  root.buckets["members"].keys = {
      {"a1", membership::member_json({.id = MemberId(0xa1), .peer_urls = {"http://1:1"}})}};
  root.buckets["members_removed"].keys = {{"b2", "removed"}};
  root.buckets["lease"].keys = {
      {lease::encode_key(LeaseId(7)), lease::encode_value({LeaseId(7), 60, 0})}};
  for (int64_t at : {2, 3}) {
    root.buckets["key"].keys[std::string(RevisionKey({at, 0}).view())] = key_value("k", at);
  }
  return root;
}

absl::StatusOr<ReadResult> read(const TestBucket& tree, const ReadOptions& options = {},
                                Contents* contents = nullptr) {
  const std::string bytes = boltfile::database_of(tree);
  auto file = boltfile::open_memory(bytes);
  if (!file.ok()) return file.status();
  backend::MemoryBackend store;
  absl::StatusOr<ReadResult> result = read_database(**file, &store, options);
  if (!result.ok()) {
    EXPECT_EQ(store.consistent_index(), Index(0));
  }
  if (contents) *contents = contents_of(store);
  return result;
}

std::string refusal(const TestBucket& tree, const ReadOptions& options = {}) {
  absl::StatusOr<ReadResult> result = read(tree, options);
  return result.ok() ? "" : std::string(message_of(result.status()));
}

TEST(DatabaseReader, RefusesWhatEtcdWouldNotHaveWritten) {
  ASSERT_EQ(refusal(good_tree()), "");
  struct Case {
    const char* bucket;
    std::string key, value, says;
  };
  const Case cases[] = {
      {"key", std::string(RevisionKey({4, 0}).view()), key_value("k", 5), "bucket key, revision 4"},
      {"key", "short", "v", "bucket key: a record's key is not a revision"},
      {"key", std::string(RevisionKey({4, 1}).view()), "\xff", "revision 4/1: does not parse"},
      {"lease", lease::encode_key(LeaseId(8)), lease::encode_value({LeaseId(9), 1, 0}),
       "bucket lease, record 0000000000000008: a lease record's id is not its key's"},
      {"lease", "eight", "", "bucket lease"},
      {"members", "zz", "{}", "bucket members, record zz"},
      {"members", "c3",
       "{\"id\":", "bucket members, record c3: not a record of the membership in JSON"},
      {"members", "c3", R"({"id":5})", "bucket members, record c3: holds member 5"},
      {"members_removed", "not hex", "removed", "bucket members_removed"},
      {"alarm", "\xff", "", "bucket alarm"},
      {"authUsers", "u", "\xff", "bucket authUsers, record u"},
      {"meta", "term", "short", "bucket meta, record term"},
      {"meta", "scheduledCompactRev", "short", "bucket meta, record scheduledCompactRev"},
  };
  for (const Case& one : cases) {
    TestBucket tree = good_tree();
    tree.buckets[one.bucket].keys[one.key] = one.value;
    EXPECT_THAT(refusal(tree), HasSubstr(one.says));
  }
}

TEST(DatabaseReader, RefusesNewerVersions) {
  TestBucket tree = good_tree();
  tree.buckets["meta"].keys["storageVersion"] = "3.8.0";
  EXPECT_THAT(refusal(tree), HasSubstr("storage version is 3.8.0"));
  tree = good_tree();
  tree.buckets["cluster"].keys["clusterVersion"] = "3.10.0";
  EXPECT_THAT(refusal(tree), HasSubstr("cluster version is 3.10.0"));
  EXPECT_TRUE(absl::IsFailedPrecondition(read(tree).status()));
}

TEST(DatabaseReader, NeedsAPosition) {
  TestBucket tree = good_tree();
  tree.buckets["meta"].keys.erase("consistent_index");
  EXPECT_THAT(refusal(tree), HasSubstr("bucket meta, record consistent_index: is missing"));
  Contents contents;
  absl::StatusOr<ReadResult> result =
      read(tree, {.position = Position{Index(4), Term(3)}}, &contents);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(bucket_of(contents, Bucket::kMeta)["consistent_index"], big64(4));
  EXPECT_EQ(bucket_of(contents, Bucket::kMeta)["term"], big64(3));
  tree.buckets.erase("meta");
  EXPECT_THAT(refusal(tree), HasSubstr("not etcd's"));
}

TEST(DatabaseReader, NamesWhatItLeavesOut) {
  TestBucket tree = good_tree();
  tree.buckets["mystery"].keys["a"] = "b";
  tree.buckets["meta"].keys["newField"] = "kept";
  Contents contents;
  absl::StatusOr<ReadResult> result = read(tree, {}, &contents);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->left_out, testing::ElementsAre("mystery"));
  EXPECT_EQ(bucket_of(contents, Bucket::kMeta)["newField"], "kept");
  ASSERT_EQ(result->keys.size(), 1u);
  EXPECT_EQ(result->keys[0].total.records, 2u);
  EXPECT_EQ(result->leases, 1u);
}

TEST(DatabaseReader, TheConfigurationSaysWhoOnlyLearns) {
  TestBucket tree = good_tree();
  tree.buckets["members"].keys["c3"] =
      membership::member_json({.id = MemberId(0xc3), .is_learner = true});
  Contents contents;
  ReadOptions options{.conf_state = raft::ConfState{.voters = {MemberId(0xa1), MemberId(0xc3)}}};
  ASSERT_TRUE(read(tree, options, &contents).ok());
  EXPECT_FALSE(membership::parse_member(bucket_of(contents, Bucket::kMembers)["c3"])->is_learner);
  EXPECT_EQ(bucket_of(contents, Bucket::kMeta)["confState"],
            R"({"voters":[161,195],"auto_leave":false})");
  options.conf_state->voters = {MemberId(0xa1)};
  EXPECT_THAT(refusal(tree, options), HasSubstr("record c3: is not in the raft configuration"));
  options.conf_state->voters = {MemberId(0xa1), MemberId(0xc3), MemberId(0xd4)};
  EXPECT_THAT(refusal(tree, options),
              HasSubstr("record d4: is missing, but in the raft configuration"));
}

TEST(DatabaseReader, AnotherClusterTakesTheState) {
  ReadOptions options{.position = Position{Index(1), Term(1)}, .without_members = true};
  options.last.put(Bucket::kMembers, "e5", "{}");
  options.last.put(Bucket::kMeta, "scheduledCompactRev", RevisionKey({3, 0}).view());
  Contents contents;
  ASSERT_TRUE(read(good_tree(), options, &contents).ok());
  EXPECT_EQ(bucket_of(contents, Bucket::kMembers).size(), 1u);
  EXPECT_TRUE(bucket_of(contents, Bucket::kMembersRemoved).empty());
  EXPECT_TRUE(bucket_of(contents, Bucket::kMeta).contains("scheduledCompactRev"));
}

TEST(DatabaseReader, StopsWhenNobodyWantsIt) {
  TestBucket tree = good_tree();
  for (int64_t at = 4; at < 4000; ++at) {
    tree.buckets["key"].keys[std::string(RevisionKey({at, 0}).view())] =
        key_value(std::string(1000, 'k'), at);
  }
  uint64_t seen = 0;
  ReadOptions options;
  options.progress = [&](const ReadProgress& progress) {
    EXPECT_GT(progress.bytes, seen);
    seen = progress.bytes;
    return progress.bytes < 2'000'000;
  };
  EXPECT_TRUE(absl::IsCancelled(read(tree, options).status()));
  EXPECT_GE(seen, 2'000'000u);
}

// A store on a disk: what was not read to the end says so, whatever was flushed.
TEST(DatabaseReader, AStoreThatIsNotWholeStandsNowhere) {
  const std::string dir = cat(testing::TempDir(), "keelson_interchange_", ::getpid());
  std::filesystem::remove_all(dir);
  TestBucket tree = good_tree();
  for (int64_t at = 4; at < 40000; ++at) {
    tree.buckets["key"].keys[std::string(RevisionKey({at, 0}).view())] =
        key_value(std::string(1000, 'k'), at);
  }
  const std::string bytes = boltfile::database_of(tree);
  auto file = boltfile::open_memory(bytes);
  ASSERT_TRUE(file.ok());
  for (const bool whole : {false, true}) {
    std::filesystem::remove_all(dir);
    {
      auto store = backend::open_rocks_backend(dir, {});
      ASSERT_TRUE(store.ok()) << store.status();
      ReadOptions options;
      options.progress = [&](const ReadProgress& progress) {
        return whole || progress.bytes < 30'000'000;
      };
      EXPECT_EQ(read_database(**file, store->get(), options).ok(), whole);
    }
    auto store = backend::open_rocks_backend(dir, {.create_if_missing = false});
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->consistent_index(), Index(whole ? 9 : 0));
    EXPECT_EQ((*store)->durable_index(), Index(whole ? 9 : 0));
    if (!whole) continue;
    auto opened = mvcc::Store::open(store->get());
    ASSERT_TRUE(opened.ok()) << opened.status();
    absl::Status same = check_same_hash(**file, **opened);
    EXPECT_TRUE(same.ok()) << same;
  }
  std::filesystem::remove_all(dir);
}

TEST(CheckSameHash, SaysWhatDiffers) {
  const std::string bytes = boltfile::database_of(good_tree());
  auto file = boltfile::open_memory(bytes);
  ASSERT_TRUE(file.ok());
  backend::MemoryBackend backend;
  ASSERT_TRUE(read_database(**file, &backend).ok());
  backend::WriteBatch batch;
  batch.put(Bucket::kKey, RevisionKey({3, 0}).view(), key_value("other", 3));
  ASSERT_TRUE(backend.commit(batch, Index(0), Term(0)).ok());
  auto store = mvcc::Store::open(&backend);
  ASSERT_TRUE(store.ok());
  absl::Status same = check_same_hash(**file, **store);
  EXPECT_TRUE(absl::IsDataLoss(same));
  EXPECT_THAT(std::string(message_of(same)), HasSubstr("HashKV of the database is"));
}

// Of the second API each release applies less; a request of nobody's is nobody's.
TEST(Applicable, WhoAppliesWhat) {
  struct Case {
    std::string payload;
    bool here, etcd35, etcd36, etcd37;
    std::string why;
  };
  const auto bare = [](std::string_view method, std::string_view path) {
    std::string bytes;
    pb::append_varint_field(bytes, 1, 7);
    pb::append_bytes_field(bytes, 2, method);
    pb::append_bytes_field(bytes, 3, path);
    pb::append_bytes_field(bytes, 4, "{}");
    return bytes;
  };
  const auto wrapped = [](uint32_t number, std::string_view body) {
    return wire::wrap_internal(7, "", 0, static_cast<wire::InternalKind>(number), body).str();
  };
  const std::vector<Case> cases = {
      {"", true, true, true, true, ""},
      {wrapped(4, "\x0a\x01k"), true, true, true, true, ""},
      {wrapped(1300, "\x0a\x053.5.0"), true, true, true, true, ""},
      {bare("PUT", "/1/key"), false, true, false, false, "of the API of version 2 (PUT /1/key)"},
      {wrapped(2, bare("DELETE", "/1/k\n")), false, true, false, false, "(DELETE /1/k?)"},
      {bare("SYNC", ""), false, true, false, false, "(SYNC )"},
      {bare("QGET", "/0/version"), false, true, false, false, "(QGET /0/version)"},
      {bare("PUT", "/0/version"), true, true, true, false, "(PUT /0/version)"},
      {bare("PUT", "/0/members/8e9e05c52164694d/attributes"), true, true, true, false, "/attri"},
      {wrapped(2, bare("PUT", "/0/members/8e/attributes")), true, true, true, false, "/attributes"},
      {bare("PUT", "/0/members/8e/raftAttributes"), false, true, false, false, "/raftAttributes"},
      {bare("PUT", std::string(5000, 'x')), false, true, false, false, "xxx…)"},
      {wrapped(1303, ""), false, true, false, false, "has the number 1303"},
      {wrapped(0, ""), false, true, false, false, "asks for nothing"},
      {"\x05\x05", false, true, false, false, "cannot be read"},
  };
  for (const Case& c : cases) {
    const raft::Entry entry{.data = Bytes::copy(c.payload)};
    for (const auto& [by, can] : {std::pair(AppliedBy::kKeelson, c.here),
                                  {AppliedBy::kEtcd35, c.etcd35},
                                  {AppliedBy::kEtcd36, c.etcd36},
                                  {AppliedBy::kEtcd37, c.etcd37}}) {
      const std::string why = cannot_be_applied(entry, by);
      EXPECT_EQ(why.empty(), can) << c.why << " " << static_cast<int>(by) << ": " << why;
      EXPECT_THAT(why, HasSubstr(can ? "" : c.why));
    }
  }
}

// What others refuse for a range, etcd 3.5 and 3.6 may carry out.
TEST(Applicable, TransactionsThatMayBeRefusedForWhatTheyRead) {
  const auto may = [](const etcdserverpb::TxnRequest& txn, bool rights_count) {
    const raft::Entry entry{
        .data = wire::wrap_internal(1, "", 0, wire::InternalKind::kTxn, txn.SerializeAsString())};
    return may_be_done_otherwise(entry, rights_count);
  };
  etcdserverpb::TxnRequest txn;
  txn.add_success()->mutable_request_put()->set_key("k");
  EXPECT_FALSE(may(txn, true));
  auto* range = txn.add_failure()->mutable_request_range();
  range->set_key("k");
  EXPECT_FALSE(may(txn, false));
  EXPECT_TRUE(may(txn, true));
  range->set_revision(5);
  EXPECT_TRUE(may(txn, false));
  etcdserverpb::TxnRequest around;
  *around.add_success()->mutable_request_txn() = txn;
  EXPECT_FALSE(may(around, true)) << "they look at what is in transactions within it";
  const raft::Entry put{.data = wire::wrap_internal(1, "", 0, wire::InternalKind::kPut, "")};
  EXPECT_FALSE(may_be_done_otherwise(put, true));
  EXPECT_FALSE(turns_rights_on(put));
  EXPECT_TRUE(turns_rights_on(
      {.data = wire::wrap_internal(1, "", 0, wire::InternalKind::kAuthEnable, "")}));
}

// In as many stretches as one likes: whatever differs, and wherever, is found, and named.
TEST(CheckKeys, FindsWhatDiffers) {
  TestBucket root = good_tree();
  auto& keys = root.buckets["key"].keys;
  for (int64_t at = 4; at <= 60; ++at) {
    if (at % 7 == 0) continue;
    for (int64_t sub = 0; sub <= at % 3; ++sub) {
      keys[std::string(RevisionKey({at, sub}).view())] =
          key_value(cat("k", sub, std::string(500, 'k')), at);
    }
  }
  const std::string bytes = boltfile::database_of(root);
  auto file = boltfile::open_memory(bytes);
  ASSERT_TRUE(file.ok());
  for (const size_t stretches : {1, 2, 3, 8, 100}) {
    SCOPED_TRACE(stretches);
    backend::MemoryBackend store;
    std::atomic<uint64_t> most{0};
    const auto count = [&](const ReadProgress& progress) {
      most = std::max<uint64_t>(most, progress.records);
      return true;
    };
    absl::StatusOr<std::vector<KeyStretch>> read = read_keys(
        **file, backend::load_keys(store).get(), {.progress = count, .stretches = stretches});
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_LE(read->size(), stretches);
    EXPECT_GE(read->size(), std::min<size_t>(stretches, 3));
    Contents contents = contents_of(store);
    EXPECT_EQ(bucket_of(contents, Bucket::kKey), keys);
    EXPECT_GT(most, 0u);
    EXPECT_TRUE(check_keys(*read, store, {.progress = count}).ok());
    const auto change = [&](std::string_view key, std::optional<std::string> value) {
      backend::WriteBatch batch;
      value ? batch.put(Bucket::kKey, key, *value) : batch.del(Bucket::kKey, key);
      EXPECT_TRUE(store.commit(batch, Index(0), Term(0)).ok());
    };
    for (const auto& [key, value] : keys) {
      change(key, value + "x");
      EXPECT_TRUE(absl::IsDataLoss(check_keys(*read, store)));
      change(key, std::nullopt);
      EXPECT_TRUE(absl::IsDataLoss(check_keys(*read, store)));
      change(key, value);
    }
    for (int64_t at = 1; at <= 61; ++at) {
      const std::string more(RevisionKey({at, 5}).view());
      change(more, "v");
      const absl::Status s = check_keys(*read, store);
      EXPECT_TRUE(absl::IsDataLoss(s)) << at;
      EXPECT_EQ(check_keys(*read, store, {.added = 1}).ok(), at >= 60) << at;
      change(more, std::nullopt);
    }
    EXPECT_TRUE(absl::IsDataLoss(check_keys(*read, store, {.added = 1})));
    EXPECT_TRUE(absl::IsCancelled(
        check_keys(*read, store, {.progress = [](const ReadProgress&) { return false; }})));
  }
}

TEST(EtcdVersion, IsRead) {
  EXPECT_EQ(minor_of("3.7.0"), 7);
  EXPECT_EQ(minor_of("3.10"), 10);
  for (const char* bad : {"", "3", "3.", "3.x", "2.3.0", "3.7x", "3.-1.0"}) {
    EXPECT_EQ(minor_of(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(version_of(5), "3.5.0");
}

TEST(EtcdDirectory, RaftsConfigurationCountsAndNotWhatWasLeftOver) {
  auto member = [](uint64_t id, bool learner = false) {
    const membership::Member record{.id = MemberId(id), .is_learner = learner};
    return boltfile::EtcdMember{MemberId(id), membership::member_json(record)};
  };
  const std::vector<boltfile::EtcdMember> members = {member(0xa1), member(0xc3, true)};
  wire::WalSnapshot mark;
  auto voters = [&](const char* noted) {
    absl::StatusOr<raft::ConfState> conf = configuration_of(noted, members, mark);
    return conf.ok() ? conf->voters : std::vector<MemberId>();
  };
  EXPECT_THAT(voters(R"({"voters":[161,195]})"),
              testing::ElementsAre(MemberId(161), MemberId(195)));
  EXPECT_THAT(voters(R"({"voters":[161],"learners":[195]})"), testing::ElementsAre(MemberId(161)));
  // A former cluster's, after a restore.
  EXPECT_THAT(voters(R"({"voters":[7]})"), testing::ElementsAre(MemberId(161)));
  absl::StatusOr<raft::ConfState> refused = configuration_of(R"({"voters":[161]})", members, mark);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_THAT(refused.status().message(), HasSubstr("take no part in raft: c3;"));
  mark.conf_state = raft::ConfState{.voters = {MemberId(0xa1), MemberId(0xc3)}};
  EXPECT_THAT(voters(R"({"voters":[161]})"), testing::SizeIs(2));
}

}  // namespace
}  // namespace keelson::interchange
