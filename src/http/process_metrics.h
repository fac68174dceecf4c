// http/process_metrics.h
//
// process_* and os_fd_*: what the kernel says of this process (/proc/self, getrlimit), under the
// names of Prometheus' Go client. A number that cannot be read is left out.

#pragma once

#include <string>
#include <vector>

namespace keelson::http {

class Families;

void add_process(Families& out);

// The program's own arguments, its name first, for anybody to see.
std::vector<std::string> own_command_line();
// Arguments without the passwords that flags among them have: "***" stands for them.
std::vector<std::string> without_secrets(std::vector<std::string> arguments);

}  // namespace keelson::http
