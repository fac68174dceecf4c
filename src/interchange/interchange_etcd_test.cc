// The proof with real etcd programs: etcd's state into a store of ours and back into a file that
// etcd restores and serves, with the same HashKV all the way. Skipped where there is no etcd.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "backend/rocks/rocks_backend.h"
#include "base/test_etcd.h"
#include "boltfile/hash_kv.h"
#include "boltfile/snapshot_file.h"
#include "interchange/convert.h"
#include "interchange/database_reader.h"
#include "interchange/database_writer.h"
#include "interchange/export.h"
#include "interchange/layout.h"
#include "interchange/restore.h"
#include "interchange/test_states.h"
#include "mvcc/row_head.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

using nlohmann::json;

class InterchangeEtcd : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_interchange_etcd_", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }

  // Of a snapshot, to the directory `to`.
  void restore(const std::string& snapshot, const std::string& to) {
    const std::string said = output_of(
        cat(etcd_directory(), "/etcdutl snapshot restore ", snapshot,
            " --name m --initial-cluster m=http://127.0.0.1:1 --initial-advertise-peer-urls "
            "http://127.0.0.1:1 --data-dir ",
            to));
    ASSERT_THAT(said, testing::HasSubstr("restored snapshot"));
  }

  std::string dir_;
};

uint32_t served_hash(TestEtcd& etcd) {
  const std::string out = etcd.ctl("endpoint hashkv -w json");
  const json answer = json::parse(out, nullptr, false);
  if (!answer.is_array()) ADD_FAILURE() << out;
  return answer.is_array() ? answer[0]["HashKV"]["hash"].get<uint32_t>() : 0;
}

void fill(TestEtcd& etcd) {
  for (int i = 0; i < 60; ++i) {
    etcd.ctl(cat("put k", i % 25, " v", i, std::string(i % 37 * 20, 'x')));
    if (i % 7 == 3) etcd.ctl(cat("del k", i % 20));
  }
  const std::string granted = etcd.ctl("lease grant 1000");
  const std::string id = granted.substr(6, 16);
  ASSERT_EQ(etcd.ctl(cat("put leased v --lease=", id)), "OK\n");
  etcd.ctl("user add root:pw");
  etcd.ctl("user grant-role root root");
  etcd.ctl("role add reader");
  etcd.ctl("role grant-permission reader read k0 k9");
  ASSERT_EQ(etcd.ctl("compaction --physical 40"), "compacted revision 40\n");
}

// All that the log has, from its beginning.
std::vector<raft::Entry> history_in(const std::string& log) {
  std::vector<raft::Entry> entries;
  absl::StatusOr<wal::History> read = wal::read_history(log, wal::collect_into(&entries));
  EXPECT_TRUE(read.ok()) << read.status();
  return entries;
}

// What etcd tells of leases, users, roles.
std::string told(TestEtcd& etcd) {
  return cat(etcd.ctl("lease list"), etcd.ctl("user list"), etcd.ctl("user get root"),
             etcd.ctl("role get reader"), etcd.ctl("get '' --from-key -w json | sed 's/.*kvs//'"));
}

