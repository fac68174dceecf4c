// Real etcd programs judge both directions: what they leave is read, every bit of it; what we write
// they check, restore, serve with the same hash and go on writing to. Skipped where there is no
// etcd.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/protobuf.h"
#include "base/revision_key.h"
#include "base/test_etcd.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/hash_kv.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/test_databases.h"
#include "boltfile/verify.h"

namespace keelson::boltfile {
namespace {

using nlohmann::json;

class BoltfileEtcd : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_boltfile_", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  std::string path(const std::string& name) const { return cat(dir_, "/", name); }
  static std::string utl(const std::string& arguments) {
    return output_of(cat(etcd_directory(), "/etcdutl ", arguments));
  }

  std::string dir_;
};

std::unique_ptr<File> open_checked(const std::string& path) {
  absl::StatusOr<std::unique_ptr<File>> file = File::open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return nullptr;
  absl::StatusOr<Verdict> verdict = verify(**file);
  EXPECT_TRUE(verdict.ok()) << verdict.status();
  if (verdict.ok()) {
    EXPECT_TRUE(verdict->ok()) << verdict->status();
  }
  return std::move(*file);
}

void expect_status(File& file, const std::string& etcds) {
  absl::StatusOr<SnapshotStatus> ours = snapshot_status(file);
  ASSERT_TRUE(ours.ok()) << ours.status();
  const json theirs = json::parse(etcds, nullptr, false);
  ASSERT_TRUE(theirs.is_object()) << etcds;
  EXPECT_EQ(ours->hash, theirs["hash"]);
  EXPECT_EQ(ours->revision, theirs["revision"]);
  EXPECT_EQ(ours->records, theirs["totalKey"]);
  EXPECT_EQ(ours->size, theirs["totalSize"]);
}

uint32_t served_hash(TestEtcd& etcd) {
  const std::string out = etcd.ctl("endpoint hashkv -w json");
  const json answer = json::parse(out, nullptr, false);
  if (!answer.is_array()) ADD_FAILURE() << out;
  return answer.is_array() ? answer[0]["HashKV"]["hash"].get<uint32_t>() : 0;
}

// Versions, tombstones, large and empty values, leases, users.
void fill(TestEtcd& etcd, const std::string& large_value) {
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(etcd.ctl(cat("put k", i % 200, " v", i, std::string(i % 37 * 20, 'x'))), "OK\n");
    if (i % 7 == 3) etcd.ctl(cat("del k", i % 50));
  }
  ASSERT_EQ(etcd.ctl("put empty ''"), "OK\n");
  ASSERT_EQ(etcd.ctl(cat("put large < ", large_value)), "OK\n");
  for (int ttl : {600, 700, 800}) {
    ASSERT_NE(etcd.ctl(cat("lease grant ", ttl)).find("granted"), std::string::npos);
  }
  etcd.ctl("user add root:pw");
  etcd.ctl("user add somebody:else");
  etcd.ctl("role add reader");
  etcd.ctl("role grant-permission reader read k0 k9");
}

