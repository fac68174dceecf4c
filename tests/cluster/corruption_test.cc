// corruption_test: a member's store is made to hold something else than the others'. Each of etcd's
// three comparisons finds it and names it; among members of Keelson, and with one of etcd.

#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "tests/cluster/alter.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

const char* const kCorrupt = "etcdserver: corrupt cluster";

void put_some(Cluster& cluster) {
  for (int i = 0; i < 10; ++i) {
    cluster.check(cluster.put(i % cluster.size(), cat("foo", i), cat("v", i)), "put");
  }
  cluster.expect_equal();
}

// It goes on from a store that holds another value under one key.
void alter(Cluster& cluster, int i) {
  cluster.check(cluster.at(i).stop(), "stop");
  cluster.check(alter_value(cluster.at(i).data_dir(), "foo5"), "alter");
}

std::vector<pb::AlarmMember> alarms(Cluster& cluster, int by) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::GET);
  pb::AlarmResponse response;
  cluster.check(
      cluster.at(by).client().unary("/etcdserverpb.Maintenance/Alarm", request, &response),
      "alarms");
  return {response.alarms().begin(), response.alarms().end()};
}

// The alarm names it, and nothing else. (A leader of etcd 3.5 raises it for nobody: member 0.)
void is_named(Cluster& cluster, int i, int by, bool for_nobody = false) {
  std::vector<pb::AlarmMember> seen;
  const bool named = eventually([&] {
    seen = alarms(cluster, by);
    return !seen.empty();
  });
  cluster.check(named && seen.size() == 1 && seen[0].alarm() == pb::CORRUPT &&
                    seen[0].memberid() == (for_nobody ? 0 : cluster.id(i)),
                cat(cluster.at(i).name(),
                    " is named: ", seen.empty() ? "nobody is" : seen[0].ShortDebugString()));
}

// By what compactions leave. As long as another member has not hashed, too, a leader knows that
// there is a difference and not whose: it raises the alarm for nobody, as etcd does, and finds out
// at a later look.
void is_named_in_the_end(Cluster& cluster, int i, int by) {
  std::vector<pb::AlarmMember> seen;
  const bool named = eventually([&] {
    seen = alarms(cluster, by);
    return std::any_of(seen.begin(), seen.end(), [&](const pb::AlarmMember& alarm) {
      return alarm.memberid() == cluster.id(i);
    });
  });
  cluster.check(named, cat(cluster.at(i).name(), " is named in the end"));
  for (const pb::AlarmMember& alarm : seen) {
    cluster.check(alarm.alarm() == pb::CORRUPT &&
                      (alarm.memberid() == cluster.id(i) || alarm.memberid() == 0),
                  cat("nobody else is named: ", alarm.ShortDebugString()));
  }
}

// Nothing is written while the alarm stands; what is there can be read. All members say so.
void all_refuse_writes(Cluster& cluster) {
  for (int i = 0; i < cluster.size(); ++i) {
    if (cluster.at(i).pid() == 0) continue;
    const std::string name = cluster.at(i).name();
    cluster.check(cluster.put(i, "x", "y").error_message() == kCorrupt, name + " refuses a put");
    pb::LeaseGrantRequest grant;
    grant.set_ttl(100);
    pb::LeaseGrantResponse granted;
    cluster.check(cluster.at(i)
                          .client()
                          .unary("/etcdserverpb.Lease/LeaseGrant", grant, &granted)
                          .error_message() == kCorrupt,
                  name + " refuses to grant");
    pb::CompactionRequest compact;
    compact.set_revision(6);
    pb::CompactionResponse compacted;
    cluster.check(
        !cluster.at(i).client().unary("/etcdserverpb.KV/Compact", compact, &compacted).ok(),
        name + " refuses to compact");
    cluster.check(cluster.get(i, "foo1") == "v1", name + " serves reads");
  }
}

void says_so(Cluster& cluster, int i, uint64_t named) {
  const std::string ready = page(cluster, i, "/readyz/data_corruption");
  cluster.check(ready.starts_with("503"), "/readyz/data_corruption: " + ready);
  cluster.check(page(cluster, i, "/health").starts_with("503"), "/health");
  const std::string row = cat("etcd_debugging_server_alarms{alarm_type=\"CORRUPT\",server_id=\"",
                              absl::StrCat(absl::Hex(named)), "\"} 1");
  const std::string metrics = page(cluster, i, "/metrics");
  cluster.check(metrics.find(row) != std::string::npos, "no " + row);
}

// Once somebody has seen to it.
void disarm_all(Cluster& cluster, int by) {
  for (const pb::AlarmMember& alarm : alarms(cluster, by)) {
    pb::AlarmRequest request;
    request.set_action(pb::AlarmRequest::DEACTIVATE);
    request.set_alarm(pb::CORRUPT);
    request.set_memberid(alarm.memberid());
    pb::AlarmResponse response;
    cluster.check(
        cluster.at(by).client().unary("/etcdserverpb.Maintenance/Alarm", request, &response),
        "disarm");
  }
  cluster.check(cluster.put(by, "after", "it"), "put after it");
  cluster.check(page(cluster, by, "/readyz/data_corruption").starts_with("200"),
                "/readyz/data_corruption after it");
}

