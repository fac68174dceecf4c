// failpoints_test: every failpoint of etcd's name, armed as etcd's own tests arm it (over HTTP at
// GOFAIL_HTTP, or in the environment), strikes in a running member; a panic ends it with status 2,
// and it starts again with all that it had acknowledged.

#include <functional>
#include <iostream>
#include <set>

#include "base/gofail.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/http.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

// The failpoints of one member that runs.
class Door {
 public:
  explicit Door(Cluster& cluster) : cluster_(cluster), address_(harness::free_address()) {}

  std::string environment() const { return "GOFAIL_HTTP=" + address_; }

  // "404 failed to GET: …"
  std::string ask(const std::string& verb, const std::string& target,
                  const std::string& body = "") const {
    auto answer = harness::http_request(address_, verb, target, body);
    return answer.ok() ? cat(answer->code, " ", answer->body)
                       : std::string(message_of(answer.status()));
  }
  void expect(const std::string& verb, const std::string& target, const std::string& body,
              const std::string& wanted) const {
    const std::string got = ask(verb, target, body);
    cluster_.check(got == wanted, cat(verb, " ", target, ": ", got, ", not ", wanted));
  }
  void arm(const std::string& name, const std::string& terms) const {
    expect("PUT", "/" + name, terms, "204 ");
  }
  void disarm(const std::string& name) const { expect("DELETE", "/" + name, "", "204 "); }
  int count(const std::string& name) const {
    auto answer = harness::http_request(address_, "GET", cat("/", name, "/count"));
    return answer.ok() && answer->code == 200 ? std::atoi(answer->body.c_str()) : 0;
  }

 private:
  Cluster& cluster_;
  const std::string address_;
};

// Panics there, and comes back with what it had.
void expect_panic(Cluster& cluster, int i, const std::string& name) {
  Server& member = cluster.at(i);
  cluster.check(eventually([&] { return member.exited(); }, Milliseconds(20000)),
                name + ": it ends");
  cluster.check(member.exit_text() == "exited with code 2", cat(name, ": ", member.exit_text()));
  cluster.check(member.log_tail().find("failpoint panic: " + name) != std::string::npos,
                name + ": it says why");
}

// What gets a single member to pass a place.
using Trigger = std::function<void(Cluster&)>;

void put(Cluster& cluster) {
  pb::PutRequest request;
  request.set_key("k");
  pb::PutResponse response;
  cluster.at(0).client().unary("/etcdserverpb.KV/Put", request, &response,
                               {Milliseconds(2000), {}, false});
}

// An earlier compaction that a panic cut off goes on after the start, and may strike before the
// puts.
void compact(Cluster& cluster) {
  for (int i = 0; i < 3; ++i) put(cluster);
  pb::CompactionRequest request;
  request.set_revision(cluster.status(0).header().revision());
  pb::CompactionResponse response;
  cluster.at(0).client().unary("/etcdserverpb.KV/Compact", request, &response,
                               {Milliseconds(2000), {}, false});
}

grpc::Status defragment(Cluster& cluster) {
  pb::DefragmentResponse response;
  return cluster.at(0).client().unary("/etcdserverpb.Maintenance/Defragment",
                                      pb::DefragmentRequest(), &response);
}

void add_learner(Cluster& cluster) {
  pb::MemberAddRequest request;
  request.add_peerurls("http://127.0.0.1:1");
  request.set_islearner(true);
  pb::MemberAddResponse response;
  cluster.check(cluster.at(0).client().unary("/etcdserverpb.Cluster/MemberAdd", request, &response),
                "add");
}

void renew_lease(Cluster& cluster) {
  pb::LeaseGrantRequest grant;
  grant.set_ttl(100);
  pb::LeaseGrantResponse granted;
  harness::Client& client = cluster.at(0).client();
  cluster.check(client.unary("/etcdserverpb.Lease/LeaseGrant", grant, &granted), "grant");
  pb::LeaseKeepAliveRequest renew;
  renew.set_id(granted.id());
  auto stream = client.stream("/etcdserverpb.Lease/LeaseKeepAlive");
  stream->send(renew.SerializeAsString());
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "renew");
}

void stream_range(Cluster& cluster) {
  pb::RangeRequest request;
  request.set_key("k");
  auto stream = cluster.at(0).client().stream("/etcdserverpb.KV/RangeStream");
  stream->send(request.SerializeAsString());
  stream->half_close();
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "a chunk");
}

