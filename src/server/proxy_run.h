// server/proxy_run.h
//
// `keelson gateway` and `keelson grpc-proxy`: the modes of the program in which it is no member,
// but stands between clients and members (proxy/tcp_gateway.h, proxy/grpc_proxy.h). What they read
// are command lines of their own.
//
// Threads: the program's first, before there is another.

#pragma once

#include <string>
#include <vector>

namespace keelson::server {

// Whether a command line (with the program's name) asks for one of those modes.
bool asks_for_proxy(const std::vector<std::string>& command_line);

// Runs it to its end. Returns the exit code; a signal that ended it in order is left in `ended_by`.
int run_proxy(const std::vector<std::string>& command_line, int* ended_by);

}  // namespace keelson::server
