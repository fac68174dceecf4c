// server/flag_table.h
//
// The table of flags: for each its name, group, help, what Keelson does with it, and how its text
// becomes a field of Config and back. Parsing, environment, config file and --help all read this
// table and know no flag by name (but --config-file, --version and --help).
//
// Adding a flag: a field in config.h with its default, a row in one of the flags_*.cc files. The
// default shown by --help is the field's.

#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "server/config.h"

namespace keelson::server {

enum class FlagGroup {
  kMember,
  kClustering,
  kSecurity,
  kAuth,
  kMonitoring,
  kLogging,
  kTracing,
  kFeatures,
  kUnsafe,
  kKeelson
};

enum class FlagEffect {
  kYes,
  kNoMeaning,   // accepted; it tunes a part of etcd that Keelson does not have
  kDeprecated,  // accepted and ignored; going away in etcd too
  kRefused,     // in the help, as in etcd, and unknown on the command line, as there
};

// What a config file may hold for the flag.
enum class FileKind { kString, kNumber, kBool, kNanoseconds, kList, kAbsent };

struct FlagSpec {
  std::string_view name;
  FlagGroup group;
  FlagEffect effect;
  FileKind file;
  bool is_bool;  // may stand without a value
  std::string_view help;
  absl::Status (*set)(Config&, std::string_view);
  std::string (*text)(const Config&);
};

// Rows by file: flags_member.cc, flags_cluster.cc, flags_security.cc, flags_other.cc.
std::span<const FlagSpec> member_flags();
std::span<const FlagSpec> cluster_flags();
std::span<const FlagSpec> security_flags();
std::span<const FlagSpec> other_flags();

// All rows by name. Null if there is no such flag.
const std::map<std::string_view, const FlagSpec*>& all_flags();
const FlagSpec* find_flag(std::string_view name);

// Names of long ago that etcd accepts and ignores.
std::span<const std::string_view> ignored_flags();

// ETCD_DATA_DIR for data-dir; KEELSON_IO_THREADS for keelson-io-threads.
std::string environment_name(std::string_view flag);

// Text to field and back, by the field's type.
absl::Status set_field(bool& field, std::string_view text);
absl::Status set_field(int64_t& field, std::string_view text);
absl::Status set_field(uint64_t& field, std::string_view text);
absl::Status set_field(uint32_t& field, std::string_view text);
absl::Status set_field(Duration& field, std::string_view text);
absl::Status set_field(std::string& field, std::string_view text);
absl::Status set_field(std::vector<Url>& field, std::string_view text);
absl::Status set_field(std::vector<std::string>& field, std::string_view text);
absl::Status set_field(std::map<std::string, FeatureGate>& field, std::string_view text);

std::string field_text(bool field);
std::string field_text(int64_t field);
std::string field_text(uint64_t field);
std::string field_text(uint32_t field);
std::string field_text(Duration field);
std::string field_text(const std::string& field);
std::string field_text(const std::vector<Url>& field);
std::string field_text(const std::vector<std::string>& field);
std::string field_text(const std::map<std::string, FeatureGate>& field);

// One of a list of words, with etcd's error otherwise.
absl::Status set_one_of(std::string& field, std::string_view text,
                        std::initializer_list<std::string_view> words);

template <typename Field>
constexpr FileKind file_kind() {
  if (std::is_same_v<Field, bool>) return FileKind::kBool;
  if (std::is_same_v<Field, Duration>) return FileKind::kNanoseconds;
  if (std::is_integral_v<Field>) return FileKind::kNumber;
  return FileKind::kString;
}

// A row for the field that `accessor` (a captureless lambda over Config&) returns.
template <typename Accessor>
FlagSpec flag(std::string_view name, FlagGroup group, FlagEffect effect, Accessor,
              std::string_view help) {
  using Field = std::remove_reference_t<std::invoke_result_t<Accessor, Config&>>;
  return {.name = name,
          .group = group,
          .effect = effect,
          .file = file_kind<Field>(),
          .is_bool = std::is_same_v<Field, bool>,
          .help = help,
          .set = [](Config& c, std::string_view text) { return set_field(Accessor{}(c), text); },
          .text =
              [](const Config& c) {
                return field_text(Accessor{}(const_cast<Config&>(c)));  // only read
              }};
}

// The same row with another file kind or setter.
inline FlagSpec in_file(FlagSpec spec, FileKind kind) { return spec.file = kind, spec; }
inline FlagSpec with_setter(FlagSpec spec, absl::Status (*set)(Config&, std::string_view)) {
  return spec.set = set, spec;
}

}  // namespace keelson::server

// Short for the tables: the accessor of a field.
#define KEELSON_FIELD(path) \
  [](::keelson::server::Config & c) -> auto& { return c.path; }
