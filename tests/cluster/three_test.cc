// three_test: three members on one machine found a cluster, all of them serve, and who they are
// changes while they do.

#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/http.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

const char* const kNotForLearners = "etcdserver: rpc not supported for learner";

// What member i tells its peers of all members.
std::string told_to_peers(Cluster& cluster, int i) {
  const std::string url = cluster.at(i).peer_url();
  auto answer = harness::http_request(url.substr(url.find("//") + 2), "GET", "/members");
  return answer.ok() && answer->code == 200 ? answer->body : "";
}

bool tells_of_all(Cluster& cluster, int i) {
  const std::string told = told_to_peers(cluster, i);
  for (int other = 0; other < cluster.size(); ++other) {
    if (told.find(cluster.at(other).client_url()) == std::string::npos) return false;
  }
  return true;
}

void all_serve(Cluster& cluster) {
  for (int i = 0; i < cluster.size(); ++i) {
    cluster.check(cluster.put(i, cat("k", i), cat("v", i)), cat("put through ", i));
    for (int j = 0; j < cluster.size(); ++j) {
      cluster.check(cluster.get(j, cat("k", i)) == cat("v", i), cat("get through ", j));
    }
  }
  for (const pb::Member& member : cluster.members(1)) {
    cluster.check(member.name().size() == 2 && member.clienturls_size() == 1, "members are known");
  }
  for (int i = 0; i < cluster.size(); ++i) {
    cluster.check(eventually([&] { return tells_of_all(cluster, i); }),
                  cat("peers hear who has started: ", told_to_peers(cluster, i)));
  }
  cluster.check(cluster.status(0).storageversion() == "3.7.0", "the cluster speaks 3.7");
  cluster.expect_equal();
}

// Through followers, who do not know the times of leases.
void leases(Cluster& cluster) {
  const int leader = cluster.leader();
  harness::Client& one = cluster.at((leader + 1) % 3).client();
  harness::Client& other = cluster.at((leader + 2) % 3).client();
  pb::LeaseGrantRequest grant;
  grant.set_ttl(100);
  pb::LeaseGrantResponse granted;
  cluster.check(one.unary("/etcdserverpb.Lease/LeaseGrant", grant, &granted), "grant");
  pb::PutRequest put;
  put.set_key("leased");
  put.set_lease(granted.id());
  pb::PutResponse done;
  cluster.check(other.unary("/etcdserverpb.KV/Put", put, &done), "put with a lease");
  pb::LeaseTimeToLiveRequest ask;
  ask.set_id(granted.id());
  ask.set_keys(true);
  pb::LeaseTimeToLiveResponse times;
  cluster.check(other.unary("/etcdserverpb.Lease/LeaseTimeToLive", ask, &times), "ask a follower");
  cluster.check(times.grantedttl() == 100 && times.ttl() > 90 && times.keys_size() == 1,
                cat("the times of a lease: ", times.ShortDebugString()));
  ask.set_id(4711);
  cluster.check(other.unary("/etcdserverpb.Lease/LeaseTimeToLive", ask, &times), "no such lease");
  cluster.check(times.ttl() == -1, "no such lease");

  auto stream = one.stream("/etcdserverpb.Lease/LeaseKeepAlive");
  pb::LeaseKeepAliveRequest renew;
  for (const auto& [id, ttl] : {std::pair(granted.id(), 100), std::pair(int64_t{4711}, 0)}) {
    renew.set_id(id);
    stream->send(renew.SerializeAsString());
    pb::LeaseKeepAliveResponse renewed;
    const auto answer = stream->receive(Milliseconds(10000));
    cluster.check(answer && renewed.ParseFromString(*answer) && renewed.ttl() == ttl,
                  cat("renewed by way of a follower: ", renewed.ShortDebugString()));
  }
}

