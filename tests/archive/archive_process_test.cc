// archive_process_test: a member that is killed, stopped and started while it works keeps an
// archive; what keelutl restores of a revision hashes as the member did when that revision was its
// newest. And each step of docs/operations.md, "Point in time".
//
// KEELSON_SEED=n runs another history than the usual one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/random.h"
#include "base/test_etcd.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/http.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using cluster::eventually;
using harness::Milliseconds;
using harness::Server;
using testing::HasSubstr;
namespace fs = std::filesystem;
namespace pb = etcdserverpb;

std::string binary, keelutl;  // NOLINT: from the command line

uint64_t seed() {
  const char* given = std::getenv("KEELSON_SEED");
  const uint64_t seed = given ? std::strtoull(given, nullptr, 10) : 1;
  std::cout << "KEELSON_SEED=" << seed << "\n";
  return seed;
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string time_text(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32], whole[64];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(whole, sizeof whole, "%s.%03dZ", text, static_cast<int>(unix_ms % 1000));
  return whole;
}

// What the member said of a revision when it was the newest.
struct Sample {
  int64_t revision = 0;
  uint32_t hash = 0;
  int64_t compacted = 0;
};

class Client {
 public:
  Client(Server& server, Random& random) : server_(server), random_(random) {}

  // The newest revision.
  int64_t change() {
    switch (random_.below(10)) {
      case 0: {
        pb::DeleteRangeRequest request;
        request.set_key(key());
        return call<pb::DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request);
      }
      case 1: {
        pb::TxnRequest request;
        for (int i = 0; i < 3; ++i) {
          pb::PutRequest& put = *request.add_success()->mutable_request_put();
          put.set_key(cat("txn", i, "/", random_.below(9)));
          put.set_value("v");
        }
        return call<pb::TxnResponse>("/etcdserverpb.KV/Txn", request);
      }
      case 2: {
        pb::LeaseGrantRequest request;
        request.set_ttl(3600);
        pb::LeaseGrantResponse granted;
        EXPECT_TRUE(
            server_.client().unary("/etcdserverpb.Lease/LeaseGrant", request, &granted).ok());
        return put(granted.id());
      }
      case 3: {
        pb::CompactionRequest request;
        request.set_revision(newest_ - static_cast<int64_t>(random_.below(30)));
        pb::CompactionResponse response;
        // Below one of before: refused.
        server_.client().unary("/etcdserverpb.KV/Compact", request, &response);
        return newest_;
      }
      default:
        return put(0);
    }
  }

  int64_t put(int64_t lease) {
    return put(lease, random_.below(4) == 0 ? random_.below(20'000) : 10);
  }
  int64_t put(int64_t lease, size_t size) {
    pb::PutRequest request;
    request.set_key(key());
    request.set_value(std::string(size, 'v'));
    request.set_lease(lease);
    return call<pb::PutResponse>("/etcdserverpb.KV/Put", request);
  }

  // Of a new revision: a compaction since the last one is not brought back with that.
  Sample sample() {
    put(0);
    pb::HashKVRequest request;
    pb::HashKVResponse response;
    const grpc::Status status =
        server_.client().unary("/etcdserverpb.Maintenance/HashKV", request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.header().revision(), response.hash(), response.compact_revision()};
  }

 private:
  std::string key() { return cat("key", random_.below(40)); }

  template <typename Response>
  int64_t call(const char* method, const google::protobuf::Message& request) {
    Response response;
    const grpc::Status status = server_.client().unary(method, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return newest_ = response.header().revision();
  }

  Server& server_;
  Random& random_;
  int64_t newest_ = 1;
};

class ArchiveProcess : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "keelson_archive_XXXXXX";
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr) << std::strerror(errno);
  }
  void TearDown() override {
    if (!disk_.empty()) ::umount2(disk_.c_str(), MNT_DETACH);
    std::error_code error;
    fs::remove_all(dir_, error);
    EXPECT_FALSE(error) << error.message();
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }
  std::string archive() const { return archive_.empty() ? path("archive") : archive_; }

  std::vector<std::string> flags(std::vector<std::string> more = {}) const {
    std::vector<std::string> all = {
        "--keelson-archive=" + path("archive"), "--keelson-wal-segment-bytes=65536",
        "--keelson-archive-snapshot-interval=2s", "--snapshot-count=100"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  // A row of the metrics; nothing: there is none.
  static std::optional<double> metric(Server& server, const std::string& name) {
    auto page = harness::http_request(server.address(), "GET", "/metrics");
    if (!page.ok()) return std::nullopt;
    const size_t at = page->body.find("\n" + name + " ");
    if (at == std::string::npos) return std::nullopt;
    return std::strtod(page->body.c_str() + at + name.size() + 2, nullptr);
  }
  // Of the member's log.
  static size_t segments(const Server& server) {
    size_t count = 0;
    for (const auto& file : fs::directory_iterator(server.data_dir() + "/member/wal")) {
      count += file.path().extension() == ".wal";
    }
    return count;
  }
  static bool archived(Server& server, int64_t revision) {
    return eventually(
        [&] {
          return metric(server, "keelson_archive_revision").value_or(0) >=
                 static_cast<double>(revision);
        },
        Milliseconds(120'000));
  }

  std::string restore(const std::string& to, const std::string& more = "") const {
    fs::remove_all(path("restored"));
    return output_of(cat(keelutl, " restore --archive ", archive(), " ", to, " --data-dir ",
                         path("restored"), " --name m1 --initial-cluster m1=http://127.0.0.1:1 ",
                         "--initial-advertise-peer-urls http://127.0.0.1:1 ", more));
  }
  // Of what was restored.
  Sample restored() const {
    const std::string said =
        output_of(cat(keelutl, " verify -w json --data-dir ", path("restored"), " 2>/dev/null"));
    const auto found = nlohmann::json::parse(said, nullptr, false);
    if (found.is_discarded()) {
      ADD_FAILURE() << said;
      return {};
    }
    return {found["hashRevision"], found["hash"], found["compactRevision"]};
  }
  void expect_restored(const Sample& sample) {
    const std::string said = restore(cat("--to-revision ", sample.revision));
    EXPECT_THAT(said, HasSubstr(cat("restored revision ", sample.revision, ",")));
    EXPECT_FALSE(fs::exists(path("restored.restoring")));
    const Sample found = restored();
    EXPECT_EQ(found.revision, sample.revision);
    EXPECT_EQ(found.hash, sample.hash) << "revision " << sample.revision;
    EXPECT_EQ(found.compacted, sample.compacted);
  }
  std::vector<nlohmann::json> list() const {
    const std::string said = output_of(cat(keelutl, " archive list -w json --archive ", archive()));
    return nlohmann::json::parse(said, nullptr, false);
  }

  std::string dir_;
  std::string disk_;     // mounted
  std::string archive_;  // not the usual one
};

TEST_F(ArchiveProcess, WhatARevisionWasComesBack) {
  SeededRandom random(seed());
  Server server({.binary = binary});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  for (int i = 0; i < 10; ++i) client.put(0);  // before there is an archive
  ASSERT_TRUE(server.stop().ok());
  server.set_flags(flags());
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const int64_t begun = client.put(0);
  ASSERT_TRUE(archived(server, begun)) << server.log_tail();
  std::vector<Sample> samples;
  for (int round = 0; round < 5; ++round) {
    for (uint64_t i = 20 + random.below(60); i > 0; --i) {
      client.change();
      if (random.below(12) == 0) samples.push_back(client.sample());
    }
    samples.push_back(client.sample());
    if (round % 3 == 0) {
      ASSERT_TRUE(archived(server, samples.back().revision)) << server.log_tail();
    }
    if (random.below(4) > 0) {
      server.kill();
    } else {
      ASSERT_TRUE(server.stop().ok());
    }
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
  }
  // While it runs.
  ASSERT_TRUE(archived(server, samples.back().revision)) << server.log_tail();
  expect_restored(samples.back());
  EXPECT_EQ(metric(server, "keelson_archive_gaps_total"), 0);
  EXPECT_EQ(metric(server, "keelson_archive_failures_total"), 0);
  EXPECT_EQ(metric(server, "keelson_archive_healthy"), 1);
  client.change();
  client.change();
  samples.push_back(client.sample());
  ASSERT_TRUE(server.stop().ok());  // which archives what was applied
  expect_restored(samples.back());
  ASSERT_EQ(list().size(), 1u);
  for (int i = 0; i < 6; ++i) expect_restored(samples[random.below(samples.size())]);
  EXPECT_THAT(restore(cat("--to-revision ", samples.back().revision + 1)),
              HasSubstr("is not archived: stretch 1 ends at entry"));
  EXPECT_THAT(restore("--to-revision 1"), HasSubstr("is before what is archived"));
}

// In the middle of a flood, wherever the archive is with its copying just then.
TEST_F(ArchiveProcess, KilledAtAnyMoment) {
  SeededRandom random(seed());
  // What is listed must still be there when it is asked for, however long all of it takes.
  Server server({.binary = binary,
                 .flags = flags(
                     {"--keelson-archive-snapshot-interval=1s", "--keelson-archive-max-snapshots=0",
                      // No flood is to be more than is kept for the archive: 16 segments.
                      "--keelson-wal-segment-bytes=1048576"})});
  std::atomic<int64_t> newest{0};
  for (int round = 0; round < 6; ++round) {
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    std::thread flood([&server, &newest, inputs = random.next()] {
      SeededRandom choices(inputs);
      pb::PutResponse response;
      do {
        pb::PutRequest request;
        request.set_key(cat("key", choices.below(40)));
        request.set_value(std::string(choices.below(3000), 'v'));
        if (!server.client().unary("/etcdserverpb.KV/Put", request, &response).ok()) return;
        newest = response.header().revision();
      } while (newest > 0);
    });
    const int64_t until = newest + 1 + static_cast<int64_t>(random.below(600));
    EXPECT_TRUE(eventually([&] { return newest >= until; }, Milliseconds(120'000)));
    server.kill();
    flood.join();
  }
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  ASSERT_TRUE(archived(server, newest)) << server.log_tail();
  EXPECT_EQ(metric(server, "keelson_archive_gaps_total"), 0);
  ASSERT_EQ(list().size(), 1u);
  const int64_t first = list()[0]["firstRevision"], last = list()[0]["lastRevision"];
  ASSERT_GE(last, newest);
  // Nothing is compacted, so the member knows what each revision was.
  for (int i = 0; i < 5; ++i) {
    const int64_t revision =
        i == 0 ? last
               : first + static_cast<int64_t>(random.below(static_cast<uint64_t>(last - first)));
    pb::HashKVRequest request;
    request.set_revision(revision);
    pb::HashKVResponse response;
    ASSERT_TRUE(server.client().unary("/etcdserverpb.Maintenance/HashKV", request, &response).ok());
    expect_restored({revision, response.hash(), response.compact_revision()});
  }
}

// The archive hangs in a call to its disk, as on one that has died. The member works and ends all
// the same, and its log is kept for so long and no longer.
TEST_F(ArchiveProcess, ADeadDiskIsTheArchivesAlone) {
  SeededRandom random(seed());
  Server server({.binary = binary,
                 .flags = flags({"--keelson-write-buffer-bytes=262144", "--snapshot-count=40"})});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  for (int i = 0; i < 50; ++i) client.change();
  const Sample before = client.sample();
  ASSERT_TRUE(archived(server, before.revision)) << server.log_tail();
  ASSERT_TRUE(server.stop().ok());
  server.set_environment({"KEELSON_FAILPOINTS=archive_before_sync=pause"});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  size_t most = 0;
  for (int i = 0; i < 600; ++i) {
    client.put(0, 8000);
    if (i % 20 == 0) most = std::max(most, segments(server));
  }
  EXPECT_LE(most, 30u);
  EXPECT_GT(metric(server, "keelson_archive_lag_seconds"), 0);
  EXPECT_THAT(server.log(), HasSubstr("lets go of what the archive has not read yet"));
  EXPECT_TRUE(server.stop().ok());
  EXPECT_THAT(server.log_tail(), HasSubstr("the archive's disk does not answer"));
  server.set_environment({});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const Sample behind = client.sample();
  ASSERT_TRUE(archived(server, behind.revision)) << server.log_tail();
  EXPECT_EQ(metric(server, "keelson_archive_gaps_total"), 1);
  ASSERT_TRUE(server.stop().ok());
  EXPECT_EQ(list().size(), 2u);
  expect_restored(before);
  expect_restored(behind);
}

// Its archive's disk is full for long: the member keeps so much of its log and no more, and goes
// on; what is missing is said, and what follows begins anew.
TEST_F(ArchiveProcess, ADiskThatTakesNothingIsAGapAndNoMore) {
  const std::string disk = path("disk");
  fs::create_directories(disk);
  if (::geteuid() != 0) GTEST_SKIP() << "mounting a small disk takes root";
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16m") != 0) {
    GTEST_SKIP() << "cannot mount a small disk: " << std::strerror(errno);
  }
  disk_ = disk;
  SeededRandom random(seed());
  Server server({.binary = binary,
                 .flags = flags({"--keelson-archive=" + disk + "/archive",
                                 "--keelson-write-buffer-bytes=262144", "--snapshot-count=40"})});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  for (int i = 0; i < 50; ++i) client.change();
  const Sample before = client.sample();
  ASSERT_TRUE(archived(server, before.revision)) << server.log_tail();
  // A process begins a stretch a minute at most, and is to begin one behind the gap.
  ASSERT_TRUE(server.stop().ok());
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  ASSERT_TRUE(archived(server, before.revision)) << server.log_tail();
  const std::string ballast = disk + "/ballast";
  output_of(cat("head -c 20000000 /dev/zero > ", ballast, " 2>/dev/null"));
  size_t most = 0;
  for (int i = 0; i < 600; ++i) {
    client.put(0, 8000);
    if (i % 20 == 0) most = std::max(most, segments(server));
  }
  EXPECT_LE(most, 30u);
  // It looks every second.
  EXPECT_TRUE(eventually([&] {
    return metric(server, "keelson_archive_healthy") == 0 &&
           metric(server, "keelson_archive_lag_seconds") > 0;
  }));
  EXPECT_THAT(server.log(), HasSubstr("no space for the archive"));
  EXPECT_THAT(server.log(), HasSubstr("lets go of what the archive has not read yet"));
  fs::remove(ballast);
  const Sample behind = client.sample();
  EXPECT_TRUE(eventually([&] { return metric(server, "keelson_archive_gaps_total") == 1; }))
      << server.log_tail();
  ASSERT_TRUE(archived(server, behind.revision)) << server.log_tail();
  EXPECT_TRUE(eventually([&] { return metric(server, "keelson_archive_healthy") == 1; }));
  ASSERT_TRUE(server.stop().ok());
  archive_ = disk + "/archive";
  expect_restored(before);
  expect_restored(behind);
}

// Whatever becomes of its files, a restore ends with a state that was, or with words.
TEST_F(ArchiveProcess, DamageIsToldAndNothingElse) {
  SeededRandom random(seed());
  Server server({.binary = binary, .flags = flags()});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  std::vector<Sample> samples;
  for (int i = 0; i < 150; ++i) {
    client.change();
    if (i % 10 == 9) samples.push_back(client.sample());
  }
  ASSERT_TRUE(archived(server, samples.back().revision)) << server.log_tail();
  ASSERT_TRUE(server.stop().ok());
  const int64_t first = list().at(0)["firstRevision"];
  std::erase_if(samples, [&](const Sample& sample) { return sample.revision < first; });
  ASSERT_FALSE(samples.empty());
  fs::copy(path("archive"), path("whole"), fs::copy_options::recursive);
  int told = 0;
  for (int round = 0; round < 12; ++round) {
    fs::remove_all(path("archive"));
    fs::copy(path("whole"), path("archive"), fs::copy_options::recursive);
    std::vector<std::string> files;
    for (const auto& file : fs::recursive_directory_iterator(path("archive"))) {
      if (file.is_regular_file() && file.file_size() > 0) files.push_back(file.path());
    }
    std::sort(files.begin(), files.end());
    const std::string& file = files[random.below(files.size())];
    if (random.below(3) == 0) {
      fs::resize_file(file, random.below(fs::file_size(file)));
    } else {
      std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
      damaged.seekp(static_cast<std::streamoff>(random.below(fs::file_size(file))));
      damaged.put(static_cast<char>(random.next()));
    }
    SCOPED_TRACE(file);
    const Sample& sample = samples[random.below(samples.size())];
    const std::string said =
        restore(cat("--to-revision ", sample.revision), " 2>&1; echo status $?");
    if (said.find("status 0") != std::string::npos) {
      const Sample found = restored();
      EXPECT_EQ(found.revision, sample.revision);
      EXPECT_EQ(found.hash, sample.hash);
    } else {
      EXPECT_THAT(said, HasSubstr("status 1"));
      EXPECT_THAT(said, HasSubstr("Error: "));
      EXPECT_FALSE(fs::exists(path("restored")));
      ++told;
    }
    output_of(cat(keelutl, " archive list --archive ", path("archive"), "; echo status $?"));
  }
  EXPECT_GT(told, 0);
}

// Behind the snapshot of another member there is a gap, and all else.
TEST_F(ArchiveProcess, AReceivedSnapshotIsAGap) {
  SeededRandom random(seed());
  const std::vector<std::string> common = {"--snapshot-count=50", "--snapshot-catchup-entries=20",
                                           "--keelson-wal-segment-bytes=65536"};
  const cluster::Program plain(binary, common);
  cluster::Program archiving(binary, flags());
  archiving.flags.insert(archiving.flags.end(), common.begin(), common.end());
  cluster::Cluster members({plain, plain, archiving});
  members.start();
  ASSERT_TRUE(members.ok());
  members.move_leader(0);
  Client client(members.at(0), random);
  std::vector<Sample> before, behind;
  for (int i = 0; i < 60; ++i) client.change();
  before.push_back(client.sample());
  ASSERT_TRUE(archived(members.at(2), before.back().revision)) << members.at(2).log_tail();
  members.at(2).kill();
  for (int i = 0; i < 400; ++i) client.change();
  const Sample missing = client.sample();
  for (int i = 0; i < 200; ++i) client.change();
  ASSERT_TRUE(members.at(2).start().ok()) << members.at(2).log_tail();
  for (int i = 0; i < 60; ++i) client.change();
  behind.push_back(client.sample());
  ASSERT_TRUE(archived(members.at(2), behind.back().revision)) << members.at(2).log_tail();
  EXPECT_EQ(metric(members.at(2), "keelson_archive_gaps_total"), 1);
  ASSERT_TRUE(members.at(2).stop().ok());
  ASSERT_EQ(list().size(), 2u);
  expect_restored(before.back());
  expect_restored(behind.back());
  EXPECT_THAT(restore(cat("--to-revision ", missing.revision)), HasSubstr("is not archived"));
}

// docs/operations.md, "Point in time".
TEST_F(ArchiveProcess, StepByStep) {
  SeededRandom random(seed());
  Server server({.binary = binary, .flags = flags()});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  for (int i = 0; i < 30; ++i) client.change();
  client.put(0);
  const Sample good = client.sample();
  ASSERT_TRUE(archived(server, good.revision)) << server.log_tail();
  const int64_t then = now_ms();
  for (int i = 0; i < 20; ++i) client.put(0);
  ASSERT_TRUE(archived(server, good.revision + 20)) << server.log_tail();
  // 1. What there is.
  const std::string table =
      output_of(cat(keelutl, " archive list -w table --archive ", path("archive")));
  EXPECT_THAT(table, HasSubstr("FROM REVISION"));
  ASSERT_EQ(list().size(), 1u);
  EXPECT_GE(list()[0]["lastRevision"].get<int64_t>(), good.revision + 20);
  // 3. By time.
  EXPECT_THAT(restore("--to-time " + time_text(then)),
              HasSubstr(cat("restored revision ", good.revision, ",")));
  EXPECT_EQ(restored().hash, good.hash);
  EXPECT_THAT(restore("--to-time " + time_text(then + 3'600'000)),
              HasSubstr("nothing is known of"));
  // By revision, for clients that have seen more.
  ASSERT_TRUE(server.stop().ok());
  EXPECT_THAT(
      restore(cat("--to-revision ", good.revision), "--bump-revision 1000000 --mark-compacted"),
      HasSubstr("restored revision"));
  // 5. and 6. It serves, and goes on with the same archive.
  {
    Server next({.binary = binary,
                 .flags = {"--keelson-archive=" + path("archive")},
                 .keep_data = path("restored")});
    ASSERT_TRUE(next.start().ok()) << next.log_tail();
    Client other(next, random);
    const int64_t revision = other.put(0);
    EXPECT_EQ(revision, good.revision + 1'000'001);
    ASSERT_TRUE(archived(next, revision)) << next.log_tail();
    ASSERT_TRUE(next.stop().ok());
  }
  const auto all = list();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_NE(all[0]["clusterID"], all[1]["clusterID"]);
  expect_restored(good);
  // What cannot be meant.
  EXPECT_THAT(restore("--to-revision 5 --to-time 2026-01-02T15:04:05Z"),
              HasSubstr("one of --to-revision and --to-time is required"));
  EXPECT_THAT(restore("--to-time yesterday"), HasSubstr("is no time as in RFC 3339"));
  EXPECT_THAT(output_of(cat(keelutl, " archive list --archive ", path("none"))),
              HasSubstr("there is none in"));
}

// In the middle of the archive's own steps.
TEST_F(ArchiveProcess, WhereverItIsKilled) {
  SeededRandom random(seed());
  for (const char* point :
       {"archive_stretch_made", "archive_snapshot_begun", "archive_snapshot_written",
        "archive_snapshot_named", "archive_before_sync", "archive_after_sync",
        "archive_before_note", "archive_snapshot_removed"}) {
    SCOPED_TRACE(point);
    fs::remove_all(path("archive"));
    Server server({.binary = binary, .flags = flags({"--keelson-archive-max-snapshots=1"})});
    server.set_environment({cat("KEELSON_FAILPOINTS=", point, "=crash")});
    std::optional<Sample> last;
    if (server.start().ok()) {
      Client client(server, random);
      ASSERT_TRUE(eventually([&] {
        pb::PutRequest request;
        request.set_key("k");
        pb::PutResponse response;
        server.client().unary("/etcdserverpb.KV/Put", request, &response,
                              {.deadline = Milliseconds(1000)});
        return server.exited();
      })) << "it was not killed";
    }
    server.set_environment({});
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    Client client(server, random);
    client.put(0);
    last = client.sample();
    ASSERT_TRUE(archived(server, last->revision)) << server.log_tail();
    ASSERT_TRUE(server.stop().ok());
    expect_restored(*last);
  }
}

// Killed, it leaves nothing that a server takes for a member, and says so next time.
TEST_F(ArchiveProcess, ARestoreThatIsKilled) {
  SeededRandom random(seed());
  Server server({.binary = binary, .flags = flags({"--keelson-archive-snapshot-interval=1h"})});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  // What is restored is behind the first snapshot.
  ASSERT_TRUE(archived(server, client.put(0))) << server.log_tail();
  for (int i = 0; i < 30; ++i) client.put(0);
  const Sample sample = client.sample();
  ASSERT_TRUE(archived(server, sample.revision));
  ASSERT_TRUE(server.stop().ok());
  ::setenv("KEELSON_FAILPOINTS", "archive_restore_made=crash", 1);
  restore(cat("--to-revision ", sample.revision));
  ::unsetenv("KEELSON_FAILPOINTS");
  EXPECT_FALSE(fs::exists(path("restored")));
  EXPECT_THAT(restore(cat("--to-revision ", sample.revision)), HasSubstr("remove it"));
  fs::remove_all(path("restored.restoring"));
  expect_restored(sample);
}

// Its flags are refused where it could harm the member; its disk is not the member's trouble.
TEST_F(ArchiveProcess, HarmsNobody) {
  SeededRandom random(seed());
  Server inside({.binary = binary, .keep_data = path("data")});
  inside.set_flags({"--keelson-archive=" + path("data") + "/archive"});
  EXPECT_FALSE(inside.start().ok());
  EXPECT_THAT(inside.log_tail(), HasSubstr("must be apart from"));

  fs::create_directories(path("precious"));
  output_of(cat("echo data > ", path("precious"), "/file"));
  Server server({.binary = binary, .flags = {"--keelson-archive=" + path("precious")}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  Client client(server, random);
  for (int i = 0; i < 10; ++i) client.put(0);
  EXPECT_TRUE(
      eventually([&] { return metric(server, "keelson_archive_failures_total").value_or(0) > 0; }));
  EXPECT_EQ(metric(server, "keelson_archive_healthy"), 0);
  EXPECT_EQ(output_of("ls " + path("precious")), "file\n");
  ASSERT_TRUE(server.stop().ok());
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::binary}, {"utl", &keelson::keelutl}});
}
