// swap_downgrade_test: a member that is stopped while its cluster is taken down to etcd 3.6 leaves
// etcd's directory, wherever a crash interrupts that either ours or etcd's; in any other case ours.
// With an etcd 3.6 ($KEELSON_ETCD36 names it) that one goes on with it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/server.h"
#include "wal/wal.h"

namespace keelson {
namespace {

namespace pb = etcdserverpb;
using harness::Server;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string binary;  // NOLINT: from the command line

class Downgrade : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = cat(testing::TempDir(), "keelson_swap_downgrade_", ::getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string data() const { return dir_ + "/data"; }
  std::string wal() const { return dir_ + "/log"; }

  static void put(Server& server, const std::string& key, const std::string& value) {
    pb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    pb::PutResponse answer;
    const grpc::Status status = server.client().unary("/etcdserverpb.KV/Put", request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  static std::string get(Server& server, const std::string& key) {
    pb::RangeRequest request;
    request.set_key(key);
    pb::RangeResponse answer;
    const grpc::Status status = server.client().unary("/etcdserverpb.KV/Range", request, &answer);
    if (!status.ok()) return status.error_message();
    return answer.kvs().empty() ? "nothing" : answer.kvs(0).value();
  }
  static void ask(Server& server, pb::DowngradeRequest::DowngradeAction action) {
    pb::DowngradeRequest request;
    request.set_action(action);
    if (action == pb::DowngradeRequest::ENABLE) request.set_version("3.6");
    pb::DowngradeResponse answer;
    const grpc::Status status =
        server.client().unary("/etcdserverpb.Maintenance/Downgrade", request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  // The leader looks at the versions every few seconds.
  static void wait_for_version(Server& server, const std::string& version) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    pb::StatusResponse answer;
    do {
      const grpc::Status status =
          server.client().unary("/etcdserverpb.Maintenance/Status", pb::StatusRequest(), &answer);
      if (status.ok() && answer.storageversion() == version) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    } while (std::chrono::steady_clock::now() < until);
    FAIL() << "the cluster does not speak " << version << " but " << answer.storageversion();
  }
  // A member that was taken down to 3.6, still running.
  void take_down(Server& server) {
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    for (int i = 0; i < 40; ++i) put(server, cat("k", i % 7), cat("v", i));
    ASSERT_NO_FATAL_FAILURE(wait_for_version(server, "3.7.0"));
    ask(server, pb::DowngradeRequest::ENABLE);
    ASSERT_NO_FATAL_FAILURE(wait_for_version(server, "3.6.0"));
    put(server, "last", "v");
  }
  // How many entries the member's log has, from the first on. All of them are there.
  uint64_t history(const std::string& log) {
    uint64_t entries = 0;
    auto read = wal::read_history(log, [&](const raft::Entry& entry) {
      EXPECT_EQ(entry.index, Index(++entries));
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read.status();
    return entries;
  }
  bool is_ours() const { return fs::exists(data() + "/member/keelson/CURRENT"); }
  bool is_etcds() const { return fs::exists(data() + "/member/snap/db"); }

  std::string dir_;
};

TEST_F(Downgrade, LeavesEtcdsDirectory) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{}, {"--wal-dir=" + wal()}, {"--snapshot-count=5"}}) {
    SCOPED_TRACE(flags.empty() ? "" : flags.front());
    Server server({.binary = binary, .flags = flags, .keep_data = data()});
    ASSERT_NO_FATAL_FAILURE(take_down(server));
    ASSERT_TRUE(server.stop().ok()) << server.log_tail();
    EXPECT_TRUE(is_etcds()) << server.log_tail();
    EXPECT_FALSE(is_ours());
    const std::string kept = data() + "/member.keelson-kept";
    EXPECT_TRUE(fs::exists(kept + "/keelson/CURRENT"));
    EXPECT_FALSE(fs::exists(data() + "/member.leaving"));
    EXPECT_FALSE(fs::exists(wal() + ".leaving"));
    const std::string log = fs::exists(wal()) ? wal() : data() + "/member/wal";
    uint64_t entries = history(log);
    EXPECT_GE(entries, 41u);
    if (const char* etcd = std::getenv("KEELSON_ETCD36")) {
      server.set_binary(etcd);
      ASSERT_TRUE(server.start().ok()) << server.log_tail();
      EXPECT_EQ(get(server, "last"), "v");
      put(server, "of etcd", "v");
      ASSERT_TRUE(server.stop().ok());
      EXPECT_GT(history(log), entries);
      entries = history(log);
      server.set_binary(binary);
      ASSERT_TRUE(server.start().ok()) << server.log_tail();
      EXPECT_EQ(get(server, "of etcd"), "v");
    } else {
      std::printf("no etcd 3.6: KEELSON_ETCD36 is not set; it is not started on what was left\n");
      // Back again without it. What the operator wanted still holds, and so does what is kept.
      ASSERT_TRUE(server.start().ok()) << server.log_tail();
      EXPECT_EQ(get(server, "last"), "v");
      ASSERT_TRUE(server.stop().ok());
      EXPECT_TRUE(is_etcds()) << server.log_tail();
      ASSERT_TRUE(server.start().ok()) << server.log_tail();
    }
    EXPECT_EQ(get(server, "last"), "v");
    EXPECT_EQ(get(server, "k0"), "v35");
    server.kill();
    EXPECT_GE(history(log), entries);
    for (const std::string& used : {data(), wal(), wal() + ".etcd", wal() + ".keelson-kept"}) {
      fs::remove_all(used);
    }
  }
}

TEST_F(Downgrade, OnlyWhenTheOperatorWantsIt) {
  Server server({.binary = binary, .keep_data = data()});
  ASSERT_NO_FATAL_FAILURE(take_down(server));
  // Called off: the cluster may speak the older version for a while, or for ever if older members
  // are in it.
  ask(server, pb::DowngradeRequest::CANCEL);
  ASSERT_TRUE(server.stop().ok());
  EXPECT_TRUE(is_ours());
  EXPECT_FALSE(is_etcds());
  ASSERT_TRUE(server.start().ok());
  // Not in the end of a crash, either.
  ASSERT_NO_FATAL_FAILURE(wait_for_version(server, "3.7.0"));
  ask(server, pb::DowngradeRequest::ENABLE);
  ASSERT_NO_FATAL_FAILURE(wait_for_version(server, "3.6.0"));
  server.kill();
  EXPECT_TRUE(is_ours());
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(get(server, "last"), "v");
}

TEST_F(Downgrade, WhereverItIsInterrupted) {
  const std::string original = dir_ + "/original", original_wal = dir_ + "/original_log";
  {
    Server server({.binary = binary, .flags = {"--wal-dir=" + wal()}, .keep_data = data()});
    ASSERT_NO_FATAL_FAILURE(take_down(server));
    server.kill();
    fs::rename(data(), original);
    fs::rename(wal(), original_wal);
  }
  for (const char* point :
       {"interchange_export_log", "interchange_export_whole", "interchange_leave_whole",
        "interchange_leave_log", "interchange_leave_member", "interchange_leave_keep",
        "interchange_leave_done"}) {
    SCOPED_TRACE(point);
    fs::copy(original, data(), fs::copy_options::recursive);
    fs::copy(original_wal, wal(), fs::copy_options::recursive);
    Server server({.binary = binary,
                   .flags = {"--wal-dir=" + wal()},
                   .environment = {cat("KEELSON_FAILPOINTS=", point, "=crash")},
                   .keep_data = data()});
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    put(server, "at the end", point);
    ASSERT_TRUE(server.stop().ok());
    EXPECT_THAT(server.exit_text(), HasSubstr("killed by signal 9"));
    EXPECT_NE(is_ours(), is_etcds()) << "both, or neither";
    server.set_environment({});
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    EXPECT_EQ(get(server, "last"), "v");
    EXPECT_EQ(get(server, "at the end"), point);
    EXPECT_FALSE(fs::exists(data() + "/member.leaving"));
    EXPECT_FALSE(fs::exists(wal() + ".leaving"));
    // The next end does what that one did not.
    ASSERT_TRUE(server.stop().ok());
    EXPECT_TRUE(is_etcds()) << server.log_tail();
    EXPECT_FALSE(is_ours());
    for (const std::string& used : {data(), wal(), wal() + ".etcd", wal() + ".keelson-kept"}) {
      fs::remove_all(used);
    }
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--server") keelson::binary = argv[i + 1];
  }
  if (keelson::binary.empty()) return 2;
  keelson::binary = std::filesystem::absolute(keelson::binary);
  return RUN_ALL_TESTS();
}
