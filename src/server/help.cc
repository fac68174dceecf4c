#include "server/help.h"

#include <utility>

#include "base/text.h"
#include "server/flag_table.h"

namespace keelson::server {
namespace {

using enum FlagGroup;

constexpr std::pair<FlagGroup, std::string_view> kGroups[] = {
    {kMember, "Member"},
    {kClustering, "Clustering"},
    {kSecurity, "Security"},
    {kAuth, "Auth"},
    {kMonitoring, "Profiling and Monitoring"},
    {kLogging, "Logging"},
    {kTracing, "Distributed tracing"},
    {kFeatures, "Features"},
    {kUnsafe, "Unsafe (may break what the consensus protocol promises)"},
    {kKeelson, "Keelson's own"},
};

std::string_view effect_text(FlagEffect effect) {
  switch (effect) {
    case FlagEffect::kYes:
      return "";
    case FlagEffect::kNoMeaning:
      return " [accepted; no meaning here]";
    case FlagEffect::kDeprecated:
      return " [deprecated; ignored]";
    case FlagEffect::kRefused:
      return " [refused]";
  }
  return "";
}

void append_group(FlagGroup group, std::span<const FlagSpec> rows, std::string& out) {
  const Config defaults;
  for (const FlagSpec& row : rows) {
    if (row.group != group) continue;
    out += cat("  --", row.name, " '", row.text(defaults), "'\n    ", row.help,
               effect_text(row.effect), "\n");
  }
}

}  // namespace

std::string usage_text() {
  return "Usage:\n\n"
         "  keelson [flags]              serve\n"
         "  keelson --config-file FILE   serve as a YAML file says; other flags are ignored\n"
         "  keelson --version            say which version this is\n"
         "  keelson -h | --help          list the flags\n"
         "  keelson gateway              lead clients to a cluster, over TCP\n"
         "  keelson grpc-proxy           serve clients of a cluster, asking it less often\n";
}

std::string help_text() {
  std::string out = usage_text();
  out += "\nFlags are etcd's; each is also a variable (--data-dir: ETCD_DATA_DIR).\n";
  for (const auto& [group, title] : kGroups) {
    out += cat("\n", title, ":\n");
    for (std::span<const FlagSpec> rows :
         {member_flags(), cluster_flags(), security_flags(), other_flags()}) {
      append_group(group, rows, out);
    }
  }
  return out;
}

}  // namespace keelson::server
