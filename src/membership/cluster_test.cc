#include "membership/cluster.h"

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "base/errors.h"

namespace keelson::membership {
namespace {

Change add(uint64_t id, std::vector<std::string> urls, bool learner = false) {
  Member member{.id = MemberId(id), .peer_urls = std::move(urls), .is_learner = learner};
  return {learner ? ChangeKind::kAddLearner : ChangeKind::kAdd, MemberId(id),
          encode(ChangeContext{member, false})};
}

Change promote(uint64_t id) {
  return {ChangeKind::kAdd, MemberId(id), encode(ChangeContext{Member{.id = MemberId(id)}, true})};
}

Change remove(uint64_t id) { return {ChangeKind::kRemove, MemberId(id), {}}; }

// The ids that etcd 3.5 chooses with its default flags.
TEST(Bootstrap, IdsAreEtcds) {
  auto made = bootstrap("default=http://localhost:2380", "etcd-cluster");
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(made->members.size(), 1u);
  EXPECT_EQ(made->members[0].id.value, 0x8e9e05c52164694du);
  EXPECT_EQ(made->cluster.value, 0xcdf818194e3a8c32u);
}

TEST(Bootstrap, RefusesWhatIsNoCluster) {
  // Whoever takes it from the command line looks at the URLs first.
  EXPECT_EQ(parse_initial_cluster("default,,a=http://x:1"),
            (PeerUrls{{"default", {""}}, {"a", {"http://x:1"}}}));
  EXPECT_FALSE(bootstrap("a=http://x:1,b=http://x:1", "t").ok());
}

class ClusterTest : public testing::Test {
 protected:
  absl::Status change(const Change& change) {
    absl::Status status = cluster_.validate(change);
    return status.ok() ? cluster_.apply(change, batch_) : status;
  }
  Cluster cluster_{ClusterId(1)};
  backend::WriteBatch batch_;
};

TEST_F(ClusterTest, ChangesAreValidatedWithEtcdsErrors) {
  EXPECT_TRUE(change(add(1, {"http://a:1"})).ok());
  EXPECT_EQ(change(add(1, {"http://b:1"})), errors::MemberExist());
  EXPECT_EQ(change(add(2, {"http://a:1"})), errors::PeerURLExist());
  EXPECT_EQ(change(promote(1)), errors::MemberNotLearner());
  EXPECT_EQ(change(promote(7)), errors::MemberNotFound());
  EXPECT_TRUE(change(add(2, {"http://b:1"}, true)).ok());
  EXPECT_EQ(change(add(3, {"http://c:1"}, true)), errors::TooManyLearners());
  EXPECT_TRUE(change(promote(2)).ok());
  EXPECT_FALSE(cluster_.view()->find(MemberId(2))->is_learner);
  EXPECT_TRUE(change(remove(2)).ok());
  EXPECT_EQ(change(remove(2)), errors::MemberNotFound());
  EXPECT_EQ(change(add(2, {"http://d:1"})), errors::MemberNotFound());
}

TEST_F(ClusterTest, RecordsRestoreTheTable) {
  ASSERT_TRUE(change(add(0xbeef, {"http://a:1", "http://a:2"})).ok());
  ASSERT_TRUE(change(add(2, {"http://b:1"}, true)).ok());
  ASSERT_TRUE(change(add(3, {"http://c:1"})).ok());
  ASSERT_TRUE(change(remove(3)).ok());
  cluster_.set_attributes(MemberId(0xbeef), "first", {"http://a:9"}, batch_);
  cluster_.set_version("3.7.0", batch_);

  auto backend = std::make_unique<backend::MemoryBackend>();
  ASSERT_TRUE(backend->commit(batch_, Index(1), Term(1)).ok());
  Cluster restored(ClusterId(1));
  ASSERT_TRUE(restored.restore(*backend).ok());
  EXPECT_EQ(restored.view()->members, cluster_.view()->members);
  EXPECT_EQ(restored.view()->removed, cluster_.view()->removed);
  EXPECT_EQ(restored.view()->cluster_version, "3.7.0");

  auto record = backend->get(backend::Bucket::kMembers, "beef");
  ASSERT_TRUE(record.ok() && *record);
  EXPECT_EQ((*record)->view(),
            R"({"id":48879,"peerURLs":["http://a:1","http://a:2"],"name":"first",)"
            R"("clientURLs":["http://a:9"]})");
  auto conf = backend->get(backend::Bucket::kMeta, "confState");
  ASSERT_TRUE(conf.ok() && *conf);
  EXPECT_EQ((*conf)->view(), R"({"voters":[48879],"learners":[2],"auto_leave":false})");
}

}  // namespace
}  // namespace keelson::membership
