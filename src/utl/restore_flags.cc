#include "utl/restore_flags.h"

#include "interchange/layout.h"
#include "membership/cluster.h"
#include "server/founding.h"
#include "utl/commands.h"

namespace keelson::utl {
namespace {

using ctl::FlagType;

// As a server checks them.
absl::Status check_members(ctl::Invocation& in) {
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

}  // namespace

std::vector<ctl::Flag> restore_flags() {
  return {
      {.name = "data-dir", .usage = "Path to the output data directory"},
      {.name = "wal-dir", .usage = "Path to the WAL directory (use --data-dir if none given)"},
      {.name = "initial-cluster",
       .default_value = "default=http://localhost:2380",
       .usage = "Initial cluster configuration for restore bootstrap"},
      {.name = "initial-cluster-token",
       .default_value = "etcd-cluster",
       .usage = "Initial cluster token for the etcd cluster during restore bootstrap"},
      {.name = "initial-advertise-peer-urls",
       .default_value = "http://localhost:2380",
       .usage = "List of this member's peer URLs to advertise to the rest of the cluster"},
      {.name = "name", .default_value = "default", .usage = "Human-readable name for this member"},
      {.name = "bump-revision",
       .type = FlagType::kUint,
       .default_value = "0",
       .usage = "How much to increase the latest revision after restore"},
      {.name = "mark-compacted",
       .type = FlagType::kBool,
       .default_value = "false",
       .usage = "Mark the latest revision after restore as the point of scheduled compaction "
                "(required if --bump-revision > 0, disallowed otherwise)"}};
}

absl::StatusOr<interchange::RestoreOptions> restore_options(ctl::Invocation& in) {
  const uint64_t bump = in.flags.natural("bump-revision");
  const bool mark = in.flags.boolean("mark-compacted");
  if ((bump > 0) != mark) {
    return ctl::failure(ctl::ExitCode::kBadArgs,
                        "--mark-compacted required if --revision-bump > 0");
  }
  interchange::RestoreOptions options{
      .data_dir = in.flags.text("data-dir"),
      .wal_dir = in.flags.text("wal-dir"),
      .name = in.flags.text("name"),
      .initial_cluster = in.flags.text("initial-cluster"),
      .initial_cluster_token = in.flags.text("initial-cluster-token"),
      .bump_revision = bump,
      .mark_compacted = mark};
  if (options.data_dir.empty()) options.data_dir = options.name + ".etcd";
  if (options.wal_dir.empty()) options.wal_dir = interchange::wal_dir(options.data_dir);
  if (absl::Status s = check_members(in); !s.ok()) return failed(s);
  return options;
}

}  // namespace keelson::utl
