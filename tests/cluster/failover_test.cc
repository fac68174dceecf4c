// failover_test: members are killed, stopped and restarted under load, leaders first; nothing that
// was acknowledged is lost, and the others go on.

#include <filesystem>
#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/load.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

std::vector<std::string> addresses(Cluster& cluster) {
  std::vector<std::string> out;
  for (int i = 0; i < cluster.size(); ++i) out.push_back(cluster.at(i).address());
  return out;
}

// More is acknowledged than now.
void expect_progress(Cluster& cluster, const Load& load, const std::string& what) {
  const uint64_t before = load.acknowledged();
  cluster.check(eventually([&] { return load.acknowledged() > before + 20; }), what);
}

void check_all(Cluster& cluster, Load& load) {
  load.stop();
  for (int i = 0; i < cluster.size(); ++i) load.check(cluster, i);
  cluster.expect_equal();
}

void leaders_are_killed(Cluster& cluster) {
  Load load("kill", addresses(cluster), 2);
  for (int round = 0; round < 4; ++round) {
    expect_progress(cluster, load, "there is work");
    const int leader = cluster.leader();
    if (leader < 0) return;
    cluster.at(leader).kill();
    expect_progress(cluster, load, cat("the others go on without ", leader));
    cluster.check(cluster.at(leader).start(), "it comes back");
  }
  std::cout << load.acknowledged() << " acknowledged, " << load.failed()
            << " not, longest without any " << load.longest_gap().count() << " ms\n";
  check_all(cluster, load);
}

// One after the other ends as it should and comes back: nobody notices.
void members_are_restarted(Cluster& cluster) {
  Load load("restart", {cluster.at(0).address()}, 2);
  for (int i : {1, 2}) {
    cluster.move_leader(i);
    expect_progress(cluster, load, "there is work");
    cluster.check(cluster.at(i).stop(), "it ends");
    expect_progress(cluster, load, cat("the others go on without ", i));
    cluster.check(cluster.at(i).start(), "it comes back");
  }
  std::cout << "restarts: longest without any acknowledged " << load.longest_gap().count()
            << " ms, failed " << load.failed() << "\n";
  cluster.check(load.failed() == 0, "no write fails when the leader hands over and ends");
  check_all(cluster, load);
}

void all_are_killed_at_once(Cluster& cluster) {
  Load load("all", addresses(cluster), 2);
  expect_progress(cluster, load, "there is work");
  for (int i = 0; i < cluster.size(); ++i) cluster.at(i).kill();
  for (int i = 0; i < cluster.size(); ++i) cluster.check(cluster.at(i).launch(), "launch");
  for (int i = 0; i < cluster.size(); ++i) cluster.check(cluster.at(i).start(), "start");
  expect_progress(cluster, load, "they all come back");
  check_all(cluster, load);
}

// It stands still, is not missed, and learns on its return that others lead.
void a_leader_stands_still(Cluster& cluster) {
  Load load("pause", addresses(cluster), 2);
  expect_progress(cluster, load, "there is work");
  const int leader = cluster.leader();
  if (leader < 0) return;
  cluster.at(leader).pause();
  expect_progress(cluster, load, "the others go on");
  cluster.at(leader).resume();
  expect_progress(cluster, load, "and with it again");
  check_all(cluster, load);
}

// While one is down the others' logs go on without it: it is sent the state, and is what it was
// after a restart. The second time the log may still be there: it stays for a while after a
// snapshot.
void who_fell_behind_catches_up(Cluster& cluster) {
  for (int round = 0; round < 2; ++round) {
    const int away = (cluster.leader() + 1) % 3, here = (away + 1) % 3;
    cluster.at(away).kill();
    for (int i = 0; i < 300; ++i) {
      cluster.check(cluster.put(here, cat("k", i), cat("v", round, "/", i)), "put");
    }
    cluster.check(cluster.at(away).start(), "it comes back");
    cluster.check(cluster.get(away, "k299") == cat("v", round, "/299"), "it has caught up");
    const bool sent = cluster.at(away).log_tail().find("applied snapshot") != std::string::npos;
    cluster.check(sent || round > 0, "by a snapshot");
    cluster.check(cluster.put(away, "k", "v"), "it serves");
    cluster.expect_equal();
    cluster.at(away).kill();
    cluster.check(cluster.at(away).start(), "it starts with what it was sent");
    cluster.check(cluster.put(away, "k", "w"), "it serves");
    cluster.expect_equal();
    int stores = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(cluster.at(away).data_dir() + "/member")) {
      stores += entry.path().filename().string().starts_with("keelson");
    }
    cluster.check(stores == 1, cat("one store is left: ", stores));
  }
}

// While its snapshot is on the way, the others go on for longer than what they keep of the log
// otherwise lasts: they keep more.
void who_comes_back_under_load_catches_up(Cluster& cluster) {
  const int away = (cluster.leader() + 1) % 3, here = (away + 1) % 3;
  cluster.at(away).kill();
  const std::string large(500'000, 'v');
  for (int i = 0; i < 60; ++i) {
    cluster.check(cluster.put(here, cat("large", i), large), "put");
  }
  std::vector<std::string> others = addresses(cluster);
  others.erase(others.begin() + away);
  Load load("back", others, 2);
  expect_progress(cluster, load, "there is work");
  cluster.check(cluster.at(away).start(), "it comes back");
  const auto lag = [&] {
    const uint64_t applied = cluster.status(here).raftappliedindex();
    return static_cast<int64_t>(applied - cluster.status(away).raftappliedindex());
  };
  cluster.check(eventually([&] { return lag() <= 20; }), "it catches up with who does not wait");
  check_all(cluster, load);
}

int run(const std::string& binary) {
  Cluster cluster({binary, binary, binary});
  cluster.start();
  leaders_are_killed(cluster);
  members_are_restarted(cluster);
  a_leader_stands_still(cluster);
  all_are_killed_at_once(cluster);

  const Program small(binary, {"--snapshot-count=50", "--snapshot-catchup-entries=10"});
  Cluster sent({small, small, small});
  sent.start();
  who_fell_behind_catches_up(sent);
  who_comes_back_under_load_catches_up(sent);
  const bool ok = cluster.ok() && sent.ok();
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "Members die and come back under load.",
                                       keelson::cluster::run);
}
