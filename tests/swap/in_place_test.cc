// swap_in_place_test: a server started on the directory that etcd left serves what etcd served,
// wherever a crash interrupts the change-over; and etcd's files are kept as they were.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/test_etcd.h"
#include "base/text.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"
#include "tests/swap/told.h"

namespace keelson {
namespace {

using harness::Server;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string binary, keelutl;  // NOLINT: from the command line

class InPlace : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_swap_in_place_", ::getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override {
    if (!dir_.empty()) fs::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }

  // What etcd left, and what it told before it was killed.
  void make_etcd(const std::string& data_dir, const std::vector<std::string>& flags) {
    TestEtcd etcd(data_dir, TestEtcdPlace{}, flags);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data_dir + ".log");
    for (int i = 0; i < 60; ++i) etcd.ctl(cat("put k", i % 25, " v", i));
    const std::string granted = etcd.ctl("lease grant 5000");
    etcd.ctl(cat("put leased v --lease=", granted.substr(6, 16)));
    etcd.ctl("del k3");
    ASSERT_EQ(etcd.ctl("compaction --physical 20"), "compacted revision 20\n");
    ASSERT_EQ(etcd.ctl("put last v"), "OK\n");
    told_ = swap::told_by(swap::ctl_of(etcd));
  }

  std::string dir_, told_;
};

TEST_F(InPlace, ServesWhatEtcdLeft) {
  const std::string data = path("data"), wal = path("log");
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--snapshot-count=100000"},
        {"--snapshot-count=30", "--backend-batch-interval=10s"},
        {"--snapshot-count=30", "--wal-dir=" + wal}}) {
    const bool elsewhere = flags.back().starts_with("--wal-dir");
    ASSERT_NO_FATAL_FAILURE(make_etcd(data, flags));
    const std::string before = swap::sums(data + "/member"), log = elsewhere ? swap::sums(wal) : "";
    std::vector<std::string> own = {"--name=m"};
    if (elsewhere) own.push_back(flags.back());
    Server server({.binary = binary, .flags = own, .keep_data = data});
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    EXPECT_EQ(swap::told_by(swap::ctl_of(server)), told_);
    EXPECT_EQ(swap::sums(data + "/member.etcd"), before);
    if (elsewhere) {
      EXPECT_EQ(swap::sums(wal + ".etcd"), log);
    }
    // It goes on as a member of its own.
    EXPECT_EQ(swap::ctl_of(server)("put after all"), "OK\n");
    ASSERT_TRUE(server.stop().ok());
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    // And back.
    ASSERT_TRUE(server.stop().ok());
    const std::string said =
        output_of(cat(keelutl, " export --data-dir ", data, elsewhere ? " --wal-dir " + wal : "",
                      " --output-dir ", path("back"), " --etcd-version 3.5"));
    TestEtcd etcd(path("back"));
    ASSERT_TRUE(etcd.ready()) << said << output_of("tail -n 20 " + path("back.log"));
    EXPECT_EQ(etcd.ctl("get after --print-value-only"), "all\n");
    EXPECT_EQ(etcd.ctl("get last --print-value-only"), "v\n");
    etcd.kill();
    for (const std::string& used : {data, wal, wal + ".etcd", path("back")}) fs::remove_all(used);
  }
}

TEST_F(InPlace, WhereverItIsInterrupted) {
  const std::string original = path("original"), data = path("data");
  const std::string wal = path("wal"), kept_wal = path("original_wal");
  ASSERT_NO_FATAL_FAILURE(make_etcd(original, {"--snapshot-count=30", "--wal-dir=" + wal}));
  fs::copy(wal, kept_wal, fs::copy_options::recursive);
  const std::string before = swap::sums(original + "/member");
  for (const char* point :
       {"interchange_convert_log", "interchange_keys_read", "interchange_store_read",
        "interchange_store_closed", "interchange_store_installed", "interchange_convert_whole",
        "interchange_move_member", "interchange_move_log", "interchange_place_log",
        "interchange_place_member", "interchange_convert_done"}) {
    SCOPED_TRACE(point);
    for (const std::string& used : {data, wal, wal + ".etcd", wal + ".keelson"}) {
      fs::remove_all(used);
    }
    fs::copy(original, data, fs::copy_options::recursive);
    fs::copy(kept_wal, wal, fs::copy_options::recursive);
    Server server({.binary = binary,
                   .flags = {"--name=m", "--wal-dir=" + wal},
                   .environment = {cat("KEELSON_FAILPOINTS=", point, "=crash")},
                   .keep_data = data});
    ASSERT_FALSE(server.start().ok());
    EXPECT_THAT(server.exit_text(), HasSubstr("killed by signal 9"));
    if (fs::exists(data + "/member") && !fs::exists(data + "/member/keelson")) {
      EXPECT_EQ(swap::sums(data + "/member"), before) << "neither etcd's nor ours";
    }
    server.set_environment({});
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
    EXPECT_EQ(swap::told_by(swap::ctl_of(server)), told_);
    EXPECT_EQ(swap::sums(data + "/member.etcd"), before);
    EXPECT_FALSE(fs::exists(data + "/member.keelson"));
    EXPECT_FALSE(fs::exists(wal + ".keelson"));
    server.kill();
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::binary}, {"utl", &keelson::keelutl}});
}
