// server/discovery.h
//
// Where a new member learns who founds its cluster, when --initial-cluster does not say so: from
// the SRV records of a domain (--discovery-srv), or from another cluster where all of them put
// their names under a token (--discovery-token, etcd's v3 discovery).
//
// Threads: the main thread, at start; blocks, the second for as long as members are missing.
// Errors: for the operator, with etcd's texts.
// Source: etcd v3.7.1, server/embed/config.go, client/pkg/srv and
//   server/etcdserver/api/v3discovery.

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "outbound/srv.h"
#include "server/config.h"

namespace keelson::server {

// Of a member without a log. With --discovery-srv `config` gets the initial cluster from there, and
// if its members are found over TLS and there is no bundle of authorities for them, the domain
// becomes whom their certificates have to name, until the member starts again (as in etcd); with v3
// discovery one of this member alone, under the token, from which follows its id.
absl::Status name_founders(Config& config, const outbound::NameServer& server = std::nullopt);

// v3 discovery: puts this member's name where the others look for it, waits until all have come,
// and makes them `config`'s initial cluster. Does nothing without --discovery-endpoints. Asks
// `given_up` a few times a second whether somebody wants the program to end: Cancelled then.
// REQUIRES: name_founders() was done.
absl::Status join_founders(Config& config, const std::function<bool()>& given_up);

// The registry's keys, of one token.
struct RegistryKeys {
  explicit RegistryKeys(const std::string& token);
  std::string member(MemberId id) const;
  std::string size, members;  // `members`: what the keys of all of them begin with
};

// The first `size` of those who registered, by revision: "name=url,…". `values` by revision.
// InvalidArgument for what is no list of members.
absl::StatusOr<std::string> initial_cluster_of(const std::vector<std::string>& values, size_t size);

}  // namespace keelson::server