void is_found_by_the_leader(const Program& program) {
  std::vector<std::string> flags = program.flags;
  flags.push_back("--corrupt-check-time=1s");
  Cluster cluster({{program.binary, flags}, {program.binary, flags}, {program.binary, flags}});
  cluster.start();
  cluster.move_leader(1);
  put_some(cluster);
  cluster.check(alarms(cluster, 0).empty(), "no alarm while all is well");
  alter(cluster, 0);
  cluster.check(cluster.at(0).start(), "start");
  is_named(cluster, 0, 2);
  all_refuse_writes(cluster);
  for (int i = 0; i < 3; ++i) says_so(cluster, i, cluster.id(0));
  std::cout << "the leader's comparison: " << (cluster.ok() ? "ok" : "failed") << std::endl;
  if (!cluster.ok()) exit(1);
}

void is_found_at_a_start(const Program& program) {
  std::vector<std::string> flags = program.flags;
  flags.push_back("--feature-gates=InitialCorruptCheck=true");
  Cluster cluster({{program.binary, flags}, {program.binary, flags}, {program.binary, flags}});
  cluster.start();
  put_some(cluster);
  cluster.check(cluster.at(2).stop(), "stop one that is well");
  cluster.check(cluster.put(1, "meanwhile", "x"), "put meanwhile");
  cluster.check(cluster.at(2).start(), "and start it");
  alter(cluster, 0);
  cluster.check(!cluster.at(0).start(Milliseconds(20000)).ok() && cluster.at(0).exited(),
                "it refuses to start");
  const std::string said =
      cat(absl::StrCat(absl::Hex(cluster.id(0))), " found data inconsistency with peers");
  cluster.check(cluster.at(0).log_tail().find(said) != std::string::npos,
                cat("no \"", said, "\" in ", cluster.at(0).log_tail()));
  cluster.check(cluster.put(1, "without", "it"), "the others go on");
  std::cout << "the comparison at a start: " << (cluster.ok() ? "ok" : "failed") << std::endl;
  if (!cluster.ok()) exit(1);
}

void compact(Cluster& cluster, int by, int64_t revision) {
  pb::CompactionRequest request;
  request.set_revision(revision);
  pb::CompactionResponse response;
  cluster.check(cluster.at(by).client().unary("/etcdserverpb.KV/Compact", request, &response),
                "compact");
}

bool log_says(Cluster& cluster, int i, const std::string& what) {
  return eventually([&] { return cluster.at(i).log_tail().find(what) != std::string::npos; });
}

size_t times_said(Cluster& cluster, int i, const std::string& what) {
  const std::string log = cluster.at(i).log();
  size_t times = 0;
  for (size_t at = 0; (at = log.find(what, at)) != log.npos; at += what.size()) ++times;
  return times;
}

void is_found_by_a_compaction(const Program& program) {
  std::vector<std::string> flags = program.flags;
  flags.push_back("--feature-gates=CompactHashCheck=true");
  flags.push_back("--compact-hash-check-time=1s");
  Cluster cluster({{program.binary, flags}, {program.binary, flags}, {program.binary, flags}});
  cluster.start();
  cluster.move_leader(1);
  put_some(cluster);
  compact(cluster, 0, 5);
  cluster.check(log_says(cluster, 1, "successfully checked hash on whole cluster"),
                "the first compaction is compared: " + cluster.at(1).log_tail());
  alter(cluster, 0);
  cluster.check(cluster.at(0).start(), "start");
  compact(cluster, 0, 9);
  is_named_in_the_end(cluster, 0, 2);
  const std::string look = "finished compaction hash check";
  cluster.check(log_says(cluster, 1, look), "the leader says so");
  all_refuse_writes(cluster);
  // As long as it is there it is found again, also by a look that has its answer already.
  cluster.at(0).kill();
  const size_t looks = times_said(cluster, 1, look);
  cluster.check(eventually([&] { return times_said(cluster, 1, look) >= looks + 2; }),
                "the leader looks again");
  disarm_all(cluster, 1);
  std::cout << "the comparison of compactions: " << (cluster.ok() ? "ok" : "failed") << std::endl;
  if (!cluster.ok()) exit(1);
}

// A leader of either sort finds it in a member of Keelson.
void is_found_among_both(const Program& program, const std::string& etcd, bool etcd_leads) {
  const Program theirs{etcd, {"--experimental-corrupt-check-time=1s"}};
  Program ours = program;
  ours.flags.push_back("--corrupt-check-time=1s");
  Cluster cluster({ours, theirs, ours});
  cluster.start();
  cluster.move_leader(etcd_leads ? 1 : 2);
  put_some(cluster);
  alter(cluster, 0);
  cluster.check(cluster.at(0).start(), "start");
  is_named(cluster, 0, 1, etcd_leads);
  all_refuse_writes(cluster);
  std::cout << "with " << (etcd_leads ? "etcd" : "Keelson")
            << " leading both: " << (cluster.ok() ? "ok" : "failed") << std::endl;
  if (!cluster.ok()) exit(1);
}

int run(const Program& program, const std::string& etcd) {
  is_found_by_the_leader(program);
  is_found_at_a_start(program);
  is_found_by_a_compaction(program);
  if (etcd.empty()) {
    std::cout << "no etcd: nothing was mixed\n";
    return 0;
  }
  is_found_among_both(program, etcd, true);
  is_found_among_both(program, etcd, false);
  return 0;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_and_etcd_test(
      argc, argv, "A member that differs is found and named.",
      [](const std::string& server, const std::string& etcd) {
        return keelson::cluster::run({server}, etcd);
      });
}