// Watches from `revision` on, and gets an event and a progress notification.
void watch_from(Cluster& cluster, int64_t revision) {
  auto stream = cluster.at(0).client().stream("/etcdserverpb.Watch/Watch");
  pb::WatchRequest request;
  request.mutable_create_request()->set_key("k");
  request.mutable_create_request()->set_start_revision(revision);
  stream->send(request.SerializeAsString());
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "the watch begins");
  cluster.check(cluster.put(0, "k", "watched"), "put");
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "an event");
  request.Clear();
  request.mutable_progress_request();
  cluster.check(eventually([&] {
                  stream->send(request.SerializeAsString());
                  return stream->receive(Milliseconds(200)).has_value();
                }),
                "progress");
}

void watch(Cluster& cluster) { watch_from(cluster, 0); }
void watch_the_past(Cluster& cluster) {
  cluster.check(cluster.put(0, "k", "before"), "put");
  watch_from(cluster, cluster.status(0).header().revision());
}

// More than the connection takes ahead waits for a client that does not read for a while.
void watch_slowly(Cluster& cluster) {
  auto stream = cluster.at(0).client().stream("/etcdserverpb.Watch/Watch");
  pb::WatchRequest request;
  request.mutable_create_request()->set_key("k");
  stream->send(request.SerializeAsString());
  cluster.check(stream->receive(Milliseconds(10000)).has_value(), "the watch begins");
  constexpr int kPuts = 24;
  const std::string value(1 << 20, 'v');
  for (int i = 0; i < kPuts; ++i) cluster.check(cluster.put(0, "k", value), "put");
  for (int seen = 0; seen < kPuts;) {
    const auto message = stream->receive(Milliseconds(10000));
    pb::WatchResponse response;
    if (!message || !response.ParseFromString(*message)) {
      return cluster.check(false, "events that waited");
    }
    seen += response.events_size();
  }
}

struct Named {
  const char* name;
  Trigger trigger;
};

// Where etcd's robustness tests have a member panic.
const std::vector<Named>& panics() {
  static const std::vector<Named> all = {
      {"beforeCommit", put},
      {"afterCommit", put},
      {"beforeStartDBTxn", put},
      {"afterStartDBTxn", put},
      {"commitBeforePreCommitHook", put},
      {"commitAfterPreCommitHook", put},
      {"beforeWritebackBuf", put},
      {"afterWritebackBuf", put},
      {"raftBeforeSave", put},
      {"raftAfterSave", put},
      {"raftBeforeLeaderSend", put},
      {"compactBeforeCommitScheduledCompact", compact},
      {"compactAfterCommitScheduledCompact", compact},
      {"compactBeforeCommitBatch", compact},
      {"compactAfterCommitBatch", compact},
      {"compactBeforeSetFinishedCompact", compact},
      {"compactAfterSetFinishedCompact", compact},
      {"defragBeforeCopy", [](Cluster& cluster) { defragment(cluster); }},
      {"defragBeforeRename", [](Cluster& cluster) { defragment(cluster); }},
  };
  return all;
}

// Where a sleep is what etcd's tests, and others, want.
const std::vector<Named>& sleeps() {
  static const std::vector<Named> all = {
      {"walBeforeSync", put},
      {"walAfterSync", put},
      {"raftBeforeAdvance", put},
      {"beforeApplyOneEntryNormal", put},
      {"beforeApplyOneConfChange", add_learner},
      {"compactAfterAcquiredBatchTxLock", compact},
      {"beforeCheckpointInLeaseRenew", renew_lease},
      {"beforeRangeStreamChunk", stream_range},
      {"beforeSendWatchResponse", watch},
      {"beforeProgressIfSync", watch},
      {"beforeSyncWatchers", watch_the_past},
      {"beforeMoveVictims", watch_slowly},
  };
  return all;
}

// Where a follower is sent the leader's state.
const char* const kSnapshots[] = {
    "raftBeforeSaveSnap",      "raftBeforeWALSaveSnaphot", "raftAfterSaveSnap",
    "raftAfterWALRelease",     "raftBeforeApplySnap",      "raftAfterApplySnap",
    "applyBeforeOpenSnapshot", "applyAfterOpenSnapshot",
};

