// swap_tools_test: etcd's files under both programs' tools. What keelutl restores, imports,
// defragments or migrates is served as what etcdutl makes of the same file; hashes that tools find
// in files are those that servers tell; and damage is found.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <tuple>

#include "base/test_etcd.h"
#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"
#include "tests/swap/told.h"

namespace keelson {
namespace {

using harness::Server;
using swap::Ctl;
using swap::ctl_of;
using swap::told_by;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string binary, keelutl;  // NOLINT: from the command line

constexpr char kMember[] =
    " --name m --initial-cluster m=http://127.0.0.1:1 --initial-cluster-token t"
    " --initial-advertise-peer-urls http://127.0.0.1:1";

class Tools : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_swap_tools_", ::getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    ASSERT_NO_FATAL_FAILURE(make_etcd());
  }
  void TearDown() override {
    if (!dir_.empty()) fs::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }

  // A snapshot, and the directory that etcd left when it was stopped in order.
  void make_etcd() {
    TestEtcd etcd(path("etcd"));
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + path("etcd.log"));
    const Ctl ctl = ctl_of(etcd);
    for (int i = 0; i < 60; ++i) ctl(cat("put k", i % 11, " v", i));
    const std::string lease = ctl("lease grant 7000").substr(6, 16);
    ctl(cat("put leased v --lease=", lease));
    ctl("del k3");
    ctl("user add reader:word");
    ctl("role add reading");
    ctl("role grant-permission reading read k0 k5");
    ctl("user grant-role reader reading");
    ASSERT_EQ(ctl("compaction --physical 20"), "compacted revision 20\n");
    ctl("put last v");
    ASSERT_THAT(ctl("snapshot save " + path("snapshot")), HasSubstr("Snapshot saved"));
    told_ = told_by(ctl);
    etcd.stop();
  }

  // What a server on a directory tells: of what it holds, of the past, and of a write.
  static std::string all_told(const Ctl& ctl) {
    std::string text = told_by(ctl);
    for (int revision : {1, 19, 20, 30, 60, 64, 65, 1000, 5000}) {
      text += cat("at ", revision, ": ", ctl(cat("get k1 --rev=", revision, " | grep -v '^{'")));
    }
    text += ctl("put after all -w json | sed 's/.*\"revision\":\\([0-9]*\\).*/\\1/'");
    return text + ctl("get after -w json | sed 's/.*\"kvs\"//'");
  }
  std::string served_by_etcd(const std::string& data_dir) {
    TestEtcd etcd(data_dir);
    EXPECT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data_dir + ".log");
    return all_told(ctl_of(etcd));
  }
  std::string served_by_us(const std::string& data_dir) {
    Server server({.binary = binary, .flags = {"--name=m"}, .keep_data = data_dir});
    const absl::Status started = server.start();
    EXPECT_TRUE(started.ok()) << server.log_tail();
    return started.ok() ? all_told(ctl_of(server)) : "";
  }
  std::string copy_of_etcd(const std::string& name) {
    fs::copy(path("etcd"), path(name), fs::copy_options::recursive);
    return path(name);
  }

  std::string dir_, told_;
};

TEST_F(Tools, RestoreTheSame) {
  int number = 0;
  for (const char* options : {"", " --skip-hash-check", " --bump-revision 1000 --mark-compacted",
                              " --bump-revision 1000000000000 --mark-compacted"}) {
    SCOPED_TRACE(options);
    const std::string theirs = path(cat("theirs", ++number)), ours = path(cat("ours", number));
    const std::string rest =
        cat(" snapshot restore ", path("snapshot"), kMember, options, " --data-dir ");
    const std::string said = output_of(cat(etcd_directory(), "/etcdutl", rest, theirs));
    const std::string said_too = output_of(cat(keelutl, rest, ours));
    ASSERT_TRUE(fs::exists(ours + "/member/keelson")) << said_too;
    const std::string of_theirs = served_by_etcd(theirs);
    EXPECT_THAT(of_theirs, HasSubstr("started, m")) << said;
    EXPECT_EQ(served_by_us(ours), of_theirs);
    // And etcd's of ours.
    output_of(cat(keelutl, " snapshot restore ", path("snapshot"), kMember, options, " --data-dir ",
                  ours, "b"));
    const std::string exported = output_of(
        cat(keelutl, " export --data-dir ", ours, "b --output-dir ", ours, "c --etcd-version 3.5"));
    ASSERT_TRUE(fs::exists(ours + "c/member/snap/db")) << exported;
    EXPECT_EQ(served_by_etcd(ours + "c"), of_theirs);
  }
}