void watches(Cluster& cluster) {
  const int leader = cluster.leader();
  auto stream = cluster.at((leader + 1) % 3).client().stream("/etcdserverpb.Watch/Watch");
  pb::WatchRequest watch;
  watch.mutable_create_request()->set_key("watched");
  stream->send(watch.SerializeAsString());
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "the watch begins");
  cluster.check(cluster.put(leader, "watched", "x"), "put at the leader");
  pb::WatchResponse events;
  const auto answer = stream->receive(Milliseconds(10000));
  cluster.check(answer && events.ParseFromString(*answer) && events.events_size() == 1,
                "a follower's watcher hears of it");
}

void leadership_moves(Cluster& cluster) {
  for (int to : {0, 1, 2, 1, 0}) {
    cluster.move_leader(to);
    cluster.check(cluster.leader() == to, cat(to, " leads"));
    cluster.check(cluster.put((to + 1) % 3, "moved", cat("to ", to)), "put after a move");
  }
  pb::MoveLeaderRequest request;
  request.set_targetid(cluster.id(1));
  pb::MoveLeaderResponse response;
  auto refused = [&](int at, const std::string& text) {
    const grpc::Status status =
        cluster.at(at).client().unary("/etcdserverpb.Maintenance/MoveLeader", request, &response);
    cluster.check(status.error_message() == text, cat(status.error_message(), ", not ", text));
  };
  refused(1, "etcdserver: not leader");
  request.set_targetid(4711);
  refused(0, "etcdserver: bad leader transferee");
}

void learner(Cluster& cluster, int fresh, int voter) {
  harness::Client& client = cluster.at(fresh).client();
  pb::RangeRequest range;
  range.set_key("k0");
  pb::RangeResponse found;
  const grpc::Status refused = client.unary("/etcdserverpb.KV/Range", range, &found);
  cluster.check(refused.error_message() == kNotForLearners, "a learner refuses to read");
  cluster.check(cluster.put(fresh, "k", "v").error_message() == kNotForLearners,
                "a learner refuses to write");
  auto stream = client.stream("/etcdserverpb.Watch/Watch");
  cluster.check(stream->finish().error_message() == kNotForLearners, "a learner refuses watches");
  range.set_serializable(true);
  cluster.check(client.unary("/etcdserverpb.KV/Range", range, &found), "a serializable read");
  cluster.check(cluster.status(fresh).islearner(), "it says that it learns");
  auto backup = client.stream("/etcdserverpb.Maintenance/Snapshot");
  backup->send(pb::SnapshotRequest().SerializeAsString());
  cluster.check(backup->receive(Milliseconds(10000)).has_value(), "it can be backed up");

  pb::MemberAddRequest another;
  another.add_peerurls("http://127.0.0.1:1");
  another.set_islearner(true);
  pb::MemberAddResponse added;
  const grpc::Status many =
      cluster.at(voter).client().unary("/etcdserverpb.Cluster/MemberAdd", another, &added);
  cluster.check(many.error_message() == "etcdserver: too many learner members in cluster",
                many.error_message());
}

