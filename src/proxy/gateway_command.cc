#include "proxy/gateway_command.h"

#include <utility>

#include "proxy/start_command.h"

namespace keelson::proxy {
namespace {

std::vector<ctl::Flag> start_flags() {
  std::vector<ctl::Flag> flags = {listen_flag()};
  for (ctl::Flag& flag : server_flags("servers that clients are led to, separated by commas")) {
    flags.push_back(std::move(flag));
  }
  flags.push_back(
      {.name = "trusted-ca-file",
       .usage = "CA bundle that servers of SRV records must have certificates of, for the domain"});
  flags.push_back({.name = "retry-delay",
                   .type = ctl::FlagType::kDuration,
                   .default_value = "1m0s",
                   .usage = "time after which a server that could not be reached is tried again"});
  return flags;
}

TcpGatewayConfig config_of(const ctl::FlagSet& flags) {
  return {.listen_address = flags.text("listen-addr"),
          .endpoints = endpoints_of(flags),
          .discovery = discovery_of(flags, "trusted-ca-file"),
          .retry_delay = flags.duration("retry-delay")};
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
  return program_of(
      {.use = "gateway", .brief = "A TCP gateway in front of a cluster's client ports"},
      std::move(start));
}

}  // namespace keelson::proxy
