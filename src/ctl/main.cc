// keelctl: etcdctl's commands and output, on a client of our own.

#include <cstdlib>
#include <iostream>

#include "ctl/commands.h"

int main(int argc, char** argv) {
  // What goes wrong is said by us, once; gRPC's library would say it at every attempt.
  ::setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  keelson::ctl::Console console{std::cin, std::cout, std::cerr};
  std::vector<std::string> args(argv + 1, argv + argc);
  int code = keelson::ctl::run_command_line(keelson::ctl::keelctl(), args, console);
  std::cout.flush();
  return code;
}
