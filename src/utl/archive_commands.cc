// restore, archive list: what an archive holds, and a state out of it.

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "archive/catalogue.h"
#include "archive/restore.h"
#include "base/progress_line.h"
#include "base/size_text.h"
#include "base/text.h"
#include "ctl/grid.h"
#include "ctl/json_text.h"
#include "ctl/outcome.h"
#include "utl/commands.h"
#include "utl/report.h"
#include "utl/restore_flags.h"

namespace keelson::utl {
namespace {

using archive::StretchEntry;
using ctl::ExitCode;
using ctl::FlagType;
using ctl::Invocation;

absl::StatusOr<archive::Target> target_of(Invocation& in) {
  archive::Target target;
  const bool by_revision = in.flags.changed("to-revision"), by_time = in.flags.changed("to-time");
  if (by_revision == by_time) {
    return ctl::failure(ExitCode::kBadArgs, "one of --to-revision and --to-time is required");
  }
  if (by_revision) {
    const uint64_t revision = in.flags.natural("to-revision");
    if (revision == 0 || revision > INT64_MAX) {
      return ctl::failure(ExitCode::kBadArgs, cat("--to-revision=", revision, " is no revision"));
    }
    target.revision = static_cast<int64_t>(revision);
  } else {
    target.unix_ms = archive::parse_time(in.flags.text("to-time"));
    if (!target.unix_ms) {
      return ctl::failure(ExitCode::kBadArgs,
                          cat("--to-time=", in.flags.text("to-time"),
                              " is no time as in RFC 3339, like 2026-01-02T15:04:05Z"));
    }
  }
  if (in.flags.changed("stretch")) target.stretch = in.flags.natural("stretch");
  return target;
}

// One line for each of the steps, one after the other.
class Steps {
 public:
  void at(std::string_view what, uint64_t done, uint64_t total) {
    if (what != what_) {
      what_ = what;
      line_.reset();
      const bool pieces = what.starts_with("applying");
      line_.emplace(what_, pieces ? ProgressLine::Counts::kPieces : ProgressLine::Counts::kBytes);
    }
    line_->at(done, total);
  }

