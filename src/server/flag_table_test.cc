// The table holds every flag of the contract, each with the default that etcd's help shows, and
// every row's text and setter agree.

#include "server/flag_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "base/text.h"
#include "server/help.h"

namespace keelson::server {
namespace {

// Name and default of each flag in etcd v3.7.1 that has a default worth pinning down.
constexpr std::pair<std::string_view, std::string_view> kDefaults[] = {
    {"name", "default"},
    {"data-dir", ""},
    {"snapshot-count", "10000"},
    {"snapshot-catchup-entries", "5000"},
    {"heartbeat-interval", "100"},
    {"election-timeout", "1000"},
    {"initial-election-tick-advance", "true"},
    {"listen-peer-urls", "http://localhost:2380"},
    {"listen-client-urls", "http://localhost:2379"},
    {"listen-client-http-urls", ""},
    {"max-snapshots", "5"},
    {"max-wals", "5"},
    {"memory-mlock", "false"},
    {"quota-backend-bytes", "0"},
    {"max-txn-ops", "128"},
    {"max-request-bytes", "1572864"},
    {"max-concurrent-streams", "4294967295"},
    {"grpc-keepalive-min-time", "5s"},
    {"grpc-keepalive-interval", "2h0m0s"},
    {"grpc-keepalive-timeout", "20s"},
    {"socket-reuse-port", "false"},
    {"raft-read-timeout", "5s"},
    {"initial-advertise-peer-urls", "http://localhost:2380"},
    {"initial-cluster", "default=http://localhost:2380"},
    {"initial-cluster-state", "new"},
    {"initial-cluster-token", "etcd-cluster"},
    {"advertise-client-urls", "http://localhost:2379"},
    {"discovery-dial-timeout", "2s"},
    {"discovery-insecure-transport", "true"},
    {"discovery-fallback", "exit"},
    {"strict-reconfig-check", "true"},
    {"pre-vote", "true"},
    {"auto-compaction-retention", "0"},
    {"auto-compaction-mode", "periodic"},
    {"v2-deprecation", "write-only"},
    {"self-signed-cert-validity", "1"},
    {"cors", "*"},
    {"host-whitelist", "*"},
    {"tls-min-version", "TLS1.2"},
    {"tls-max-version", ""},
    {"auth-token", "simple"},
    {"bcrypt-cost", "10"},
    {"auth-token-ttl", "300"},
    {"metrics", "basic"},
    {"logger", "zap"},
    {"log-outputs", "default"},
    {"log-level", "info"},
    {"log-format", "json"},
    {"warning-unary-request-duration", "300ms"},
    {"distributed-tracing-address", "localhost:4317"},
    {"distributed-tracing-service-name", "etcd"},
    {"distributed-tracing-sampling-rate", "0"},
    {"corrupt-check-time", "0s"},
    {"compact-hash-check-time", "1m0s"},
    {"watch-progress-notify-interval", "0s"},
    {"warning-apply-duration", "100ms"},
    {"max-learners", "1"},
    {"downgrade-check-time", "5s"},
    {"force-new-cluster", "false"},
    {"unsafe-no-fsync", "false"},
};

TEST(FlagTable, HasAllFlagsOfTheContract) {
  size_t of_etcd = 2;  // config-file and version are read before the table is
  for (const auto& [name, row] : all_flags()) of_etcd += !name.starts_with("keelson-");
  EXPECT_EQ(of_etcd, 115u);
  EXPECT_EQ(ignored_flags().size(), 15u);
}

TEST(FlagTable, HasEtcdsDefaults) {
  const Config defaults;
  for (const auto& [name, text] : kDefaults) {
    const FlagSpec* row = find_flag(name);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_EQ(row->text(defaults), text) << name;
  }
}

TEST(FlagTable, EveryDefaultCanBeSetAgain) {
  const Config defaults;
  for (const auto& [name, row] : all_flags()) {
    Config config;
    const std::string text = row->text(defaults);
    EXPECT_TRUE(row->set(config, text).ok()) << name;
    if (name != "discovery-endpoints") {  // where the empty text is a part of its own
      EXPECT_EQ(row->text(config), text) << name;
    }
  }
}

// The names in backticks of the row of docs/compatibility.md that begins with `title`.
std::set<std::string> documented(std::string_view title) {
  std::ifstream file(KEELSON_SOURCE_DIR "/docs/compatibility.md");
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(cat("| ", title))) continue;
    for (size_t at = 0; (at = line.find('`', at)) != line.npos;) {
      const size_t end = line.find('`', at + 1);
      names.insert(line.substr(at + 1, end - at - 1));
      at = end + 1;
    }
  }
  return names;
}

TEST(FlagTable, TheTableOfTheDocumentationIsTrue) {
  const std::pair<FlagEffect, std::string_view> rows[] = {
      {FlagEffect::kYes, "take effect"},
      {FlagEffect::kNoMeaning, "accepted, no meaning here"},
      {FlagEffect::kDeprecated, "accepted and ignored"},
      {FlagEffect::kRefused, "refused, as by etcd"}};
  for (const auto& [effect, title] : rows) {
    std::set<std::string> flags;
    if (effect == FlagEffect::kYes) flags = {"config-file", "version"};
    for (const auto& [name, row] : all_flags()) {
      if (row->effect == effect) flags.emplace(name);
    }
    EXPECT_EQ(documented(title), flags) << title;
  }
}

TEST(FlagTable, HelpNamesEveryFlag) {
  const std::string help = help_text();
  for (const auto& [name, row] : all_flags()) {
    EXPECT_NE(help.find("  --" + std::string(name) + " '"), std::string::npos) << name;
    EXPECT_FALSE(row->help.empty()) << name;
  }
}

TEST(FlagTable, EnvironmentNames) {
  EXPECT_EQ(environment_name("listen-client-urls"), "ETCD_LISTEN_CLIENT_URLS");
  EXPECT_EQ(environment_name("keelson-io-threads"), "KEELSON_IO_THREADS");
}

}  // namespace
}  // namespace keelson::server