TEST_F(InterchangeEtcd, ThroughAStoreOfOurs) {
  uint32_t hash = 0;
  std::string before;
  {
    TestEtcd etcd(path("data"));
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + path("data.log"));
    ASSERT_NO_FATAL_FAILURE(fill(etcd));
    hash = served_hash(etcd);
    before = told(etcd);
    etcd.ctl(cat("snapshot save ", path("theirs")));
  }
  auto file = boltfile::File::open(path("theirs"));
  ASSERT_TRUE(file.ok()) << file.status();
  auto store = backend::open_rocks_backend(path("store"));
  ASSERT_TRUE(store.ok()) << store.status();
  absl::StatusOr<ReadResult> result = read_database(**file, store->get());
  ASSERT_TRUE(result.ok()) << result.status();
  {
    auto opened = mvcc::Store::open(store->get());
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(hash_of(**opened), hash);
    absl::Status same = check_same_hash(**file, **opened);
    EXPECT_TRUE(same.ok()) << same;
  }
  {
    auto out = boltfile::FileSink::create(path("ours"));
    ASSERT_TRUE(out.ok()) << out.status();
    boltfile::SummingSink sink(out->get());
    absl::Status written = write_database(*(*store)->snapshot(), {}, &sink);
    ASSERT_TRUE(written.ok()) << written;
    ASSERT_TRUE(sink.finish().ok());
    ASSERT_TRUE((*out)->sync().ok());
  }
  // Every bucket, every record: what the status hashes.
  auto ours = boltfile::File::open(path("ours"));
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ(boltfile::snapshot_status(**ours)->hash, boltfile::snapshot_status(**file)->hash);
  const json status = json::parse(
      output_of(cat(etcd_directory(), "/etcdutl snapshot status -w json ", path("ours"))), nullptr,
      false);
  ASSERT_TRUE(status.is_object());
  EXPECT_EQ(status["hash"], boltfile::snapshot_status(**file)->hash);

  ASSERT_NO_FATAL_FAILURE(restore(path("ours"), path("restored")));
  TestEtcd etcd(path("restored"));
  ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + path("restored.log"));
  EXPECT_EQ(served_hash(etcd), hash);
  EXPECT_EQ(told(etcd), before);
  ASSERT_EQ(etcd.ctl("put after all"), "OK\n");
}

// A restore that raises the revision: what it leaves (a record with no value) is history and hash
// to etcd and to us alike, before and after the compaction that it asks for.
TEST_F(InterchangeEtcd, ARaisedRevision) {
  {
    TestEtcd etcd(path("data"));
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + path("data.log"));
    for (int i = 0; i < 50; ++i) etcd.ctl(cat("put k", i % 20, " v", i));
    etcd.ctl("del k7");
    etcd.ctl(cat("snapshot save ", path("theirs")));
  }
  const RestoreOptions options{.snapshot = path("theirs"),
                               .data_dir = path("ours"),
                               .wal_dir = wal_dir(path("ours")),
                               .name = "m",
                               .initial_cluster = "m=http://127.0.0.1:1",
                               .initial_cluster_token = "token",
                               .bump_revision = 1000,
                               .mark_compacted = true};
  absl::Status restored = restore_snapshot(options);
  ASSERT_TRUE(restored.ok()) << restored;
  auto backend = backend::open_rocks_backend(store_dir(path("ours")), {.heads = mvcc::kHeadFormat});
  ASSERT_TRUE(backend.ok()) << backend.status();
  auto store = mvcc::Store::open(backend->get());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->revision(), 1052);
  EXPECT_EQ((*store)->compact_revision(), 1052);
  ASSERT_TRUE((*store)->publish(Index(2), Term(1)).ok());
  uint64_t index = 2;
  while ((*store)->compact_step(100)) {
    ASSERT_TRUE((*store)->publish(Index(++index), Term(1)).ok());
  }
  ASSERT_TRUE((*store)->publish(Index(++index), Term(1)).ok());
  (*store)->check_invariants();
  auto slot = (*store)->register_reader();
  auto all = (*store)->range(*slot, std::string_view("\0", 1), std::string_view("\0", 1));
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->count, 19);
  EXPECT_TRUE((*store)->history(*slot, 1052, 1052, 1000)->events.empty());
  const uint32_t hash = hash_of(**store);

  auto out = boltfile::FileSink::create(path("back"));
  ASSERT_TRUE(out.ok());
  boltfile::SummingSink sink(out->get());
  ASSERT_TRUE(write_database(*(*backend)->snapshot(), {}, &sink).ok());
  ASSERT_TRUE(sink.finish().ok());
  EXPECT_EQ(boltfile::hash_kv(**boltfile::File::open(path("back")))->hash, hash);
  ASSERT_NO_FATAL_FAILURE(restore(path("back"), path("restored")));
  TestEtcd etcd(path("restored"));
  ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + path("restored.log"));
  EXPECT_EQ(served_hash(etcd), hash);
  EXPECT_EQ(etcd.ctl("put next v"), "OK\n");
  EXPECT_THAT(etcd.ctl("get next -w json"), testing::HasSubstr("\"mod_revision\":1053"));
}

