// mixed_test: members of etcd 3.5 and of Keelson in one cluster: either sort leads, serves every
// kind of request, joins and leaves, and all hold the same. Skipped without an etcd.

#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/cluster/load.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

// A bit of everything that goes through the log, through member `i`.
void every_kind(Cluster& cluster, int i, const std::string& name) {
  harness::Client& client = cluster.at(i).client();
  const std::string by = cat(name, " through ", cluster.at(i).name());
  cluster.check(cluster.put(i, name + "/a", "1"), by);
  cluster.check(cluster.put(i, name + "/b", "2"), by);
  pb::LeaseGrantRequest grant;
  grant.set_ttl(1000);
  pb::LeaseGrantResponse granted;
  cluster.check(client.unary("/etcdserverpb.Lease/LeaseGrant", grant, &granted), by + ": lease");
  pb::TxnRequest txn;
  pb::Compare* compare = txn.add_compare();
  compare->set_key(name + "/a");
  compare->set_target(pb::Compare::VALUE);
  compare->set_value("1");
  pb::TxnRequest* inner = txn.add_success()->mutable_request_txn();
  pb::PutRequest* put = inner->add_failure()->mutable_request_put();
  put->set_key(name + "/never");
  put = inner->add_success()->mutable_request_put();
  put->set_key(name + "/nested");
  put->set_lease(granted.id());
  txn.add_success()->mutable_request_delete_range()->set_key(name + "/b");
  pb::TxnResponse done;
  cluster.check(client.unary("/etcdserverpb.KV/Txn", txn, &done), by + ": transaction");
  cluster.check(done.succeeded(), by + ": transaction");
  pb::LeaseTimeToLiveRequest ask;
  ask.set_id(granted.id());
  pb::LeaseTimeToLiveResponse times;
  cluster.check(client.unary("/etcdserverpb.Lease/LeaseTimeToLive", ask, &times), by + ": times");
  cluster.check(times.ttl() > 900, cat(by, ": time to live ", times.ttl()));
  pb::LeaseRevokeRequest revoke;
  revoke.set_id(granted.id());
  pb::LeaseRevokeResponse revoked;
  cluster.check(client.unary("/etcdserverpb.Lease/LeaseRevoke", revoke, &revoked), by + ": revoke");
  pb::CompactionRequest compact;
  compact.set_revision(done.header().revision() - 1);
  pb::CompactionResponse compacted;
  cluster.check(client.unary("/etcdserverpb.KV/Compact", compact, &compacted), by + ": compact");
  cluster.check(cluster.get(i, name + "/a") == "1", by + ": get");
}

void everybody_leads_and_serves(Cluster& cluster, const std::string& name) {
  for (int to = 0; to < cluster.size(); ++to) {
    if (cluster.at(to).pid() == 0) continue;
    cluster.move_leader(to);
    for (int i = 0; i < cluster.size(); ++i) {
      if (cluster.at(i).pid() != 0) every_kind(cluster, i, cat(name, "/", to, "/", i));
    }
    cluster.expect_equal();
  }
}

// Member by member from etcd to Keelson, then back: a learner first, then a voter, then the old one
// goes.
void replace(Cluster& cluster, int old, const Program& program, const std::string& name) {
  const int by = cluster.leader();
  if (by < 0) return;
  const int fresh = cluster.add(program, true, by);
  cluster.join(fresh);
  cluster.promote(fresh, by);
  const int leader = cluster.leader();
  if (leader == old) cluster.move_leader(fresh);
  cluster.remove(old, fresh);
  cluster.check(eventually([&] { return cluster.at(old).exited(); }),
                cat(cluster.at(old).name(), " has been removed and ends"));
  every_kind(cluster, fresh, name);
  cluster.expect_equal();
}