void expect_state(File& file) {
  absl::StatusOr<EtcdState> state = read_etcd_state(file);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->unknown.empty()) << state->unknown[0];
  EXPECT_GT(state->meta.consistent_index.value_or(Index(0)), Index(300));
  EXPECT_GE(state->meta.term.value_or(Term(0)), Term(2));
  EXPECT_TRUE(state->meta.conf_state.has_value());
  EXPECT_EQ(state->cluster_version, "3.5.0");
  ASSERT_EQ(state->members.size(), 1u);
  EXPECT_NE(state->members[0].json.find("\"name\":\"m\""), std::string::npos);
  EXPECT_EQ(state->users.size(), 2u);
  EXPECT_EQ(state->roles.size(), 1u);
  EXPECT_FALSE(state->auth_enabled);
  EXPECT_GT(state->auth_revision, 1u);
  size_t leases = 0;
  ASSERT_TRUE(read_etcd_leases(file, [&](const EtcdLease& lease) {
                leases += lease.ttl >= 600;
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(leases, 3u);
}

TEST_F(BoltfileEtcd, WhatItLeavesIsRead) {
  std::ofstream(path("value")) << std::string(900000, 'L');
  const std::string data = path("data");
  uint32_t before = 0, after = 0;
  {
    TestEtcd etcd(data);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    ASSERT_NO_FATAL_FAILURE(fill(etcd, path("value")));
    before = served_hash(etcd);
    etcd.ctl(cat("snapshot save ", path("before")));
    ASSERT_EQ(etcd.ctl("compaction --physical 250"), "compacted revision 250\n");
    after = served_hash(etcd);
    etcd.ctl(cat("snapshot save ", path("after")));
  }
  for (const auto& [name, hash] : {std::pair("before", before), std::pair("after", after)}) {
    SCOPED_TRACE(name);
    std::unique_ptr<File> file = open_checked(path(name));
    ASSERT_TRUE(file);
    EXPECT_TRUE(*check_sum(file->source()));
    expect_status(*file, utl(cat("snapshot status -w json ", path(name))));
    expect_state(*file);
    absl::StatusOr<KvHash> ours = hash_kv(*file);
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(ours->hash, hash);
    EXPECT_EQ(ours->compact_revision, std::string_view(name) == "after" ? 250 : -1);
  }
  // The data directory of a member that was killed, and the same after a defragmentation.
  std::unique_ptr<File> live = open_checked(data + "/member/snap/db");
  ASSERT_TRUE(live);
  EXPECT_EQ(hash_kv(*live)->hash, after);
  EXPECT_FALSE(*check_sum(live->source()));
  utl(cat("defrag --data-dir ", data));
  std::unique_ptr<File> dense = open_checked(data + "/member/snap/db");
  ASSERT_TRUE(dense);
  EXPECT_EQ(hash_kv(*dense)->hash, after);
}

// A snapshot file of ours, its sum behind it.
void save(const TestBucket& root, const Layout& layout, const std::string& path) {
  std::filesystem::remove(path);
  absl::StatusOr<std::unique_ptr<FileSink>> file = FileSink::create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  SummingSink sink(file->get());
  Writer writer(plan_of(root, layout), &sink);
  ASSERT_TRUE(write_inside(root, writer).ok());
  ASSERT_TRUE(writer.finish().ok());
  ASSERT_TRUE(sink.finish().ok());
  ASSERT_TRUE((*file)->sync().ok());
}

std::string key_value(std::string_view key, int64_t at, std::string_view value) {
  std::string message;
  pb::append_bytes_field(message, 1, key);
  pb::append_varint_field(message, 2, static_cast<uint64_t>(at));
  pb::append_varint_field(message, 3, static_cast<uint64_t>(at));
  pb::append_varint_field(message, 4, 1);
  if (!value.empty()) pb::append_bytes_field(message, 5, value);
  return message;
}

// All of etcd's buckets, and `count` keys: of every byte, empty, long, large.
TestBucket etcd_state(int64_t count) {
  TestBucket root;
  for (std::string_view name : kEtcdBuckets) root.buckets[std::string(name)];
  root.buckets["meta"].keys = {{"consistent_index", big64(5)}, {"term", big64(2)}};
  root.buckets["cluster"].keys = {{"clusterVersion", "3.5.0"}};
  auto& keys = root.buckets["key"].keys;
  for (int64_t i = 0; i < count; ++i) {
    std::string key = i < 256 ? std::string(1, static_cast<char>(i)) : cat("key", i);
    std::string value(static_cast<size_t>(i % 11 * 97), static_cast<char>(i));
    if (i % 5000 == 300) value.assign(1536 << 10, 'L');
    if (i == 301) key.append(3000, 'k');
    keys[std::string(RevisionKey({i + 2, 0}).view())] = key_value(key, i + 2, value);
  }
  return root;
}

TEST_F(BoltfileEtcd, ServesWhatWeWrite) {
  const TestBucket root = etcd_state(20000);
  const std::string snapshot = path("ours");
  for (const uint32_t page_size : {65536u, 16384u, 4096u}) {
    for (const bool freelist : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(save(root, {page_size, freelist}, snapshot));
      std::unique_ptr<File> file = open_checked(snapshot);
      ASSERT_TRUE(file);
      EXPECT_TRUE(*check_sum(file->source()));
      expect_status(*file, utl(cat("snapshot status -w json ", snapshot)));
    }
    const std::string data = path(cat("restored", page_size));
    const std::string said = output_of(
        cat("ETCDCTL_API=3 ", etcd_directory(), "/etcdctl snapshot restore ", snapshot,
            " --name m --initial-cluster m=http://127.0.0.1:1 --initial-advertise-peer-urls "
            "http://127.0.0.1:1 --data-dir ",
            data));
    ASSERT_NE(said.find("restored snapshot"), std::string::npos) << said;
    {
      TestEtcd etcd(data);
      ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
      EXPECT_EQ(served_hash(etcd), hash_kv(*open_checked(snapshot))->hash);
      EXPECT_EQ(etcd.ctl("get key300 --print-value-only"), std::string(1536 << 10, 'L') + "\n");
      // What we laid out can be written to, thinned out and compacted.
      ASSERT_EQ(etcd.ctl("put new value"), "OK\n");
      ASSERT_THAT(etcd.ctl("del key3 key8"), testing::EndsWith("\n5500\n"));
      ASSERT_EQ(etcd.ctl("compaction --physical 20003"), "compacted revision 20003\n");
      ASSERT_THAT(etcd.ctl("del \"\" --from-key"), testing::EndsWith("14501\n"));
      ASSERT_EQ(etcd.ctl("compaction --physical 20004"), "compacted revision 20004\n");
      ASSERT_EQ(etcd.ctl("put after all"), "OK\n");
      etcd.ctl(cat("snapshot save ", path("theirs")));
    }
    std::unique_ptr<File> file = open_checked(path("theirs"));
    ASSERT_TRUE(file);
    expect_status(*file, utl(cat("snapshot status -w json ", path("theirs"))));
    ASSERT_TRUE(open_checked(data + "/member/snap/db"));
    std::filesystem::remove_all(data);
    std::filesystem::remove(path("theirs"));
  }
}

// bbolt's own check, through etcdutl, of trees of every shape.
TEST_F(BoltfileEtcd, ChecksOurTrees) {
  for (const size_t key_size : {1, 20, 500, 1300, 2040, 2041, 2042, 5000, 32768}) {
    for (const size_t count : {1, 2, 3, 4, 5, 6, 7, 13, 300}) {
      TestBucket root = etcd_state(0);
      TestBucket& inner = root.buckets["lease"].buckets["nested"];
      inner.buckets["empty"];
      inner.buckets["small"].keys["a"] = "b";
      for (size_t i = 0; i < count; ++i) {
        std::string key(key_size, 'k');
        for (size_t n = i, at = 0; at < key.size() && n > 0; n /= 200, ++at) {
          key[key.size() - 1 - at] = static_cast<char>(n % 200);
        }
        inner.keys[key] = std::string(count * 30 % 900, 'v');
      }
      ASSERT_NO_FATAL_FAILURE(save(root, {4096, count % 2 == 0}, path("tree")));
      ASSERT_TRUE(open_checked(path("tree")));
      const std::string said = utl(cat("snapshot status -w json ", path("tree")));
      ASSERT_TRUE(json::accept(said)) << key_size << " x " << count << ": " << said;
    }
  }
}

}  // namespace
}  // namespace keelson::boltfile
