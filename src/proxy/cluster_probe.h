// proxy/cluster_probe.h
//
// Whether a cluster answers: one read of one key, as /health asks it, and with a watch, as
// /proxy/health asks the proxy itself where its clients find it.
//
// Threads: ask() on any; `done` runs once, on any thread.
// Lifetime: client and lane outlive what is asked.
// Source: etcd v3.7.1, server/proxy/grpcproxy/health.go, with its texts.

#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "base/executor.h"
#include "outbound/rpc_client.h"
#include "proxy/key_prefix.h"

namespace keelson::proxy {

// Empty: it answers. Else why it does not.
using Probed = absl::AnyInvocable<void(std::string reason)>;

void probe_read(outbound::RpcClient& client, const KeyPrefix& prefix, Probed done);
// The same, and then a watch that is created.
void probe_watch(outbound::RpcClient& client, Executor& lane, Probed done);

}  // namespace keelson::proxy
