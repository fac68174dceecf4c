// proxy/grpc_proxy_command.h
//
// The command line of `keelson grpc-proxy`, with the flags, the defaults and the texts of etcd's
// (v3.7.1, server/etcdmain/grpc_proxy.go). As there, no variable of the environment sets a flag.
// What cannot be done here is refused, never ignored.

#pragma once

#include <functional>

#include "ctl/command.h"
#include "proxy/grpc_proxy.h"

namespace keelson::proxy {

// `run` is called with what `grpc-proxy start` was told, and whether it is to tell its log
// everything, and does not return before it is over.
using RunGrpcProxy = std::function<absl::Status(ctl::Console&, const GrpcProxyConfig&, bool debug)>;
ctl::Program grpc_proxy_program(RunGrpcProxy run);

}  // namespace keelson::proxy
