// tests/harness/server.h
//
// A server under test: etcd or keelson (they take the same flags) as a child process on loopback
// ports of its own, with a data directory of its own that is removed at the end.
//
// Threads: one caller at a time. Nothing outlives the Server: the child is killed by the
// destructor, and by the kernel if this program dies. Errors: as absl::Status, with the tail of the
// server's log where that helps.

#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/harness/client.h"

namespace keelson::harness {

struct ServerOptions {
  std::string binary;
  std::vector<std::string> flags;        // after ours, so they win
  std::vector<std::string> environment;  // "NAME=value", beside our own
  std::string keep_data;                 // a directory to use, and keep; empty: a temporary one
  bool https_too = false;                // the clients' port speaks TLS as well, self-signed
  std::string name = "m1";
  std::string host = "127.0.0.1";  // where it listens
  int network = -1;                // the network namespace of its process; -1: this one's
};

class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Chooses the ports, if they are not chosen yet, so that the URLs are known before a start.
  void prepare();
  // Starts the process without waiting, so that several start side by side; start() then waits.
  // Call from a thread that lives as long as the server: the kernel ends the child with its thread.
  absl::Status launch();
  // Starts the process and waits until it answers a linearizable read. The ports stay the same over
  // restarts. An error when it exits before, or is not ready within `patience`.
  // A learner is ready when it answers a serializable one.
  absl::Status start(Milliseconds patience = Milliseconds(60000));
  // SIGKILL, and waits. Fine when it is dead already.
  void kill();
  // SIGTERM, and waits; SIGKILL and an error when it does not leave within `patience`.
  absl::Status stop(Milliseconds patience = Milliseconds(30000));
  // True when the process ended by itself; then exit_text() says how.
  bool exited();
  std::string exit_text() const;

  // The same for its flags.
  void set_flags(std::vector<std::string> flags) { options_.flags = std::move(flags); }
  // Another program for the next start.
  void set_binary(std::string binary) { options_.binary = std::move(binary); }
  // Stops the process for a while (SIGSTOP), and lets it go on.
  void pause() const;
  void resume() const;
  // Its process has gone, and nothing of what it wrote is there any more.
  void wipe();
  // Replaces what the next start adds to the environment.
  void set_environment(std::vector<std::string> environment) {
    options_.environment = std::move(environment);
  }

  // Valid after start(); a new one after each start.
  Client& client() { return *client_; }
  std::string address() const;     // host:port of clients
  std::string client_url() const;  // https with test_tls()
  const std::string& name() const { return options_.name; }
  std::string peer_url() const;
  const std::string& data_dir() const { return data_dir_; }
  pid_t pid() const { return pid_; }
  std::string log() const;
  std::string log_tail() const;  // its last 12,000 bytes

 private:
  void choose_ports();
  absl::Status wait_ready(Milliseconds patience);
  std::vector<std::string> arguments() const;

  ServerOptions options_;
  std::string home_;  // our temporary directory: data and log
  std::string data_dir_;
  std::string log_path_;
  int client_port_ = 0;
  int peer_port_ = 0;
  pid_t pid_ = 0;
  int wait_status_ = 0;
  bool started_before_ = false;  // or its ports are known to others
  std::unique_ptr<Client> client_;
};

// Asks until it is so, at most for `patience`.
bool eventually(const std::function<bool()>& condition,
                Milliseconds patience = Milliseconds(30000));

// "127.0.0.1:port" with a port that is free, and this process's (base/test_ports.h).
std::string free_address();

// A real etcd to compare with: `given` if not empty, else $KEELSON_ETCD, else what get-etcd in
// ../shared/bin beside the repository puts in place, else `etcd` from PATH. Empty: there is none.
std::string find_etcd(const std::string& given, const std::string& repository);

// What ctest takes as "skipped".
inline constexpr int kSkipped = 77;

}  // namespace keelson::harness
