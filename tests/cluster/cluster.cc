#include "tests/cluster/cluster.h"

#include <algorithm>
#include <iostream>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "tests/harness/http.h"

namespace keelson::cluster {
namespace {

namespace pb = etcdserverpb;

// A change that was made, and whose answer came too late, is made all the same.
const char* const kIsVoter = "etcdserver: can only promote a learner member";
const char* const kIsGone = "etcdserver: member not found";

}  // namespace

Cluster::Cluster(const std::vector<Program>& programs, Links* links)
    : Cluster(programs, links, nullptr) {}

Cluster::Cluster(const std::vector<Program>& programs, const Network& network)
    : Cluster(programs, nullptr, &network) {}

Cluster::Cluster(const std::vector<Program>& programs, Links* links, const Network* network)
    : links_(links), ids_(programs.size()) {
  for (int i = 0; i < static_cast<int>(programs.size()); ++i) {
    harness::ServerOptions options{.binary = programs[static_cast<size_t>(i)].binary,
                                   .name = cat("m", i)};
    if (network != nullptr) {
      options.host = Network::host(i);
      options.network = network->of(i);
    }
    members_.push_back(std::make_unique<Server>(std::move(options)));
    members_.back()->prepare();
    add_door(i);
  }
  for (int i = 0; i < size(); ++i) {
    at(i).set_flags(
        flags_of(i, programs[static_cast<size_t>(i)], {"--initial-cluster=" + initial_cluster()}));
  }
}

void Cluster::add_door(int i) {
  std::string url = at(i).peer_url();
  if (links_ != nullptr) {
    const int port = links_->add(std::stoi(url.substr(url.rfind(':') + 1)));
    check(port != 0, "a door for " + at(i).name());
    url = cat("http://127.0.0.1:", port);
  }
  peer_urls_.push_back(url);
}

std::vector<std::string> Cluster::flags_of(int i, const Program& program,
                                           std::vector<std::string> more) const {
  std::vector<std::string> flags = program.flags;
  flags.push_back("--initial-advertise-peer-urls=" + peer_urls_[static_cast<size_t>(i)]);
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

std::vector<std::string> Cluster::addresses() const {
  std::vector<std::string> out;
  for (const auto& member : members_) {
    if (member->pid() != 0) out.push_back(member->address());
  }
  return out;
}

std::string Cluster::initial_cluster() const {
  std::string out;
  for (size_t i = 0; i < members_.size(); ++i) {
    out += cat(out.empty() ? "" : ",", members_[i]->name(), "=", peer_urls_[i]);
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
      if (listed.peerurls_size() != 1) continue;
      if (listed.peerurls(0) != peer_urls_[static_cast<size_t>(i)]) continue;
      ids_[static_cast<size_t>(i)] = listed.id();
      if (links_ != nullptr) links_->know(i, listed.id());
    }
  }
}

int Cluster::add(const Program& program, bool learner, int by) {
  const int i = size();
  members_.push_back(std::make_unique<Server>(
      harness::ServerOptions{.binary = program.binary, .name = cat("m", i)}));
  at(i).prepare();
  add_door(i);
  pb::MemberAddRequest request;
  request.add_peerurls(peer_urls_.back());
  request.set_islearner(learner);
  pb::MemberAddResponse response;
  // A member that was just added or removed may not have been heard of for five seconds yet.
  check(eventually([&] {
          return at(by).client().unary("/etcdserverpb.Cluster/MemberAdd", request, &response).ok();
        }),
        cat("add ", at(i).name()));
  ids_.push_back(response.member().id());
  if (links_ != nullptr) links_->know(i, ids_.back());
  std::string cluster;
  for (const pb::Member& member : response.members()) {
    const bool self = member.id() == response.member().id();
    cluster += cat(cluster.empty() ? "" : ",", self ? at(i).name() : member.name(), "=",
                   member.peerurls(0));
  }
  at(i).set_flags(
      flags_of(i, program, {"--initial-cluster=" + cluster, "--initial-cluster-state=existing"}));
  return i;
}

void Cluster::found_anew(int i, const Program& program) {
  at(i).wipe();
  at(i).set_flags(flags_of(
      i, program, {"--initial-cluster=" + initial_cluster(), "--initial-cluster-token=anew"}));
  ids_[static_cast<size_t>(i)] = 0;
}

void Cluster::join(int i) { check(at(i).start(), "join " + at(i).name()); }

void Cluster::promote(int i, int by) {
  pb::MemberPromoteRequest request;
  request.set_id(id(i));
  pb::MemberPromoteResponse response;
  grpc::Status last;
  const bool promoted = eventually([&] {
    last = at(by).client().unary("/etcdserverpb.Cluster/MemberPromote", request, &response);
    return last.ok() || last.error_message() == kIsVoter;
  });
  check(promoted, cat("promote ", at(i).name(), ": ", last.error_message()));
}

void Cluster::remove(int i, int by) {
  pb::MemberRemoveRequest request;
  request.set_id(id(i));
  pb::MemberRemoveResponse response;
  grpc::Status last;
  const bool removed = eventually([&] {
    last = at(by).client().unary("/etcdserverpb.Cluster/MemberRemove", request, &response);
    return last.ok() || last.error_message() == kIsGone;
  });
  check(removed, cat("remove ", at(i).name(), ": ", last.error_message()));
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

grpc::Status Cluster::grant(int i, int64_t lease, int64_t seconds) {
  pb::LeaseGrantRequest request;
  request.set_id(lease);
  request.set_ttl(seconds);
  pb::LeaseGrantResponse response;
  return at(i).client().unary("/etcdserverpb.Lease/LeaseGrant", request, &response);
}

int64_t Cluster::renew(int i, int64_t lease) {
  pb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  pb::LeaseKeepAliveResponse response;
  auto stream = at(i).client().stream("/etcdserverpb.Lease/LeaseKeepAlive");
  stream->send(request.SerializeAsString());
  const std::optional<std::string> answer = stream->receive(Milliseconds(10000));
  return answer && response.ParseFromString(*answer) ? response.ttl() : -2;
}

int64_t Cluster::time_to_live(int i, int64_t lease) {
  pb::LeaseTimeToLiveRequest request;
  request.set_id(lease);
  pb::LeaseTimeToLiveResponse response;
  const grpc::Status status =
      at(i).client().unary("/etcdserverpb.Lease/LeaseTimeToLive", request, &response);
  return status.ok() ? response.ttl() : -2;
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

std::string page(Cluster& cluster, int i, const std::string& path) {
  auto answer = harness::http_request(cluster.at(i).address(), "GET", path);
  return answer.ok() ? cat(answer->code, " ", answer->body)
                     : std::string(message_of(answer.status()));
}

}  // namespace keelson::cluster
