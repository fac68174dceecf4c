#include "tests/attack/probe.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>

#include "proto/rpc.pb.h"

namespace keelson::attack {
namespace {

constexpr harness::Milliseconds kPatience{20000};
constexpr std::chrono::milliseconds kPause{3};

}  // namespace

Probe::Probe(const std::string& address) : client_(address) {
  etcdserverpb::PutRequest put;
  put.set_key("probe");
  put.set_value("here");
  etcdserverpb::PutResponse answer;
  client_.unary("/etcdserverpb.KV/Put", put, &answer);
}

Probe::~Probe() { stop(); }

void Probe::start() {
  stopping_ = false;
  took_.clear();
  failed_ = 0;
  thread_ = std::thread([this] { run(); });
}

void Probe::run() {
  etcdserverpb::RangeRequest get;
  get.set_key("probe");
  const std::string request = get.SerializeAsString();
  while (!stopping_) {
    const auto start = std::chrono::steady_clock::now();
    const harness::Reply reply =
        client_.unary("/etcdserverpb.KV/Range", request, {.deadline = kPatience});
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    took_.push_back(took.count());
    if (!reply.status.ok()) ++failed_;
    std::this_thread::sleep_until(start + kPause);
  }
}

Latencies Probe::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  Latencies out{.count = took_.size(), .failed = failed_};
  if (took_.empty()) return out;
  std::sort(took_.begin(), took_.end());
  auto at = [&](double part) {
    return took_[static_cast<size_t>(static_cast<double>(took_.size() - 1) * part)];
  };
  out.p50 = at(0.5);
  out.p99 = at(0.99);
  out.max = took_.back();
  return out;
}

double resident_mb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

double cpu_seconds(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace keelson::attack
