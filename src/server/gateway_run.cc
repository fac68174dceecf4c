#include "server/gateway_run.h"

#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "proxy/gateway_command.h"
#include "proxy/log_lists.h"
#include "server/logging.h"
#include "server/occasions.h"
#include "server/pulse.h"
#include "server/supervisor.h"

namespace keelson::server {
namespace {

constexpr Duration kDrain = std::chrono::seconds(5);

// etcd says on standard output what is wrong with what the gateway was told, and on standard error
// what the network refused.
absl::Status refused(ctl::Console& console, const absl::Status& why) {
  (absl::IsInvalidArgument(why) ? console.out : console.err) << message_of(why) << "\n";
  console.out.flush();
  return ctl::already_reported(1);
}

void note_told(const absl::Status& told) {
  if (!told.ok()) log::warn("cannot tell the service manager", {{"error", message_of(told)}});
}

// From when it serves until a signal has come.
void serve(Occasions& occasions, proxy::TcpGateway& gateway) {
  const Supervisor supervisor(Supervisor::environment());
  std::optional<Pulse> pulse;  // until the lanes have stopped
  if (supervisor.present()) {
    note_told(supervisor.ready());
    if (std::optional<Duration> interval = supervisor.watchdog_interval(getpid())) {
      pulse.emplace(gateway.lanes(), *interval, [&] { note_told(supervisor.alive()); });
      pulse->start();
    }
  }
  while (occasions.wait() != Occasions::kSignal) {
  }
  log::info("received signal; shutting down",
            {{"signal", occasions.signal() == SIGTERM ? "terminated" : "interrupt"}});
  note_told(supervisor.stopping());
  gateway.stop(kDrain);
}

absl::Status run(ctl::Console& console, const std::vector<std::string>& command_line,
                 const proxy::TcpGatewayConfig& config, int* ended_by) {
  Occasions occasions;  // before the log's thread: a signal would end the process there
  LogConfig logs;
  logs.outputs = {"stderr"};
  absl::StatusOr<std::unique_ptr<Logging>> logging = Logging::start(logs);
  if (!logging.ok()) return refused(console, logging.status());
  log::info("Running: ", {proxy::listed("args", command_line)});
  absl::StatusOr<std::unique_ptr<proxy::TcpGateway>> gateway = proxy::TcpGateway::start(config);
  if (!gateway.ok()) {
    (*logging)->flush();
    return refused(console, gateway.status());
  }
  serve(occasions, **gateway);
  log::info("shut down");
  *ended_by = occasions.signal();
  return absl::OkStatus();
}

}  // namespace

bool asks_for_gateway(const std::vector<std::string>& command_line) {
  return command_line.size() > 1 && command_line[1] == "gateway";
}

int run_gateway(const std::vector<std::string>& command_line, int* ended_by) {
  ctl::Console console{std::cin, std::cout, std::cerr};
  const ctl::Program program =
      proxy::gateway_program([&](ctl::Console& at, const proxy::TcpGatewayConfig& config) {
        return run(at, command_line, config, ended_by);
      });
  const int code =
      ctl::run_command_line(program, {command_line.begin() + 1, command_line.end()}, console);
  std::cout.flush();
  return code;
}

}  // namespace keelson::server
