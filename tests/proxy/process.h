// tests/proxy/process.h
//
// Process is a program under test, such as a gateway; beside it what tests of the gRPC proxy begin
// with: where its files are, how it and a server are started, what is counted as a failure.
//
// Threads: one; the kernel ends the program with it.

#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "tests/cluster/cluster.h"

namespace keelson::cluster {

// A program whose output goes to a file. Killed at the end.
class Process {
 public:
  Process(std::vector<std::string> command, std::string output) : output_(std::move(output)) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    ::close_range(3, ~0U, 0);
    std::vector<char*> argv;
    for (std::string& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~Process() {
    ::kill(pid_, SIGKILL);
    if (!gone_) ::waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::string text() const {
    std::ifstream file(output_);
    std::ostringstream all;
    all << file.rdbuf();
    return all.str();
  }
  bool says(const std::string& what) const {
    return eventually([&] { return text().find(what) != std::string::npos; });
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  // It stands still, all of it, once this returns.
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    CHECK(::waitpid(pid_, &status, WUNTRACED) == pid_);
    CHECK(WIFSTOPPED(status));
  }
  void go_on() const { ::kill(pid_, SIGCONT); }
  // How it ended after SIGTERM; nothing: it did not.
  std::optional<int> end() {
    ::kill(pid_, SIGTERM);
    int status = 0;
    gone_ = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
    return gone_ ? std::optional(status) : std::nullopt;
  }

 private:
  const std::string output_;
  pid_t pid_ = -1;
  bool gone_ = false;
};

inline int failures = 0;
inline void check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::cout << "FAILED: " << what << "\n";
}

class Folder {
 public:
  Folder() : path_(cat(std::filesystem::temp_directory_path().string(), "/keelson-gp-XXXXXX")) {
    CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return cat(path_, "/", name); }

 private:
  std::string path_;
};

// Command lines.
inline std::vector<std::string> server(const std::string& program, const Folder& work,
                                       const std::string& address, const std::string& scheme) {
  const std::string url = cat(scheme, "://", address);
  return {program, "--data-dir=" + (work / "data"), "--listen-client-urls=" + url,
          "--advertise-client-urls=" + url,
          cat("--listen-peer-urls=http://", harness::free_address())};
}
inline std::vector<std::string> proxy(const std::string& program, const std::string& address,
                                      const std::string& endpoints) {
  return {program,
          "grpc-proxy",
          "start",
          "--listen-addr=" + address,
          "--endpoints=" + endpoints,
          "--advertise-client-url=" + address};
}
inline std::vector<std::string> operator+(std::vector<std::string> command,
                                          const std::vector<std::string>& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

}  // namespace keelson::cluster
