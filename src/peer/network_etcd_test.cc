// One of our members in a cluster of real etcd members (3.5): leading and following, sending them
// snapshots and taking theirs. Skipped where there is no etcd.

#include <gtest/gtest.h>

#include "base/test_etcd.h"
#include "peer/headers.h"
#include "peer/test_cluster.h"

namespace keelson::peer {
namespace {

class WithEtcd : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_peer_etcd_", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    ours_ = std::make_unique<TestPeer>("m0");
    initial_ = cat("m0=", ours_->url());
    for (int i = 1; i < 3; ++i) {
      urls_.push_back(cat("http://127.0.0.1:", reserve_test_port()));
      initial_ += cat(",m", i, "=", urls_.back());
    }
    for (int i = 1; i < 3; ++i) start(i);
    ours_->start(initial_, "3.5.0");
    ASSERT_TRUE(etcd(1).ready());
    ASSERT_TRUE(etcd(2).ready());
  }
  void TearDown() override {
    etcds_[0].reset();
    etcds_[1].reset();
    if (ours_) ours_->stop();
    ours_.reset();
    if (!HasFailure()) std::filesystem::remove_all(dir_);
  }

  // Member 1 or 2. They cut their log every 20 entries.
  TestEtcd& etcd(int i) { return *etcds_[i - 1]; }
  void start(int i) {
    etcds_[i - 1] = std::make_unique<TestEtcd>(
        cat(dir_, "/m", i), TestEtcdPlace{.name = cat("m", i),
                                          .peer_url = urls_[static_cast<size_t>(i) - 1],
                                          .initial_cluster = initial_,
                                          .snapshot_count = "20"});
  }

  MemberId id_of(const std::string& name) {
    for (const membership::Member& member : ours_->node().members().view()->members) {
      if (member.name == name) return member.id;
    }
    ADD_FAILURE() << "no member " << name;
    return MemberId(0);
  }
  bool ours_leads_within_time() {
    return eventually([&] { return ours_->leads(); });
  }
  // From whoever leads.
  void hand_leadership_to_ours() {
    if (ours_->leads()) return;
    for (int i = 1; i < 3; ++i) {
      etcd(i).ctl(cat("move-leader ", id_text(ours_->id().value)));
    }
    ASSERT_TRUE(ours_leads_within_time());
  }
  void hand_leadership_to(const std::string& name) {
    if (!ours_->leads()) return;
    const MemberId to = id_of(name);
    ours_->node().consensus().with_core([to](raft::RawNode& core) { core.transfer_leader(to); });
    ASSERT_TRUE(eventually([&] { return !ours_->leads(); }));
  }
  void expect_equal() {
    const std::string wanted = cat("\"hash\":", ours_->hash(), ",");
    for (int i = 1; i < 3; ++i) {
      std::string told;
      EXPECT_TRUE(eventually([&] {
        told = etcd(i).ctl("endpoint hashkv -w json");
        return told.find(cat("\"hash\":", ours_->hash(), ",")) != std::string::npos;
      })) << wanted
          << " not in " << told;
    }
  }

  std::string dir_, initial_;
  Urls urls_;
  std::unique_ptr<TestPeer> ours_;
  std::unique_ptr<TestEtcd> etcds_[2];
};

TEST_F(WithEtcd, LeadsAndFollows) {
  ASSERT_NO_FATAL_FAILURE(hand_leadership_to_ours());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(ours_->put(cat("k", i), "of ours").ok());
  EXPECT_EQ(etcd(1).ctl("put through-etcd 1"), "OK\n");
  EXPECT_TRUE(eventually([&] { return ours_->revision() == 32; }));
  expect_equal();
  ASSERT_NO_FATAL_FAILURE(hand_leadership_to("m1"));
  EXPECT_EQ(etcd(2).ctl("put through-etcd 2"), "OK\n");
  EXPECT_TRUE(ours_->put("k", "by way of etcd's leader").ok());
  EXPECT_TRUE(ours_->read().ok());
  EXPECT_TRUE(eventually([&] { return ours_->revision() == 34; }));
  expect_equal();
  EXPECT_TRUE(eventually([&] { return ours_->network().active()->size() == 2; }));
}

TEST_F(WithEtcd, SendsAnEtcdASnapshot) {
  ASSERT_NO_FATAL_FAILURE(hand_leadership_to_ours());
  ASSERT_TRUE(ours_->put("before", "x").ok());
  etcd(2).kill();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(ours_->put(cat("k", i), std::string(2000, 'a' + i % 26)).ok());
  }
  start(2);
  ASSERT_TRUE(etcd(2).ready());
  expect_equal();
  const std::string log = output_of(cat("grep -c 'applied snapshot' ", dir_, "/m2.log"));
  EXPECT_NE(log, "0\n");
}

TEST_F(WithEtcd, TakesASnapshotOfAnEtcd) {
  ASSERT_NO_FATAL_FAILURE(hand_leadership_to("m1"));
  EXPECT_EQ(etcd(1).ctl("put before x"), "OK\n");
  ours_->isolate();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(etcd(1).ctl(cat("put k", i, " ", std::string(2000, 'a'))), "OK\n");
  }
  ours_->reconnect();
  EXPECT_TRUE(eventually([&] { return ours_->home().installed() > 0; }));
  EXPECT_TRUE(eventually([&] { return ours_->revision() == 102; }));
  expect_equal();
  EXPECT_TRUE(ours_->put("after", "y").ok());
}

}  // namespace
}  // namespace keelson::peer
