// endpoint health, status, hashkv.

#include <future>
#include <ostream>

#include "base/errors.h"
#include "base/text.h"
#include "base/time_text.h"
#include "ctl/commands.h"

namespace keelson::ctl {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::string alarm_text(const pb::AlarmResponse& alarms) {
  std::string text = "Active Alarm(s): ";
  for (const auto& alarm : alarms.alarms()) {
    bool known = alarm.alarm() == pb::NOSPACE || alarm.alarm() == pb::CORRUPT;
    text += cat(known ? pb::AlarmType_Name(alarm.alarm()) : "UNKNOWN", " ");
  }
  return text;
}

// Healthy is who answers a linearizable read (or refuses it for lack of permission: the read went
// through consensus all the same) and has no alarm.
EndpointHealth check_health(const Session& session, const std::string& endpoint) {
  EndpointHealth health{endpoint, false, "", ""};
  auto client = connect_to(session, endpoint);
  if (!client.ok()) {
    health.error = std::string(message_of(client.status()));
    return health;
  }
  auto start = SteadyClock::now();
  pb::RangeRequest request;
  request.set_key("health");
  absl::Status read = (*client)->call(request, session.timeout()).status();
  auto took = std::chrono::duration_cast<Nanos>(SteadyClock::now() - start);
  health.took = duration_text(took);
  if (!read.ok() && message_of(read) != message_of(errors::PermissionDenied())) {
    health.error = std::string(message_of(read));
    return health;
  }
  auto alarms = (*client)->call(pb::AlarmRequest(), *session.timeout() - took);
  if (!alarms.ok()) {
    health.error = "Unable to fetch the alarm list";
  } else if (alarms->alarms_size() > 0) {
    health.error = alarm_text(*alarms);
  }
  health.healthy = health.error.empty();
  return health;
}

absl::Status run_health(Invocation& in) {
  auto session = open_unconnected(in);
  if (!session.ok()) return session.status();
  auto endpoints = endpoints_to_visit(in, *session);
  if (!endpoints.ok()) return endpoints.status();
  std::vector<std::future<EndpointHealth>> checks;
  for (const std::string& endpoint : *endpoints) {
    checks.push_back(
        std::async(std::launch::async, [&, endpoint] { return check_health(*session, endpoint); }));
  }
  std::vector<EndpointHealth> list;
  bool sick = false;
  for (auto& check : checks) {
    list.push_back(check.get());
    sick |= !list.back().error.empty();
  }
  absl::Status shown = session->printer->health(list);
  if (!shown.ok() || !sick) return shown;
  in.console.out.flush();
  return failure(ExitCode::kError, "unhealthy cluster");
}

// Asks every endpoint in turn; complaints go to stderr at once, the last one is left in `last`.
// An error returned means that not all could be asked.
template <typename Answer, typename Request>
absl::Status ask_each(Invocation& in, Session& session, const Request& request,
                      std::string_view what, std::vector<Answer>& list, absl::Status& last) {
  auto endpoints = endpoints_to_visit(in, session);
  if (!endpoints.ok()) return endpoints.status();
  for (const std::string& endpoint : *endpoints) {
    auto client = connect_to(session, endpoint);
    if (!client.ok()) return client.status();
    auto response = (*client)->call(request, session.timeout());
    if (response.ok()) {
      list.push_back({endpoint, *std::move(response)});
      continue;
    }
    last = response.status();
    in.console.err << "Failed to get the " << what << " of endpoint " << endpoint << " ("
                   << message_of(last) << ")\n";
  }
  return absl::OkStatus();
}

absl::Status run_status(Invocation& in) {
  auto session = open_unconnected(in);
  if (!session.ok()) return session.status();
  std::vector<EndpointStatus> list;
  absl::Status last;
  absl::Status asked = ask_each(in, *session, pb::StatusRequest(), "status", list, last);
  if (!asked.ok()) return asked;
  absl::Status shown = session->printer->status(list);
  if (!shown.ok() || last.ok()) return shown;
  return already_reported(static_cast<int>(ExitCode::kError));
}

absl::Status run_hash(Invocation& in) {
  auto session = open_unconnected(in);
  if (!session.ok()) return session.status();
  pb::HashKVRequest request;
  request.set_revision(in.flags.integer("rev"));
  std::vector<EndpointHash> list;
  absl::Status last;
  absl::Status asked = ask_each(in, *session, request, "hash", list, last);
  if (!asked.ok()) return asked;
  absl::Status shown = session->printer->hash(list);
  in.console.out.flush();
  return shown.ok() ? last : shown;
}

}  // namespace

Command endpoint_command() {
  Command endpoint{
      .use = "endpoint <subcommand>",
      .brief = "Endpoint related commands. Use `keelctl endpoint --help` to see subcommands",
      .details = "Endpoint related commands",
      .group = std::string(kClusterGroup),
      .inherited_flags = {{.name = "cluster",
                           .type = FlagType::kBool,
                           .default_value = "false",
                           .usage = "use all endpoints from the cluster member list"}}};
  endpoint.commands = {
      {.use = "health",
       .brief = "Checks the healthiness of endpoints specified in `--endpoints` flag",
       .details = "",
       .group = "",
       .run = run_health},
      {.use = "status",
       .brief = "Prints out the status of endpoints specified in `--endpoints` flag",
       .details = "",
       .group = "",
       .run = run_status},
      {.use = "hashkv",
       .brief = "Prints the KV history hash for each endpoint in --endpoints",
       .details = "",
       .group = "",
       .flags = {{.name = "rev",
                  .type = FlagType::kInt64,
                  .default_value = "0",
                  .usage = "maximum revision to hash (default: latest revision)"}},
       .run = run_hash},
  };
  return endpoint;
}

}  // namespace keelson::ctl
