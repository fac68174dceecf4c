// utl/commands.h
//
// keelutl's commands, each group in the file of its name. The command line's grammar, help and exit
// codes are those of keelctl (ctl/command.h), in etcdutl's manner.
//
// Source of names, flags and texts: etcd v3.7.1, etcdutl/.

#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ctl/command.h"

namespace keelson::utl {

ctl::Program keelutl();

ctl::Command snapshot_command();  // status, restore
ctl::Command restore_command();
ctl::Command archive_command();  // list
ctl::Command hashkv_command();
ctl::Command import_command();
ctl::Command export_command();
std::vector<ctl::Command> store_commands();  // defrag, migrate, verify
ctl::Command inspect_command();
ctl::Command version_command();

// "Error: <text of status>", exit code 1.
absl::Status failed(const absl::Status& status);
// What os.Stat says of a path that is not there, in Go's words; Ok when it is.
absl::Status check_file(const std::string& path);

}  // namespace keelson::utl
