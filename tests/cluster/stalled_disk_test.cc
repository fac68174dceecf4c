// stalled_disk_test: the leader's log device takes what it is given and does not come back with it.
// The leader notices, says so, and another one leads before anybody has waited for long.

#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

bool shows(Cluster& cluster, int i, const std::string& row) {
  return page(cluster, i, "/metrics").find("\n" + row + "\n") != std::string::npos;
}

int run(const std::string& binary) {
  Cluster cluster({binary, binary, binary});
  cluster.at(1).set_environment({"KEELSON_FAILPOINTS=wal_before_sync=sleep:15000@150"});
  cluster.start();
  cluster.move_leader(1);
  cluster.check(shows(cluster, 1, "keelson_log_stalled 0"), "it does not stall yet");
  // Two disks are enough for a write to be done, by way of another member: the stall shows only in
  // who leads.
  int puts = 0;
  const bool moved = eventually([&] {
    puts += cluster.put(0, cat("k", puts % 50), cat(puts)).ok() ? 1 : 0;
    const uint64_t leader = cluster.status(0).leader();
    return leader != 0 && leader != cluster.id(1);
  });
  cluster.check(moved, cat("another one leads, after ", puts, " puts"));
  cluster.check(shows(cluster, 1, "keelson_log_stalled 1"), "the metrics name the stall");
  cluster.check(shows(cluster, 1, "keelson_leaderships_yielded_total 1"), "and what came of it");
  const std::string ready = page(cluster, 1, "/readyz/log_device");
  cluster.check(ready.starts_with("503"), "/readyz/log_device: " + ready);
  cluster.check(cluster.put(2, "after", "it"), "put after it");

  cluster.check(eventually([&] { return shows(cluster, 1, "keelson_log_stalled 0"); }),
                "the device gets on");
  cluster.check(page(cluster, 1, "/readyz/log_device").starts_with("200"), "/readyz/log_device");
  cluster.expect_equal();
  std::cout << (cluster.ok() ? "ok" : "failed") << "\n";
  return cluster.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "A leader whose log device stalls.",
                                       keelson::cluster::run);
}
