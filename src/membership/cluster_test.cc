#include "membership/cluster.h"

#include <gtest/gtest.h>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "membership/v2_store.h"

namespace keelson::membership {
namespace {

Change add(uint64_t id, std::vector<std::string> urls, bool learner = false) {
  Member member{.id = MemberId(id), .peer_urls = std::move(urls), .is_learner = learner};
  return {learner ? ChangeKind::kAddLearner : ChangeKind::kAdd, MemberId(id),
          encode_context(member)};
}

Change promote(uint64_t id) {
  return {ChangeKind::kAdd, MemberId(id), encode_promotion(MemberId(id))};
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

// Sorted URLs, and the seconds since 1970.
TEST(Members, AnAddedOneHasEtcdsId) {
  const Member member = new_member({"http://10.0.0.2:2380", "http://10.0.0.1:2380"}, true,
                                   std::chrono::milliseconds(1'700'000'000'999));
  EXPECT_EQ(member.id.value, 0x110e931718b7c063u);
  EXPECT_EQ(member.peer_urls,
            (std::vector<std::string>{"http://10.0.0.1:2380", "http://10.0.0.2:2380"}));
  EXPECT_TRUE(member.is_learner);
}

TEST(Members, ContextsAreEtcdsJson) {
  Member member{.id = MemberId(7), .peer_urls = {"http://a:1"}, .is_learner = true};
  EXPECT_EQ(encode_context(member).view(),
            R"({"id":7,"peerURLs":["http://a:1"],"isLearner":true})");
  EXPECT_EQ(encode_promotion(MemberId(7)).view(), R"({"id":7,"peerURLs":null,"isPromote":true})");
  auto promotion = decode_context(encode_promotion(MemberId(7)).view());
  ASSERT_TRUE(promotion.ok());
  EXPECT_TRUE(promotion->is_promote);
  auto context = decode_context(encode_context(member).view());
  ASSERT_TRUE(context.ok());
  EXPECT_EQ(context->member, member);
  EXPECT_FALSE(context->is_promote);
}

View view_of(std::vector<std::string> names, int learners = 0) {
  View view;
  for (const std::string& name : names) {
    const MemberId id(view.members.size() + 1);
    view.members.push_back({.id = id, .name = name});
  }
  for (int i = 0; i < learners; ++i) {
    const MemberId id(view.members.size() + 1);
    view.members.push_back({.id = id, .name = "l", .is_learner = true});
  }
  return view;
}

// A name says that the member has started.
TEST(Members, AQuorumOfStartedOnesStays) {
  EXPECT_TRUE(may_add_voter(view_of({"a"})));
  EXPECT_TRUE(may_add_voter(view_of({"a", "b"})));
  EXPECT_FALSE(may_add_voter(view_of({"a", ""})));
  EXPECT_TRUE(may_add_voter(view_of({"a", "b", "c"})));
  EXPECT_FALSE(may_add_voter(view_of({"a", "b", ""})));
  EXPECT_FALSE(may_add_voter(view_of({"a", ""}, 2)));  // learners do not count
  EXPECT_FALSE(may_remove_voter(view_of({"a"}), MemberId(1)));
  EXPECT_TRUE(may_remove_voter(view_of({"a", "b"}), MemberId(2)));
  EXPECT_TRUE(may_remove_voter(view_of({"a", "b", ""}), MemberId(3)));
  EXPECT_FALSE(may_remove_voter(view_of({"a", "b", ""}), MemberId(1)));
  EXPECT_TRUE(may_promote(view_of({"a"}, 1)));
  EXPECT_TRUE(may_promote(view_of({"a", ""}, 1)));
  EXPECT_FALSE(may_promote(view_of({"a", "", ""}, 1)));
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
  ASSERT_TRUE(cluster_.set_version("3.7.0", batch_).ok());
  cluster_.set_downgrade(true, "3.6.0", batch_);

  auto backend = std::make_unique<backend::MemoryBackend>();
  ASSERT_TRUE(backend->commit(batch_, Index(1), Term(1)).ok());
  Cluster restored(ClusterId(1));
  ASSERT_TRUE(restored.restore(*backend).ok());
  EXPECT_EQ(restored.view()->members, cluster_.view()->members);
  EXPECT_EQ(restored.view()->removed, cluster_.view()->removed);
  EXPECT_EQ(restored.view()->cluster_version, "3.7.0");
  EXPECT_EQ(restored.view()->downgrade, (Downgrade{true, "3.6.0"}));

  auto record = backend->get(backend::Bucket::kMembers, "beef");
  ASSERT_TRUE(record.ok() && *record);
  EXPECT_EQ((*record)->view(),
            R"({"id":48879,"peerURLs":["http://a:1","http://a:2"],"name":"first",)"
            R"("clientURLs":["http://a:9"]})");
  auto conf = backend->get(backend::Bucket::kMeta, "confState");
  ASSERT_TRUE(conf.ok() && *conf);
  EXPECT_EQ((*conf)->view(), R"({"voters":[48879],"learners":[2],"auto_leave":false})");
}

// Whatever list a state brings, a member that was removed does not come back by it.
TEST_F(ClusterTest, WhoHasBeenRemovedStaysRemoved) {
  ASSERT_TRUE(change(add(1, {"http://a:1"})).ok());
  ASSERT_TRUE(change(add(2, {"http://b:1"})).ok());
  backend::WriteBatch before = batch_;
  ASSERT_TRUE(change(remove(2)).ok());

  backend::MemoryBackend older;
  ASSERT_TRUE(older.commit(before, Index(1), Term(1)).ok());
  ASSERT_TRUE(cluster_.restore(older).ok());
  EXPECT_EQ(cluster_.view()->find(MemberId(2)), nullptr);
  EXPECT_TRUE(cluster_.view()->is_removed(MemberId(2)));

  // Records that say both.
  batch_.put(backend::Bucket::kMembers, "2", R"({"id":2,"peerURLs":["http://b:1"]})");
  backend::MemoryBackend both;
  ASSERT_TRUE(both.commit(batch_, Index(1), Term(1)).ok());
  Cluster fresh(ClusterId(1));
  ASSERT_TRUE(fresh.restore(both).ok());
  EXPECT_EQ(fresh.view()->members.size(), 1u);
}

TEST(V2Store, TheMembersAsTheOldStoreHasThem) {
  View view;
  view.members = {{.id = MemberId(0xa1),
                   .name = "one",
                   .peer_urls = {"http://a:1", "http://b:1"},
                   .client_urls = {"http://a:2"}},
                  {.id = MemberId(0xb2), .peer_urls = {"http://c:1"}, .is_learner = true}};
  view.removed = {MemberId(0xc3)};
  view.cluster_version = "3.5.0";
  const std::string text = v2_store_json(view);
  // Each is a node of its own, with its path.
  for (const char* part :
       {R"({"Root":{"Path":"/",)", R"("a1":{"Path":"/0/members/a1",)",
        R"("Path":"/0/members/a1/raftAttributes",)",
        R"("Value":"{\"peerURLs\":[\"http://a:1\",\"http://b:1\"]}","Children":null)",
        R"("Value":"{\"name\":\"one\",\"clientURLs\":[\"http://a:2\"]}")",
        R"("Value":"{\"peerURLs\":[\"http://c:1\"],\"isLearner\":true}")",
        R"("c3":{"Path":"/0/removed_members/c3",)", R"("Value":"3.5.0")", R"("1":{"Path":"/1",)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
  EXPECT_EQ(text.find("/0/members/b2/attributes"), std::string::npos);
  EXPECT_NE(v2_store_json({}).find(R"("Path":"/0/members",)"), std::string::npos);
}

TEST_F(ClusterTest, AClusterThatIsNewerThanThisServerIsNoPlaceForIt) {
  EXPECT_TRUE(absl::IsDataLoss(cluster_.set_version("3.x", batch_)));
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster_.set_version("3.8.0", batch_)));
  EXPECT_EQ(cluster_.view()->cluster_version, "");
  ASSERT_TRUE(cluster_.set_version("3.5.0", batch_).ok());
  batch_.put(backend::Bucket::kCluster, "clusterVersion", "3.8.0");
  backend::MemoryBackend newer;
  ASSERT_TRUE(newer.commit(batch_, Index(1), Term(1)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster_.restore(newer)));
}

}  // namespace
}  // namespace keelson::membership