// A fourth member learns, becomes a voter, and takes the place of one that is removed.
void members_change(Cluster& cluster, const std::string& binary) {
  cluster.move_leader(0);
  const int fresh = cluster.add(binary, true, 1);
  pb::MemberPromoteRequest early;
  early.set_id(cluster.id(fresh));
  pb::MemberPromoteResponse promoted;
  const grpc::Status refused =
      cluster.at(1).client().unary("/etcdserverpb.Cluster/MemberPromote", early, &promoted);
  cluster.check(refused.error_message() ==
                    "etcdserver: can only promote a learner member which is in sync with leader",
                "one that is not there is not promoted: " + refused.error_message());
  cluster.join(fresh);
  learner(cluster, fresh, 1);
  cluster.promote(fresh, 2);  // by way of a follower
  // The leader counts, wherever it was asked.
  const std::string metrics = page(cluster, 0, "/metrics");
  for (const char* row : {"etcd_server_learner_promote_successes 1",
                          "etcd_server_learner_promote_failures{Reason=\"etcdserver: can only "
                          "promote a learner member "
                          "which is in sync with leader\"} "}) {
    cluster.check(metrics.find(row) != std::string::npos, cat("no ", row));
  }
  // Who promotes is told before the new voter has heard of it.
  cluster.check(eventually([&] { return cluster.put(fresh, "from", "the new one").ok(); }),
                "it serves");
  cluster.expect_equal();

  cluster.remove(0, 1);  // the leader
  cluster.check(eventually([&] { return cluster.at(0).exited(); }), "who is removed ends");
  cluster.check(cluster.at(0).exit_text() == "exited with code 0", cluster.at(0).exit_text());
  cluster.check(
      cluster.at(0).log_tail().find("the member has been permanently removed") != std::string::npos,
      "and says why");
  // What is on its way to the leader that goes is lost with it, as in etcd: clients ask again.
  cluster.check(eventually([&] { return cluster.put(fresh, "without", "it").ok(); }),
                "the others go on");
  cluster.check(!cluster.at(0).start(Milliseconds(10000)).ok(), "it does not come back");
  cluster.check(cluster.members(fresh).size() == 3, "three are left");
  cluster.expect_equal();
}

// One of three is left: it knows no leader after a while, and says so in every way that etcd does.
void without_a_quorum(Cluster& cluster, const std::vector<int>& others, int left) {
  const harness::CallOptions bound{Milliseconds(30000), {{"hasleader", "true"}}, false};
  auto stream = cluster.at(left).client().stream("/etcdserverpb.Watch/Watch", bound);
  pb::WatchRequest watch;
  watch.mutable_create_request()->set_key("x");
  stream->send(watch.SerializeAsString());
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "the watch begins");
  for (int i : others) cluster.at(i).kill();
  const grpc::Status cut = stream->finish();
  cluster.check(cut.error_message() == "etcdserver: no leader",
                "the stream is cut: " + cut.error_message());
  pb::RangeRequest range;
  range.set_key("k0");
  range.set_serializable(true);
  pb::RangeResponse found;
  const grpc::Status refused =
      cluster.at(left).client().unary("/etcdserverpb.KV/Range", range, &found, bound);
  cluster.check(refused.error_message() == "etcdserver: no leader", refused.error_message());
  cluster.check(cluster.at(left).client().unary("/etcdserverpb.KV/Range", range, &found),
                "a serializable read needs none");
  cluster.check(cluster.status(left).errors_size() == 1, "the status names it");
  const std::string health = page(cluster, left, "/health");
  cluster.check(health.starts_with("503") && health.find("RAFT NO LEADER") != std::string::npos,
                "/health: " + health);
  cluster.check(page(cluster, left, "/readyz").starts_with("503"), "/readyz");
  cluster.check(page(cluster, left, "/livez").starts_with("200"), "/livez");
}

// They are gone for good: the one that is left goes on alone, and others join it.
void goes_on_alone(Cluster& cluster, int left, const std::string& binary) {
  cluster.check(cluster.at(left).stop(), "stop");
  cluster.at(left).set_flags({"--force-new-cluster"});
  cluster.check(cluster.at(left).start(), "start with --force-new-cluster");
  cluster.check(cluster.members(left).size() == 1, "it is alone");
  cluster.check(cluster.get(left, "from") == "the new one", "it has what was acknowledged");
  cluster.check(cluster.put(left, "alone", "yes"), "it serves");
  cluster.check(cluster.at(left).stop(), "stop");
  cluster.at(left).set_flags({});
  cluster.check(cluster.at(left).start(), "start as usual");
  const int fresh = cluster.add(binary, false, left);
  cluster.join(fresh);
  cluster.check(cluster.get(fresh, "alone") == "yes", "another one joins it");
  cluster.expect_equal();
}

