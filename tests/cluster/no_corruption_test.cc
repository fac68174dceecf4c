// no_corruption_test: what looks like a member that differs, and is none. A cluster is replaced in
// place, member by member, by one that is founded anew at the same addresses; a compaction is
// interrupted by a restart, and goes on. (etcd's TestInPlaceRecovery and
// TestCompactHashCheckDetectCorruptionInterrupt.)

#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

void nobody_is_named(Cluster& cluster, int by) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::GET);
  pb::AlarmResponse response;
  cluster.check(
      cluster.at(by).client().unary("/etcdserverpb.Maintenance/Alarm", request, &response),
      "alarms");
  cluster.check(response.alarms_size() == 0, "nobody is named: " + response.ShortDebugString());
}

int times_said(const std::string& log, const std::string& what) {
  int times = 0;
  for (size_t at = log.find(what); at != std::string::npos; at = log.find(what, at + 1)) ++times;
  return times;
}

// Two comparisons of the periodic check begin and end from now on.
void is_compared(Cluster& cluster, int leader) {
  const std::string done = "finished peer corruption check";
  const int before = times_said(cluster.at(leader).log(), done);
  cluster.check(
      eventually([&] { return times_said(cluster.at(leader).log(), done) >= before + 3; }),
      "the members are compared: " + cluster.at(leader).log_tail());
}

// The old members and the new ones hear of each other all the while: what another cluster's member
// says is no other hash of this one's.
void are_replaced_in_place(const Program& program) {
  Program old = program, anew = program;
  for (Program* p : {&old, &anew}) p->flags.push_back("--corrupt-check-time=1s");
  anew.flags.push_back("--feature-gates=InitialCorruptCheck=true");
  Cluster cluster({old, old, old});
  cluster.start();
  for (int i = 0; i < 10; ++i) cluster.check(cluster.put(0, cat("foo", i), cat(i)), "put");
  cluster.move_leader(2);
  for (int i = 0; i < 3; ++i) {
    cluster.check(cluster.at(i).stop(), "stop " + cluster.at(i).name());
    cluster.found_anew(i, anew);
    cluster.check(cluster.at(i).launch(), "launch " + cluster.at(i).name());
    if (i == 0) is_compared(cluster, 2);  // the old ones go on, beside a stranger
    if (i == 0) nobody_is_named(cluster, 2);
    if (i != 1) continue;
    for (int k = 0; k < 2; ++k) cluster.check(cluster.at(k).start(), "start of the new ones");
    cluster.learn_ids(0);
    is_compared(cluster, cluster.leader());
  }
  cluster.check(cluster.at(2).start(), "start of the last one");
  cluster.learn_ids(0);
  is_compared(cluster, cluster.leader());
  for (int i = 0; i < 3; ++i) nobody_is_named(cluster, i);
  cluster.check(!cluster.get(0, "foo1").has_value(), "the new cluster is empty");
  cluster.check(cluster.put(2, "new", "one"), "put");
  cluster.expect_equal();
  std::cout << "a cluster founded anew in place: " << (cluster.ok() ? "ok" : "failed") << std::endl;
  if (!cluster.ok()) exit(1);
}

void goes_on_with_its_compaction(const Program& program) {
  std::vector<std::string> flags = program.flags;
  flags.push_back("--feature-gates=CompactHashCheck=true");
  flags.push_back("--compact-hash-check-time=1s");
  Cluster cluster({{program.binary, flags}, {program.binary, flags}, {program.binary, flags}});
  cluster.at(1).set_environment(
      {"ETCD_COMPACTION_BATCH_LIMIT=1", "ETCD_COMPACTION_SLEEP_INTERVAL=1h"});
  cluster.start();
  cluster.move_leader(0);
  for (int i = 0; i < 10; ++i) cluster.check(cluster.put(0, "key", cat(i)), "put");
  pb::CompactionRequest compact;
  compact.set_revision(5);
  pb::CompactionResponse compacted;
  cluster.check(cluster.at(0).client().unary("/etcdserverpb.KV/Compact", compact, &compacted),
                "compact");
  cluster.expect_equal();  // it is applied everywhere
  const std::string done = "finished scheduled compaction";
  cluster.check(times_said(cluster.at(1).log(), done) == 0, "it takes a while on one of them");
  cluster.check(cluster.at(1).stop(), "stop");
  cluster.at(1).set_environment({});
  cluster.check(cluster.at(1).start(), "start");
  cluster.check(eventually([&] { return times_said(cluster.at(1).log(), done) > 0; }),
                "the compaction goes on: " + cluster.at(1).log_tail());
  // It has not hashed all of it, and takes no part in the comparison.
  const int leader = cluster.leader();
  const std::string checked = "finished compaction hash check";
  const int before = times_said(cluster.at(leader).log(), checked);
  cluster.check(
      eventually([&] { return times_said(cluster.at(leader).log(), checked) >= before + 3; }),
      "the compaction is compared: " + cluster.at(leader).log_tail());
  cluster.check(times_said(cluster.at(leader).log(), "successfully checked hash") == 0,
                "it is no part of the comparison");
  for (int i = 0; i < 3; ++i) nobody_is_named(cluster, i);
  std::cout << "a compaction that was interrupted: " << (cluster.ok() ? "ok" : "failed")
            << std::endl;
  if (!cluster.ok()) exit(1);
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "What looks like a corrupt member, and is none.",
                                       [](const std::string& server) {
                                         keelson::cluster::are_replaced_in_place({server});
                                         keelson::cluster::goes_on_with_its_compaction({server});
                                         return 0;
                                       });
}
