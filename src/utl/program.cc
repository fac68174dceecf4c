// The tree of commands, and what they share.

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "ctl/completion.h"
#include "ctl/outcome.h"
#include "utl/commands.h"

namespace keelson::utl {
namespace {

// Go writes errno's text in small letters.
std::string go_reason(int error) {
  std::string text = std::strerror(error);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<uint8_t>(text[0])));
  return text;
}

}  // namespace

absl::Status failed(const absl::Status& status) {
  if (status.ok()) return status;
  return ctl::failure(ctl::ExitCode::kError, message_of(status));
}

absl::Status check_file(const std::string& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) == 0) return absl::OkStatus();
  return absl::NotFoundError(cat("stat ", path, ": ", go_reason(errno)));
}

ctl::Program keelutl() {
  ctl::Command root{.use = "keelutl",
                    .brief = "An administrative command line tool for Keelson and etcd3.",
                    .details = "",
                    .group = ""};
  // cobra lists it, and it is understood before any command is looked for.
  const auto help = [](ctl::Invocation&) { return absl::OkStatus(); };
  root.commands = {snapshot_command(),
                   restore_command(),
                   archive_command(),
                   hashkv_command(),
                   import_command(),
                   export_command(),
                   inspect_command(),
                   version_command(),
                   ctl::completion_command(keelutl),
                   {.use = "help [command]",
                    .brief = "Help about any command",
                    .details = "",
                    .group = "",
                    .run = help}};
  for (ctl::Command& command : store_commands()) root.commands.push_back(std::move(command));
  return {.name = "keelutl",
          .root = std::move(root),
          .global_flags = {{.name = "timeout",
                            .type = ctl::FlagType::kDuration,
                            .default_value = "10s",
                            .usage = "time to wait to obtain a file lock on db file, 0 to block "
                                     "indefinitely"},
                           {.name = "write-out",
                            .shorthand = 'w',
                            .default_value = "simple",
                            .usage = "set the output format (fields, json, protobuf, simple, "
                                     "table)"}},
          .style = ctl::HelpStyle::kEtcdutl};
}

}  // namespace keelson::utl
