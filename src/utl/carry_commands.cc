// import, export: data directories from etcd to Keelson and back.

#include <filesystem>
#include <ostream>

#include "base/progress_line.h"
#include "base/text.h"
#include "ctl/outcome.h"
#include "interchange/convert.h"
#include "interchange/etcd_version.h"
#include "interchange/export.h"
#include "interchange/layout.h"
#include "utl/commands.h"

namespace keelson::utl {
namespace {

using ctl::ExitCode;
using ctl::Invocation;

std::string wal_dir_of(Invocation& in) {
  const std::string& given = in.flags.text("wal-dir");
  return given.empty() ? interchange::wal_dir(in.flags.text("data-dir")) : given;
}

absl::Status no_arguments(Invocation& in) {
  if (in.args().empty()) return absl::OkStatus();
  return ctl::failure(ExitCode::kBadArgs, cat("unknown argument \"", in.args()[0], "\""));
}

// Something that is not empty would be mixed up with what is made.
absl::Status check_output(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) || std::filesystem::is_empty(path, error)) {
    return absl::OkStatus();
  }
  return ctl::failure(ExitCode::kError,
                      cat("output-dir \"", path, "\" not empty or could not be read"));
}

absl::Status run_import(Invocation& in) {
  if (absl::Status s = no_arguments(in); !s.ok()) return s;
  const std::string& output = in.flags.text("output-dir");
  if (absl::Status s = check_output(output); !s.ok()) return s;
  ProgressLine line("importing");
  interchange::Conversion conversion{.data_dir = in.flags.text("data-dir"),
                                     .wal_dir = wal_dir_of(in),
                                     .member_dir = interchange::member_dir(output),
                                     .new_wal_dir = interchange::wal_dir(output)};
  conversion.progress = [&](const interchange::ReadProgress& progress, uint64_t of) {
    line.at(progress.bytes, of);
    return true;
  };
  return failed(interchange::convert(conversion));
}

absl::Status run_export(Invocation& in) {
  if (absl::Status s = no_arguments(in); !s.ok()) return s;
  const std::string& output = in.flags.text("output-dir");
  if (absl::Status s = check_output(output); !s.ok()) return s;
  interchange::Export what{
      .data_dir = in.flags.text("data-dir"), .wal_dir = wal_dir_of(in), .output_dir = output};
  if (const std::string& version = in.flags.text("etcd-version"); !version.empty()) {
    what.minor = interchange::minor_of(version);
    if (!what.minor || *what.minor < interchange::kOldestMinor ||
        *what.minor > interchange::kNewestMinor) {
      return ctl::failure(ExitCode::kBadArgs,
                          cat("--etcd-version=", version, " is none of 3.5, 3.6, 3.7"));
    }
  }
  ProgressLine line("exporting");
  what.progress = [&](uint64_t done, uint64_t of) {
    line.at(done, of);
    return true;
  };
  return failed(interchange::export_directory(what));
}

}  // namespace

ctl::Command import_command() {
  return {.use = "import --data-dir {etcd dir} --output-dir {output dir}",
          .brief = "Makes a Keelson data directory of etcd's, which is left as it is",
          .details = "",
          .group = "",
          .flags = {{.name = "data-dir",
                     .usage = "Required. etcd's data directory, not in use.",
                     .required = true},
                    {.name = "wal-dir", .usage = "Path to etcd's WAL directory, if elsewhere"},
                    {.name = "output-dir",
                     .usage = "Required. The new data directory; empty, or not there.",
                     .required = true}},
          .run = run_import};
}

ctl::Command export_command() {
  return {.use = "export --data-dir {Keelson dir} --output-dir {output dir}",
          .brief = "Makes an etcd data directory of Keelson's, which is left as it is",
          .details = "",
          .group = "",
          .flags = {{.name = "data-dir",
                     .usage = "Required. Keelson's data directory, not in use.",
                     .required = true},
                    {.name = "wal-dir", .usage = "Path to Keelson's WAL directory, if elsewhere"},
                    {.name = "output-dir",
                     .usage = "Required. The new data directory; empty, or not there.",
                     .required = true},
                    {.name = "etcd-version",
                     .usage = "The version of etcd that is to open it: 3.5, 3.6 or 3.7 (default: "
                              "the cluster's)"}},
          .run = run_export};
}

}  // namespace keelson::utl
