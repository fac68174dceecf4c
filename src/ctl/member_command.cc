// member list, add, remove, update, promote.

#include <ostream>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/kv_requests.h"

namespace keelson::ctl {
namespace {

Flag peer_urls(std::string usage) {
  return {.name = "peer-urls",
          .type = FlagType::kString,
          .default_value = "",
          .usage = std::move(usage)};
}

template <typename Request>
void add_urls(std::string_view list, Request& request) {
  while (true) {
    size_t comma = list.find(',');
    request.add_peerurls(std::string(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

absl::StatusOr<uint64_t> member_argument(const Invocation& in) {
  if (in.args().size() != 1) return failure(ExitCode::kBadArgs, "member ID is not provided");
  auto id = parse_uint(in.args()[0], 16);
  if (id.ok()) return *id;
  return failure(ExitCode::kBadArgs,
                 cat("bad member ID arg (", message_of(id.status()), "), expecting ID in Hex"));
}

absl::Status no_urls() { return failure(ExitCode::kBadArgs, "member peer urls not provided"); }

absl::Status run_list(Invocation& in) {
  auto serializable = is_serializable(in.flags.text("consistency"));
  if (!serializable.ok()) return serializable.status();
  pb::MemberListRequest request;
  request.set_linearizable(!*serializable);
  return call_and_show(in, request, [](Printer& p, const auto& r) { return p.member_list(r); });
}

// What the new member's own configuration should say.
void show_settings(Console& console, const std::string& name, const std::string& urls,
                   const pb::MemberAddResponse& r) {
  std::vector<std::string> cluster;
  for (const pb::Member& m : r.members()) {
    const std::string& shown = m.id() == r.member().id() ? name : m.name();
    for (const std::string& url : m.peerurls()) cluster.push_back(cat(shown, "=", url));
  }
  console.out << "\nETCD_NAME=" << go_quote(name)
              << "\nETCD_INITIAL_CLUSTER=" << go_quote(join(cluster, ","))
              << "\nETCD_INITIAL_ADVERTISE_PEER_URLS=" << go_quote(urls)
              << "\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n";
}

absl::Status run_add(Invocation& in) {
  if (in.args().empty()) return failure(ExitCode::kBadArgs, "member name not provided");
  if (in.args().size() > 1) {
    std::string text = "too many arguments";
    for (const std::string& arg : in.args()) {
      bool url = arg.substr(0, 4) == "http" || arg.substr(0, 4) == "HTTP";
      if (url) text += cat(", did you mean --peer-urls=", arg);
    }
    return failure(ExitCode::kBadArgs, text);
  }
  const std::string& urls = in.flags.text("peer-urls");
  if (urls.empty()) return no_urls();
  pb::MemberAddRequest request;
  add_urls(urls, request);
  request.set_islearner(in.flags.boolean("learner"));
  return call_and_show(in, request, [&](Printer& p, const pb::MemberAddResponse& r) {
    absl::Status status = p.member_add(r);
    if (status.ok() && p.is_simple()) show_settings(in.console, in.args()[0], urls, r);
    return status;
  });
}

absl::Status run_remove(Invocation& in) {
  auto id = member_argument(in);
  if (!id.ok()) return id.status();
  pb::MemberRemoveRequest request;
  request.set_id(*id);
  return call_and_show(in, request,
                       [&](Printer& p, const auto& r) { return p.member_remove(*id, r); });
}

absl::Status run_update(Invocation& in) {
  auto id = member_argument(in);
  if (!id.ok()) return id.status();
  if (in.flags.text("peer-urls").empty()) return no_urls();
  pb::MemberUpdateRequest request;
  request.set_id(*id);
  add_urls(in.flags.text("peer-urls"), request);
  return call_and_show(in, request,
                       [&](Printer& p, const auto& r) { return p.member_update(*id, r); });
}

absl::Status run_promote(Invocation& in) {
  auto id = member_argument(in);
  if (!id.ok()) return id.status();
  pb::MemberPromoteRequest request;
  request.set_id(*id);
  return call_and_show(in, request,
                       [&](Printer& p, const auto& r) { return p.member_promote(*id, r); });
}

}  // namespace

Command member_command() {
  Command member{
      .use = "member <subcommand>",
      .brief = "Membership related commands. Use `keelctl member --help` to see subcommands",
      .details = "Membership related commands",
      .group = std::string(kClusterGroup)};
  Flag learner{.name = "learner",
               .type = FlagType::kBool,
               .default_value = "false",
               .usage = "indicates if the new member is raft learner"};
  Flag consistency{.name = "consistency",
                   .type = FlagType::kString,
                   .default_value = "l",
                   .usage = "Linearizable(l) or Serializable(s)"};
  member.commands = {
      {.use = "add <memberName> [options]",
       .brief = "Adds a member into the cluster",
       .details = "",
       .group = "",
       .flags = {peer_urls("comma separated peer URLs for the new member."), learner},
       .run = run_add},
      {.use = "remove <memberID>",
       .brief = "Removes a member from the cluster",
       .details = "",
       .group = "",
       .run = run_remove},
      {.use = "update <memberID> [options]",
       .brief = "Updates a member in the cluster",
       .details = "",
       .group = "",
       .flags = {peer_urls("comma separated peer URLs for the updated member.")},
       .run = run_update},
      {.use = "list",
       .brief = "Lists all members in the cluster",
       .details = "",
       .group = "",
       .flags = {consistency},
       .run = run_list},
      {.use = "promote <memberID>",
       .brief = "Promotes a non-voting member in the cluster",
       .details = "",
       .group = "",
       .run = run_promote},
  };
  return member;
}

}  // namespace keelson::ctl
