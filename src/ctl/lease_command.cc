// lease grant, revoke, timetolive, list, keep-alive.

#include <ostream>
#include <thread>

#include "base/errors.h"
#include "base/text.h"
#include "ctl/commands.h"

namespace keelson::ctl {
namespace {

absl::StatusOr<int64_t> lease_argument(const Invocation& in, std::string_view needs) {
  if (in.args().size() != 1) return failure(ExitCode::kBadArgs, needs);
  auto id = parse_int(in.args()[0], 16);
  if (id.ok()) return *id;
  return failure(ExitCode::kBadArgs,
                 cat("bad lease ID arg (", message_of(id.status()), "), expecting ID in Hex"));
}

absl::Status prefixed(std::string_view what, const absl::Status& status) {
  return failure(ExitCode::kError, cat(what, " (", message_of(status), ")"));
}

absl::Status run_grant(Invocation& in) {
  if (in.args().size() != 1) {
    return failure(ExitCode::kBadArgs, "lease grant command needs TTL argument");
  }
  auto ttl = parse_int(in.args()[0], 10);
  if (!ttl.ok()) {
    return failure(ExitCode::kBadArgs, cat("bad TTL (", message_of(ttl.status()), ")"));
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  pb::LeaseGrantRequest request;
  request.set_ttl(*ttl);
  auto response = session->client->call(request, session->timeout());
  if (!response.ok()) return prefixed("failed to grant lease", response.status());
  return session->printer->grant(*response);
}

absl::Status run_revoke(Invocation& in) {
  auto id = lease_argument(in, "lease revoke command needs 1 argument");
  if (!id.ok()) return id.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  pb::LeaseRevokeRequest request;
  request.set_id(*id);
  auto response = session->client->call(request, session->timeout());
  if (!response.ok()) return prefixed("failed to revoke lease", response.status());
  return session->printer->revoke(*id, *response);
}

absl::Status run_time_to_live(Invocation& in) {
  auto id = lease_argument(in, "lease timetolive command needs lease ID as argument");
  if (!id.ok()) return id.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  pb::LeaseTimeToLiveRequest request;
  request.set_id(*id);
  request.set_keys(in.flags.boolean("keys"));
  auto response = session->client->call(request, std::nullopt);
  if (!response.ok()) return with_exit_code(response.status(), ExitCode::kBadConnection);
  return session->printer->time_to_live(*response, request.keys());
}

absl::Status run_list(Invocation& in) {
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto response = session->client->call(pb::LeaseLeasesRequest(), std::nullopt);
  if (!response.ok()) return with_exit_code(response.status(), ExitCode::kBadConnection);
  return session->printer->leases(*response);
}

// One question, one answer; an empty one if the stream broke, with `error` saying why.
absl::StatusOr<pb::LeaseKeepAliveResponse> ask_once(KeepAliveStream& stream, int64_t id) {
  pb::LeaseKeepAliveRequest request;
  request.set_id(id);
  pb::LeaseKeepAliveResponse response;
  if (stream.write(request) && stream.read(&response)) return response;
  absl::Status status = stream.finish();
  return status.ok() ? absl::UnavailableError("EOF") : status;
}

absl::Status keep_alive_once(Session& session, int64_t id) {
  auto stream = session.client->keep_alive(/*require_leader=*/false);
  auto response = ask_once(*stream, id);
  if (response.ok() && response->ttl() <= 0) response = errors::LeaseNotFound();
  if (!response.ok()) return with_exit_code(response.status(), ExitCode::kBadConnection);
  return session.printer->keep_alive(*response);
}

// Renews at a third of the time to live, until the lease is gone. A broken stream is opened anew.
absl::Status run_keep_alive(Invocation& in) {
  auto id = lease_argument(in, "lease keep-alive command needs lease ID as argument");
  if (!id.ok()) return id.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  if (in.flags.boolean("once")) return keep_alive_once(*session, *id);
  auto stream = session->client->keep_alive(/*require_leader=*/true);
  while (true) {
    auto response = ask_once(*stream, *id);
    if (!response.ok()) {
      if (!absl::IsUnavailable(response.status())) {
        return with_exit_code(response.status(), ExitCode::kBadConnection);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      stream = session->client->keep_alive(true);
      continue;
    }
    if (response->ttl() <= 0) break;
    absl::Status shown = session->printer->keep_alive(*response);
    in.console.out.flush();
    if (!shown.ok()) return shown;
    std::this_thread::sleep_for(std::chrono::milliseconds(response->ttl() * 1000 / 3));
  }
  if (session->printer->is_simple()) {
    in.console.out << "lease " << hex16(static_cast<uint64_t>(*id)) << " expired or revoked.\n";
  }
  return absl::OkStatus();
}

Flag switch_flag(std::string name, std::string usage) {
  return {.name = std::move(name),
          .type = FlagType::kBool,
          .default_value = "false",
          .usage = std::move(usage)};
}

}  // namespace

Command lease_command() {
  Command lease{.use = "lease <subcommand>",
                .brief = "Lease related commands. Use `keelctl lease --help` to see subcommands",
                .details = "Lease related commands",
                .group = std::string(kKeyValueGroup)};
  lease.commands = {
      {.use = "grant <ttl>",
       .brief = "Creates leases",
       .details = "",
       .group = "",
       .run = run_grant},
      {.use = "revoke <leaseID>",
       .brief = "Revokes leases",
       .details = "",
       .group = "",
       .run = run_revoke},
      {.use = "timetolive <leaseID> [options]",
       .brief = "Get lease information",
       .details = "",
       .group = "",
       .flags = {switch_flag("keys", "Get keys attached to this lease")},
       .run = run_time_to_live},
      {.use = "list",
       .brief = "List all active leases",
       .details = "",
       .group = "",
       .run = run_list},
      {.use = "keep-alive [options] <leaseID>",
       .brief = "Keeps leases alive (renew)",
       .details = "",
       .group = "",
       .flags = {switch_flag("once",
                             "Resets the keep-alive time to its original value and exits "
                             "immediately")},
       .run = run_keep_alive},
  };
  return lease;
}

}  // namespace keelson::ctl
