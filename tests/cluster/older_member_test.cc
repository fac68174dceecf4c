// cluster_older_member_test: a member that comes back with an etcd older than what the cluster
// speaks is refused by every member of Keelson, on both ways and in an election; where the cluster
// speaks as little, or was taken down, it is let in. Skipped without an etcd; in parts without an
// etcd 3.6 ($KEELSON_ETCD36 names it).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/test_etcd.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/gtest_main.h"

namespace keelson::cluster {
namespace {

namespace fs = std::filesystem;
namespace pb = etcdserverpb;
using testing::HasSubstr;

std::string binary, keelutl;  // NOLINT: from the command line

constexpr char kRefused[] = "refused a member whose server is older than the cluster's version";

bool says(Server& server, const std::string& text) {
  return server.log().find(text) != std::string::npos;
}

// Whether any file below has the text.
bool holds(const std::string& directory, const std::string& text) {
  for (const fs::directory_entry& file : fs::recursive_directory_iterator(directory)) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (bytes.find(text) != std::string::npos) return true;
  }
  return false;
}

std::string kept(Server& server) { return server.data_dir() + ".kept"; }

// In the place of its directory, etcd's; what was there is kept beside it. What keelutl said.
std::string put_etcds_directory(Server& server, const std::string& version) {
  fs::rename(server.data_dir(), kept(server));
  return output_of(cat(keelutl, " export --data-dir ", kept(server), " --output-dir ",
                       server.data_dir(), " --etcd-version ", version));
}
void put_back(Server& server) {
  fs::remove_all(server.data_dir());
  fs::rename(kept(server), server.data_dir());
}

class OlderMember : public testing::Test {
 protected:
  void SetUp() override {
    etcd_ = harness::find_etcd("", KEELSON_SOURCE_DIR);
    if (etcd_.empty()) GTEST_SKIP() << "there is no etcd here";
  }
  // Empty, and said so: there is none.
  static std::string etcd36() {
    if (const char* etcd = std::getenv("KEELSON_ETCD36")) return etcd;
    std::printf("no etcd 3.6: KEELSON_ETCD36 is not set\n");
    return "";
  }
  static void expect_version(Cluster& cluster, const std::string& version) {
    for (int i = 0; i < cluster.size(); ++i) {
      EXPECT_TRUE(eventually([&] {
        return page(cluster, i, "/version").find(cat("\"etcdcluster\":\"", version, "\"")) !=
               std::string::npos;
      })) << "it does not speak "
          << version << ": " << page(cluster, i, "/version");
    }
  }
  static void take_down(Cluster& cluster) {
    pb::DowngradeRequest request;
    request.set_action(pb::DowngradeRequest::ENABLE);
    request.set_version("3.6");
    pb::DowngradeResponse response;
    cluster.check(
        cluster.at(0).client().unary("/etcdserverpb.Maintenance/Downgrade", request, &response),
        "downgrade enable");
    expect_version(cluster, "3.6.0");
  }

