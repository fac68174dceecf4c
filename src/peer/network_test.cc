// Members that speak to each other over the peer protocol: they elect, replicate, and get over each
// other's absence.

#include "peer/network.h"

#include <gtest/gtest.h>

#include "net/tls/client_context.h"
#include "net/tls/handshakes.h"
#include "net/tls/test_ca.h"
#include "peer/test_cluster.h"

namespace keelson::peer {
namespace {

TEST(Network, ThreeMembersElectAndReplicate) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(cluster.at(leader).put(cat("k", i), "v").ok());
  }
  const int64_t revision = cluster.at(leader).revision();
  EXPECT_EQ(revision, 101);
  for (int i = 0; i < cluster.size(); ++i) {
    EXPECT_TRUE(eventually([&] { return cluster.at(i).revision() == revision; })) << i;
    EXPECT_TRUE(cluster.at(i).read().ok()) << i;
    EXPECT_TRUE(eventually([&] { return cluster.at(i).network().active()->size() == 2; })) << i;
  }
  // Whoever does not lead passes proposals on.
  EXPECT_TRUE(cluster.at((leader + 1) % 3).put("k", "v").ok());
}

TEST(Network, AMemberThatWasAwayCatchesUp) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at(leader).put("a", "1").ok());
  TestPeer& away = cluster.at((leader + 1) % 3);
  TestPeer& stays = cluster.at((leader + 2) % 3);
  away.close_listener();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(stays.put(cat("k", i), "v").ok());
  away.listen_again();
  EXPECT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
}

TEST(Network, AMemberThatIsFarBehindGetsASnapshot) {
  TestCluster cluster(3);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at(leader).put("a", "1").ok());
  TestPeer& away = cluster.at((leader + 1) % 3);
  TestPeer& stays = cluster.at((leader + 2) % 3);
  ASSERT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  away.isolate();
  // The first attempt finds no space.
  away.home().set_full(true);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(stays.put(cat("k", i), std::string(3000, 'a' + i % 26)).ok());
  }
  away.reconnect();
  EXPECT_TRUE(eventually([&] { return away.home().refused() > 0; }));
  EXPECT_EQ(away.home().installed(), 0);
  away.home().set_full(false);
  EXPECT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  EXPECT_GE(away.home().installed(), 1);
  EXPECT_EQ(away.contents(), stays.contents());
  EXPECT_TRUE(eventually([&] { return away.home().empty(); }));
  EXPECT_TRUE(away.put("b", "2").ok());
}

// Whoever has stores of the same form gets the files of one; if they do not arrive, and whoever has
// others, a database.
struct FilesCase {
  std::vector<std::string> forms;
  bool refused = false;
};
class StoreFilesTest : public ::testing::TestWithParam<FilesCase> {};
INSTANTIATE_TEST_SUITE_P(Forms, StoreFilesTest,
                         ::testing::Values(FilesCase{{"a", "a", "a"}},
                                           FilesCase{{"a", "a", "a"}, true},
                                           FilesCase{{"a", "b", "c"}}, FilesCase{{"", "a", ""}}));
TEST_P(StoreFilesTest, AreSentToWhomTheySuit) {
  const auto& [forms, refused] = GetParam();
  TestCluster cluster(3, {}, nullptr, forms);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at(leader).put("a", "1").ok());
  TestPeer& away = cluster.at((leader + 1) % 3);
  TestPeer& stays = cluster.at((leader + 2) % 3);
  ASSERT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  away.isolate();
  if (refused) away.home().refuse_files();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(stays.put(cat("k", i), std::string(3000, 'a' + i % 26)).ok());
  }
  away.reconnect();
  // The leader goes on meanwhile, so the copy may be of later than its message.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(stays.put(cat("k", i), "2").ok());
  EXPECT_TRUE(eventually([&] { return away.revision() == stays.revision(); }));
  EXPECT_GE(away.home().installed(), 1);
  EXPECT_EQ(away.contents(), stays.contents());
  EXPECT_EQ(away.hash(), stays.hash());
  EXPECT_EQ(away.home().opened() > 0, forms[0] == forms[1] && !refused);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(eventually([&] { return cluster.at(i).home().empty(); }));
  }
}

