// server/leaving.h
//
// What a member does at its end when an operator takes its cluster down to an older etcd: it leaves
// that etcd's directory, so that the older program starts on it as it would behind a newer etcd
// (docs/decisions/0021).
//
// Threads: the main thread, once the server is gone.

#pragma once

#include <functional>
#include <optional>

#include "membership/cluster.h"
#include "server/config.h"

namespace keelson::server {

// The minor version that the cluster was taken down to: a downgrade is enabled, the cluster speaks
// its target already, and that is an older version than ours. Nothing in any other case; not in a
// cluster that speaks an older version because older members are in it.
std::optional<int> target_of_downgrade(const membership::View& view);

// `goes_on` is asked now and then; false: somebody wants the end at once. Tells the log how far it
// is, and, where it cannot be done, what the operator is to do; our directory is as it was then.
void leave(const Config& config, int minor, const std::function<bool()>& goes_on);

}  // namespace keelson::server
