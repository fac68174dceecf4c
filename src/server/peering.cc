#include "server/peering.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "peer/round.h"
#include "rpc/others.h"
#include "server/joining.h"
#include "server/places.h"

namespace keelson::server {
namespace {

// As etcd says what it has found.
std::optional<net::Address> find_local_address(const Config& config) {
  if (!config.feature("SetMemberLocalAddr")) return std::nullopt;
  const std::string urls = urls_text(config.initial_advertise_peer_urls);
  log::info("searching for a suitable member local address in AdvertisePeerURLs",
            {{"advertise-peer-urls", urls}});
  const std::string found = local_address(config);
  if (found.empty()) {
    log::warn("unable to set a member local address due to lack of suitable local addresses",
              {{"advertise-peer-urls", urls}});
    return std::nullopt;
  }
  log::info("setting member local address", {{"LocalAddr", found}});
  return net::ip_address(found);
}

peer::NetworkOptions network_options(const Config& config, net::LoopPool* loops, const PeerTls& tls,
                                     net::TlsHandshakes* handshakes, peer::Observer* observer) {
  return {.loops = loops,
          .version = std::string(kEtcdVersion),
          .dial_timeout = seconds(1) + config.election_timeout(),
          .read_timeout = config.raft_read_timeout,
          .write_timeout = config.raft_write_timeout,
          .from = find_local_address(config),
          .tls = tls.client,
          .handshakes = handshakes,
          .observer = observer};
}

// For five seconds, as in etcd.
constexpr int kLooksForPeers = 100;
// As for the question before a member founds anything (joining.cc).
constexpr auto kContactPatience = std::chrono::seconds(1);

}  // namespace

class Peering::Asking final : public rpc::Others {
 public:
  explicit Asking(peer::Network& network) : network_(network) {}

  std::optional<MonotonicTime> active_since(MemberId member) const override {
    const std::shared_ptr<const peer::Network::Active> active = network_.active();
    auto found = active->find(member);
    if (found == active->end()) return std::nullopt;
    return found->second;
  }

  void promote(MemberId member, std::string token, const membership::Member& leader,
               Duration timeout, Done<Members> done) override {
    network_.ask().promote(member, std::move(token), leader.peer_urls, timeout, std::move(done));
  }
  void renew_lease(LeaseId lease, const membership::Member& leader, Duration timeout,
                   Done<int64_t> done) override {
    network_.ask().renew_lease(lease, leader.peer_urls, timeout, std::move(done));
  }
  void lease_times(LeaseId lease, bool keys, const membership::Member& leader, Duration timeout,
                   Done<rpc::LeaseTimes> done) override {
    network_.ask().lease_times(
        lease, keys, leader.peer_urls, timeout,
        [done = std::move(done)](absl::StatusOr<peer::LeaseTimes> times) mutable {
          if (!times.ok()) return done(times.status());
          done(rpc::LeaseTimes{.remaining = times->remaining,
                               .granted = times->granted,
                               .keys = lease::KeyListing::of(times->keys)});
        });
  }

