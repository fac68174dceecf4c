// ctl/watch_arguments.h
//
// What `watch` shall watch, from its command line (or an interactive line) and the variables
// ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END. Pure.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/flags.h"
#include "proto/rpc.pb.h"

namespace keelson::ctl {

namespace pb = etcdserverpb;

struct WatchPlan {
  pb::WatchCreateRequest request;
  std::vector<std::string> command;  // run for every event; empty: none
};

struct WatchEnvironment {
  std::string key;
  std::string range_end;
};

std::vector<Flag> watch_flags();

// `flags` has parsed everything after the word "watch".
absl::StatusOr<WatchPlan> plan_watch(const FlagSet& flags, const WatchEnvironment& environment);

}  // namespace keelson::ctl
