#include "utl/report.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <vector>

#include "base/size_text.h"
#include "base/text.h"
#include "ctl/gotext.h"
#include "ctl/grid.h"
#include "ctl/outcome.h"

namespace keelson::utl {
namespace {

using ctl::Grid;

constexpr std::array<std::string_view, 5> kFormats = {"simple", "fields", "json", "protobuf",
                                                      "table"};

absl::Status unsupported(std::string_view format) {
  return ctl::failure(ctl::ExitCode::kBadFeature, cat(format, " not supported as output format"));
}

// The same row for -w simple and -w table.
absl::Status print_row(const Grid& grid, const std::string& format, std::ostream& out) {
  if (format == "table") {
    ctl::print_table(grid, out);
    return absl::OkStatus();
  }
  out << ctl::join(grid.rows.front(), ", ") << "\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status check_format(const std::string& format) {
  if (std::find(kFormats.begin(), kFormats.end(), format) != kFormats.end()) {
    return absl::OkStatus();
  }
  return ctl::failure(ctl::ExitCode::kBadFeature, "unsupported output format");
}

absl::Status print_status(const boltfile::SnapshotStatus& status, const std::string& format,
                          std::ostream& out) {
  if (format == "protobuf") return unsupported(format);
  if (format == "json") {
    out << cat(R"({"hash":)", status.hash, R"(,"revision":)", status.revision, R"(,"totalKey":)",
               status.live_keys, R"(,"totalSize":)", status.size, R"(,"version":")",
               status.storage_version, "\"}\n");
    return absl::OkStatus();
  }
  if (format == "fields") {
    out << "\"Hash\" : " << status.hash << "\n\"Revision\" : " << status.revision
        << "\n\"Keys\" : " << status.live_keys << "\n\"Size\" : " << status.size
        << "\n\"Version\" : " << status.storage_version << "\n";
    return absl::OkStatus();
  }
  return print_row({{"hash", "revision", "total keys", "total size", "version"},
                    {{ctl::hex(status.hash), cat(status.revision), cat(status.live_keys),
                      size_text(status.size), status.storage_version}}},
                   format, out);
}

absl::Status print_hash(const boltfile::KvHash& hash, const std::string& format,
                        std::ostream& out) {
  if (format == "protobuf") return unsupported(format);
  if (format == "json") {
    out << cat(R"({"hash":)", hash.hash, R"(,"hashRevision":)", hash.hash_revision,
               R"(,"compactRevision":)", hash.compact_revision, "}\n");
    return absl::OkStatus();
  }
  if (format == "fields") {
    out << "\"Hash\" : " << hash.hash << "\n\"Hash revision\" : " << hash.hash_revision
        << "\n\"Compact revision\" : " << hash.compact_revision << "\n";
    return absl::OkStatus();
  }
  return print_row({{"hash", "hash revision", "compact revision"},
                    {{cat(hash.hash), cat(hash.hash_revision), cat(hash.compact_revision)}}},
                   format, out);
}

}  // namespace keelson::utl
