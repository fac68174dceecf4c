#include "proxy/start_command.h"

#include <utility>

namespace keelson::proxy {

using ctl::FlagType;

ctl::Flag listen_flag() {
  return {.name = "listen-addr",
          .default_value = "127.0.0.1:23790",
          .usage = "where clients are accepted"};
}

std::vector<ctl::Flag> server_flags(std::string_view endpoints) {
  return {
      {.name = "endpoints",
       .type = FlagType::kStrings,
       .default_value = "127.0.0.1:2379",
       .usage = std::string(endpoints)},
      {.name = "discovery-srv",
       .usage = "domain whose SRV records name the servers instead of --endpoints"},
      {.name = "discovery-srv-name", .usage = "suffix of the services that are looked up there"},
      {.name = "insecure-discovery",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "believe SRV records without a check of the servers' certificates"}};
}

std::vector<std::string> endpoints_of(const ctl::FlagSet& flags) {
  if (flags.find("endpoints")->value.empty()) return {};
  return flags.strings("endpoints");
}

Discovery discovery_of(const ctl::FlagSet& flags, const std::string& ca_flag) {
  return {.domain = flags.text("discovery-srv"),
          .service_name = flags.text("discovery-srv-name"),
          .trusted_ca_file = flags.text(ca_flag),
          .insecure = flags.boolean("insecure-discovery")};
}

ctl::Program program_of(ctl::Command mode, ctl::Command start) {
  mode.commands.push_back(std::move(start));
  ctl::Command root{.use = "keelson", .brief = "Keelson's server"};
  root.commands.push_back(std::move(mode));
  return {.name = "keelson", .root = std::move(root), .style = ctl::HelpStyle::kEtcd};
}

}  // namespace keelson::proxy
