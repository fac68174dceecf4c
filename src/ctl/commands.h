// ctl/commands.h
//
// The command groups (each in the file of its name) and the session every command opens.

#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/options.h"
#include "ctl/printer.h"

namespace keelson::ctl {

Program keelctl();

// The headings of the root's help.
constexpr std::string_view kKeyValueGroup = "Key-value commands";
constexpr std::string_view kClusterGroup = "Cluster maintenance commands";
constexpr std::string_view kConcurrencyGroup = "Concurrency commands";
constexpr std::string_view kAuthGroup = "Authentication commands";
constexpr std::string_view kUtilityGroup = "Utility commands";

std::vector<Command> kv_commands();  // get put del compaction
Command txn_command();
Command watch_command();
Command lease_command();
Command endpoint_command();
Command member_command();
std::vector<Command> maintenance_commands();  // alarm defrag snapshot move-leader downgrade
std::vector<Command> auth_commands();         // auth user role
std::vector<Command> lock_commands();         // lock elect
Command mirror_command();                     // make-mirror
Command check_command();                      // perf datascale
std::vector<Command> utility_commands();      // version options, and the group's others

// Options, connection and printer of one run.
struct Session {
  Options options;
  std::unique_ptr<Client> client;
  std::unique_ptr<Printer> printer;

  Timeout timeout() const { return options.command_timeout; }
};

// Options and printer only, for commands that connect to each endpoint in turn.
absl::StatusOr<Session> open_unconnected(Invocation& invocation);
absl::StatusOr<Session> open_session(Invocation& invocation);

// A client of one endpoint, other options as in the session.
absl::StatusOr<std::unique_ptr<Client>> connect_to(const Session& session,
                                                   const std::string& endpoint);

// The endpoints to visit: those given, or with --cluster every member's client URLs.
absl::StatusOr<std::vector<std::string>> endpoints_to_visit(Invocation& in, Session& session);

// Opens a session, makes one call with the command timeout, and hands the answer to `show`.
template <typename Request, typename Show>
absl::Status call_and_show(Invocation& in, const Request& request, Show&& show) {
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto response = session->client->call(request, session->timeout());
  if (!response.ok()) return response.status();
  return show(*session->printer, *response);
}

}  // namespace keelson::ctl