// An election timeout is at least so many ticks, and nobody campaigns before its own is over: but
// for a leader whose process is gone nobody waits.
TEST(Network, ALeaderThatIsGoneIsNotWaitedFor) {
  constexpr int kTicks = 200;
  std::vector<std::unique_ptr<TestPeer>> peers;
  std::string initial;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<TestPeer>(cat("m", i)));
    peers.back()->set_election_ticks(kTicks);
    initial += cat(i == 0 ? "" : ",", "m", i, "=", peers.back()->url());
  }
  for (auto& peer : peers) peer->start(initial);
  ASSERT_TRUE(eventually([&] { return peers[0]->network().active()->size() == 2; }));
  EXPECT_TRUE(eventually([&] {
    peers[0]->node().consensus().with_core(
        [](raft::RawNode& core) { core.campaign().IgnoreError(); });
    return peers[0]->leads();
  }));
  EXPECT_TRUE(peers[1]->put("a", "1").ok());
  peers[0]->stop();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return peers[1]->leads() || peers[2]->leads(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - began, kTicks * TestPeer::kHeartbeat);
}

// Files for members that trust one authority.
class Certificates {
 public:
  Certificates() : dir_(cat(testing::TempDir(), "keelson_peer_tls_", ::getpid())) {
    std::filesystem::create_directories(dir_);
    net::put_file(path("ca.pem"), ca_.pem());
    put("member", ca_.issue({.common_name = "member"}));
    put("other", ca_.issue({.common_name = "other"}));
  }
  ~Certificates() { std::filesystem::remove_all(dir_); }

  // Shows the certificate of that name and takes those of common name "member".
  net::TlsSettings settings(const std::string& name) const {
    return {.cert_file = path(name + ".pem"),
            .key_file = path(name + ".key"),
            .trusted_ca_file = path("ca.pem"),
            .client_cert_auth = true,
            .allowed_cns = {"member"}};
  }

 private:
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void put(const std::string& name, const net::TestCertificate& certificate) {
    net::put_file(path(name + ".pem"), certificate.pem());
    net::put_file(path(name + ".key"), certificate.key_pem());
  }

  const std::string dir_;
  net::TestCa ca_{"ca"};
};

TEST(Network, UnderTls) {
  const Certificates certificates;
  net::TlsHandshakes handshakes(1);
  auto tls = std::make_shared<net::ListenerTls>();
  tls->context = *net::TlsContext::create(certificates.settings("member"));
  tls->handshakes = &handshakes;
  NetworkOptions options;
  options.tls = *net::TlsClientContext::create(certificates.settings("member"));
  options.handshakes = &handshakes;
  TestCluster cluster(3, options, tls);
  const int leader = cluster.leader();
  ASSERT_GE(leader, 0);
  ASSERT_TRUE(cluster.at((leader + 1) % 3).put("a", "1").ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(eventually([&] { return cluster.at(i).revision() == 2; })) << i;
    EXPECT_TRUE(eventually([&] { return cluster.at(i).network().active()->size() == 2; })) << i;
  }
  // Whoever has no certificate, or one of another name, learns nothing.
  for (const char* name : {"", "other"}) {
    NetworkOptions stranger;
    net::TlsSettings settings = certificates.settings("other");
    if (*name == 0) settings.cert_file = settings.key_file = "";
    stranger.tls = *net::TlsClientContext::create(settings);
    stranger.handshakes = &handshakes;
    Network network(stranger);
    Later<absl::Status> asked;
    network.ask().version(
        MemberId(1), {cluster.at(0).url()}, std::chrono::seconds(20),
        [&](const absl::StatusOr<Versions>& versions) { asked.set(versions.status()); });
    EXPECT_TRUE(absl::IsUnavailable(asked.wait().value_or(absl::OkStatus()))) << name;
  }
}

}  // namespace
}  // namespace keelson::peer
