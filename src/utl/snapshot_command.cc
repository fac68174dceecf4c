// snapshot status, snapshot restore.

#include <vector>

#include "base/progress_line.h"
#include "base/text.h"
#include "boltfile/file.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/verify.h"
#include "ctl/outcome.h"
#include "interchange/layout.h"
#include "interchange/restore.h"
#include "membership/cluster.h"
#include "server/founding.h"
#include "utl/commands.h"
#include "utl/report.h"

namespace keelson::utl {
namespace {

using ctl::ExitCode;
using ctl::FlagType;
using ctl::Invocation;

absl::Status check_integrity(boltfile::File& file) {
  absl::StatusOr<boltfile::Verdict> verdict = boltfile::verify(file);
  if (!verdict.ok()) return verdict.status();
  if (verdict->ok()) return absl::OkStatus();
  std::string text =
      cat("snapshot file integrity check failed. ", verdict->problem_count, " errors found.\n");
  for (const boltfile::Verdict::Problem& problem : verdict->problems) {
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
  if (absl::Status s = check_integrity(**file); !s.ok()) return failed(s);
  absl::StatusOr<boltfile::SnapshotStatus> status = boltfile::snapshot_status(**file);
  if (!status.ok()) return failed(status.status());
  return print_status(*status, format, in.console.out);
}

// The flags that found the new member, as a server checks them.
absl::Status check_members(Invocation& in) {
  server::Founding founding{.name = in.flags.text("name"),
                            .initial_cluster = in.flags.text("initial-cluster")};
  absl::StatusOr<std::vector<server::Url>> urls =
      server::parse_urls(in.flags.text("initial-advertise-peer-urls"));
  if (!urls.ok()) return urls.status();
  founding.advertise_peer_urls = *std::move(urls);
  for (const auto& [name, theirs] : membership::parse_initial_cluster(founding.initial_cluster)) {
    for (const std::string& url : theirs) {
      if (absl::Status s = server::parse_url(url).status(); !s.ok()) return s;
    }
  }
  return server::check_founding(founding);
}

absl::Status run_restore(Invocation& in) {
  if (in.args().size() != 1) {
    return ctl::failure(ExitCode::kBadArgs, "snapshot restore requires exactly one argument");
  }
  const uint64_t bump = in.flags.natural("bump-revision");
  const bool mark = in.flags.boolean("mark-compacted");
  if ((bump > 0) != mark) {
    return ctl::failure(ExitCode::kBadArgs, "--mark-compacted required if --revision-bump > 0");
  }
  interchange::RestoreOptions options{
      .snapshot = in.args()[0],
      .data_dir = in.flags.text("data-dir"),
      .wal_dir = in.flags.text("wal-dir"),
      .name = in.flags.text("name"),
      .initial_cluster = in.flags.text("initial-cluster"),
      .initial_cluster_token = in.flags.text("initial-cluster-token"),
      .skip_hash_check = in.flags.boolean("skip-hash-check"),
      .bump_revision = bump,
      .mark_compacted = mark};
  if (options.data_dir.empty()) options.data_dir = options.name + ".etcd";
  if (options.wal_dir.empty()) options.wal_dir = interchange::wal_dir(options.data_dir);
  if (absl::Status s = check_members(in); !s.ok()) return failed(s);
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
  command.commands = {
      {.use = "restore <filename> --data-dir {output dir} [options]",
       .brief = "Restores an etcd member snapshot to a Keelson directory",
       .details = "",
       .group = "",
       .flags = {{.name = "data-dir", .usage = "Path to the output data directory"},
                 {.name = "wal-dir",
                  .usage = "Path to the WAL directory (use --data-dir if none given)"},
                 {.name = "initial-cluster",
                  .default_value = "default=http://localhost:2380",
                  .usage = "Initial cluster configuration for restore bootstrap"},
                 {.name = "initial-cluster-token",
                  .default_value = "etcd-cluster",
                  .usage = "Initial cluster token for the etcd cluster during restore bootstrap"},
                 {.name = "initial-advertise-peer-urls",
                  .default_value = "http://localhost:2380",
                  .usage =
                      "List of this member's peer URLs to advertise to the rest of the cluster"},
                 {.name = "name",
                  .default_value = "default",
                  .usage = "Human-readable name for this member"},
                 {.name = "skip-hash-check",
                  .type = FlagType::kBool,
                  .default_value = "false",
                  .usage = "Ignore snapshot integrity hash value (required if copied from data "
                           "directory)"},
                 // Nothing of a store of ours is mapped.
                 {.name = "initial-memory-map-size",
                  .type = FlagType::kUint,
                  .default_value = "10737418240",
                  .usage = "Initial memory map size of the database in bytes. It uses the default "
                           "value if not defined or defined to 0"},
                 {.name = "bump-revision",
                  .type = FlagType::kUint,
                  .default_value = "0",
                  .usage = "How much to increase the latest revision after restore"},
                 {.name = "mark-compacted",
                  .type = FlagType::kBool,
                  .default_value = "false",
                  .usage = "Mark the latest revision after restore as the point of scheduled "
                           "compaction (required if --bump-revision > 0, disallowed otherwise)"}},
       .run = run_restore},
      {.use = "status <filename>",
       .brief = "Gets backend snapshot status of a given file",
       .details = "",
       .group = "",
       .run = run_status}};
  return command;
}

}  // namespace keelson::utl
