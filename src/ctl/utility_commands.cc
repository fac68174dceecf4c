// version, options; and the commands of etcdctl that are not here yet, which say so.

#include <ostream>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/completion.h"

namespace keelson::ctl {
namespace {

constexpr std::string_view kEtcdVersion = "3.7.1";
constexpr std::string_view kApiVersion = "3.7";
constexpr std::string_view kKeelsonVersion = "0.1.0";

absl::Status run_version(Invocation& in) {
  in.console.out << "etcdctl version: " << kEtcdVersion << "\nAPI version: " << kApiVersion
                 << "\nkeelctl version: " << kKeelsonVersion << "\n";
  return absl::OkStatus();
}

absl::Status run_options(Invocation& in) {
  in.console.out << "The following options can be passed to any command:\n\n"
                 << flag_usages(global_flags());
  return absl::OkStatus();
}

Command missing(std::string name, std::string brief, std::string_view group) {
  return {.use = name,
          .brief = cat(brief, " (not implemented)"),
          .details = "",
          .group = std::string(group),
          .run = [name](Invocation&) {
            return failure(ExitCode::kBadFeature, cat(name, " is not implemented in keelctl"));
          }};
}

}  // namespace

std::vector<Command> utility_commands() {
  return {
      mirror_command(),
      {.use = "version",
       .brief = "Prints the version of keelctl",
       .details = "",
       .group = std::string(kUtilityGroup),
       .run = run_version},
      {.use = "options",
       .brief = "Show the global command-line flags",
       .details = "",
       .group = std::string(kUtilityGroup),
       .run = run_options},
      missing("check", "commands for checking properties of the etcd cluster", kUtilityGroup),
      completion_command(keelctl, kUtilityGroup),
  };
}

}  // namespace keelson::ctl
