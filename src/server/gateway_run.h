// server/gateway_run.h
//
// `keelson gateway`: the mode of the program in which it is no member, but stands between clients
// and members (proxy/tcp_gateway.h). What it reads is a command line of its own.
//
// Threads: the program's first, before there is another.

#pragma once

#include <string>
#include <vector>

namespace keelson::server {

// Whether a command line (with the program's name) asks for that mode.
bool asks_for_gateway(const std::vector<std::string>& command_line);

// Runs it to its end. Returns the exit code; a signal that ended it in order is left in `ended_by`.
int run_gateway(const std::vector<std::string>& command_line, int* ended_by);

}  // namespace keelson::server
