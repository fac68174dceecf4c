// version, options, and what etcdctl lists beside them.

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
      check_command(),
      completion_command(keelctl, kUtilityGroup),
  };
}

}  // namespace keelson::ctl
