// auth, user, role.

#include <istream>
#include <ostream>
#include <sstream>
#include <string>

#include "base/errors.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/keys.h"

namespace keelson::ctl {
namespace {

absl::Status expect_arguments(const Invocation& in, size_t count, std::string_view text) {
  if (in.args().size() == count) return absl::OkStatus();
  return failure(ExitCode::kBadArgs, text);
}

// For the commands whose only answer is that it is done.
template <typename Request>
absl::Status call_and_confirm(Invocation& in, const Request& request, const std::string& text) {
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto response = session->client->call(request, std::nullopt);
  if (!response.ok()) return response.status();
  return session->printer->done(text, *response);
}

// --- auth ---

absl::Status run_auth_status(Invocation& in) {
  absl::Status bad = expect_arguments(in, 0, "auth status command does not accept any arguments");
  if (!bad.ok()) return bad;
  return call_and_show(in, pb::AuthStatusRequest(),
                       [](Printer& p, const auto& r) { return p.auth_status(r); });
}

// What `auth enable` still needs when root has no root role.
absl::Status give_root_its_role(Session& session) {
  pb::AuthRoleAddRequest role;
  role.set_name("root");
  absl::Status status = session.client->call(role, session.timeout()).status();
  if (!status.ok()) return status;
  pb::AuthUserGrantRoleRequest grant;
  grant.set_user("root");
  grant.set_role("root");
  return session.client->call(grant, session.timeout()).status();
}

absl::Status run_auth_enable(Invocation& in) {
  absl::Status status =
      expect_arguments(in, 0, "auth enable command does not accept any arguments");
  if (!status.ok()) return status;
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  status = session->client->call(pb::AuthEnableRequest(), session->timeout()).status();
  if (!status.ok() && message_of(status) == message_of(errors::RootRoleNotExist())) {
    status = give_root_its_role(*session);
    if (!status.ok()) return status;
    status = session->client->call(pb::AuthEnableRequest(), session->timeout()).status();
  }
  if (status.ok()) in.console.out << "Authentication Enabled\n";
  return status;
}

absl::Status run_auth_disable(Invocation& in) {
  absl::Status bad = expect_arguments(in, 0, "auth disable command does not accept any arguments");
  if (!bad.ok()) return bad;
  return call_and_show(in, pb::AuthDisableRequest(), [&](Printer&, const auto&) {
    in.console.out << "Authentication Disabled\n";
    return absl::OkStatus();
  });
}

// --- user ---

absl::StatusOr<std::string> new_password(Invocation& in, const std::string& user) {
  // As Go's Scanf("%s"): the first word of one line, which may have none.
  if (!in.flags.boolean("interactive")) {
    std::string line, word;
    std::getline(in.console.in, line);
    std::istringstream(line) >> word;
    return word;
  }
  auto first = ask_password(in.console, cat("Password of ", user, ": "));
  if (!first.ok()) {
    return failure(ExitCode::kBadArgs, cat("failed to ask password: ", message_of(first.status())));
  }
  if (first->empty()) return failure(ExitCode::kBadArgs, "empty password");
  auto second =
      ask_password(in.console, cat("Type password of ", user, " again for confirmation: "));
  if (!second.ok()) {
    return failure(ExitCode::kBadArgs,
                   cat("failed to ask password: ", message_of(second.status())));
  }
  if (*first != *second) return failure(ExitCode::kBadArgs, "given passwords are different");
  return first;
}

// Name and password of the user to add, from the flags or "name:password".
absl::Status read_new_user(Invocation& in, pb::AuthUserAddRequest& request) {
  const std::string& argument = in.args()[0];
  request.set_name(argument);
  request.mutable_options()->set_no_password(in.flags.boolean("no-password"));
  if (in.flags.boolean("no-password")) return absl::OkStatus();
  const std::string& given = in.flags.text("new-user-password");
  if (!given.empty()) return request.set_password(given), absl::OkStatus();
  size_t colon = argument.find(':');
  if (colon == std::string::npos) {
    auto password = new_password(in, argument);
    if (password.ok()) request.set_password(*password);
    return password.status();
  }
  if (colon == 0) return failure(ExitCode::kBadArgs, "empty user name is not allowed");
  request.set_name(argument.substr(0, colon));
  request.set_password(argument.substr(colon + 1));
  return absl::OkStatus();
}

absl::Status run_user_add(Invocation& in) {
  absl::Status status =
      expect_arguments(in, 1, "user add command requires user name as its argument");
  pb::AuthUserAddRequest request;
  if (status.ok()) status = read_new_user(in, request);
  if (!status.ok()) return status;
  return call_and_confirm(in, request, cat("User ", request.name(), " created"));
}

absl::Status run_user_delete(Invocation& in) {
  absl::Status bad =
      expect_arguments(in, 1, "user delete command requires user name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthUserDeleteRequest request;
  request.set_name(in.args()[0]);
  return call_and_confirm(in, request, cat("User ", in.args()[0], " deleted"));
}

absl::Status show_user_roles(Invocation& in, Session& session, const pb::AuthUserGetResponse& r) {
  in.console.out << "User: " << in.args()[0] << "\n";
  for (const std::string& name : r.roles()) {
    in.console.out << "\n";
    pb::AuthRoleGetRequest request;
    request.set_role(name);
    auto role = session.client->call(request, std::nullopt);
    if (!role.ok()) return role.status();
    if (absl::Status status = session.printer->role(name, *role); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status run_user_get(Invocation& in) {
  absl::Status bad = expect_arguments(in, 1, "user get command requires user name as its argument");
  if (!bad.ok()) return bad;
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  pb::AuthUserGetRequest request;
  request.set_name(in.args()[0]);
  auto response = session->client->call(request, std::nullopt);
  if (!response.ok()) return response.status();
  if (in.flags.boolean("detail")) return show_user_roles(in, *session, *response);
  return session->printer->user(in.args()[0], *response);
}

absl::Status run_user_list(Invocation& in) {
  absl::Status bad = expect_arguments(in, 0, "user list command requires no arguments");
  if (!bad.ok()) return bad;
  return call_and_show(in, pb::AuthUserListRequest(),
                       [](Printer& p, const auto& r) { return p.users(r); });
}

absl::Status run_user_passwd(Invocation& in) {
  absl::Status bad =
      expect_arguments(in, 1, "user passwd command requires user name as its argument");
  if (!bad.ok()) return bad;
  auto password = new_password(in, in.args()[0]);
  if (!password.ok()) return password.status();
  pb::AuthUserChangePasswordRequest request;
  request.set_name(in.args()[0]);
  request.set_password(*password);
  return call_and_confirm(in, request, "Password updated");
}

absl::Status run_user_grant(Invocation& in) {
  absl::Status bad = expect_arguments(
      in, 2, "user grant command requires user name and role name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthUserGrantRoleRequest request;
  request.set_user(in.args()[0]);
  request.set_role(in.args()[1]);
  return call_and_confirm(in, request,
                          cat("Role ", in.args()[1], " is granted to user ", in.args()[0]));
}

absl::Status run_user_revoke(Invocation& in) {
  absl::Status bad =
      expect_arguments(in, 2, "user revoke-role requires user name and role name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthUserRevokeRoleRequest request;
  request.set_name(in.args()[0]);
  request.set_role(in.args()[1]);
  return call_and_confirm(in, request,
                          cat("Role ", in.args()[1], " is revoked from user ", in.args()[0]));
}

// --- role ---

absl::Status run_role_add(Invocation& in) {
  absl::Status bad = expect_arguments(in, 1, "role add command requires role name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthRoleAddRequest request;
  request.set_name(in.args()[0]);
  return call_and_confirm(in, request, cat("Role ", in.args()[0], " created"));
}

absl::Status run_role_delete(Invocation& in) {
  absl::Status bad =
      expect_arguments(in, 1, "role delete command requires role name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthRoleDeleteRequest request;
  request.set_role(in.args()[0]);
  return call_and_confirm(in, request, cat("Role ", in.args()[0], " deleted"));
}

absl::Status run_role_get(Invocation& in) {
  absl::Status bad = expect_arguments(in, 1, "role get command requires role name as its argument");
  if (!bad.ok()) return bad;
  pb::AuthRoleGetRequest request;
  request.set_role(in.args()[0]);
  return call_and_show(in, request,
                       [&](Printer& p, const auto& r) { return p.role(in.args()[0], r); });
}

absl::Status run_role_list(Invocation& in) {
  absl::Status bad = expect_arguments(in, 0, "role list command requires no arguments");
  if (!bad.ok()) return bad;
  return call_and_show(in, pb::AuthRoleListRequest(),
                       [](Printer& p, const auto& r) { return p.roles(r); });
}

struct KeyRange {
  std::string key, end;
};

// Which keys a permission speaks of; `at` is where the key stands among the arguments.
absl::StatusOr<KeyRange> permission_range(const Invocation& in, size_t at) {
  bool prefix = in.flags.boolean("prefix");
  bool from_key = in.flags.boolean("from-key");
  const std::string& key = in.args()[at];
  bool has_end = in.args().size() > at + 1;
  if (prefix && from_key && (key.empty() || !has_end)) {
    return failure(ExitCode::kBadArgs, "--from-key and --prefix flags are mutually exclusive");
  }
  // The whole key space is written as "from the zero byte on".
  if (key.empty()) return KeyRange{zero_byte(), prefix || from_key ? zero_byte() : ""};
  if (has_end) {
    if (prefix || from_key) {
      return failure(ExitCode::kBadArgs, cat("unexpected endkey argument with --",
                                             prefix ? "prefix" : "from-key", " flag"));
    }
    return KeyRange{key, in.args()[at + 1]};
  }
  return KeyRange{key, prefix ? prefix_end(key) : from_key ? zero_byte() : ""};
}

absl::Status run_grant_permission(Invocation& in) {
  if (in.args().size() < 3) {
    return failure(ExitCode::kBadArgs,
                   "role grant command requires role name, permission type, and key [endkey] as "
                   "its argument");
  }
  std::string upper = in.args()[1];
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  authpb::Permission::Type type{};
  if (!authpb::Permission::Type_Parse(upper, &type)) {
    return failure(ExitCode::kBadArgs, cat("invalid permission type: ", in.args()[1]));
  }
  auto range = permission_range(in, 2);
  if (!range.ok()) return range.status();
  pb::AuthRoleGrantPermissionRequest request;
  request.set_name(in.args()[0]);
  request.mutable_perm()->set_permtype(type);
  request.mutable_perm()->set_key(range->key);
  request.mutable_perm()->set_range_end(range->end);
  return call_and_confirm(in, request, cat("Role ", in.args()[0], " updated"));
}

absl::Status run_revoke_permission(Invocation& in) {
  if (in.args().size() < 2) {
    return failure(ExitCode::kBadArgs,
                   "role revoke-permission command requires role name and key [endkey] as its "
                   "argument");
  }
  auto range = permission_range(in, 1);
  if (!range.ok()) return range.status();
  pb::AuthRoleRevokePermissionRequest request;
  request.set_role(in.args()[0]);
  request.set_key(range->key);
  request.set_range_end(range->end);
  const std::string& key = in.args()[1];
  std::string what = range->end.empty()          ? cat("key ", key)
                     : range->end == zero_byte() ? cat("range [", key, ", <open ended>")
                                                 : cat("range [", key, ", ", range->end, ")");
  return call_and_confirm(in, request,
                          cat("Permission of ", what, " is revoked from role ", in.args()[0]));
}

// --- the tables ---

using Run = absl::Status (*)(Invocation&);

Command leaf(std::string use, std::string brief, Run run, std::vector<Flag> flags = {}) {
  return {.use = std::move(use),
          .brief = std::move(brief),
          .details = "",
          .group = "",
          .flags = std::move(flags),
          .run = run};
}

Flag switch_flag(std::string name, std::string value, std::string usage) {
  return {.name = std::move(name),
          .type = FlagType::kBool,
          .default_value = std::move(value),
          .usage = std::move(usage)};
}

Command auth_command() {
  return {.use = "auth <enable or disable>",
          .brief = "Enable or disable authentication. Use `keelctl auth --help` to see subcommands",
          .details = "Enable or disable authentication",
          .group = std::string(kAuthGroup),
          .commands = {leaf("enable", "Enables authentication", run_auth_enable),
                       leaf("disable", "Disables authentication", run_auth_disable),
                       leaf("status", "Returns authentication status", run_auth_status)}};
}

Command user_command() {
  Flag interactive =
      switch_flag("interactive", "true",
                  "If true, ask for the password on the terminal; if false, read it from stdin");
  Flag password{.name = "new-user-password",
                .type = FlagType::kString,
                .default_value = "",
                .usage = "Supply password from the command line flag"};
  Flag none =
      switch_flag("no-password", "false", "Create a user without password (CN based auth only)");
  Flag detail = switch_flag("detail", "false", "Show permissions of roles granted to the user");
  return {.use = "user <subcommand>",
          .brief = "User related commands. Use `keelctl user --help` to see subcommands",
          .details = "User related commands",
          .group = std::string(kAuthGroup),
          .commands = {
              leaf("add <user name or user:password> [options]", "Adds a new user", run_user_add,
                   {interactive, password, none}),
              leaf("delete <user name>", "Deletes a user", run_user_delete),
              leaf("get <user name> [options]", "Gets detailed information of a user", run_user_get,
                   {detail}),
              leaf("list", "Lists all users", run_user_list),
              leaf("passwd <user name> [options]", "Changes password of user", run_user_passwd,
                   {interactive}),
              leaf("grant-role <user name> <role name>", "Grants a role to a user", run_user_grant),
              leaf("revoke-role <user name> <role name>", "Revokes a role from a user",
                   run_user_revoke)}};
}

Command role_command() {
  std::vector<Flag> range = {
      switch_flag("prefix", "false", "a permission for all keys with this prefix"),
      switch_flag("from-key", "false",
                  "a permission of keys that are greater than or equal to the given key using "
                  "byte compare")};
  return {
      .use = "role <subcommand>",
      .brief = "Role related commands. Use `keelctl role --help` to see subcommands",
      .details = "Role related commands",
      .group = std::string(kAuthGroup),
      .commands = {leaf("add <role name>", "Adds a new role", run_role_add),
                   leaf("delete <role name>", "Deletes a role", run_role_delete),
                   leaf("get <role name>", "Gets detailed information of a role", run_role_get),
                   leaf("list", "Lists all roles", run_role_list),
                   leaf("grant-permission [options] <role name> <permission type> <key> [endkey]",
                        "Grants a key to a role", run_grant_permission, range),
                   leaf("revoke-permission <role name> <key> [endkey]", "Revokes a key from a role",
                        run_revoke_permission, range)}};
}

}  // namespace

std::vector<Command> auth_commands() { return {auth_command(), user_command(), role_command()}; }

}  // namespace keelson::ctl
