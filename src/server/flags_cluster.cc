// Flags of etcd's group "Clustering".

#include "base/text.h"
#include "server/flag_table.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using enum FlagEffect;

template <typename Accessor>
FlagSpec cluster(std::string_view name, FlagEffect effect, Accessor accessor,
                 std::string_view help) {
  return flag(name, FlagGroup::kClustering, effect, accessor, help);
}

// Discovery stands in a section of its own in a config file.
template <typename Accessor>
FlagSpec discovery(std::string_view name, Accessor accessor, std::string_view help) {
  return in_file(cluster(name, kYes, accessor, help), FileKind::kAbsent);
}

template <typename Accessor>
FlagSpec gone(std::string_view name, Accessor accessor) {
  return in_file(cluster(name, kRefused, accessor, "Gone in etcd 3.7."), FileKind::kAbsent);
}

absl::Status set_v2_deprecation(Config& config, std::string_view text) {
  for (std::string_view word :
       {"write-only", "write-only-skip-check", "write-only-drop-data", "gone"}) {
    if (text == word) return absl::OkStatus();  // checked and then ignored, as in etcd
  }
  return absl::InvalidArgumentError(cat("invalid value ", quoted(text)));
}

std::vector<FlagSpec> rows_of_bootstrap() {
  return {
      cluster("initial-advertise-peer-urls", kYes, KEELSON_FIELD(initial_advertise_peer_urls),
              "This member's peer URLs, as others should use them."),
      cluster("initial-cluster", kYes, KEELSON_FIELD(initial_cluster),
              "The members of a new cluster: name=url, comma-separated."),
      with_setter(cluster("initial-cluster-state", kYes, KEELSON_FIELD(initial_cluster_state),
                          "'new', or 'existing' to join a cluster that is there."),
                  [](Config& c, std::string_view text) {
                    return set_one_of(c.initial_cluster_state, text, {"new", "existing"});
                  }),
      cluster("initial-cluster-token", kYes, KEELSON_FIELD(initial_cluster_token),
              "Keeps clusters with the same members apart; part of the cluster's id."),
      cluster("advertise-client-urls", kYes, KEELSON_FIELD(advertise_client_urls),
              "This member's client URLs, as MemberList tells them."),
      cluster("strict-reconfig-check", kYes, KEELSON_FIELD(strict_reconfig_check),
              "Refuse membership changes that would lose the quorum."),
      cluster("pre-vote", kYes, KEELSON_FIELD(pre_vote),
              "Ask before an election whether it could be won."),
      cluster("auto-compaction-retention", kYes, KEELSON_FIELD(auto_compaction_retention),
              "History to keep when compacting by itself: hours, a duration, or revisions (0: "
              "never compact)."),
      cluster("auto-compaction-mode", kYes, KEELSON_FIELD(auto_compaction_mode),
              "'periodic' or 'revision'."),
      with_setter(cluster("v2-deprecation", kDeprecated, KEELSON_FIELD(v2_deprecation),
                          "Stage of etcd's removal of its version 2 store."),
                  set_v2_deprecation),
  };
}

std::vector<FlagSpec> rows_of_discovery() {
  return {
      gone("discovery", KEELSON_FIELD(discovery.v2_url)),
      gone("discovery-proxy", KEELSON_FIELD(discovery.v2_proxy)),
      with_setter(discovery("discovery-endpoints", KEELSON_FIELD(discovery.endpoints),
                            "The discovery service."),
                  [](Config& c, std::string_view text) {
                    c.discovery.endpoints = unique_comma_parts(text);
                    if (text.empty()) c.discovery.endpoints = {""};
                    return absl::OkStatus();
                  }),
      discovery("discovery-token", KEELSON_FIELD(discovery.token), "The cluster's token there."),
      discovery("discovery-dial-timeout", KEELSON_FIELD(discovery.dial_timeout),
                "Longest wait for a connection to it."),
      discovery("discovery-request-timeout", KEELSON_FIELD(discovery.request_timeout),
                "Longest wait for an answer of it."),
      discovery("discovery-keepalive-time", KEELSON_FIELD(discovery.keepalive_time),
                "Time between pings to it."),
      discovery("discovery-keepalive-timeout", KEELSON_FIELD(discovery.keepalive_timeout),
                "Longest wait for its answer to a ping."),
      discovery("discovery-insecure-transport", KEELSON_FIELD(discovery.insecure_transport),
                "Reach it without TLS."),
      discovery("discovery-insecure-skip-tls-verify",
                KEELSON_FIELD(discovery.insecure_skip_tls_verify), "Do not check its certificate."),
      discovery("discovery-cert", KEELSON_FIELD(discovery.cert), "Certificate for it."),
      discovery("discovery-key", KEELSON_FIELD(discovery.key), "Key for it."),
      discovery("discovery-cacert", KEELSON_FIELD(discovery.cacert), "Authority that signed it."),
      discovery("discovery-user", KEELSON_FIELD(discovery.user), "user[:password] for it."),
      discovery("discovery-password", KEELSON_FIELD(discovery.password), "Password for it."),
      with_setter(discovery("discovery-fallback", KEELSON_FIELD(discovery.fallback),
                            "What to do when it fails: 'exit'."),
                  [](Config& c, std::string_view text) {
                    return set_one_of(c.discovery.fallback, text, {"exit", "proxy"});
                  }),
      cluster("discovery-srv", kYes, KEELSON_FIELD(discovery.dns_srv),
              "DNS domain whose SRV records name the members."),
      cluster("discovery-srv-name", kYes, KEELSON_FIELD(discovery.dns_srv_name),
              "Suffix of the SRV service's name."),
  };
}

}  // namespace

std::span<const FlagSpec> cluster_flags() {
  static const std::vector<FlagSpec> rows = [] {
    std::vector<FlagSpec> all = rows_of_bootstrap();
    const std::vector<FlagSpec> more = rows_of_discovery();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return rows;
}

}  // namespace keelson::server
