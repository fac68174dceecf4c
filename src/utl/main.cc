// keelutl: etcdutl's commands on etcd's files and on Keelson's, and what carries one to the other.

#include <sys/stat.h>

#include <iostream>

#include "server/logging.h"
#include "utl/commands.h"

int main(int argc, char** argv) {
  ::umask(0077);  // what is made here is for its owner alone
  std::ios::sync_with_stdio(false);
  // As etcdutl logs: lines for people on standard error.
  keelson::server::LogConfig logs;
  logs.format = "console";
  logs.outputs = {"stderr"};
  auto logging = keelson::server::Logging::start(logs);
  if (!logging.ok()) {
    std::cerr << "Error: " << logging.status().message() << "\n";
    return 1;
  }
  keelson::ctl::Console console{std::cin, std::cout, std::cerr};
  const int code =
      keelson::ctl::run_command_line(keelson::utl::keelutl(), {argv + 1, argv + argc}, console);
  std::cout.flush();
  return code;
}
