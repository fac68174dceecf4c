// tests/harness/server_test.h
//
// The frame of a test program that is told which server to start, and perhaps which etcd beside it.
// The program sees KEELSON_SOURCE_DIR.
//
// Threads: those that the test starts.

#pragma once

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "tests/harness/server.h"

namespace keelson::harness {

// The exit status of `run(server)`, where `server` is the path given with --server.
template <typename Run>
int server_test(int argc, char** argv, const std::string& about, Run run) {
  std::string server;
  CLI::App app(about);
  app.add_option("--server", server, "the server")->required();
  CLI11_PARSE(app, argc, argv);
  return run(server);
}

// That of `run(server, etcd)`, where `etcd` is what find_etcd() finds, given --etcd; empty: there
// is none.
template <typename Run>
int server_and_etcd_test(int argc, char** argv, const std::string& about, Run run) {
  std::string server, etcd;
  CLI::App app(about);
  app.add_option("--server", server, "the server")->required();
  app.add_option("--etcd", etcd, "etcd; else one is looked for");
  CLI11_PARSE(app, argc, argv);
  return run(server, find_etcd(etcd, KEELSON_SOURCE_DIR));
}

// The same for what is nothing without an etcd.
template <typename Run>
int etcd_test(int argc, char** argv, const std::string& about, Run run) {
  return server_and_etcd_test(argc, argv, about,
                              [&](const std::string& server, const std::string& etcd) -> int {
                                if (!etcd.empty()) return run(server, etcd);
                                std::cout << "skipped: there is no etcd here\n";
                                return kSkipped;
                              });
}

}  // namespace keelson::harness
