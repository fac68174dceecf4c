#include "tests/harness/server.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/test_ports.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/tls.h"

namespace keelson::harness {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr Milliseconds kPoll{10};
// Short, so that a server that died is noticed; waiting, since grpc++ connects only while it waits.
const CallOptions kProbe{Milliseconds(1000), {}, true};

std::string make_home() {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = cat(base != nullptr ? base : "/tmp", "/keelson-test-XXXXXX");
  const char* made = mkdtemp(pattern.data());
  return made != nullptr ? made : "";
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// What a static pod or a harness leaves a server: no LD_LIBRARY_PATH, no proxies.
std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> out = {"PATH=/usr/bin:/bin", "HOME=/nonexistent"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) out.push_back(cat(name, "=", value));
  }
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

}  // namespace

std::string free_address() { return cat("127.0.0.1:", reserve_test_port()); }

Server::Server(ServerOptions options) : options_(std::move(options)), home_(make_home()) {
  data_dir_ = options_.keep_data.empty() ? home_ + "/data" : options_.keep_data;
  log_path_ = home_ + "/log";
}

Server::~Server() {
  kill();
  std::error_code ignored;
  if (!home_.empty()) fs::remove_all(home_, ignored);
}

std::string Server::address() const { return cat(options_.host, ":", client_port_); }
std::string Server::client_url() const {
  return cat(test_tls() == nullptr ? "http://" : "https://", address());
}
std::string Server::peer_url() const { return cat("http://", options_.host, ":", peer_port_); }

std::vector<std::string> Server::arguments() const {
  std::vector<std::string> out = {options_.binary,
                                  "--name=" + options_.name,
                                  "--data-dir=" + data_dir_,
                                  "--listen-client-urls=" + client_url(),
                                  "--advertise-client-urls=" + client_url(),
                                  "--listen-peer-urls=" + peer_url(),
                                  "--initial-advertise-peer-urls=" + peer_url(),
                                  cat("--initial-cluster=", options_.name, "=", peer_url())};
  const TestTls* tls = test_tls();
  if (tls != nullptr) {
    out.push_back("--cert-file=" + tls->certificate);
    out.push_back("--key-file=" + tls->key);
  }
  if (options_.https_too) {
    out.push_back(cat("--listen-client-urls=http://", address(), ",https://", address()));
    if (tls == nullptr) out.push_back("--auto-tls");
  }
  out.insert(out.end(), options_.flags.begin(), options_.flags.end());
  return out;
}

void Server::prepare() {
  if (client_port_ == 0) choose_ports();
  started_before_ = true;
}

void Server::pause() const {
  if (pid_ != 0) ::kill(pid_, SIGSTOP);
}

void Server::resume() const {
  if (pid_ != 0) ::kill(pid_, SIGCONT);
}

void Server::wipe() {
  kill();
  std::error_code ignored;
  fs::remove_all(data_dir_, ignored);
}

absl::Status Server::launch() {
  if (client_port_ == 0) choose_ports();
  std::vector<std::string> arguments = this->arguments();
  std::vector<std::string> environment = environment_with(options_.environment);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) return absl::ErrnoToStatus(errno, "fork");
  if (pid_ > 0) return absl::OkStatus();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  if (options_.network >= 0 && setns(options_.network, CLONE_NEWNET) != 0) _exit(125);
  const int log = open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(log, 1);
  dup2(log, 2);
  close_range(3, ~0U, 0);
  execve(argv[0], argv.data(), envp.data());
  _exit(127);
}

void Server::choose_ports() {
  client_port_ = reserve_test_port();
  peer_port_ = reserve_test_port();
}

absl::Status Server::start(Milliseconds patience) {
  const bool first = !started_before_;
  absl::Status status;
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (pid_ == 0) status = launch();
    if (!status.ok()) return status;
    client_ = std::make_unique<Client>(address());
    status = wait_ready(patience);
    if (status.ok() || !first || log_tail().find("address already in use") == std::string::npos) {
      break;
    }
    kill();
    choose_ports();
  }
  started_before_ = true;
  return status;
}

absl::Status Server::wait_ready(Milliseconds patience) {
  etcdserverpb::RangeRequest probe;
  probe.set_key("x");
  etcdserverpb::RangeResponse answer;
  const auto until = steady_clock::now() + patience;
  grpc::Status last;
  while (steady_clock::now() < until) {
    if (exited()) return absl::UnavailableError(cat(exit_text(), "\n", log_tail()));
    last = client_->unary("/etcdserverpb.KV/Range", probe, &answer, kProbe);
    // Where one must log in, it is ready to say so.
    if (last.ok() || last.error_message() == "etcdserver: user name is empty") {
      return absl::OkStatus();
    }
    if (last.error_message() == "etcdserver: rpc not supported for learner") {
      probe.set_serializable(true);
    }
    std::this_thread::sleep_for(kPoll);
  }
  kill();
  return absl::DeadlineExceededError(cat("not ready: ", last.error_message(), "\n", log_tail()));
}

bool Server::exited() {
  if (pid_ == 0) return true;
  if (waitpid(pid_, &wait_status_, WNOHANG) != pid_) return false;
  pid_ = 0;
  return true;
}

std::string Server::exit_text() const {
  if (WIFSIGNALED(wait_status_)) return cat("killed by signal ", WTERMSIG(wait_status_));
  return cat("exited with code ", WEXITSTATUS(wait_status_));
}

void Server::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, &wait_status_, 0);
  pid_ = 0;
}

absl::Status Server::stop(Milliseconds patience) {
  if (pid_ == 0) return absl::OkStatus();
  client_
      .reset();  // grpc++ answers GOAWAY only while it is used; an idle client would hold etcd up
  ::kill(pid_, SIGTERM);
  const auto until = steady_clock::now() + patience;
  while (steady_clock::now() < until) {
    if (exited()) return absl::OkStatus();
    std::this_thread::sleep_for(kPoll);
  }
  kill();
  return absl::DeadlineExceededError("the server did not leave after SIGTERM");
}

std::string Server::log() const {
  std::ifstream in(log_path_, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Server::log_tail() const {
  constexpr size_t kTail = 12000;
  const std::string all = log();
  return all.size() <= kTail ? all : all.substr(all.size() - kTail);
}

bool eventually(const std::function<bool()>& condition, Milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

namespace {

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  char line[4096] = "";
  std::string out = fgets(line, sizeof line, pipe) != nullptr ? line : "";
  pclose(pipe);
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

bool runs(const std::string& path) { return !path.empty() && access(path.c_str(), X_OK) == 0; }

}  // namespace

std::string find_etcd(const std::string& given, const std::string& repository) {
  if (!given.empty()) return given;
  if (const char* named = std::getenv("KEELSON_ETCD"); named != nullptr && runs(named))
    return named;
  const std::string getter = repository + "/../shared/bin/get-etcd";
  if (runs(getter)) {
    const std::string path = output_of(getter + " 2>/dev/null") + "/etcd";
    if (runs(path)) return path;
  }
  const std::string installed = output_of("command -v etcd");
  return runs(installed) ? installed : "";
}

}  // namespace keelson::harness
