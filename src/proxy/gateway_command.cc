#include "proxy/gateway_command.h"

#include <utility>

#include "base/text.h"

namespace keelson::proxy {
namespace {

std::vector<ctl::Flag> start_flags() {
  using ctl::FlagType;
  return {
      {.name = "listen-addr",
       .default_value = "127.0.0.1:23790",
       .usage = "where clients are accepted"},
      {.name = "endpoints",
       .type = FlagType::kStrings,
       .default_value = "127.0.0.1:2379",
       .usage = "servers that clients are led to, separated by commas"},
      {.name = "discovery-srv",
       .usage = "domain whose SRV records name the servers instead of --endpoints"},
      {.name = "discovery-srv-name", .usage = "suffix of the services that are looked up there"},
      {.name = "insecure-discovery",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "believe SRV records without a check of the servers' certificates"},
      {.name = "trusted-ca-file",
       .usage = "CA bundle that servers of SRV records must have certificates of, for the domain"},
      {.name = "retry-delay",
       .type = FlagType::kDuration,
       .default_value = "1m0s",
       .usage = "time after which a server that could not be reached is tried again"}};
}

TcpGatewayConfig config_of(const ctl::FlagSet& flags) {
  TcpGatewayConfig config{.listen_address = flags.text("listen-addr"),
                          .endpoints = flags.strings("endpoints"),
                          .discovery = {.domain = flags.text("discovery-srv"),
                                        .service_name = flags.text("discovery-srv-name"),
                                        .trusted_ca_file = flags.text("trusted-ca-file"),
                                        .insecure = flags.boolean("insecure-discovery")},
                          .retry_delay = flags.duration("retry-delay")};
  if (flags.find("endpoints")->value.empty()) config.endpoints.clear();
  return config;
}

}  // namespace

ctl::Program gateway_program(
    std::function<absl::Status(ctl::Console&, const TcpGatewayConfig&)> run) {
  ctl::Command start{.use = "start",
                     .brief = "Lead clients to the servers, until a signal ends it"};
  start.flags = start_flags();
  start.run = [run = std::move(run)](ctl::Invocation& in) {
    return run(in.console, config_of(in.flags));
  };
  ctl::Command gateway{.use = "gateway",
                       .brief = "A TCP gateway in front of a cluster's client ports"};
  gateway.commands.push_back(std::move(start));
  ctl::Command root{.use = "keelson", .brief = "Keelson's server"};
  root.commands.push_back(std::move(gateway));
  return {.name = "keelson", .root = std::move(root), .style = ctl::HelpStyle::kEtcd};
}

}  // namespace keelson::proxy
