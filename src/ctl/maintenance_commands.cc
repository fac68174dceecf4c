// alarm, defrag, snapshot save, move-leader, downgrade.

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <ostream>

#include "base/progress_line.h"
#include "base/text.h"
#include "base/time_text.h"
#include "ctl/commands.h"

namespace keelson::ctl {
namespace {

absl::Status show_alarms(Invocation& in, const pb::AlarmRequest& request) {
  return call_and_show(in, request, [](Printer& p, const auto& r) { return p.alarm(r); });
}

absl::Status run_alarm_list(Invocation& in) {
  if (!in.args().empty()) {
    return failure(ExitCode::kBadArgs, "alarm list command accepts no arguments");
  }
  return show_alarms(in, pb::AlarmRequest());
}

// Disarms what is armed, one by one: the request names a member and a kind of alarm.
absl::Status run_alarm_disarm(Invocation& in) {
  if (!in.args().empty()) {
    return failure(ExitCode::kBadArgs, "alarm disarm command accepts no arguments");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto armed = session->client->call(pb::AlarmRequest(), session->timeout());
  if (!armed.ok()) return armed.status();
  pb::AlarmResponse disarmed;
  for (const pb::AlarmMember& alarm : armed->alarms()) {
    pb::AlarmRequest request;
    request.set_action(pb::AlarmRequest::DEACTIVATE);
    request.set_memberid(alarm.memberid());
    request.set_alarm(alarm.alarm());
    auto response = session->client->call(request, session->timeout());
    if (!response.ok()) return response.status();
    disarmed.MergeFrom(*response);
  }
  // The client library puts these answers together without a header.
  disarmed.clear_header();
  return session->printer->alarm(disarmed);
}

absl::Status run_defrag(Invocation& in) {
  auto session = open_unconnected(in);
  if (!session.ok()) return session.status();
  auto endpoints = endpoints_to_visit(in, *session);
  if (!endpoints.ok()) return endpoints.status();
  bool failed = false;
  for (const std::string& endpoint : *endpoints) {
    auto client = connect_to(*session, endpoint);
    if (!client.ok()) return client.status();
    auto start = std::chrono::steady_clock::now();
    auto response = (*client)->call(pb::DefragmentRequest(), session->timeout());
    std::string took = duration_text(std::chrono::steady_clock::now() - start);
    if (response.ok()) {
      in.console.out << "Finished defragmenting etcd member[" << endpoint << "]. took " << took
                     << "\n";
    } else {
      in.console.err << "Failed to defragment etcd member[" << endpoint << "]. took " << took
                     << ". (" << message_of(response.status()) << ")\n";
      failed = true;
    }
  }
  return failed ? already_reported(static_cast<int>(ExitCode::kError)) : absl::OkStatus();
}

absl::Status io_error(std::string_view what, const std::string& path) {
  return failure(ExitCode::kInterrupted, cat(what, " ", path, ": ", strerror(errno)));
}

absl::Status write_all(int file, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    ssize_t wrote = write(file, data.data(), data.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return io_error("write", path);
    data.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

// Receives the whole snapshot into `file`; fails if the server stopped before its end or the size
// is not that of a database with its checksum behind it.
absl::StatusOr<std::string> receive(Source<pb::SnapshotResponse>& source, int file,
                                    const std::string& path) {
  pb::SnapshotResponse part;
  std::string version;
  uint64_t size = 0;
  ProgressLine line("saving");
  while (source.read(&part)) {
    if (absl::Status status = write_all(file, part.blob(), path); !status.ok()) return status;
    size += part.blob().size();
    version = part.version();
    line.at(size, size + part.remaining_bytes());
  }
  if (absl::Status status = source.finish(); !status.ok()) {
    return with_exit_code(status, ExitCode::kInterrupted);
  }
  if (size % 512 != 32) {
    return failure(ExitCode::kInterrupted, cat("sha256 checksum not found [bytes: ", size, "]"));
  }
  if (fsync(file) != 0) return io_error("fsync", path);
  return version;
}

// The name, too, survives a crash.
absl::Status sync_directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return io_error("could not open", dir);
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced ? absl::OkStatus() : io_error("fsync", dir);
}

absl::Status run_snapshot_save(Invocation& in) {
  if (in.args().size() != 1) {
    return failure(ExitCode::kBadArgs, "snapshot save expects one argument <filename>");
  }
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  if (session->options.endpoints.size() != 1) {
    return failure(ExitCode::kInterrupted,
                   cat("snapshot must be requested to one selected node, not multiple [",
                       join(session->options.endpoints, " "), "]"));
  }
  const std::string& path = in.args()[0];
  std::string part = path + ".part";
  int file = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return io_error("could not open", part);
  // A big database takes longer than a command may: no deadline unless one is asked for.
  bool limited = in.flags.changed("command-timeout");
  auto source = session->client->snapshot(limited ? session->timeout() : std::nullopt);
  auto version = receive(*source, file, part);
  close(file);
  if (version.ok() && rename(part.c_str(), path.c_str()) != 0) version = io_error("rename", part);
  if (!version.ok()) {
    unlink(part.c_str());
    return version.status();
  }
  if (absl::Status synced = sync_directory_of(path); !synced.ok()) return synced;
  in.console.out << "Snapshot saved at " << path << "\n";
  if (!version->empty()) in.console.out << "Server version " << *version << "\n";
  return absl::OkStatus();
}

// The connection to the leader among the given endpoints, and its id.
absl::StatusOr<std::pair<std::unique_ptr<Client>, uint64_t>> find_leader(Session& session) {
  for (const std::string& endpoint : session.options.endpoints) {
    auto client = connect_to(session, endpoint);
    if (!client.ok()) return client.status();
    auto status = (*client)->call(pb::StatusRequest(), session.timeout());
    if (!status.ok()) return status.status();
    if (status->header().member_id() == status->leader()) {
      return std::pair{*std::move(client), status->leader()};
    }
  }
  return failure(ExitCode::kBadArgs,
                 cat("no leader endpoint given at [", join(session.options.endpoints, " "), "]"));
}

absl::Status run_move_leader(Invocation& in) {
  if (in.args().size() != 1) {
    return failure(ExitCode::kBadArgs, "move-leader command needs 1 argument");
  }
  auto target = parse_uint(in.args()[0], 16);
  if (!target.ok()) return with_exit_code(target.status(), ExitCode::kBadArgs);
  auto session = open_unconnected(in);
  if (!session.ok()) return session.status();
  auto leader = find_leader(*session);
  if (!leader.ok()) return leader.status();
  pb::MoveLeaderRequest request;
  request.set_targetid(*target);
  auto response = leader->first->call(request, session->timeout());
  if (!response.ok()) return response.status();
  return session->printer->move_leader(leader->second, *target, *response);
}

absl::Status downgrade(Invocation& in, const std::string& name,
                       pb::DowngradeRequest::DowngradeAction action) {
  pb::DowngradeRequest request;
  request.set_action(action);
  if (action != pb::DowngradeRequest::CANCEL) {
    if (in.args().empty()) return failure(ExitCode::kBadArgs, "TARGET_VERSION not provided");
    if (in.args().size() > 1) return failure(ExitCode::kBadArgs, "too many arguments");
    if (in.args()[0].empty()) return failure(ExitCode::kBadArgs, "target version not provided");
    request.set_version(in.args()[0]);
  }
  return call_and_show(in, request,
                       [&](Printer& p, const auto& r) { return p.downgrade(name, r); });
}

Command downgrade_command(const std::string& name, std::string use, std::string brief,
                          pb::DowngradeRequest::DowngradeAction action) {
  return {.use = std::move(use),
          .brief = std::move(brief),
          .details = "",
          .group = "",
          .run = [=](Invocation& in) { return downgrade(in, name, action); }};
}

}  // namespace

std::vector<Command> maintenance_commands() {
  std::string group(kClusterGroup);
  Flag cluster{.name = "cluster",
               .type = FlagType::kBool,
               .default_value = "false",
               .usage = "use all endpoints from the cluster member list"};
  Command alarm{.use = "alarm <subcommand>",
                .brief = "Alarm related commands. Use `keelctl alarm --help` to see subcommands",
                .details = "Alarm related commands",
                .group = group};
  alarm.commands = {{.use = "disarm",
                     .brief = "Disarms all alarms",
                     .details = "",
                     .group = "",
                     .run = run_alarm_disarm},
                    {.use = "list",
                     .brief = "Lists all alarms",
                     .details = "",
                     .group = "",
                     .run = run_alarm_list}};
  Command snapshot{.use = "snapshot <subcommand>",
                   .brief = "Manages etcd node snapshots",
                   .details = "",
                   .group = group};
  snapshot.commands = {{.use = "save <filename>",
                        .brief = "Stores an etcd node backend snapshot to a given file",
                        .details = "",
                        .group = "",
                        .run = run_snapshot_save}};
  Command down{.use = "downgrade <subcommand>",
               .brief =
                   "Downgrade related commands. Use `keelctl downgrade --help` to see "
                   "subcommands",
               .details = "Downgrade related commands",
               .group = group};
  down.commands = {
      downgrade_command("validate", "validate <TARGET_VERSION>",
                        "Validate downgrade capability before starting downgrade",
                        pb::DowngradeRequest::VALIDATE),
      downgrade_command("enable", "enable <TARGET_VERSION>", "Start a downgrade action to cluster",
                        pb::DowngradeRequest::ENABLE),
      downgrade_command("cancel", "cancel", "Cancel the ongoing downgrade action to cluster",
                        pb::DowngradeRequest::CANCEL)};
  return {alarm,
          {.use = "defrag",
           .brief = "Defragments the storage of the etcd members with given endpoints",
           .details = "",
           .group = group,
           .flags = {cluster},
           .run = run_defrag},
          snapshot,
          {.use = "move-leader <transferee-member-id>",
           .brief = "Transfers leadership to another etcd cluster member.",
           .details = "",
           .group = group,
           .run = run_move_leader},
          down};
}

}  // namespace keelson::ctl
