// get, put, del, compaction.

#include <ostream>
#include <thread>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/kv_requests.h"

namespace keelson::ctl {
namespace {

constexpr std::chrono::seconds kDeletePause{2};

// The answer of Range, put together from RangeStream's parts when --stream asks for it.
absl::StatusOr<pb::RangeResponse> fetch(Session& session, const pb::RangeRequest& request,
                                        bool stream) {
  if (!stream) return session.client->call(request, session.timeout());
  auto source = session.client->range_stream(request, session.timeout());
  pb::RangeResponse whole;
  pb::RangeStreamResponse part;
  while (source->read(&part)) whole.MergeFrom(part.range_response());
  if (absl::Status status = source->finish(); !status.ok()) return status;
  return whole;
}

absl::Status run_get(Invocation& in) {
  auto request = range_request(in.flags);
  if (!request.ok()) return request.status();
  auto session = open_session(in);
  if (!session.ok()) return session.status();
  auto response = fetch(*session, *request, in.flags.boolean("stream"));
  if (!response.ok()) return response.status();
  Printer& printer = *session->printer;
  if (in.flags.boolean("count-only") && !printer.is_fields()) {
    return failure(ExitCode::kBadArgs, "--count-only is only for `--write-out=fields`");
  }
  if (in.flags.boolean("print-value-only")) {
    if (!printer.is_simple()) {
      return failure(ExitCode::kBadArgs, "print-value-only is only for `--write-out=simple`");
    }
    printer.show_values_only();
  }
  return printer.get(*response);
}

absl::Status run_put(Invocation& in) {
  auto request = put_request(in.flags, &in.console.in);
  if (!request.ok()) return request.status();
  return call_and_show(in, *request, [](Printer& p, const auto& r) { return p.put(r); });
}

absl::Status run_del(Invocation& in) {
  std::string warning;
  auto request = delete_request(in.flags, &warning);
  if (!request.ok()) return request.status();
  if (!warning.empty()) {
    in.console.err << warning << std::flush;
    std::this_thread::sleep_for(kDeletePause);
  }
  return call_and_show(in, *request, [](Printer& p, const auto& r) { return p.del(r); });
}

absl::Status run_compaction(Invocation& in) {
  if (in.args().size() != 1) {
    return failure(ExitCode::kBadArgs, "compaction command needs 1 argument");
  }
  auto revision = parse_int(in.args()[0], 10);
  if (!revision.ok()) return revision.status();
  pb::CompactionRequest request;
  request.set_revision(*revision);
  request.set_physical(in.flags.boolean("physical"));
  return call_and_show(in, request, [&](Printer&, const auto&) {
    in.console.out << "compacted revision " << *revision << "\n";
    return absl::OkStatus();
  });
}

constexpr std::string_view kPutDetails = R"(
Puts the given key into the store.

When <value> begins with '-', <value> is interpreted as a flag; put '--' before it:

$ put <key> -- <value>
$ put -- <key> <value>

Without <value> and without '--ignore-value' the value is read from standard input:

$ cat file | put <key>
)";

}  // namespace

std::vector<Command> kv_commands() {
  std::string group(kKeyValueGroup);
  Flag physical{.name = "physical",
                .type = FlagType::kBool,
                .default_value = "false",
                .usage = "'true' to wait for compaction to physically remove all old revisions"};
  return {
      {.use = "get [options] <key> [range_end]",
       .brief = "Gets the key or a range of keys",
       .details = "",
       .group = group,
       .flags = get_flags(),
       .run = run_get},
      {.use = "put [options] <key> <value> (<value> can also be given from stdin)",
       .brief = "Puts the given key into the store",
       .details = std::string(kPutDetails),
       .group = group,
       .flags = put_flags(),
       .run = run_put},
      {.use = "del [options] <key> [range_end]",
       .brief = "Removes the specified key or range of keys [key, range_end)",
       .details = "",
       .group = group,
       .flags = del_flags(),
       .run = run_del},
      {.use = "compaction [options] <revision>",
       .brief = "Compacts the event history in etcd",
       .details = "",
       .group = group,
       .flags = {physical},
       .run = run_compaction},
  };
}

}  // namespace keelson::ctl