// The cluster speaks an older version, says so, and comes back when that is called off.
void downgrades(Cluster& cluster) {
  pb::DowngradeRequest request;
  pb::DowngradeResponse response;
  auto ask = [&](int at, pb::DowngradeRequest::DowngradeAction action, const std::string& version,
                 const std::string& text) {
    request.set_action(action);
    request.set_version(version);
    const grpc::Status status =
        cluster.at(at).client().unary("/etcdserverpb.Maintenance/Downgrade", request, &response);
    cluster.check(status.error_message() == text,
                  cat("downgrade to ", version, ": ", status.error_message()));
  };
  ask(0, pb::DowngradeRequest::VALIDATE, "3.x",
      "etcdserver: wrong downgrade target version format");
  ask(1, pb::DowngradeRequest::VALIDATE, "3.5", "etcdserver: invalid downgrade target version");
  ask(2, pb::DowngradeRequest::VALIDATE, "3.6", "");
  cluster.check(response.version() == "3.7", "validate tells the version: " + response.version());
  ask(0, pb::DowngradeRequest::ENABLE, "3.6", "");
  ask(1, pb::DowngradeRequest::ENABLE, "3.6.0",
      "etcdserver: cluster has a downgrade job in progress");
  auto all_speak = [&](const std::string& version, bool downgrading) {
    return eventually([&] {
      for (int i = 0; i < 3; ++i) {
        const pb::StatusResponse status = cluster.status(i);
        if (status.storageversion() != version) return false;
        if (status.downgradeinfo().enabled() != downgrading) return false;
      }
      return true;
    });
  };
  cluster.check(all_speak("3.6.0", true), "all speak 3.6");
  ask(2, pb::DowngradeRequest::CANCEL, "", "");
  cluster.check(all_speak("3.7.0", false), "all speak 3.7 again");
}

// Two of three have acknowledged a write. Of those one is down, and one has lost its disk and is
// started as it was the first time: it and the third are no quorum.
bool a_wiped_one_does_not_vote(const std::string& binary) {
  Cluster cluster({binary, binary, binary});
  cluster.start();
  // What a process that dies has of it for certain is what is behind these in its log.
  cluster.check(eventually([&] { return tells_of_all(cluster, 1); }), "it hears who has started");
  for (const char* key : {"a", "b", "c"}) cluster.check(cluster.put(1, key, "x"), "put");
  cluster.at(1).kill();
  cluster.check(eventually([&] { return cluster.put(0, "two", "have it").ok(); }), "put");
  cluster.at(0).kill();
  cluster.at(2).wipe();
  auto refused = [&](const std::string& when) {
    const absl::Status again = cluster.at(2).start();
    cluster.check(
        !again.ok() && again.ToString().find("has already been bootstrapped") != std::string::npos,
        cat("a wiped member is refused ", when, ": ", message_of(again)));
  };
  // Both at once: whoever could tell does not listen yet.
  cluster.check(cluster.at(1).launch(), "launch");
  refused("beside one that starts");
  refused("once more");
  cluster.check(eventually([&] { return tells_of_all(cluster, 1); }), "it knows who has started");
  cluster.at(2).wipe();
  refused("where the other one runs");
  cluster.check(cluster.at(0).start(), "start");
  cluster.check(cluster.get(0, "two") == "have it", "acknowledged and gone");
  return cluster.ok();
}

int run(const std::string& binary) {
  const bool holds = a_wiped_one_does_not_vote(binary);
  Cluster cluster({binary, binary, binary});
  cluster.start();
  all_serve(cluster);
  leases(cluster);
  watches(cluster);
  leadership_moves(cluster);
  downgrades(cluster);
  members_change(cluster, binary);
  without_a_quorum(cluster, {1, 2}, 3);
  goes_on_alone(cluster, 3, binary);
  const bool ok = holds && cluster.ok();
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "A cluster of three, and how it changes.",
                                       keelson::cluster::run);
}
