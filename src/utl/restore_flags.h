// utl/restore_flags.h
//
// The flags by which a new member's data directory is made of a state, and what they mean: the same
// for every command that makes one.
//
// Source of names, defaults and texts: etcd v3.7.1, etcdutl/etcdutl/snapshot_command.go.

#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "ctl/command.h"
#include "interchange/restore.h"

namespace keelson::utl {

std::vector<ctl::Flag> restore_flags();

// What they say; the snapshot is the caller's to name. An error is the command's outcome.
absl::StatusOr<interchange::RestoreOptions> restore_options(ctl::Invocation& in);

}  // namespace keelson::utl
