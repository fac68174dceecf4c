// proxy/start_command.h
//
// What the command lines of `keelson gateway` and of `keelson grpc-proxy` have in common: one
// subcommand, "start", and the flags that say where clients come and where the servers are.
//
// Threads: the main one.

#pragma once

#include <string>
#include <vector>

#include "ctl/command.h"
#include "proxy/discovery.h"

namespace keelson::proxy {

ctl::Flag listen_flag();
// --endpoints, which are `endpoints` in its usage, and those of SRV records.
std::vector<ctl::Flag> server_flags(std::string_view endpoints);

// What those say; an empty text names no endpoint. `ca_flag` names the authorities of endpoints of
// SRV records.
std::vector<std::string> endpoints_of(const ctl::FlagSet& flags);
Discovery discovery_of(const ctl::FlagSet& flags, const std::string& ca_flag);

// `keelson` with that mode, which has that subcommand.
ctl::Program program_of(ctl::Command mode, ctl::Command start);

}  // namespace keelson::proxy
