// Questions among members: what is asked, what is answered, and what comes back of it.

#include <gtest/gtest.h>

#include "base/errors.h"
#include "peer/prober.h"
#include "peer/questions.h"
#include "peer/test_lone_peer.h"

namespace keelson::peer {
namespace {

constexpr Duration kTime = std::chrono::seconds(10);

// Knows lease 7 and little else.
class SomeAnswers final : public LocalAnswers {
 public:
  std::string cluster_version() override { return version_.load(); }
  std::string storage_version() override { return "3.6.0"; }
  void promote(MemberId member, std::string token,
               Done<std::vector<membership::Member>> done) override {
    if (member == MemberId(3)) return done(errors::MemberNotLearner());
    if (member == MemberId(4)) return done(errors::LearnerNotReady());
    if (member == MemberId(5)) return done(errors::NoLeader());
    if (member != MemberId(2)) return done(errors::MemberNotFound());
    done(std::vector<membership::Member>{{.id = member, .name = token, .peer_urls = {"http://b"}}});
  }
  void renew_lease(LeaseId lease, Done<int64_t> done) override {
    if (lease == LeaseId(8)) return done(errors::TimeoutWaitAppliedIndex());
    if (lease == LeaseId(9)) return done(errors::NotLeader());
    if (lease != LeaseId(7)) return done(errors::LeaseNotFound());
    done(60);
  }
  void lease_times(LeaseId lease, bool keys, Done<LeaseTimes> done) override {
    if (lease != LeaseId(7)) return done(errors::LeaseNotFound());
    LeaseTimes times{.remaining = 50, .granted = 60};
    if (keys) times.keys = {"a", std::string("b\0", 2)};
    done(std::move(times));
  }
  void hash_kv(int64_t revision, Done<HashAnswer> done) override {
    if (revision == 1) return done(errors::Compacted());
    if (revision == 99) return done(errors::FutureRev());
    done(HashAnswer{
        .hash = 4000000000, .compact_revision = 2, .hash_revision = revision, .revision = 10});
  }
  void downgrade_enabled(Done<bool> done) override { done(true); }

  std::atomic<const char*> version_ = "";
};

class Asking : public LonePeer {
 protected:
  Asking() {
    start({{"http://127.0.0.1:1"}}, quick(), &answers_);
    // Nobody listens at the first, so the second is asked.
    urls_ = {"http://127.0.0.1:1", url()};
  }
  template <typename Value, typename Ask>
  absl::StatusOr<Value> wait_for(Ask ask) {
    auto later = std::make_shared<Later<absl::StatusOr<Value>>>();
    ask([later](absl::StatusOr<Value> value) { later->set(std::move(value)); });
    return later->wait().value_or(absl::InternalError("no answer"));
  }