void protocol(Cluster& cluster, const Door& door) {
  std::string listed;
  for (const std::string& name : gofail::names()) listed += name + "=\n";
  // Disarmed, and in order; etcd's tests look for names here.
  door.expect("GET", "/", "", "200 " + listed);
  door.expect("GET", "/raftBeforeSave", "",
              "404 failed to GET: failpoint: failpoint is disabled\n");
  door.arm("raftBeforeSave", "2*sleep(1)->off");
  door.expect("GET", "/raftBeforeSave", "", "200 2*sleep(1)->off\n");
  for (int i = 0; i < 4; ++i) cluster.check(cluster.put(0, "k", "v"), "put");
  cluster.check(door.count("raftBeforeSave") >= 3, "each term counts");
  door.disarm("raftBeforeSave");
  door.expect("DELETE", "/raftBeforeSave", "",
              "400 failed to delete failpoint failpoint: failpoint is disabled\n");
  door.expect("PUT", "/raftBeforeSave", "boom",
              "400 fail to set failpoint: failpoint: could not parse terms\n");
  door.expect("PUT", "/nothing", "panic",
              "400 fail to set failpoint: failpoint: failpoint does not exist\n");
  door.expect("POST", "/raftBeforeSave", "panic", "405 Method not allowed\n");
}

// Etcd has the text of a return fail a defragmentation; the member goes on.
void failures(Cluster& cluster, const Door& door) {
  for (const std::string name : {"defragOpenFileError", "defragdbFail"}) {
    door.arm(name, "return(\"no space\")");
    const grpc::Status failed = defragment(cluster);
    cluster.check(failed.error_message() == "no space", cat(name, ": ", failed.error_message()));
    door.disarm(name);
    cluster.check(defragment(cluster), "defragment");
  }
  cluster.check(cluster.put(0, "after", "it"), "it goes on");
}

void single_member(Cluster& cluster, const Door& door) {
  protocol(cluster, door);
  failures(cluster, door);
  for (const auto& [name, trigger] : sleeps()) {
    door.arm(name, "sleep(\"1ms\")");
    trigger(cluster);
    cluster.check(eventually([&] { return door.count(name) > 0; }), cat(name, " strikes"));
    door.disarm(name);
  }
  pb::MemberListResponse list;
  for (const auto& [name, trigger] : panics()) {
    cluster.check(cluster.put(0, "last", name), "put");
    door.arm(name, "panic");
    trigger(cluster);
    expect_panic(cluster, 0, name);
    cluster.check(cluster.at(0).start(), cat("it starts again after ", name));
    cluster.check(cluster.get(0, "last") == name, cat("what was acknowledged before ", name));
  }
}

// A follower that was away is sent the state, dies on the way of it, and gets it all the same.
void snapshots(Cluster& cluster, const Door& door) {
  const int away = (cluster.leader() + 1) % 3;
  cluster.at(away).kill();
  const int others[] = {(away + 1) % 3, (away + 2) % 3};
  for (const char* name : kSnapshots) {
    const int by = (away + 1) % 3;
    // Who sent a snapshot keeps the log behind it for a while: another one leads each time.
    cluster.move_leader(others[cluster.leader() == others[0] ? 1 : 0]);
    for (int i = 0; i < 80; ++i) cluster.check(cluster.put(by, cat("k", i), name), "put");
    cluster.at(away).set_environment({cat("GOFAIL_FAILPOINTS=", name, "=panic")});
    cluster.check(cluster.at(away).launch(), "launch");
    expect_panic(cluster, away, name);
    cluster.at(away).set_environment({door.environment()});
    cluster.check(cluster.at(away).start(), cat("it starts again after ", name));
    cluster.check(cluster.get(away, "k79") == name, cat("it has it all after ", name));
    cluster.expect_equal();
    cluster.at(away).kill();
  }
  cluster.check(cluster.at(away).start(), "start");
  door.arm("raftBeforeFollowerSend", "panic");
  expect_panic(cluster, away, "raftBeforeFollowerSend");
  cluster.check(cluster.at(away).start(), "start");
  cluster.expect_equal();
}

int run(const std::string& binary) {
  const Program eager(binary, {"--compaction-batch-limit=10"});
  Cluster alone({eager});
  const Door door(alone);
  alone.at(0).set_environment({door.environment()});
  alone.start();
  single_member(alone, door);

  const Program small(binary, {"--snapshot-count=50", "--snapshot-catchup-entries=10"});
  Cluster three({small, small, small});
  three.start();
  snapshots(three, Door(three));

  // Nobody has been forgotten.
  std::set<std::string> named = {"raftBeforeFollowerSend", "defragOpenFileError", "defragdbFail"};
  for (const Named& one : panics()) named.insert(one.name);
  for (const Named& one : sleeps()) named.insert(one.name);
  named.insert(std::begin(kSnapshots), std::end(kSnapshots));
  const std::vector<std::string> all = gofail::names();
  alone.check(named == std::set<std::string>(all.begin(), all.end()), "all names are tried");
  const bool ok = alone.ok() && three.ok();
  std::cout << (ok ? "ok" : "failed") << "\n";
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "Failpoints by etcd's names.",
                                       keelson::cluster::run);
}