// Clients that have seen what a restored server does not have any more are told so.
TEST_F(Tools, AWatchFromBeforeABumpIsTold) {
  const std::string restored = path("restored");
  output_of(cat(keelutl, " snapshot restore ", path("snapshot"), kMember,
                " --bump-revision 1000 --mark-compacted --data-dir ", restored));
  Server server({.binary = binary, .flags = {"--name=m"}, .keep_data = restored});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  for (int revision : {30, 65, 100, 1000}) {
    EXPECT_THAT(ctl_of(server)(cat("watch k1 --rev=", revision)),
                HasSubstr("required revision has been compacted"))
        << revision;
  }
}

TEST_F(Tools, ImportWhatEtcdLeft) {
  const std::string before = swap::sums(path("etcd"));
  const std::string said = output_of(
      cat(keelutl, " import --data-dir ", path("etcd"), " --output-dir ", path("imported")));
  ASSERT_TRUE(fs::exists(path("imported") + "/member/keelson")) << said;
  EXPECT_EQ(swap::sums(path("etcd")), before);
  EXPECT_THAT(output_of(cat(keelutl, " verify --data-dir ", path("imported"))),
              HasSubstr("all checks passed"));
  EXPECT_EQ(served_by_us(path("imported")), served_by_etcd(copy_of_etcd("copy")));
}

TEST_F(Tools, DefragmentEtcdsDirectory) {
  const std::string theirs = copy_of_etcd("theirs"), ours = copy_of_etcd("ours");
  output_of(cat(etcd_directory(), "/etcdutl defrag --data-dir ", theirs));
  const std::string said = output_of(cat(keelutl, " defrag --data-dir ", ours));
  EXPECT_THAT(said, testing::Not(HasSubstr("Error")));
  const std::string db = "/member/snap/db";
  EXPECT_LE(fs::file_size(ours + db), fs::file_size(theirs + db)) << said;
  const std::string status = etcd_directory() + "/etcdutl snapshot status -w json ";
  const std::string hash = " | sed 's/,\"totalSize.*//'";
  EXPECT_EQ(output_of(cat(status, ours, db, hash)), output_of(cat(status, theirs, db, hash)));
  const std::string of_theirs = served_by_etcd(theirs);
  EXPECT_EQ(of_theirs.substr(0, told_.size()), told_);
  EXPECT_EQ(served_by_etcd(ours), of_theirs);
}

TEST_F(Tools, MigrateThereAndBack) {
  const std::string data = copy_of_etcd("migrated");
  const auto version = [&] {
    auto file = boltfile::File::open(data + "/member/snap/db");
    return boltfile::read_etcd_meta(**file)->storage_version.value_or("none");
  };
  EXPECT_EQ(version(), "none");
  output_of(cat(keelutl, " migrate --data-dir ", data, " --target-version 3.6"));
  EXPECT_EQ(version(), "3.6.0");
  output_of(cat(keelutl, " migrate --data-dir ", data, " --target-version 3.5"));
  EXPECT_EQ(version(), "none");
  EXPECT_EQ(served_by_etcd(data).substr(0, told_.size()), told_);
}

