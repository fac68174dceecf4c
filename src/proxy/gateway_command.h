// proxy/gateway_command.h
//
// The command line of `keelson gateway`, with the flags, the defaults and the texts of etcd's
// (v3.7.1, server/etcdmain/gateway.go). As there, no variable of the environment sets a flag.

#pragma once

#include <functional>

#include "ctl/command.h"
#include "proxy/tcp_gateway.h"

namespace keelson::proxy {

// `run` is called with what `gateway start` was told, and does not return before it is over.
ctl::Program gateway_program(
    std::function<absl::Status(ctl::Console&, const TcpGatewayConfig&)> run);

}  // namespace keelson::proxy
