// The members of a new cluster, as SRV records name them.

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "server/discovery.h"
#include "server/go_values.h"
#include "server/url_match.h"

namespace keelson::server {
namespace {

using Parts = std::vector<std::string>;  // name=url

// In the form that Go prints lists in.
std::string listed(const Parts& parts) {
  std::string out = "[";
  for (const std::string& part : parts) out += cat(out.size() > 1 ? " " : "", part);
  return out + "]";
}

// Whoever stands at an address that this member advertises is this member; others get numbers for
// names, which count for nothing: each tells its own when it has started.
absl::StatusOr<Parts> members_of(const Config& config, std::string_view scheme,
                                 const std::string& service, const outbound::NameServer& server) {
  std::map<std::string, Url> ours;
  for (const Url& url : config.initial_advertise_peer_urls) {
    const std::optional<std::string> address = address_of(url);
    if (!address) return absl::NotFoundError(cat("lookup ", url.hostname(), ": no such host"));
    ours[*address] = url;
  }
  const auto failed = [&service](const absl::Status& why) {
    return absl::Status(why.code(),
                        cat("error querying DNS SRV records for _", service, " ", message_of(why)));
  };
  absl::StatusOr<std::vector<outbound::SrvRecord>> records =
      outbound::lookup_srv(service, config.discovery.dns_srv, server);
  if (!records.ok()) return failed(records.status());
  Parts parts;
  absl::Status last;
  int next = 0;
  for (const outbound::SrvRecord& record : *records) {
    const Url url{std::string(scheme), cat(record.target, ":", record.port), ""};
    const std::optional<std::string> address = address_of(url);
    if (!address) {
      last = absl::NotFoundError(cat("lookup ", record.target, ": no such host"));
      continue;
    }
    const auto self = ours.find(*address);
    std::string name = self == ours.end() ? "" : config.name;
    if (name.empty()) name = cat(next++);
    if (self != ours.end() && self->second.scheme != scheme) {
      last = absl::InvalidArgumentError(cat("bootstrap at ", url.str(), " from DNS for ", service,
                                            " has scheme mismatch with expected peer ",
                                            self->second.str()));
      continue;
    }
    parts.push_back(cat(name, "=", url.str()));
  }
  if (parts.empty()) return failed(last);
  return parts;
}

// TLS first. An error only if there is nobody at all.
absl::StatusOr<Parts> members_of_domain(const Config& config, const outbound::NameServer& server) {
  Parts all;
  Parts failures;
  for (std::string_view scheme : {"https", "http"}) {
    const std::string kind = outbound::srv_service("etcd-server", "", scheme);
    const std::string service =
        outbound::srv_service("etcd-server", config.discovery.dns_srv_name, scheme);
    absl::StatusOr<Parts> found = members_of(config, scheme, service, server);
    const Parts none;
    log::info(cat("get cluster for ", kind, " SRV"),
              {{"service-scheme", scheme},
               {"service-name", service},
               {"server-name", config.name},
               {"discovery-srv", config.discovery.dns_srv},
               {"advertise-peer-urls", listed(url_texts(config.initial_advertise_peer_urls))},
               {"found-cluster", listed(found.ok() ? *found : none)},
               {"error", message_of(found.status())}});
    if (found.ok()) {
      all.insert(all.end(), found->begin(), found->end());
    } else {
      failures.emplace_back(message_of(found.status()));
    }
  }
  std::string why;
  for (const std::string& failure : failures) why += cat(why.empty() ? "" : "; ", failure);
  if (!why.empty()) log::warn("failed to resolve during SRV discovery", {{"error", why}});
  if (all.empty()) return absl::NotFoundError(why);
  return all;
}

absl::Status name_by_srv(Config& config, const outbound::NameServer& server) {
  absl::StatusOr<Parts> members = members_of_domain(config, server);
  if (!members.ok()) {
    return absl::Status(members.status().code(),
                        cat("error setting up initial cluster: ", message_of(members.status())));
  }
  std::string cluster;
  for (const std::string& member : *members) {
    log::info("got bootstrap from DNS for etcd-server", {{"node", member}});
    cluster += cat(cluster.empty() ? "" : ",", member);
  }
  if (!membership::parse_initial_cluster(cluster).contains(config.name)) {
    return absl::InvalidArgumentError(
        cat("error setting up initial cluster: cannot find local etcd member ",
            server::quoted(config.name), " in SRV records"));
  }
  // Without a bundle of the cluster's own anybody's certificate would do for a host of that name,
  // and the name is only what the records say: the domain is what the operator said.
  if (cluster.find("https://") != std::string::npos && config.peer_tls.trusted_ca_file.empty()) {
    config.peer_tls.server_name = config.discovery.dns_srv;
    if (config.peer_tls.server_name.ends_with('.')) config.peer_tls.server_name.pop_back();
  }
  config.initial_cluster = std::move(cluster);
  return absl::OkStatus();
}

}  // namespace

absl::Status name_founders(Config& config, const outbound::NameServer& server) {
  const DiscoveryConfig& discovery = config.discovery;
  if (discovery.endpoints.empty()) {
    return discovery.dns_srv.empty() ? absl::OkStatus() : name_by_srv(config, server);
  }
  config.initial_cluster.clear();
  for (const Url& url : config.initial_advertise_peer_urls) {
    config.initial_cluster +=
        cat(config.initial_cluster.empty() ? "" : ",", config.name, "=", url.str());
  }
  config.initial_cluster_token = discovery.token;
  return absl::OkStatus();
}

}  // namespace keelson::server