  SomeAnswers answers_;
  Urls urls_;
};

TEST_F(Asking, MembersAndVersions) {
  auto cluster = wait_for<RemoteCluster>(
      [&](auto done) { network_->ask().members(urls_, kTime, std::move(done)); });
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->id, kCluster);
  EXPECT_EQ(cluster->members, view_->members);
  EXPECT_EQ(ask("GET /members", headers()),
            cat("200 [{\"id\":1,\"peerURLs\":[\"", url(),
                "\"],\"name\":\"self\"},{\"id\":2,\"peerURLs\":[\"http://127.0.0.1:1\"]}]\n"));
  auto versions = wait_for<Versions>(
      [&](auto done) { network_->ask().version(kOther, urls_, kTime, std::move(done)); });
  ASSERT_TRUE(versions.ok()) << versions.status();
  EXPECT_EQ(versions->server, "3.7.1");
  EXPECT_EQ(versions->cluster, "not_decided");
  EXPECT_EQ(versions->storage, "3.6.0");
  EXPECT_EQ(ask("GET /version", headers()),
            "200 {\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"not_decided\",\"storage\":\"3.6.0\"}");
  answers_.version_ = "3.6.0";
  EXPECT_EQ(ask("GET /version", headers()),
            "200 {\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}");
  auto nobody = wait_for<Versions>([&](auto done) {
    network_->ask().version(kOther, {"http://127.0.0.1:1"}, kTime, std::move(done));
  });
  EXPECT_TRUE(absl::IsUnavailable(nobody.status())) << nobody.status();
}

TEST_F(Asking, Promotion) {
  const auto promote = [&](uint64_t member) {
    return wait_for<std::vector<membership::Member>>([&](auto done) {
      network_->ask().promote(MemberId(member), "token", urls_, kTime, std::move(done));
    });
  };
  auto members = promote(2);
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_EQ(members->at(0).name, "token");
  EXPECT_EQ(promote(3).status(), errors::MemberNotLearner());
  EXPECT_EQ(promote(4).status(), errors::LearnerNotReady());
  EXPECT_EQ(promote(6).status(), errors::MemberNotFound());
  EXPECT_TRUE(absl::IsUnavailable(promote(5).status()));
  EXPECT_EQ(ask("POST /members/promote/x1", headers()), "404 member x1 not found in cluster\n");
  EXPECT_EQ(ask("GET /members/promote/2", headers()), "405 Method Not Allowed\n");
  EXPECT_EQ(ask("POST /members/promote/5", headers()),
            "500 {\"message\":\"Internal Server Error\"}");
}

TEST_F(Asking, Leases) {
  const auto renew = [&](int64_t id) {
    return wait_for<int64_t>([&](auto done) {
      network_->ask().renew_lease(LeaseId(id), urls_, kTime, std::move(done));
    });
  };
  EXPECT_EQ(renew(7).value_or(-1), 60);
  EXPECT_EQ(renew(6).status(), errors::LeaseNotFound());
  EXPECT_EQ(renew(8).status(), errors::TimeoutWaitAppliedIndex());
  EXPECT_TRUE(absl::IsUnavailable(renew(9).status()));
  EXPECT_EQ(ask("POST /leases", headers(), encode_renewal(LeaseId(9))),
            "400 not a primary lessor\n");
  EXPECT_EQ(ask("POST /leases", headers(), "\xff"), "400 error unmarshalling request\n");
  const auto times = [&](int64_t id, bool keys) {
    return wait_for<LeaseTimes>([&](auto done) {
      network_->ask().lease_times(LeaseId(id), keys, urls_, kTime, std::move(done));
    });
  };
  auto seven = times(7, true);
  ASSERT_TRUE(seven.ok()) << seven.status();
  EXPECT_EQ(seven->remaining, 50);
  EXPECT_EQ(seven->granted, 60);
  EXPECT_EQ(seven->keys, (std::vector<std::string>{"a", std::string("b\0", 2)}));
  EXPECT_TRUE(times(7, false)->keys.empty());
  EXPECT_EQ(times(6, false).status(), errors::LeaseNotFound());
}

TEST_F(Asking, HashesAndDowngrades) {
  const auto hash = [&](ClusterId cluster, int64_t revision) {
    return wait_for<HashAnswer>([&](auto done) {
      network_->ask().hash_kv(cluster, urls_, revision, kTime, std::move(done));
    });
  };
  auto five = hash(kCluster, 5);
  ASSERT_TRUE(five.ok()) << five.status();
  EXPECT_EQ(five->hash, 4000000000u);
  EXPECT_EQ(five->compact_revision, 2);
  EXPECT_EQ(five->hash_revision, 5);
  EXPECT_EQ(five->revision, 10);
  EXPECT_EQ(hash(kCluster, 1).status(), errors::Compacted());
  EXPECT_EQ(hash(kCluster, 99).status(), errors::FutureRev());
  EXPECT_EQ(hash(ClusterId(3), 5).status(), errors::ClusterIDMismatch());
  auto enabled = wait_for<bool>(
      [&](auto done) { network_->ask().downgrade_enabled(kOther, urls_, kTime, std::move(done)); });
  EXPECT_TRUE(enabled.value_or(false)) << enabled.status();
}

TEST(Probes, TheTimeGoesThereAndBack) {
  const Duration now = std::chrono::nanoseconds(1'767'323'045'678'901'234);
  const std::string text = probe_answer(now);
  EXPECT_EQ(text, "{\"OK\":true,\"Now\":\"2026-01-02T03:04:05.678901234+00:00\"}\n");
  EXPECT_EQ(parse_probe_answer(text).value_or(Duration(0)), now);
  // As Go writes it.
  EXPECT_EQ(parse_probe_answer("{\"OK\":true,\"Now\":\"2026-01-02T03:04:05.678901234Z\"}\n")
                .value_or(Duration(0)),
            now);
  EXPECT_FALSE(parse_probe_answer("{\"OK\":false}").ok());
  EXPECT_FALSE(parse_probe_answer("{\"OK\":true,\"Now\":\"yesterday\"}").ok());
}

}  // namespace
}  // namespace keelson::peer