 private:
  std::string what_;
  std::optional<ProgressLine> line_;
};

absl::Status run_restore(Invocation& in) {
  if (!in.args().empty()) {
    return ctl::failure(ExitCode::kBadArgs, "restore takes no arguments");
  }
  absl::StatusOr<archive::Target> target = target_of(in);
  if (!target.ok()) return target.status();
  absl::StatusOr<interchange::RestoreOptions> options = restore_options(in);
  if (!options.ok()) return options.status();
  Steps steps;
  archive::PointRestore what{
      .archive = in.flags.text("archive"), .target = *target, .restore = *std::move(options)};
  what.progress = [&](std::string_view step, uint64_t done, uint64_t total) {
    steps.at(step, done, total);
  };
  what.restore.progress = [&](const interchange::ReadProgress& progress) {
    steps.at("restoring", progress.bytes, 0);
    return true;
  };
  absl::StatusOr<archive::RestoredPoint> point = archive::restore_point(what);
  if (!point.ok()) return failed(point.status());
  in.console.out << "restored revision " << point->revision << ", entry " << point->index.value
                 << ", to " << what.restore.data_dir << "\n";
  return absl::OkStatus();
}

std::string hex(uint64_t id) { return cat(absl::Hex(id)); }

std::string json_of(const StretchEntry& stretch) {
  std::vector<std::string> snapshots;
  for (const archive::SnapshotEntry& snapshot : stretch.snapshots) {
    snapshots.push_back(ctl::JsonObject()
                            .raw("revision", cat(snapshot.name.revision))
                            .raw("index", cat(snapshot.name.index.value))
                            .text("time", archive::time_text(snapshot.unix_ms))
                            .raw("bytes", cat(snapshot.bytes))
                            .str());
  }
  ctl::JsonObject out;
  out.raw("stretch", cat(stretch.number))
      .text("memberID", hex(stretch.owner.member.value))
      .text("clusterID", hex(stretch.owner.cluster.value))
      .raw("bytes", cat(stretch.bytes));
  if (stretch.is_usable()) {
    const archive::Moment last = stretch.last();
    out.raw("firstRevision", cat(stretch.first_revision()))
        .raw("lastRevision", cat(last.revision))
        .raw("lastIndex", cat(last.index.value));
    if (!stretch.times.empty()) {
      out.text("firstTime", archive::time_text(stretch.first_time()))
          .text("lastTime", archive::time_text(stretch.last_time()));
    }
  }
  out.raw("snapshots", ctl::json_array(snapshots));
  if (!stretch.damage.ok()) out.text("damage", message_of(stretch.damage));
  return out.str();
}

ctl::Grid grid_of(const std::vector<StretchEntry>& all) {
  ctl::Grid grid{
      {"stretch", "cluster", "from revision", "to revision", "from", "to", "snapshots", "size"},
      {}};
  for (const StretchEntry& stretch : all) {
    std::vector<std::string> row = {cat(stretch.number), hex(stretch.owner.cluster.value)};
    const bool usable = stretch.is_usable();
    row.push_back(usable ? cat(stretch.first_revision()) : "-");
    row.push_back(usable ? cat(stretch.last().revision) : "-");
    const bool times = usable && !stretch.times.empty();
    row.push_back(times ? archive::time_text(stretch.first_time()) : "-");
    row.push_back(times ? archive::time_text(stretch.last_time()) : "-");
    row.push_back(cat(stretch.snapshots.size()));
    row.push_back(size_text(stretch.bytes));
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

absl::Status run_list(Invocation& in) {
  const std::string& format = in.flags.text("write-out");
  if (absl::Status s = check_format(format); !s.ok()) return s;
  if (format == "protobuf" || format == "fields") {
    return ctl::failure(ExitCode::kBadFeature, cat(format, " not supported as output format"));
  }
  absl::StatusOr<std::vector<StretchEntry>> all =
      archive::read_catalogue(*wal::posix_file_system(), in.flags.text("archive"));
  if (!all.ok()) return failed(all.status());
  std::ostream& out = in.console.out;
  if (format == "json") {
    std::vector<std::string> stretches;
    for (const StretchEntry& stretch : *all) stretches.push_back(json_of(stretch));
    out << ctl::json_array(stretches) << "\n";
    return absl::OkStatus();
  }
  if (format == "table") {
    ctl::print_table(grid_of(*all), out);
    return absl::OkStatus();
  }
  for (const std::vector<std::string>& row : grid_of(*all).rows) {
    out << ctl::join(row, ", ") << "\n";
  }
  return absl::OkStatus();
}

ctl::Flag archive_flag() {
  return {.name = "archive",
          .usage = "Required. A directory that --keelson-archive filled.",
          .required = true};
}

}  // namespace

ctl::Command restore_command() {
  std::vector<ctl::Flag> flags = restore_flags();
  flags.push_back(archive_flag());
  flags.push_back({.name = "to-revision",
                   .type = FlagType::kUint,
                   .default_value = "0",
                   .usage = "The revision to be restored, as it was when it was made"});
  flags.push_back({.name = "to-time",
                   .usage =
                       "The time to be restored, as in RFC 3339: what was applied by then, but "
                       "for the last second"});
  flags.push_back({.name = "stretch",
                   .type = FlagType::kUint,
                   .default_value = "0",
                   .usage = "Only from this stretch of history (\"keelutl archive list\")"});
  return {.use = "restore --archive {dir} --to-revision N|--to-time T --data-dir {output dir}",
          .brief = "Restores the state of one revision, or one time, from an archive",
          .details = "",
          .group = "",
          .flags = std::move(flags),
          .run = run_restore};
}

ctl::Command archive_command() {
  ctl::Command command{.use = "archive <subcommand>",
                       .brief = "Tells what an archive holds",
                       .details = "",
                       .group = ""};
  command.commands = {{.use = "list",
                       .brief = "Lists the stretches of unbroken history in an archive",
                       .details = "",
                       .group = "",
                       .flags = {archive_flag()},
                       .run = run_list}};
  return command;
}

}  // namespace keelson::utl
