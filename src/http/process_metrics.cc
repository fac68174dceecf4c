#include "http/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "http/families.h"

namespace keelson::http {
namespace {

struct Stat {
  double cpu_seconds;
  double start_ticks;  // since boot
  double virtual_bytes;
  double resident_bytes;
};

// Fields by proc(5): the command (2) is in brackets and may hold anything, so we count after them.
std::optional<Stat> read_stat() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(bracket + 1));
  std::string state;
  fields >> state;  // field 3
  double values[22] = {};
  for (double& value : values) fields >> value;  // fields 4 to 25
  if (!fields) return std::nullopt;
  const auto field = [&values](int number) { return values[number - 4]; };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  return Stat{(field(14) + field(15)) / ticks, field(22) / ticks, field(23), field(24) * page};
}

std::optional<double> boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string key; file >> key;) {
    double value = 0;
    if (key == "btime" && file >> value) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

std::optional<double> open_descriptors() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return std::nullopt;
  double count = 0;
  while (const dirent* entry = readdir(dir)) count += entry->d_name[0] != '.';
  closedir(dir);
  return count - 1;  // not the one we are reading with
}

std::optional<double> limit(int resource) {
  rlimit value{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &value) != 0) return std::nullopt;
  if (value.rlim_cur == RLIM_INFINITY) return -1;
  return static_cast<double>(value.rlim_cur);
}

// Octets in and out, of the network that the process is in: two lines, names and then numbers.
std::optional<std::pair<double, double>> network_octets() {
  std::ifstream file("/proc/self/net/netstat");
  for (std::string names, numbers; std::getline(file, names) && std::getline(file, numbers);) {
    if (!names.starts_with("IpExt:")) continue;
    std::istringstream name(names), number(numbers);
    std::string key, value;
    double in = 0, out = 0;
    while (name >> key && number >> value) {
      if (key == "InOctets") in = std::strtod(value.c_str(), nullptr);
      if (key == "OutOctets") out = std::strtod(value.c_str(), nullptr);
    }
    return std::pair(in, out);
  }
  return std::nullopt;
}

}  // namespace

void add_process(Families& out) {
  if (std::optional<Stat> stat = read_stat()) {
    out.counter("process_cpu_seconds_total", "User and system CPU time.", stat->cpu_seconds);
    out.gauge("process_virtual_memory_bytes", "Size of the address space.", stat->virtual_bytes);
    out.gauge("process_resident_memory_bytes", "Memory in use.", stat->resident_bytes);
    if (std::optional<double> boot = boot_time()) {
      out.gauge("process_start_time_seconds", "Unix time of the start.", *boot + stat->start_ticks);
    }
  }
  if (std::optional<double> bytes = limit(RLIMIT_AS)) {
    out.gauge("process_virtual_memory_max_bytes", "Limit of the address space; -1: none.", *bytes);
  }
  if (const auto octets = network_octets()) {
    out.counter("process_network_receive_bytes_total", "Bytes received, of the whole network.",
                octets->first);
    out.counter("process_network_transmit_bytes_total", "Bytes sent, of the whole network.",
                octets->second);
  }
  const std::optional<double> used = open_descriptors();
  const std::optional<double> most = limit(RLIMIT_NOFILE);
  if (used) {
    out.gauge("process_open_fds", "File descriptors open.", *used);
    out.gauge("os_fd_used", "File descriptors open.", *used);
  }
  if (most) {
    out.gauge("process_max_fds", "File descriptors allowed.", *most);
    out.gauge("os_fd_limit", "File descriptors allowed.", *most);
  }
}

std::vector<std::string> own_command_line() {
  std::vector<std::string> arguments;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  for (std::string argument; std::getline(file, argument, '\0');) {
    arguments.push_back(std::move(argument));
  }
  return without_secrets(std::move(arguments));
}

std::vector<std::string> without_secrets(std::vector<std::string> arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    const size_t dashes = std::min(flag.find_first_not_of('-'), flag.size());
    const size_t equals = std::min(flag.find('='), flag.size());
    if (dashes == 0 || dashes > 2 || dashes > equals) continue;
    const std::string name = flag.substr(dashes, equals - dashes);
    const bool is_user = name == "discovery-user";  // and perhaps, behind a colon, a password
    if (!is_user && name != "discovery-password") continue;
    const bool apart = equals == flag.size();
    if (apart && ++i == arguments.size()) break;
    std::string& value = arguments[i];
    size_t secret = apart ? 0 : equals + 1;
    if (is_user) {
      secret = value.find(':', secret);
      if (secret == value.npos) continue;
      ++secret;
    }
    if (secret < value.size()) value.replace(secret, value.npos, "***");
  }
  return arguments;
}

}  // namespace keelson::http
