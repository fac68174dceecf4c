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

// The program's own arguments, its name first.
std::vector<std::string> own_command_line();

}  // namespace keelson::http
