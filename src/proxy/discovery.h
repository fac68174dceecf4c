// proxy/discovery.h
//
// Where the SRV records of a domain say that the cluster is, and whether it is that cluster: each
// endpoint must prove under TLS, by a certificate of the bundle (or of the system's roots), that it
// belongs to the domain. Who controls the answers of a name server alone gets no client.
//
// Threads: any but a lane; waits for the name server and the endpoints.
// Source: etcd v3.7.1, server/etcdmain/util.go. Its check connects, but never gets to TLS.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "outbound/srv.h"
#include "proxy/endpoints.h"

namespace keelson::proxy {

struct Discovery {
  std::string domain;           // empty: nothing is looked up
  std::string service_name;     // the services' suffix; may be empty
  std::string trusted_ca_file;  // empty: the system's roots
  bool insecure = false;        // whoever the records name is believed
};

// Those that may be used; perhaps none. Logs what was found, and who is not believed and why.
// Errors: no records, or no name server; InvalidArgument for a CA file that cannot be used.
absl::StatusOr<std::vector<Endpoint>> discover(const Discovery& asked,
                                               const outbound::NameServer& server = std::nullopt);

}  // namespace keelson::proxy