// What a member of a cluster of one refuses, and how: code and text of each.
std::vector<std::string> refusals(Cluster& cluster) {
  std::vector<std::string> out;
  auto ask = [&](const std::string& method, const google::protobuf::Message& request,
                 google::protobuf::Message&& response) {
    grpc::Status status;
    // etcd loses a change of members that is asked for while it applies another one.
    for (int tries = 0; tries < 3; ++tries) {
      status = cluster.at(0).client().unary("/etcdserverpb." + method, request, &response);
      if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) break;
    }
    out.push_back(cat(method, " ", status.error_code(), " ", status.error_message()));
  };
  pb::MemberRemoveRequest remove;
  remove.set_id(4711);
  ask("Cluster/MemberRemove", remove, pb::MemberRemoveResponse());
  remove.set_id(cluster.id(0));
  ask("Cluster/MemberRemove", remove, pb::MemberRemoveResponse());
  pb::MemberPromoteRequest promote;
  promote.set_id(4711);
  ask("Cluster/MemberPromote", promote, pb::MemberPromoteResponse());
  promote.set_id(cluster.id(0));
  ask("Cluster/MemberPromote", promote, pb::MemberPromoteResponse());
  pb::MemberUpdateRequest update;
  update.set_id(4711);
  update.add_peerurls("http://127.0.0.1:1");
  ask("Cluster/MemberUpdate", update, pb::MemberUpdateResponse());
  pb::MoveLeaderRequest move;
  move.set_targetid(4711);
  ask("Maintenance/MoveLeader", move, pb::MoveLeaderResponse());
  pb::MemberAddRequest add;
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  add.add_peerurls("127.0.0.1:1");
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  add.set_peerurls(0, cluster.at(0).peer_url());
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  add.set_peerurls(0, "http://127.0.0.1:1");
  add.set_islearner(true);
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  add.set_peerurls(0, "http://127.0.0.1:2");
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  // From here on there is no quorum.
  add.set_islearner(false);
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  add.set_peerurls(0, "http://127.0.0.1:3");
  ask("Cluster/MemberAdd", add, pb::MemberAddResponse());
  return out;
}

void compare_refusals(Cluster& mine, Cluster& theirs) {
  const std::vector<std::string> here = refusals(mine), there = refusals(theirs);
  for (size_t i = 0; i < here.size(); ++i) {
    mine.check(here[i] == there[i], cat(here[i], "\n  etcd: ", there[i]));
  }
}

// Two of three, there and back, with etcd in between: the cluster goes on speaking 3.5. Then the
// last of etcd goes, too, and there is no way back.
void there_and_back(Cluster& cluster, const std::string& keelson, const std::string& etcd) {
  every_kind(cluster, 0, "before");
  replace(cluster, 0, keelson, "there/0");
  replace(cluster, 1, keelson, "there/1");
  everybody_leads_and_serves(cluster, "moved");
  cluster.check(cluster.status(3).storageversion() == "3.5.0", "it speaks 3.5");
  replace(cluster, 3, etcd, "back/3");
  replace(cluster, 4, etcd, "back/4");
  for (int old : {2, 5, 6}) replace(cluster, old, keelson, cat("there again/", old));
  everybody_leads_and_serves(cluster, "moved again");
  cluster.check(eventually([&] { return cluster.status(7).storageversion() == "3.7.0"; }),
                "it speaks 3.7");
  const int late = cluster.add(etcd, true, 7);
  cluster.check(!cluster.at(late).start(Milliseconds(20000)).ok(), "etcd 3.5 may not join it");
}

// The logs do not go back to the beginning: who joins is sent the state, by either sort.
void by_snapshot(Cluster& cluster, const Program& keelson, const Program& etcd) {
  for (int i = 0; i < 400; ++i) cluster.check(cluster.put(i % 3, cat("k", i), cat("v", i)), "put");
  every_kind(cluster, 0, "before");
  replace(cluster, 0, keelson, "there/0");
  cluster.move_leader(3);
  for (int i = 0; i < 400; ++i) cluster.check(cluster.put(3, cat("l", i), cat("v", i)), "put");
  replace(cluster, 1, etcd, "back/1");
  replace(cluster, 2, keelson, "there/2");
  everybody_leads_and_serves(cluster, "sent");
  cluster.check(cluster.at(3).log_tail().find("snapshot") != std::string::npos, "there were some");
}

int run(const std::string& keelson, const std::string& etcd) {
  Cluster mine({keelson}), theirs({etcd});
  mine.start();
  theirs.start();
  compare_refusals(mine, theirs);

  Cluster founded({keelson, etcd, keelson});
  founded.start();
  everybody_leads_and_serves(founded, "founded");
  for (int i = 0; i < 3; ++i) {
    founded.check(founded.at(i).stop(), "stop");
    founded.check(founded.at(i).start(), "start again");
    every_kind(founded, i, cat("again/", i));
  }
  founded.expect_equal();

  Cluster moved({etcd, etcd, etcd});
  moved.start();
  there_and_back(moved, keelson, etcd);

  const Program small_etcd(etcd,
                           {"--snapshot-count=50", "--experimental-snapshot-catchup-entries=10"});
  const Program small_keelson(keelson, {"--snapshot-count=50", "--snapshot-catchup-entries=10"});
  Cluster sent({small_etcd, small_etcd, small_etcd});
  sent.start();
  by_snapshot(sent, small_keelson, small_etcd);
  const bool ok = mine.ok() && founded.ok() && moved.ok() && sent.ok();
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::etcd_test(argc, argv, "Members of etcd and of Keelson in one cluster.",
                                     keelson::cluster::run);
}
