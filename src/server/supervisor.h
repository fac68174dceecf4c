// server/supervisor.h
//
// Supervisor tells the service manager that started this program (systemd, Type=notify) what state
// it is in: one datagram per change to the socket that the environment names.
//
// Threads: any; nothing here changes after the start.
// Errors: a status. Without a service manager there is nobody to tell, and that is ok.
// Source: sd_notify(3), the documented protocol; libsystemd would be a dependency for one sendto().

#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"

namespace keelson::server {

class Supervisor {
 public:
  // What the service manager leaves in the environment; empty: not set.
  struct Environment {
    std::string notify_socket;  // NOTIFY_SOCKET: a path, or "@name" of an abstract socket
    std::string watchdog_usec;  // WATCHDOG_USEC
    std::string watchdog_pid;   // WATCHDOG_PID: who of the service's processes is meant; empty: all
  };
  static Environment environment();

  explicit Supervisor(Environment environment) : environment_(std::move(environment)) {}

  bool present() const { return !environment_.notify_socket.empty(); }

  absl::Status ready() const { return notify("READY=1"); }
  absl::Status stopping() const { return notify("STOPPING=1"); }
  absl::Status alive() const { return notify("WATCHDOG=1"); }
  // The end takes so much longer from now on, whatever the service manager allows for it.
  absl::Status stopping_for(Duration longer) const;

  // How often alive() must be said: half of the time after which the service manager would restart
  // us, as it advises. Nothing when it does not watch this process, `self`.
  std::optional<Duration> watchdog_interval(pid_t self) const;

 private:
  absl::Status notify(std::string_view state) const;

  const Environment environment_;
};

}  // namespace keelson::server
