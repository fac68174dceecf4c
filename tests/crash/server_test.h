// tests/crash/server_test.h
//
// The frame of a test program that is told which server to start.
//
// Threads: those that the test starts.

#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace keelson::crash {

// The exit status of `run(server)`, where `server` is the path given with --server.
template <typename Run>
int server_test(int argc, char** argv, const std::string& about, Run run) {
  std::string server;
  CLI::App app(about);
  app.add_option("--server", server, "the server")->required();
  CLI11_PARSE(app, argc, argv);
  return run(server);
}

}  // namespace keelson::crash
