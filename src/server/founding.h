// server/founding.h
//
// What must hold of the flags that found a member, for a server and for a restore alike.
//
// Threads: any; looks up names of hosts, which may take seconds.
// Errors: InvalidArgument with etcd's texts (v3.7.1, server/config/config.go, VerifyBootstrap).

#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/url.h"

namespace keelson::server {

struct Founding {
  std::string name;
  std::string initial_cluster;
  std::vector<Url> advertise_peer_urls;
  // It has been announced to a cluster that there is, with the URLs that count there.
  bool joins = false;
};

// The member is in the initial cluster, with the URLs that it advertises (unless it joins), and no
// URL stands there twice.
absl::Status check_founding(const Founding& founding);

}  // namespace keelson::server
