// base/test_etcd.h
//
// For tests: a real etcd (3.5) beside us, a member on a data directory, its log in DIR.log. The
// environment's KEELSON_ETCD names etcd, or the directory of its programs; tests that find none
// skip.
//
// Threads: one caller. Processes: killed at the end.

#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/test_ports.h"
#include "base/text.h"

namespace keelson {

inline std::string etcd_directory() {
  if (const char* given = std::getenv("KEELSON_ETCD")) {
    const std::filesystem::path path(given);
    return (std::filesystem::is_directory(path) ? path : path.parent_path()).string();
  }
  const char* home = std::getenv("HOME");
  return cat(home ? home : "", "/.cache/keelson/etcd-sid");
}

inline std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(cat(command, " 2>&1").c_str(), "r");
  std::string out;
  char chunk[4096];
  while (size_t n = std::fread(chunk, 1, sizeof(chunk), pipe)) out.append(chunk, n);
  ::pclose(pipe);
  return out;
}

// One of several members. Empty: the only one.
struct TestEtcdPlace {
  std::string name = "m";
  std::string peer_url{};
  std::string initial_cluster{};
  // Every how many entries its log is cut, but for the last few: others need snapshots early.
  std::string snapshot_count = "100000";
};

class TestEtcd {
 public:
  // `flags` come behind its own.
  explicit TestEtcd(const std::string& data_dir, const TestEtcdPlace& place = {},
                    const std::vector<std::string>& flags = {}) {
    address_ = cat("127.0.0.1:", reserve_test_port());
    const std::string client = "http://" + address_;
    const std::string peer =
        place.peer_url.empty() ? cat("http://127.0.0.1:", reserve_test_port()) : place.peer_url;
    const std::string members =
        place.initial_cluster.empty() ? cat(place.name, "=", peer) : place.initial_cluster;
    ctl_ = cat("ETCDCTL_API=3 ", etcd_directory(), "/etcdctl --endpoints=", client, " ");
    const std::string log = cat(data_dir, ".log");
    pid_ = ::fork();
    if (pid_ == 0) {
      int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(fd, 1);
      ::dup2(fd, 2);
      const std::string program = cat(etcd_directory(), "/etcd");
      std::vector<std::string> arguments = {
          "etcd",
          "--name=" + place.name,
          "--data-dir=" + data_dir,
          "--listen-client-urls=" + client,
          "--advertise-client-urls=" + client,
          "--listen-peer-urls=" + peer,
          "--initial-advertise-peer-urls=" + peer,
          "--initial-cluster=" + members,
          "--initial-cluster-token=t",
          "--snapshot-count=" + place.snapshot_count,
          "--experimental-snapshot-catchup-entries=" + place.snapshot_count};
      arguments.insert(arguments.end(), flags.begin(), flags.end());
      std::vector<char*> pointers;
      for (std::string& argument : arguments) pointers.push_back(argument.data());
      pointers.push_back(nullptr);
      ::execv(program.c_str(), pointers.data());
      ::_exit(127);
    }
  }
  ~TestEtcd() { kill(); }

  // etcd answers its clients, perhaps with an alarm, or users; false when it died instead.
  bool ready() {
    for (int i = 0; i < 300; ++i) {
      const std::string said = ctl("endpoint health");
      for (const char* good : {"is healthy", "Active Alarm", "user name is empty"}) {
        if (said.find(good) != std::string::npos) return true;
      }
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  std::string ctl(const std::string& arguments) { return output_of(ctl_ + arguments); }
  void kill() { end(SIGKILL); }
  // In order.
  void stop() { end(SIGTERM); }
  // Of its clients.
  const std::string& address() const { return address_; }

 private:
  void end(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  std::string address_;
  std::string ctl_;
  pid_t pid_ = -1;
};

inline bool there_is_etcd() { return std::filesystem::exists(etcd_directory() + "/etcdutl"); }

}  // namespace keelson
