// hashkv, version.

#include <ostream>

#include "base/errors.h"
#include "base/text.h"
#include "boltfile/file.h"
#include "boltfile/hash_kv.h"
#include "ctl/outcome.h"
#include "server/config.h"
#include "utl/commands.h"
#include "utl/report.h"

namespace keelson::utl {
namespace {

using ctl::Invocation;

// etcd's tools print the store's own errors, which have no "etcdserver: " before them.
absl::Status without_server(const absl::Status& status) {
  constexpr std::string_view kServer = "etcdserver: ";
  const std::string_view text = message_of(status);
  if (!text.starts_with(kServer)) return status;
  return {status.code(), to_absl(text.substr(kServer.size()))};
}

absl::Status run_hashkv(Invocation& in) {
  if (in.args().size() != 1) {
    return ctl::failure(ctl::ExitCode::kError,
                        cat("accepts 1 arg(s), received ", in.args().size()));
  }
  const std::string& format = in.flags.text("write-out");
  if (absl::Status s = check_format(format); !s.ok()) return s;
  if (absl::Status s = check_file(in.args()[0]); !s.ok()) return failed(s);
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(in.args()[0]);
  if (!file.ok()) return failed(file.status());
  absl::StatusOr<boltfile::KvHash> hash = boltfile::hash_kv(**file, in.flags.integer("rev"));
  if (!hash.ok()) return failed(without_server(hash.status()));
  return print_hash(*hash, format, in.console.out);
}

absl::Status run_version(Invocation& in) {
  in.console.out << "etcdutl version: " << server::kEtcdVersion << "\nAPI version: 3.7"
                 << "\nkeelutl version: " << server::kKeelsonVersion << "\n";
  return absl::OkStatus();
}

}  // namespace

ctl::Command hashkv_command() {
  return {.use = "hashkv <filename>",
          .brief = "Prints the KV history hash of a given file",
          .details = "",
          .group = "",
          .flags = {{.name = "rev",
                     .type = ctl::FlagType::kInt64,
                     .default_value = "0",
                     .usage = "maximum revision to hash (default: latest revision)"}},
          .run = run_hashkv};
}

ctl::Command version_command() {
  return {.use = "version",
          .brief = "Prints the version of keelutl",
          .details = "",
          .group = "",
          .run = run_version};
}

}  // namespace keelson::utl