// A member that was killed in the middle: its database lacks what the log has. Into a directory of
// ours and back into etcd's, which then serves all of it.
TEST_F(InterchangeEtcd, ADirectoryThereAndBack) {
  for (const char* snapshot_count : {"100000", "30"}) {
    SCOPED_TRACE(snapshot_count);
    const std::string theirs = path(cat("theirs", snapshot_count));
    const std::string ours = path(cat("ours", snapshot_count));
    const std::string back = path(cat("back", snapshot_count));
    std::string before;
    uint32_t hash = 0;
    {
      // What is committed reaches the database after ten seconds, or with a snapshot.
      TestEtcd etcd(theirs, TestEtcdPlace{},
                    {cat("--snapshot-count=", snapshot_count), "--backend-batch-interval=10s",
                     "--backend-batch-limit=100000"});
      ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + theirs + ".log");
      ASSERT_NO_FATAL_FAILURE(fill(etcd));
      etcd.ctl(cat("snapshot save ", path("committed")));  // which commits
      for (int i = 0; i < 10; ++i) ASSERT_EQ(etcd.ctl(cat("put tail", i, " v")), "OK\n");
      hash = served_hash(etcd);
      before = told(etcd);
      etcd.kill();
    }
    const std::string listing = cat("cd ", theirs, " && find . -type f | sort | xargs sha256sum");
    const std::string files = output_of(listing);
    absl::Status converted = convert({.data_dir = theirs,
                                      .wal_dir = wal_dir(theirs),
                                      .member_dir = member_dir(ours),
                                      .new_wal_dir = wal_dir(ours)});
    ASSERT_TRUE(converted.ok()) << converted;
    EXPECT_EQ(output_of(listing), files);
    const std::vector<raft::Entry> history = history_in(wal_dir(theirs));
    EXPECT_EQ(history.front().index, Index(1));
    EXPECT_EQ(history_in(wal_dir(ours)), history);
    absl::Status exported = export_directory(
        {.data_dir = ours, .wal_dir = wal_dir(ours), .output_dir = back, .minor = 5});
    ASSERT_TRUE(exported.ok()) << exported;
    EXPECT_EQ(history_in(wal_dir(back)), history);
    {
      TestEtcd etcd(back);
      ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + back + ".log");
      EXPECT_EQ(served_hash(etcd), hash);
      EXPECT_EQ(told(etcd), before);
      EXPECT_THAT(etcd.ctl("member list"), testing::HasSubstr(", started, m, "));
      EXPECT_EQ(etcd.ctl("put after all"), "OK\n");
    }
    // etcd went on in the same log.
    std::vector<raft::Entry> later = history_in(wal_dir(back));
    ASSERT_GT(later.size(), history.size());
    later.resize(history.size());
    EXPECT_EQ(later, history);
  }
}

// While an etcd runs, and when its parts are not of the same backup, nothing is made.
TEST_F(InterchangeEtcd, WhatIsNotConverted) {
  const std::string theirs = path("data");
  const Conversion conversion{.data_dir = theirs,
                              .wal_dir = wal_dir(theirs),
                              .member_dir = member_dir(path("ours")),
                              .new_wal_dir = wal_dir(path("ours"))};
  std::filesystem::path old_database = path("old");
  {
    TestEtcd etcd(theirs, TestEtcdPlace{}, {"--snapshot-count=20"});
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + theirs + ".log");
    absl::Status s = convert(conversion);
    EXPECT_TRUE(absl::IsFailedPrecondition(s)) << s;
    EXPECT_THAT(std::string(message_of(s)), testing::HasSubstr("stop etcd first"));
    std::filesystem::copy_file(database_path(theirs), old_database);
    for (int i = 0; i < 60; ++i) etcd.ctl("put a b");
  }
  std::filesystem::rename(database_path(theirs), path("new"));
  std::filesystem::copy_file(old_database, database_path(theirs));
  absl::Status s = convert(conversion);
  EXPECT_TRUE(absl::IsDataLoss(s)) << s;
  EXPECT_THAT(std::string(message_of(s)), testing::HasSubstr("do not belong together"));
  EXPECT_FALSE(std::filesystem::exists(path("ours") + "/member/keelson"));
}

}  // namespace
}  // namespace keelson::interchange
