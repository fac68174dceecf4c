// outbound/srv.h
//
// SRV records of the DNS, where members of a cluster and their clients can be found.
//
// Place: for programs that start; a lookup blocks, for as long as /etc/resolv.conf says. Not for
//   lanes.
// Threads: any.
// Errors: NotFound "lookup NAME: no such host", Unavailable for a server that does not answer.
// Source: RFC 2782; etcd v3.7.1, client/pkg/srv, for the names of its services.

#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::outbound {

struct SrvRecord {
  std::string target;  // without a dot at its end
  uint16_t port = 0;
  uint16_t priority = 0;
  uint16_t weight = 0;

  friend bool operator==(const SrvRecord&, const SrvRecord&) = default;
};

// Instead of those of /etc/resolv.conf.
using NameServer = std::optional<sockaddr_in>;

// Those of "_service._tcp.domain", the most wanted first, whatever their weights. Never empty.
absl::StatusOr<std::vector<SrvRecord>> lookup_srv(std::string_view service, std::string_view domain,
                                                  const NameServer& server = std::nullopt);

// "etcd-client" for http, "etcd-client-ssl" for https; with "-name" where there is a name.
std::string srv_service(std::string_view service, std::string_view name, std::string_view scheme);

struct ClientRecord {
  SrvRecord srv;
  bool tls = false;

  std::string url() const;
};
// Where a cluster serves its clients: those who speak TLS first. An error only if neither kind has
// records.
absl::StatusOr<std::vector<ClientRecord>> client_records(std::string_view domain,
                                                         std::string_view name,
                                                         const NameServer& server = std::nullopt);
// Their URLs.
absl::StatusOr<std::vector<std::string>> client_urls(std::string_view domain, std::string_view name,
                                                     const NameServer& server = std::nullopt);

}  // namespace keelson::outbound