  std::string etcd_;
};

TEST_F(OlderMember, IsRefused) {
  Cluster cluster({binary, binary, binary});
  cluster.start();
  expect_version(cluster, "3.7.0");
  cluster.check(cluster.put(0, "before", "v"), "before");
  const int old = (cluster.leader() + 1) % 3, good = (old + 1) % 3, other = (old + 2) % 3;
  Server& member = cluster.at(old);
  ASSERT_TRUE(member.stop().ok());
  EXPECT_THAT(put_etcds_directory(member, "3.5"), HasSubstr("they refuse it"));
  member.set_binary(etcd_);
  ASSERT_TRUE(member.launch().ok());
  for (int i : {good, other}) {
    EXPECT_TRUE(eventually([&] { return says(cluster.at(i), kRefused); })) << i;
    cluster.check(cluster.put(i, cat("during", i), "written-meanwhile"), "during");
  }
  EXPECT_TRUE(eventually([&] {
    return says(member,
                "request sent was ignored by remote peer due to server version incompatibility");
  })) << member.log_tail();
  // With the other one away it makes no quorum, neither as a leader nor as a voter.
  ASSERT_TRUE(cluster.at(other).stop().ok());
  EXPECT_FALSE(cluster.put(good, "nobody", "written-meanwhile").ok());
  cluster.check(cluster.at(other).start(), "the other one again");
  cluster.check(cluster.put(good, "after", "written-meanwhile"), "after");
  member.kill();
  EXPECT_FALSE(holds(member.data_dir(), "written-meanwhile"));

  put_back(member);
  member.set_binary(binary);
  cluster.check(member.start(), "put back");
  cluster.expect_equal();
  EXPECT_TRUE(cluster.ok());
}

TEST_F(OlderMember, IsLetInWhereAnotherOneIsAsOld) {
  Cluster cluster({binary, binary, etcd_});
  cluster.start();
  expect_version(cluster, "3.5.0");
  ASSERT_TRUE(cluster.at(0).stop().ok());
  EXPECT_THAT(put_etcds_directory(cluster.at(0), "3.5"), testing::Not(HasSubstr("they refuse it")));
  cluster.check(cluster.put(1, "meanwhile", "v"), "meanwhile");
  cluster.at(0).set_binary(etcd_);
  cluster.check(cluster.at(0).start(), "etcd 3.5");
  cluster.check(cluster.get(0, "meanwhile") == "v", "it has caught up");
  cluster.move_leader(0);
  cluster.check(cluster.put(1, "after", "v"), "after");
  cluster.expect_equal();
  EXPECT_TRUE(cluster.ok());
}

TEST_F(OlderMember, IsLetInAfterADowngrade) {
  const std::string etcd36 = OlderMember::etcd36();
  if (etcd36.empty()) GTEST_SKIP();
  Cluster cluster({binary, binary, binary});
  cluster.start();
  expect_version(cluster, "3.7.0");
  take_down(cluster);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(cluster.at(i).stop().ok());
    cluster.check(cluster.put((i + 1) % 3, cat("meanwhile", i), "v"), "meanwhile");
    cluster.at(i).set_binary(etcd36);
    cluster.check(cluster.at(i).start(), "etcd 3.6");
    cluster.check(cluster.get(i, cat("meanwhile", i)) == "v", "it has caught up");
    cluster.expect_equal();
  }
  // It ends by itself; and up again.
  EXPECT_TRUE(eventually([&] { return !cluster.status(0).downgradeinfo().enabled(); }));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(cluster.at(i).stop().ok());
    cluster.at(i).set_binary(binary);
    cluster.check(cluster.at(i).start(), "keelson again");
  }
  expect_version(cluster, "3.7.0");
  cluster.expect_equal();
  EXPECT_TRUE(cluster.ok());
}

// Its own directory says 3.7, and only those whom it would refuse for that can tell it otherwise.
TEST_F(OlderMember, WhoMissedTheDowngradeHearsOfIt) {
  const std::string etcd36 = OlderMember::etcd36();
  if (etcd36.empty()) GTEST_SKIP();
  Cluster cluster({binary, binary, binary});
  cluster.start();
  expect_version(cluster, "3.7.0");
  Server& late = cluster.at(2);
  ASSERT_TRUE(late.stop().ok());
  fs::copy(late.data_dir(), kept(late), fs::copy_options::recursive);
  ASSERT_TRUE(late.start().ok());
  take_down(cluster);
  late.kill();
  for (int i : {0, 1}) {
    ASSERT_TRUE(cluster.at(i).stop().ok());
    cluster.at(i).set_binary(etcd36);
    cluster.check(cluster.at(i).launch(), "etcd 3.6");
  }
  for (int i : {0, 1}) cluster.check(cluster.at(i).start(), "etcd 3.6");
  cluster.check(cluster.put(0, "meanwhile", "v"), "meanwhile");
  put_back(late);
  cluster.check(late.start(), "the one that missed it");
  EXPECT_TRUE(says(late, "the cluster was taken down to an older version while this member was"));
  cluster.check(cluster.get(2, "meanwhile") == "v", "it has caught up");
  cluster.expect_equal();
  EXPECT_TRUE(cluster.ok());
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::cluster::binary}, {"utl", &keelson::cluster::keelutl}});
}
