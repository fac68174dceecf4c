#include "load/report.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace keelson::bench {

uint64_t cpu_of_process_us(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return 0;
  // proc(5): user and system time are fields 14 and 15; what follows the name begins with the 3rd.
  std::istringstream fields(text.substr(after_name + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  uint64_t user = 0, system = 0;
  fields >> user >> system;
  return (user + system) * (1'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

uint64_t own_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto us = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec * 1'000'000 + t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// ---- JsonLine

void JsonLine::name(std::string_view name) {
  if (text_.size() > 1) text_ += ", ";
  text_.append("\"").append(name).append("\": ");
}
void JsonLine::add(std::string_view n, double value) {
  name(n);
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.2f", value);
  text_ += digits;
}
void JsonLine::add(std::string_view n, uint64_t value) {
  name(n);
  text_ += std::to_string(value);
}
void JsonLine::add(std::string_view n, std::string_view value) {
  name(n);
  text_.append("\"").append(value).append("\"");
}
void JsonLine::add(std::string_view prefix, const Histogram& times) {
  auto put = [&](const char* what, double ns) { add(std::string(prefix) + what, ns / 1000); };
  put("mean_us", times.mean());
  put("p50_us", static_cast<double>(times.quantile(0.5)));
  put("p90_us", static_cast<double>(times.quantile(0.9)));
  put("p99_us", static_cast<double>(times.quantile(0.99)));
  put("p999_us", static_cast<double>(times.quantile(0.999)));
  put("max_us", static_cast<double>(times.max()));
}
void JsonLine::print() const {
  std::printf("%s}\n", text_.c_str());
  std::fflush(stdout);
}

// ---- CpuWindow

CpuWindow::CpuWindow(std::vector<pid_t> servers) : servers_(std::move(servers)) { start(); }

uint64_t CpuWindow::used_by_servers() const {
  uint64_t sum = 0;
  for (pid_t server : servers_) sum += cpu_of_process_us(server);
  return sum;
}

void CpuWindow::start() {
  server_us_ = used_by_servers();
  own_us_ = own_cpu_us();
}
void CpuWindow::stop() {
  server_us_ = used_by_servers() - server_us_;
  own_us_ = own_cpu_us() - own_us_;
}
void CpuWindow::report(JsonLine* line, uint64_t operations) const {
  double n = operations == 0 ? 1 : static_cast<double>(operations);
  if (!servers_.empty()) line->add("server_cpu_us_per_op", static_cast<double>(server_us_) / n);
  line->add("client_cpu_us_per_op", static_cast<double>(own_us_) / n);
}

}  // namespace keelson::bench