 private:
  peer::Network& network_;
};

Peering::Peering(const Config& config, PeerTls tls, net::LoopPool* loops, net::AcceptGate* gate,
                 http::Metrics& metrics)
    : config_(config),
      tls_(std::move(tls)),
      gate_(gate),
      handshakes_(std::make_unique<net::TlsHandshakes>(1)),
      peer_metrics_(metrics),
      network_(network_options(config, loops, tls_, handshakes_.get(), &peer_metrics_)) {
  network_.serve_on(router_);
}

Peering::~Peering() = default;

absl::StatusOr<std::optional<membership::Bootstrap>> Peering::introduce_self() {
  if (config_.initial_cluster_state == "new") {
    if (absl::Status s = check_not_bootstrapped(config_, network_.ask()); !s.ok()) return s;
    return std::nullopt;
  }
  absl::StatusOr<membership::Bootstrap> cluster = join_cluster(config_, network_.ask());
  if (!cluster.ok()) return cluster.status();
  introduced_ = cluster->members;
  return *std::move(cluster);
}

absl::Status Peering::listen() {
  net::ListenerOptions options{.gate = gate_,
                               .reuse_address = config_.socket_reuse_address,
                               .reuse_port = config_.socket_reuse_port,
                               .unix_socket_mode = config_.unix_socket_mode};
  for (const Place& place : places_of(config_.listen_peer_urls)) {
    if (place.secure) {
      auto tls = std::make_shared<net::ListenerTls>();
      CHECK(tls_.listeners != nullptr);  // tls_rules.h
      tls->context = tls_.listeners;
      tls->handshakes = handshakes_.get();
      tls->plaintext_too = place.plain;
      if (!config_.peer_tls.skip_client_san_verification) {
        tls->client_names = &network_.resolver();
      }
      tls->rejected = "rejected connection on peer endpoint";
      options.tls = std::move(tls);
    } else {
      options.tls = nullptr;
    }
    absl::StatusOr<std::unique_ptr<net::Listener>> listener =
        net::Listener::start(place.address, &network_.loops(), &router_, nullptr, options);
    if (!listener.ok()) return listener.status();
    log::info("serving peer traffic", {{"address", (*listener)->address()}});
    listeners_.push_back(*std::move(listener));
  }
  return absl::OkStatus();
}

// A founder knows no members before it has gone through its log, and no term but the one that all
// begin with before it has heard of others.
peer::Receiver* Peering::receiver_of(node::Node& node, Ends ends) {
  receiver_.emplace(&node.consensus(),
                    config_.pre_vote ? static_cast<int>(config_.election_ticks()) : 0,
                    std::move(ends.removed));
  const bool begins = config_.initial_cluster_state == "new" && node.state().term.load() <= 1;
  if (!begins) return &*receiver_;
  first_contact_.emplace(peer::FirstContact::Parts{
      .receiver = &*receiver_,
      .ask =
          [this](peer::Urls urls, peer::Done<peer::RemoteCluster> done) {
            network_.ask().members(std::move(urls), kContactPatience, std::move(done));
          },
      .self = node.member(),
      .members = [&node] { return node.members().view(); },
      .has_announced = [&node] { return node.has_announced(); },
      .refused = std::move(ends.refused)});
  return &*first_contact_;
}

void Peering::start(node::Node& node, rpc::Context& context, StoreHashes& hashes,
                    peer::SnapshotHome* home, Ends ends) {
  node_ = &node;
  asking_ = std::make_unique<Asking>(network_);
  context.set_others(asking_.get());
  answers_.emplace(context, hashes);
  node.set_ask_versions([this](std::vector<membership::Member> members, auto done) {
    ask_versions(std::move(members), std::move(done));
  });
  node.set_members_changed([this](std::shared_ptr<const membership::View> members) {
    network_.set_members(std::move(members));
  });
  peer_metrics_.set_local(node.member());
  network_.start({.member = node.member(),
                  .cluster = node.cluster(),
                  .peer_urls = url_texts(config_.initial_advertise_peer_urls)},
                 receiver_of(node, std::move(ends)), &*answers_, node.members().view(), home);
  if (!introduced_.empty()) network_.introduce(introduced_);
  if (config_.initial_election_tick_advance) advance_ticks(kLooksForPeers);
}

// Who just started has heard nothing and waits for an election timeout, though perhaps nobody
// leads. Once others are there two ticks are enough for a leader to be heard of.
void Peering::advance_ticks(int attempts_left) {
  if (attempts_left == 0) return;
  network_.loops().at(0).post_after(milliseconds(50), [this, attempts_left] {
    if (network_.active()->empty()) return advance_ticks(attempts_left - 1);
    const auto ticks = static_cast<int>(config_.election_ticks()) - 2;
    node_->consensus().with_core([ticks](raft::RawNode& core) {
      if (core.basic_status().soft_state.lead != raft::kNobody) return;
      log::info("initialized peer connections; fast-forwarding election ticks",
                {{"forward-ticks", ticks}});
      for (int i = 0; i < ticks; ++i) core.tick();
    });
  });
}

void Peering::ask_versions(std::vector<membership::Member> members,
                           absl::AnyInvocable<void(node::Versions::List)> done) {
  CHECK(!members.empty());
  auto round = std::make_shared<peer::Round<std::optional<membership::Version>>>(members.size(),
                                                                                 std::move(done));
  for (size_t i = 0; i < members.size(); ++i) {
    network_.ask().version(members[i].id, members[i].peer_urls, config_.request_timeout(),
                           [round, i](absl::StatusOr<peer::Versions> versions) {
                             std::optional<membership::Version> version;
                             if (versions.ok()) {
                               version = membership::Version::parse(versions->server);
                             }
                             round->answered(i, std::move(version));
                           });
  }
}

// Who advertises no URLs cannot be asked, and is none of them, as in etcd.
void Peering::ask_hashes(node::Node& node, int64_t revision,
                         absl::AnyInvocable<void(std::vector<PeerHash>)> done) {
  std::vector<membership::Member> others = node.members().view()->members;
  std::erase_if(others, [&node](const membership::Member& member) {
    return member.id == node.member() || member.peer_urls.empty();
  });
  if (others.empty()) return done({});
  auto round = std::make_shared<peer::Round<PeerHash>>(others.size(), std::move(done));
  for (size_t i = 0; i < others.size(); ++i) {
    network_.ask().hash_kv(
        node.cluster(), others[i].peer_urls, revision, config_.request_timeout(),
        [round, i, id = others[i].id,
         urls = others[i].peer_urls](absl::StatusOr<peer::HashAnswer> answer) mutable {
          auto hash = [&]() -> absl::StatusOr<mvcc::KvHash> {
            if (!answer.ok()) return answer.status();
            return mvcc::KvHash{.hash = answer->hash,
                                .compact_revision = answer->compact_revision,
                                .hash_revision = answer->hash_revision,
                                .current_revision = answer->revision};
          };
          round->answered(i, {.member = id, .urls = std::move(urls), .hash = hash()});
        });
  }
}

void Peering::ask_hashes(int64_t revision, absl::AnyInvocable<void(std::vector<PeerHash>)> done) {
  ask_hashes(*node_, revision, std::move(done));
}

std::vector<PeerHash> Peering::hashes_of_others(node::Node& node, int64_t revision) {
  std::promise<std::vector<PeerHash>> hashes;
  ask_hashes(node, revision,
             [&](std::vector<PeerHash> found) { hashes.set_value(std::move(found)); });
  return hashes.get_future().get();
}

std::optional<MemberId> Peering::longest_connected() const {
  const std::shared_ptr<const peer::Network::Active> active = network_.active();
  std::optional<MemberId> longest;
  for (const membership::Member& member : node_->members().view()->members) {
    auto found = active->find(member.id);
    if (member.is_learner || member.id == node_->member() || found == active->end()) continue;
    if (!longest || found->second < active->at(*longest)) longest = member.id;
  }
  return longest;
}

void Peering::stop() {
  listeners_.clear();
  network_.stop();
  handshakes_.reset();  // nobody shakes hands any more
}

}  // namespace keelson::server
