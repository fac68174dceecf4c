// faults_test: things happen to the members of a cluster while clients use it, and none of them
// sees what must not be (witness.h); afterwards all members hold the same.
//
// --what partitions | networks | clocks | stalls | disks, or all of them but networks.

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/network.h"
#include "tests/cluster/wall_clock.h"
#include "tests/cluster/witness.h"

namespace keelson::cluster {
namespace {

constexpr int kSize = 3;

// One cluster, its clients, and what is said of them at the end.
class Trial {
 public:
  explicit Trial(const std::string& binary, std::vector<std::string> flags = {})
      : program_(binary, std::move(flags)), cluster_({program_, program_, program_}, &links_) {}
  Trial(const std::string& binary, const Network& network)
      : program_(binary), cluster_({program_, program_, program_}, network) {}

  void begin() {
    cluster_.start();
    witness_ = std::make_unique<Witness>(cluster_.addresses(), 1);
    expect_work("there is work");
  }

  void expect_work(const std::string& what) { cluster_.check(witness_->goes_on(), what); }

  bool end(int member = 0) {
    witness_->check(cluster_, member);
    cluster_.expect_equal();
    return cluster_.ok();
  }

  const Program program_;
  Links links_;
  Cluster cluster_;
  std::unique_ptr<Witness> witness_;
};

// A link is cut in every way that there is with three members.
void cut_in_all_ways(Trial& trial, Cuts& links) {
  Cluster& cluster = trial.cluster_;
  auto cut = [&](const std::string& what, auto&& cuts, bool deposes = false) {
    const int leader = cluster.leader();
    if (leader < 0) return;
    const int other = (leader + 1) % kSize;
    cuts(leader, other);
    trial.expect_work("work goes on: " + what);
    cluster.check(!deposes || eventually([&] {
      const uint64_t leads = cluster.status(other).leader();
      return leads != 0 && leads != cluster.id(leader);
    }),
                  "somebody else leads: " + what);
    links.mend();
    trial.expect_work("and afterwards: " + what);
  };
  cut(
      "the leader is alone", [&](int leader, int) { links.isolate(leader, kSize); }, true);
  cut("a follower is alone", [&](int, int other) { links.isolate(other, kSize); });
  cut(
      "nobody hears the leader", [&](int leader, int) { links.mute(leader, kSize); }, true);
  cut(
      "the leader hears nobody", [&](int leader, int) { links.deafen(leader, kSize); }, true);
  cut("one follower and the leader",
      [&](int leader, int other) { links.cut_both_ways(leader, other); });
  cut("one follower does not hear the leader",
      [&](int leader, int other) { links.cut(leader, other); });
  cut("the leader does not hear one follower",
      [&](int leader, int other) { links.cut(other, leader); });
}

// What is said meanwhile is held up.
bool partitions(const std::string& binary) {
  Trial trial(binary);
  trial.begin();
  cut_in_all_ways(trial, trial.links_);
  return trial.end();
}

// What is said meanwhile is lost, and then there is no network at all.
bool networks(const std::string& binary, Network& network) {
  Trial trial(binary, network);
  Cluster& cluster = trial.cluster_;
  trial.begin();
  cut_in_all_ways(trial, network);
  for (const bool leads : {true, false}) {
    const int leader = cluster.leader();
    const int off = leads ? leader : (leader + 1) % kSize;
    const std::string who = leads ? "the leader" : "a follower";
    const size_t before = cluster.at(off).log().size();
    network.unplug(off);
    trial.expect_work(cat("work goes on without ", who, ", which is unplugged"));
    const bool noticed = eventually([&] {
      const std::string log = cluster.at(off).log();
      return log.find("lost TCP streaming connection with remote peer", before) !=
             std::string::npos;
    });
    cluster.check(noticed, who + " notices that it is unplugged");
    network.mend();
    cluster.check(eventually([&] { return cluster.status(off).leader() != 0; }),
                  who + " is back when it is plugged in again");
    trial.expect_work("and afterwards: " + who);
  }
  return trial.end();
}

// Members' wall clocks are set, far, while their leases go by monotonic time.
bool clocks(const std::string& binary, const std::string& preload) {
  using std::chrono::hours;
  constexpr hours kDecade{10 * 365 * 24};
  Trial trial(binary);
  Cluster& cluster = trial.cluster_;
  std::vector<std::unique_ptr<WallClock>> clocks;
  for (int i = 0; i < kSize; ++i) {
    clocks.push_back(std::make_unique<WallClock>());
    cluster.at(i).set_environment(clocks.back()->environment(preload));
  }
  trial.begin();

  constexpr int64_t kLong = 1, kMinute = 60;
  auto granted = std::chrono::steady_clock::now();
  cluster.check(cluster.grant(0, kLong, kMinute), "grant a lease");
  int64_t next = kLong + 1;
  auto set = [&](const std::string& what, hours leader_by, hours others_by) {
    const int leader = cluster.leader();
    if (leader < 0) return;
    for (int i = 0; i < kSize; ++i) {
      clocks[static_cast<size_t>(i)]->shift(i == leader ? leader_by : others_by);
    }
    trial.expect_work("work goes on: " + what);
    const int64_t short_lived = next++;
    cluster.check(cluster.grant(leader, short_lived, 1), "grant a short one: " + what);
    for (int i = 0; i < kSize; ++i) {
      const int64_t left = cluster.time_to_live(i, kLong);
      const int64_t age =
          std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - granted)
              .count();
      // What a change of leader gives is on top.
      cluster.check(
          left >= kMinute - age - 1 && left <= kMinute,
          cat("a minute's lease has ", left, " s left at m", i, " after ", age, ": ", what));
    }
    cluster.check(eventually([&] { return cluster.time_to_live(leader, short_lived) == -1; }),
                  "a second's lease ends: " + what);
    granted = std::chrono::steady_clock::now();
    cluster.check(cluster.renew(leader, kLong) == kMinute, "renew the long one: " + what);
  };
  set("the leader's clock is ahead", hours(1), hours(0));
  set("and behind", hours(-1), hours(0));
  set("the others' are ahead", hours(0), hours(1));
  set("all go on in ten years", kDecade, kDecade);
  cluster.move_leader((cluster.leader() + 1) % kSize);
  set("the next leader lives ten years ago", -kDecade, kDecade);
  set("all are right again", hours(0), hours(0));
  for (int i = 0; i < kSize; ++i) {
    const std::string log = cluster.at(i).log();
    cluster.check(log.find(WallClock::year_in(kDecade)) != std::string::npos,
                  cat("m", i, " has seen its clock set"));
  }
  return trial.end();
}

// Members stand still, all die at once, and one loses its disk.
bool stalls(const std::string& binary) {
  Trial trial(binary, {"--snapshot-count=200", "--snapshot-catchup-entries=20"});
  Cluster& cluster = trial.cluster_;
  trial.begin();
  for (const bool leads : {true, false}) {
    const int leader = cluster.leader();
    const int still = leads ? leader : (leader + 1) % kSize;
    const std::string who = leads ? "the leader" : "a follower";
    cluster.at(still).pause();
    trial.expect_work(who + " stands still, the others go on");
    cluster.at(still).resume();
    trial.expect_work(who + " goes on, too");
  }
  for (int i = 0; i < kSize; ++i) cluster.at(i).kill();
  for (int i = 0; i < kSize; ++i) cluster.check(cluster.at(i).launch(), "launch");
  for (int i = 0; i < kSize; ++i) cluster.check(cluster.at(i).start(), "start");
  trial.expect_work("all are back");

  const int lost = (cluster.leader() + 1) % kSize;
  const int by = (lost + 1) % kSize;
  cluster.at(lost).wipe();
  trial.expect_work("the others go on without it");
  cluster.remove(lost, by);
  const int fresh = cluster.add(trial.program_, false, by);
  cluster.join(fresh);
  trial.expect_work("another one has taken its place");
  cluster.check(cluster.at(fresh).log_tail().find("applied snapshot") != std::string::npos,
                "it was sent the state");
  // Those that watch at the lost one have nobody to watch at: it comes back in its place.
  trial.witness_->leave(static_cast<size_t>(lost), cluster.at(fresh).address());
  return trial.end(by);
}

// The log's device is slow, then full, at a follower and at the leader.
bool disks(const std::string& binary) {
  Trial trial(binary);
  Cluster& cluster = trial.cluster_;
  trial.begin();
  auto restart_with = [&](int i, const std::string& failpoints) {
    cluster.at(i).kill();
    cluster.at(i).set_environment({failpoints});
    cluster.check(cluster.at(i).start(), "start");
  };
  const int follower = (cluster.leader() + 1) % kSize;
  restart_with(follower, "KEELSON_FAILPOINTS=wal_before_sync=sleep:60");
  trial.expect_work("a follower's disk is slow");
  // It may be too slow for what the others take in, and then serves no linearizable read.
  cluster.at(follower).kill();
  cluster.at(follower).set_environment({"KEELSON_FAILPOINTS=wal_before_append=error:28%0.03"});
  cluster.check(cluster.at(follower).launch(), "launch");
  trial.expect_work("a follower's disk is full again and again");
  restart_with(follower, "KEELSON_FAILPOINTS=wal_before_sync=sleep:20");
  cluster.move_leader(follower);
  trial.expect_work("the leader's disk is slow");
  restart_with(follower, "KEELSON_FAILPOINTS=");
  trial.expect_work("all is well again");
  return trial.end();
}

int run(const std::string& binary, const std::string& what, const std::string& preload) {
  bool ok = true;
  if (what == "networks") {  // this process moves there, and with it all that it does
    absl::StatusOr<std::unique_ptr<Network>> network = Network::create(kSize);
    if (!network.ok()) {
      std::cout << "skipped: " << network.status() << "\n";
      return absl::IsPermissionDenied(network.status()) ? harness::kSkipped : 1;
    }
    ok &= networks(binary, **network);
  }
  if (what.empty() || what == "clocks") ok &= clocks(binary, preload);
  if (what.empty() || what == "partitions") ok &= partitions(binary);
  if (what.empty() || what == "stalls") ok &= stalls(binary);
  if (what.empty() || what == "disks") ok &= disks(binary);
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  std::string server, what, preload;
  CLI::App app("Things happen to the members of a cluster while clients use it.");
  app.add_option("--server", server, "the server")->required();
  app.add_option("--what", what, "partitions, networks, clocks, stalls or disks");
  app.add_option("--preload", preload, "the library that shifts the wall clock")->required();
  CLI11_PARSE(app, argc, argv);
  return keelson::cluster::run(server, what, preload);
}
