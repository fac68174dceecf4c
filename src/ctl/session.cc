#include "base/text.h"
#include "ctl/commands.h"

namespace keelson::ctl {

absl::StatusOr<Session> open_unconnected(Invocation& in) {
  auto options = read_options(in);
  if (!options.ok()) return options.status();
  auto printer = make_printer(options->write_out, options->hex, in.console.out, in.console.err);
  if (printer == nullptr) return failure(ExitCode::kBadFeature, "unsupported output format");
  return Session{*std::move(options), nullptr, std::move(printer)};
}

absl::StatusOr<Session> open_session(Invocation& in) {
  auto session = open_unconnected(in);
  if (!session.ok()) return session;
  auto client = Client::connect(session->options);
  if (!client.ok()) return client.status();
  session->client = *std::move(client);
  return session;
}

absl::StatusOr<std::unique_ptr<Client>> connect_to(const Session& session,
                                                   const std::string& endpoint) {
  Options options = session.options;
  options.endpoints = {endpoint};
  return Client::connect(options);
}

absl::StatusOr<std::vector<std::string>> endpoints_to_visit(Invocation& in, Session& session) {
  if (!in.flags.boolean("cluster")) return session.options.endpoints;
  auto client = Client::connect(session.options);
  if (!client.ok()) return with_exit_code(client.status(), ExitCode::kError);
  pb::MemberListRequest request;
  request.set_linearizable(true);
  auto response = (*client)->call(request, session.timeout());
  if (!response.ok()) {
    return failure(ExitCode::kError,
                   cat("failed to fetch endpoints from etcd cluster member list: ",
                       message_of(response.status())));
  }
  std::vector<std::string> urls;
  for (const pb::Member& m : response->members()) {
    urls.insert(urls.end(), m.clienturls().begin(), m.clienturls().end());
  }
  return urls;
}

Program keelctl() {
  Command root{.use = "keelctl",
               .brief = "A simple command line client for etcd3.",
               .details = "",
               .group = ""};
  auto add = [&](Command command) { root.commands.push_back(std::move(command)); };
  auto add_all = [&](std::vector<Command> commands) {
    for (Command& command : commands) add(std::move(command));
  };
  add_all(kv_commands());
  add(txn_command());
  add(watch_command());
  add(lease_command());
  add(endpoint_command());
  add(member_command());
  add_all(maintenance_commands());
  add_all(lock_commands());
  add_all(auth_commands());
  add_all(utility_commands());
  return {.name = "keelctl", .root = std::move(root), .global_flags = global_flags()};
}

}  // namespace keelson::ctl