TEST_F(Tools, HashesAreThoseThatServersTell) {
  const std::string hash = told_.substr(told_.find("hash :") + 6);
  const std::string expected = cat(hash.substr(0, hash.find(',')), ", ");
  for (const std::string& file : {path("snapshot"), path("etcd") + "/member/snap/db"}) {
    EXPECT_THAT(output_of(cat(keelutl, " hashkv ", file)), testing::StartsWith(expected));
  }
  const std::string verified = output_of(cat(keelutl, " verify --data-dir ", path("etcd")));
  EXPECT_THAT(verified, HasSubstr("HashKV: " + expected.substr(0, expected.size() - 2) + " at"));
}

// Killed at any moment, a tool leaves something whole or something that nobody serves, and what it
// reads as it was; done again elsewhere, it is done.
TEST_F(Tools, ACrashLeavesNothingThatIsHalf) {
  const std::string made = path("made"), files = swap::sums(path("etcd"));
  const std::string restore =
      cat(" snapshot restore ", path("snapshot"), kMember, " --data-dir ", made);
  const std::string import = cat(" import --data-dir ", path("etcd"), " --output-dir ", made);
  for (const auto& [command, point, whole] : {std::tuple(restore, "interchange_keys_read", false),
                                              {restore, "interchange_store_read", false},
                                              {restore, "interchange_log_made", false},
                                              {restore, "interchange_store_closed", false},
                                              {restore, "interchange_store_installed", true},
                                              {import, "interchange_convert_log", false},
                                              {import, "interchange_store_read", false},
                                              {import, "interchange_store_closed", false},
                                              {import, "interchange_store_installed", true}}) {
    SCOPED_TRACE(cat(command, " ", point));
    fs::remove_all(made);
    const std::string said =
        output_of(cat("KEELSON_FAILPOINTS=", point, "=crash ", keelutl, command, "; echo $?"));
    ASSERT_TRUE(said.ends_with("137\n")) << said;
    EXPECT_EQ(swap::sums(path("etcd")), files);
    Server server({.binary = binary, .flags = {"--name=m"}, .keep_data = made});
    const absl::Status started = server.start();
    EXPECT_EQ(started.ok(), whole) << server.log_tail();
    if (whole) {
      EXPECT_THAT(told_by(ctl_of(server)), HasSubstr("started, m"));
    } else {
      EXPECT_THAT(server.exit_text(), HasSubstr("exited with code 1"));
    }
  }
  const std::string back = path("back");
  for (const char* point : {"interchange_export_log", "interchange_export_whole"}) {
    const std::string said =
        output_of(cat("KEELSON_FAILPOINTS=", point, "=crash ", keelutl, " export --data-dir ", made,
                      " --output-dir ", back, "; echo $?"));
    ASSERT_TRUE(said.ends_with("137\n")) << said;
    EXPECT_FALSE(fs::exists(back + "/member"));
    EXPECT_THAT(output_of(cat(keelutl, " verify --data-dir ", made)),
                HasSubstr("all checks passed"));
    fs::remove_all(back);
  }
}

// A changed byte anywhere in the pages that hold something is found, by whoever reads them.
TEST_F(Tools, DamageIsFound) {
  const std::string data = copy_of_etcd("damaged"), file = data + "/member/snap/db";
  const uint64_t size = fs::file_size(file);
  {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    for (uint64_t at = 2 * 4096; at < size; at += 4096) {
      out.seekp(static_cast<std::streamoff>(at + 8));
      out.write("\xff\xff\xff\xff", 4);
    }
  }
  for (const std::string& command :
       {cat("verify --data-dir ", data), cat("hashkv ", file), cat("defrag --data-dir ", data),
        cat("import --data-dir ", data, " --output-dir ", path("never"))}) {
    EXPECT_THAT(output_of(cat(keelutl, " ", command)), HasSubstr("Error")) << command;
  }
  EXPECT_FALSE(fs::exists(path("never") + "/member/keelson"));
  const std::string before = swap::sums(data);
  Server server({.binary = binary, .flags = {"--name=m"}, .keep_data = data});
  EXPECT_FALSE(server.start().ok());
  EXPECT_THAT(server.exit_text(), HasSubstr("exited with code 1"));
  EXPECT_EQ(swap::sums(data), before);
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::binary}, {"utl", &keelson::keelutl}});
}
