// server/tls_rules.h
//
// Which URLs and TLS flags go together, from the words alone: no file is looked at. What etcd
// refuses is refused with its text. And a rule of ours: a security flag that cannot take effect
// stops the start, where etcd warns or says nothing. (Not --cipher-suites and --tls-*-version
// without TLS: nothing is less safe without them, and etcd's example of a configuration file has
// them.)

#pragma once

#include "absl/status/status.h"
#include "server/config.h"

namespace keelson::server {

absl::Status check_tls_flags(const Config& config);

// Whether clients' listeners, those of metrics included, have a URL under TLS.
bool serves_clients_over_tls(const Config& config);

}  // namespace keelson::server
