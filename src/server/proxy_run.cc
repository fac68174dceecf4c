#include "server/proxy_run.h"

#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/log.h"
#include "base/text.h"
#include "proxy/gateway_command.h"
#include "proxy/grpc_proxy_command.h"
#include "proxy/log_lists.h"
#include "server/logging.h"
#include "server/occasions.h"
#include "server/pulse.h"
#include "server/supervisor.h"

namespace keelson::server {
namespace {

constexpr Duration kDrain = std::chrono::seconds(5);
constexpr std::string_view kGateway = "gateway", kGrpcProxy = "grpc-proxy";

// etcd says on standard output what is wrong with what the gateway was told, and on standard error
// what the network refused, as everything that is wrong with what the other proxy was told.
absl::Status refused(ctl::Console& console, const absl::Status& why, bool gateway) {
  (gateway && absl::IsInvalidArgument(why) ? console.out : console.err) << message_of(why) << "\n";
  console.out.flush();
  return ctl::already_reported(1);
}

void note_told(const absl::Status& told) {
  if (!told.ok()) log::warn("cannot tell the service manager", {{"error", message_of(told)}});
}

// From when it serves until a signal has come.
template <typename Proxy>
void serve(Occasions& occasions, Proxy& proxy) {
  const Supervisor supervisor(Supervisor::environment());
  std::optional<Pulse> pulse;  // until the lanes have stopped
  if (supervisor.present()) {
    note_told(supervisor.ready());
    if (std::optional<Duration> interval = supervisor.watchdog_interval(getpid())) {
      pulse.emplace(proxy.lanes(), *interval, [&] { note_told(supervisor.alive()); });
      pulse->start();
    }
  }
  while (occasions.wait() != Occasions::kSignal) {
  }
  log::info("received signal; shutting down",
            {{"signal", occasions.signal() == SIGTERM ? "terminated" : "interrupt"}});
  note_told(supervisor.stopping());
  proxy.stop(kDrain);
}

// The log's first line, then `Proxy` until a signal has come.
template <typename Proxy, typename Config>
absl::Status run(ctl::Console& console, const std::vector<std::string>& command_line,
                 const Config& config, bool debug, int* ended_by) {
  constexpr bool kIsGateway = std::is_same_v<Proxy, proxy::TcpGateway>;
  Occasions occasions;  // before the log's thread: a signal would end the process there
  LogConfig logs;
  logs.outputs = {"stderr"};
  if (debug) logs.level = "debug";
  absl::StatusOr<std::unique_ptr<Logging>> logging = Logging::start(logs);
  if (!logging.ok()) return refused(console, logging.status(), kIsGateway);
  log::info("Running: ", {proxy::listed("args", command_line)});
  absl::StatusOr<std::unique_ptr<Proxy>> proxy = Proxy::start(config);
  if (!proxy.ok()) {
    (*logging)->flush();
    return refused(console, proxy.status(), kIsGateway);
  }
  serve(occasions, **proxy);
  log::info("shut down");
  *ended_by = occasions.signal();
  return absl::OkStatus();
}

ctl::Program program_of(const std::vector<std::string>& command_line, int* ended_by) {
  if (command_line[1] == kGateway) {
    return proxy::gateway_program(
        [&command_line, ended_by](ctl::Console& at, const proxy::TcpGatewayConfig& config) {
          return run<proxy::TcpGateway>(at, command_line, config, false, ended_by);
        });
  }
  return proxy::grpc_proxy_program([&command_line, ended_by](ctl::Console& at,
                                                             const proxy::GrpcProxyConfig& config,
                                                             bool debug) {
    return run<proxy::GrpcProxy>(at, command_line, config, debug, ended_by);
  });
}

}  // namespace

bool asks_for_proxy(const std::vector<std::string>& command_line) {
  return command_line.size() > 1 && (command_line[1] == kGateway || command_line[1] == kGrpcProxy);
}

int run_proxy(const std::vector<std::string>& command_line, int* ended_by) {
  ctl::Console console{std::cin, std::cout, std::cerr};
  const ctl::Program program = program_of(command_line, ended_by);
  const int code =
      ctl::run_command_line(program, {command_line.begin() + 1, command_line.end()}, console);
  std::cout.flush();
  return code;
}

}  // namespace keelson::server
