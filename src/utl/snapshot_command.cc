// snapshot status, snapshot restore.

#include <vector>

#include "base/progress_line.h"
#include "base/text.h"
#include "boltfile/file.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/verify.h"
#include "ctl/outcome.h"
#include "interchange/restore.h"
#include "utl/commands.h"
#include "utl/report.h"
#include "utl/restore_flags.h"

namespace keelson::utl {
namespace {

using ctl::ExitCode;
using ctl::FlagType;
using ctl::Invocation;

absl::Status not_whole(const boltfile::Verdict& verdict) {
  std::string text =
      cat("snapshot file integrity check failed. ", verdict.problem_count, " errors found.\n");
  for (const boltfile::Verdict::Problem& problem : verdict.problems) {
    text += cat("page ", problem.page.value, ": ", problem.text, "\n");
  }
  text.pop_back();
  return absl::DataLossError(text);
}

absl::Status run_status(Invocation& in) {
  if (in.args().size() != 1) {
    return ctl::failure(ExitCode::kBadArgs, "snapshot status requires exactly one argument");
  }
  const std::string& path = in.args()[0];
  if (absl::Status s = check_file(path); !s.ok()) return failed(s);
  const std::string& format = in.flags.text("write-out");
  if (absl::Status s = check_format(format); !s.ok()) return s;
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(path);
  // bbolt's words for what is no database, or none that is whole.
  if (absl::IsDataLoss(file.status())) return ctl::failure(ExitCode::kError, "invalid database");
  if (!file.ok()) return failed(file.status());
  boltfile::Verdict verdict;
  absl::StatusOr<boltfile::SnapshotStatus> status = boltfile::snapshot_status(**file, &verdict);
  if (!verdict.ok()) return failed(not_whole(verdict));
  if (!status.ok()) return failed(status.status());
  return print_status(*status, format, in.console.out);
}

absl::Status run_restore(Invocation& in) {
  if (in.args().size() != 1) {
    return ctl::failure(ExitCode::kBadArgs, "snapshot restore requires exactly one argument");
  }
  absl::StatusOr<interchange::RestoreOptions> found = restore_options(in);
  if (!found.ok()) return found.status();
  interchange::RestoreOptions options = *std::move(found);
  options.snapshot = in.args()[0];
  options.skip_hash_check = in.flags.boolean("skip-hash-check");
  ProgressLine line("restoring");
  options.progress = [&](const interchange::ReadProgress& progress) {
    line.at(progress.bytes, 0);
    return true;
  };
  return failed(interchange::restore_snapshot(options));
}

}  // namespace

ctl::Command snapshot_command() {
  ctl::Command command{.use = "snapshot <subcommand>",
                       .brief = "Manages etcd node snapshots",
                       .details = "",
                       .group = ""};
  std::vector<ctl::Flag> flags = restore_flags();
  flags.push_back({.name = "skip-hash-check",
                   .type = FlagType::kBool,
                   .default_value = "false",
                   .usage = "Ignore snapshot integrity hash value (required if copied from data "
                            "directory)"});
  // Nothing of a store of ours is mapped.
  flags.push_back({.name = "initial-memory-map-size",
                   .type = FlagType::kUint,
                   .default_value = "10737418240",
                   .usage = "Initial memory map size of the database in bytes. It uses the default "
                            "value if not defined or defined to 0"});
  command.commands = {{.use = "restore <filename> --data-dir {output dir} [options]",
                       .brief = "Restores an etcd member snapshot to a Keelson directory",
                       .details = "",
                       .group = "",
                       .flags = std::move(flags),
                       .run = run_restore},
                      {.use = "status <filename>",
                       .brief = "Gets backend snapshot status of a given file",
                       .details = "",
                       .group = "",
                       .run = run_status}};
  return command;
}

}  // namespace keelson::utl
