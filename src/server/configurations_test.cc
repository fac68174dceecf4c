// What others start etcd with (testdata/configurations) starts Keelson too, and says the same.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "server/config.h"

namespace keelson::server {
namespace {

std::string path_of(std::string_view file) {
  return cat(KEELSON_SOURCE_DIR, "/src/server/testdata/configurations/", file);
}

// Lines that say something.
std::vector<std::string> lines_of(std::string_view file) {
  std::ifstream in(path_of(file));
  EXPECT_TRUE(in.good()) << file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && !line.starts_with('#')) lines.push_back(line);
  }
  return lines;
}

Config started(const std::vector<std::string>& args, const Environment& environment) {
  CommandLine line = parse_command_line(args, environment);
  EXPECT_FALSE(line.exit) << line.exit->err;
  return std::move(line.config);
}

TEST(Configurations, Kubespray) {
  const Config c = started({}, lines_of("kubespray.env"));
  EXPECT_EQ(c.name, "etcd1");
  EXPECT_EQ(c.effective_quota(), uint64_t{2} << 30);
  EXPECT_EQ(c.election_timeout_ms, 5000u);
  EXPECT_EQ(c.snapshot_count, 100'000u);
  EXPECT_EQ(c.cipher_suites.size(), 2u);
  EXPECT_TRUE(c.peer_tls.client_cert_auth);
}

TEST(Configurations, Bitnami) {
  const Config by_variables = started({}, lines_of("bitnami.env"));
  EXPECT_EQ(by_variables.name, "etcd-0");
  EXPECT_EQ(by_variables.advertise_client_urls.size(), 2u);
  EXPECT_EQ(by_variables.auto_compaction_retention, "10m");
  const Config by_file = started({"--config-file", path_of("bitnami.yaml")}, {});
  EXPECT_EQ(by_file.quota_backend_bytes, 8'589'934'592);
  EXPECT_EQ(by_file.max_request_bytes, 1'572'864u);
  EXPECT_EQ(by_file.snapshot_count, 10'000u);
  EXPECT_FALSE(by_file.strict_reconfig_check);
}

TEST(Configurations, EtcdOperator) {
  const Config c = started(lines_of("etcd-operator.args"), lines_of("etcd-operator.env"));
  EXPECT_EQ(c.name, "sample-0");
  EXPECT_EQ(c.initial_cluster, "sample-0=http://sample-0.sample.default.svc.cluster.local:2380");
}

TEST(Configurations, Kubeadm) {
  const Config c = started(lines_of("kubeadm.args"), {});
  EXPECT_EQ(c.name, "node");
  EXPECT_TRUE(c.feature("InitialCorruptCheck"));
  EXPECT_EQ(c.listen_metrics_urls.size(), 1u);
  EXPECT_EQ(c.effective_progress_notify_interval(), std::chrono::seconds(5));
}

}  // namespace
}  // namespace keelson::server
