#include "tests/cluster/cluster.h"

#include <algorithm>
#include <iostream>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "base/text.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;
using std::chrono::steady_clock;

constexpr Milliseconds kPoll{20};

std::vector<std::string> with(std::vector<std::string> flags, std::vector<std::string> more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

}  // namespace

bool eventually(const std::function<bool()>& condition, Milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

Cluster::Cluster(const std::vector<Program>& programs) : ids_(programs.size()) {
  for (size_t i = 0; i < programs.size(); ++i) {
    members_.push_back(std::make_unique<Server>(
        harness::ServerOptions{.binary = programs[i].binary, .name = cat("m", i)}));
    members_.back()->prepare();
  }
  for (size_t i = 0; i < programs.size(); ++i) {
    members_[i]->set_flags(with(programs[i].flags, {"--initial-cluster=" + initial_cluster()}));
  }
}

std::string Cluster::initial_cluster() const {
  std::string out;
  for (const auto& member : members_) {
    if (member) out += cat(out.empty() ? "" : ",", member->name(), "=", member->peer_url());
  }
  return out;
}

void Cluster::start() {
  for (auto& member : members_) check(member->launch(), "launch " + member->name());
  for (auto& member : members_) check(member->start(), "start " + member->name());
  learn_ids(0);
}

void Cluster::learn_ids(int by) {
  for (const pb::Member& listed : members(by)) {
    for (int i = 0; i < size(); ++i) {
      if (listed.peerurls_size() == 1 && listed.peerurls(0) == at(i).peer_url()) {
        ids_[static_cast<size_t>(i)] = listed.id();
      }
    }
  }
}

int Cluster::add(const Program& program, bool learner, int by) {
  const int i = size();
  members_.push_back(std::make_unique<Server>(
      harness::ServerOptions{.binary = program.binary, .name = cat("m", i)}));
  at(i).prepare();
  pb::MemberAddRequest request;
  request.add_peerurls(at(i).peer_url());
  request.set_islearner(learner);
  pb::MemberAddResponse response;
  // A member that was just added or removed may not have been heard of for five seconds yet.
  check(eventually([&] {
          return at(by).client().unary("/etcdserverpb.Cluster/MemberAdd", request, &response).ok();
        }),
        cat("add ", at(i).name()));
  ids_.push_back(response.member().id());
  std::string cluster;
  for (const pb::Member& member : response.members()) {
    const bool self = member.id() == response.member().id();
    cluster += cat(cluster.empty() ? "" : ",", self ? at(i).name() : member.name(), "=",
                   member.peerurls(0));
  }
  at(i).set_flags(
      with(program.flags, {"--initial-cluster=" + cluster, "--initial-cluster-state=existing"}));
  return i;
}

void Cluster::join(int i) { check(at(i).start(), "join " + at(i).name()); }

void Cluster::promote(int i, int by) {
  pb::MemberPromoteRequest request;
  request.set_id(id(i));
  pb::MemberPromoteResponse response;
  grpc::Status last;
  check(eventually([&] {
          last = at(by).client().unary("/etcdserverpb.Cluster/MemberPromote", request, &response);
          return last.ok();
        }),
        cat("promote ", at(i).name(), ": ", last.error_message()));
}

void Cluster::remove(int i, int by) {
  pb::MemberRemoveRequest request;
  request.set_id(id(i));
  pb::MemberRemoveResponse response;
  grpc::Status last;
  check(eventually([&] {
          last = at(by).client().unary("/etcdserverpb.Cluster/MemberRemove", request, &response);
          return last.ok();
        }),
        cat("remove ", at(i).name(), ": ", last.error_message()));
}

// Raft gives it up after an election timeout, if the other one is not up to date by then.
void Cluster::move_leader(int to) {
  pb::MoveLeaderRequest request;
  request.set_targetid(id(to));
  pb::MoveLeaderResponse response;
  grpc::Status last;
  const bool moved = eventually([&] {
    const int from = leader();
    if (from < 0 || from == to) return true;
    last = at(from).client().unary("/etcdserverpb.Maintenance/MoveLeader", request, &response,
                                   {Milliseconds(5000), {}, false});
    return last.ok();
  });
  check(moved, cat("move the leader to ", at(to).name(), ": ", last.error_message()));
}

int Cluster::leader() {
  int found = -1;
  check(eventually([&] {
          for (int i = 0; i < size() && found < 0; ++i) {
            if (at(i).pid() != 0 && id(i) != 0 && status(i).leader() == id(i)) found = i;
          }
          return found >= 0;
        }),
        "somebody leads");
  return found;
}

grpc::Status Cluster::put(int i, const std::string& key, const std::string& value) {
  pb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  pb::PutResponse response;
  return at(i).client().unary("/etcdserverpb.KV/Put", request, &response);
}

std::optional<std::string> Cluster::get(int i, const std::string& key) {
  pb::RangeRequest request;
  request.set_key(key);
  pb::RangeResponse response;
  if (!at(i).client().unary("/etcdserverpb.KV/Range", request, &response).ok()) return std::nullopt;
  if (response.kvs_size() != 1) return std::nullopt;
  return response.kvs(0).value();
}

pb::StatusResponse Cluster::status(int i) {
  pb::StatusResponse response;
  at(i).client().unary("/etcdserverpb.Maintenance/Status", pb::StatusRequest(), &response,
                       {Milliseconds(2000), {}, false});
  return response;
}

std::vector<pb::Member> Cluster::members(int i) {
  pb::MemberListRequest request;
  request.set_linearizable(true);
  pb::MemberListResponse response;
  check(at(i).client().unary("/etcdserverpb.Cluster/MemberList", request, &response),
        "list the members");
  return {response.members().begin(), response.members().end()};
}

void Cluster::expect_equal() {
  using Hash = std::tuple<int64_t, uint32_t, int64_t>;
  std::string seen;
  const bool equal = eventually([&] {
    std::set<Hash> hashes;
    seen.clear();
    for (int i = 0; i < size(); ++i) {
      if (at(i).pid() == 0) continue;
      pb::HashKVResponse response;
      grpc::Status status =
          at(i).client().unary("/etcdserverpb.Maintenance/HashKV", pb::HashKVRequest(), &response);
      seen += cat(" ", at(i).name(), ":", response.header().revision(), "/", response.hash(), "/",
                  response.compact_revision(), status.error_message());
      hashes.emplace(status.ok() ? response.header().revision() : -i - 1, response.hash(),
                     response.compact_revision());
    }
    return hashes.size() == 1;
  });
  check(equal, "the members hold the same:" + seen);
}

void Cluster::check(bool good, const std::string& what) {
  if (good) return;
  std::cout << "FAILED " << what << std::endl;
  ++failures_;
}

void Cluster::check(const absl::Status& status, const std::string& what) {
  check(status.ok(), cat(what, ": ", message_of(status)));
}

void Cluster::check(const grpc::Status& status, const std::string& what) {
  check(status.ok(), cat(what, ": ", status.error_message()));
}

}  // namespace keelson::cluster
