// faults_test: things happen to the members of a cluster while clients use it, and none of them
// sees what must not be (witness.h); afterwards all members hold the same.
//
// --what partitions | stalls | disks, or all of them.

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/witness.h"

namespace keelson::cluster {
namespace {

constexpr int kSize = 3;

// One cluster, its clients, and what is said of them at the end.
class Trial {
 public:
  Trial(const std::string& binary, std::vector<std::string> flags)
      : program_(binary, std::move(flags)), cluster_({program_, program_, program_}, &links_) {
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
bool partitions(const std::string& binary) {
  Trial trial(binary, {});
  auto cut = [&](const std::string& what, auto&& links) {
    const int leader = trial.cluster_.leader();
    if (leader < 0) return;
    links(leader, (leader + 1) % kSize);
    trial.expect_work("work goes on: " + what);
    trial.links_.mend();
    trial.expect_work("and afterwards: " + what);
  };
  Links& links = trial.links_;
  cut("the leader is alone", [&](int leader, int) { links.isolate(leader, kSize); });
  cut("a follower is alone", [&](int, int other) { links.isolate(other, kSize); });
  cut("nobody hears the leader", [&](int leader, int) {
    for (int i = 0; i < kSize; ++i) {
      if (i != leader) links.cut(leader, i);
    }
  });
  cut("the leader hears nobody", [&](int leader, int) {
    for (int i = 0; i < kSize; ++i) {
      if (i != leader) links.cut(i, leader);
    }
  });
  cut("one follower and the leader",
      [&](int leader, int other) { links.cut_both_ways(leader, other); });
  cut("one follower does not hear the leader",
      [&](int leader, int other) { links.cut(leader, other); });
  cut("the leader does not hear one follower",
      [&](int leader, int other) { links.cut(other, leader); });
  return trial.end();
}

// Members stand still, all die at once, and one loses its disk.
bool stalls(const std::string& binary) {
  Trial trial(binary, {"--snapshot-count=200", "--snapshot-catchup-entries=20"});
  Cluster& cluster = trial.cluster_;
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
  Trial trial(binary, {});
  Cluster& cluster = trial.cluster_;
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

int run(const std::string& binary, const std::string& what) {
  bool ok = true;
  if (what.empty() || what == "partitions") ok &= partitions(binary);
  if (what.empty() || what == "stalls") ok &= stalls(binary);
  if (what.empty() || what == "disks") ok &= disks(binary);
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  std::string server, what;
  CLI::App app("Things happen to the members of a cluster while clients use it.");
  app.add_option("--server", server, "the server")->required();
  app.add_option("--what", what, "partitions, stalls or disks");
  CLI11_PARSE(app, argc, argv);
  return keelson::cluster::run(server, what);
}
