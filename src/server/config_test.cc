// Flags, environment and config file, and what is said of mistakes in them.

#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/text.h"
#include "base/time_text.h"
#include "server/go_values.h"

namespace keelson::server {
namespace {

using ::testing::Test;

CommandLine parse(std::vector<std::string> args, Environment environment = {}) {
  return parse_command_line(args, environment);
}

std::string error_of(const CommandLine& line) { return line.exit ? line.exit->err : ""; }

bool has_note(const CommandLine& line, std::string_view message, std::string_view value) {
  for (const PendingLog& note : line.notes) {
    if (note.message != message) continue;
    for (const auto& field : note.fields) {
      if (field.second == value) return true;
    }
  }
  return false;
}

TEST(CommandLine, TakesEverySpelling) {
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"--name=x", "--pre-vote=false"},
           {"-name=x", "-pre-vote=0"},
           {"--name", "x", "--pre-vote=F"},
           {"-name", "x", "--pre-vote", "-pre-vote=false", "--"}}) {
    CommandLine line = parse(args);
    ASSERT_FALSE(line.exit) << line.exit->err;
    EXPECT_EQ(line.config.name, "x");
    EXPECT_FALSE(line.config.pre_vote);
    EXPECT_TRUE(line.config.is_set("name"));
    EXPECT_FALSE(line.config.is_set("data-dir"));
  }
}

TEST(CommandLine, ParsesTypedValues) {
  CommandLine line =
      parse({"--data-dir", "/d", "--quota-backend-bytes=-1", "--max-request-bytes=0x1000",
             "--grpc-keepalive-min-time=1m30s", "--listen-client-urls",
             "http://[::1]:2379,http://127.0.0.1:2379,unix:///run/k.sock",
             "--advertise-client-urls=http://k:2379", "--feature-gates=CompactHashCheck=true",
             "--log-outputs=stdout,/tmp/x,stdout", "--max-concurrent-streams=7",
             "--keelson-io-threads=3"});
  ASSERT_FALSE(line.exit) << line.exit->err;
  const Config& c = line.config;
  EXPECT_EQ(c.effective_data_dir(), "/d");
  EXPECT_EQ(c.effective_wal_dir(), "/d/member/wal");
  EXPECT_EQ(c.effective_quota(), UINT64_MAX);
  EXPECT_EQ(c.max_request_bytes, 4096u);
  EXPECT_EQ(c.grpc_keepalive_min_time, seconds(90));
  ASSERT_EQ(c.listen_client_urls.size(), 3u);
  EXPECT_EQ(c.listen_client_urls[0].host, "127.0.0.1:2379");
  EXPECT_EQ(c.listen_client_urls[1].hostname(), "::1");
  EXPECT_EQ(c.listen_client_urls[1].port(), "2379");
  EXPECT_EQ(c.listen_client_urls[2].socket_path(), "/run/k.sock");
  EXPECT_EQ(c.log.outputs, (std::vector<std::string>{"/tmp/x", "stdout"}));
  EXPECT_TRUE(c.feature("CompactHashCheck"));
  EXPECT_TRUE(c.feature("FastLeaseKeepAlive"));
  EXPECT_EQ(c.effective_io_threads(), 3u);
}

struct Mistake {
  std::vector<std::string> args;
  int exit_code;
  std::string_view error;
};

TEST(CommandLine, NamesMistakes) {
  const std::vector<Mistake> mistakes = {
      {{"--nope"}, 2, "flag provided but not defined: -nope\nUsage:"},
      {{"--name"}, 2, "flag needs an argument: -name\n"},
      {{"---name=x"}, 2, "bad flag syntax: ---name=x\n"},
      {{"--=x"}, 2, "bad flag syntax: --=x\n"},
      {{"--max-txn-ops=x"}, 2, "invalid value \"x\" for flag -max-txn-ops: parse error\n"},
      {{"--max-txn-ops=-1"}, 2, "invalid value \"-1\" for flag -max-txn-ops: parse error\n"},
      {{"--max-txn-ops=99999999999999999999"},
       2,
       "invalid value \"99999999999999999999\" for flag -max-txn-ops: value out of range\n"},
      {{"--pre-vote=maybe"}, 2, "invalid boolean value \"maybe\" for -pre-vote: parse error\n"},
      {{"--grpc-keepalive-timeout=5"},
       2,
       "invalid value \"5\" for flag -grpc-keepalive-timeout: parse error\n"},
      {{"--max-concurrent-streams=x"},
       2,
       "invalid value \"x\" for flag -max-concurrent-streams: strconv.ParseUint: parsing \"x\": "
       "invalid syntax\n"},
      {{"--listen-client-urls=ftp://x:1"},
       2,
       "invalid value \"ftp://x:1\" for flag -listen-client-urls: URL scheme must be http, https, "
       "unix, or unixs: ftp://x:1\n"},
      {{"--listen-client-urls=127.0.0.1:1"},
       2,
       "invalid value \"127.0.0.1:1\" for flag -listen-client-urls: parse \"127.0.0.1:1\": first "
       "path segment in URL cannot contain colon\n"},
      {{"--listen-client-urls=http://127.0.0.1"},
       2,
       "invalid value \"http://127.0.0.1\" for flag -listen-client-urls: URL address does not "
       "have the form \"host:port\": http://127.0.0.1\n"},
      {{"--listen-client-urls=http://127.0.0.1:1/x"},
       2,
       "invalid value \"http://127.0.0.1:1/x\" for flag -listen-client-urls: URL must not contain "
       "a path: http://127.0.0.1:1/x\n"},
      {{"--initial-cluster-state=old"},
       2,
       "invalid value \"old\" for flag -initial-cluster-state: invalid value\n"},
      {{"--feature-gates=Nope=true"},
       2,
       "invalid value \"Nope=true\" for flag -feature-gates: unrecognized feature gate: Nope\n"},
      {{"stray"}, 1, "\"stray\" is not a valid flag"},
      {{"--listen-client-urls=http://127.0.0.1:1"},
       1,
       "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
      {{"--listen-peer-urls=http://example.com:1"},
       1,
       "expected IP in URL for binding (http://example.com:1)"},
      {{"--heartbeat-interval=0"}, 1, "--heartbeat-interval must be >0 (set to 0ms)"},
      {{"--election-timeout=400"},
       1,
       "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]"},
      {{"--election-timeout=60000"},
       1,
       "--election-timeout[60000ms] is too long, and should be set less than 50000ms"},
      {{"--auto-compaction-mode=daily"}, 1, "unknown auto-compaction-mode \"daily\""},
      {{"--log-outputs=default,stderr"}, 1, "multi logoutput for \"default\" is not supported yet"},
      {{"--log-outputs="}, 1, "open sink \"\": open : no such file or directory"},
      {{"--max-learners=-1"}, 1, "membership: too many learner members in cluster"},
      {{"--logger=capnslog"}, 1, "--logger=capnslog is removed in v3.5"},
      {{"--log-level=loud"}, 1, "unrecognized level: \"loud\""},
      {{"--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"},
       1,
       "min version (TLS1.3) is greater than max version (TLS1.2)"},
      {{"--discovery-token=t"}, 1, "both --discovery-token and --discovery-endpoints must be set"},
      {{"--feature-gates=LeaseCheckpointPersist=true"},
       1,
       "enabling feature gate LeaseCheckpointPersist requires enabling feature gate "
       "LeaseCheckpoint"},
      {{"--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1"},
       1,
       "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 "
       "with HTTPS scheme"},
      {{"--listen-peer-urls=https://127.0.0.1:1", "--peer-trusted-ca-file=ca"},
       1,
       "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented"},
      {{"--listen-peer-urls=unixs://there:0"},
       1,
       "creating peer listener failed: cannot listen on TLS for there:0"},
      {{"--config-file=/does/not/exist"}, 1, "open /does/not/exist"},
  };
  for (const Mistake& mistake : mistakes) {
    CommandLine line = parse(mistake.args);
    ASSERT_TRUE(line.exit) << mistake.args[0];
    EXPECT_EQ(line.exit->exit_code, mistake.exit_code) << mistake.args[0];
    EXPECT_NE(line.exit->err.find(mistake.error), std::string::npos)
        << mistake.args[0] << ": " << line.exit->err;
  }
}

TEST(CommandLine, PrintsVersionAndHelp) {
  CommandLine version = parse({"--version"});
  ASSERT_TRUE(version.exit);
  EXPECT_EQ(version.exit->exit_code, 0);
  EXPECT_TRUE(version.exit->out.starts_with("etcd Version: 3.7.1\nGit SHA: "));
  EXPECT_NE(version.exit->out.find("\nKeelson Version: 0.1.0\n"), std::string::npos);
  for (const char* help : {"-h", "--help", "-help"}) {
    CommandLine line = parse({help});
    ASSERT_TRUE(line.exit);
    EXPECT_EQ(line.exit->exit_code, 0);
    EXPECT_NE(line.exit->out.find("--listen-client-urls"), std::string::npos);
  }
}

TEST(CommandLine, AcceptsOldNamesAndWarns) {
  CommandLine line = parse({"--force", "--snapshot", "--vv"});
  ASSERT_FALSE(line.exit);
  EXPECT_TRUE(has_note(line, "flag is no longer supported - ignoring", "vv"));
}

TEST(CommandLine, WarnsOfFlagsWithoutMeaning) {
  CommandLine line = parse({"--backend-batch-limit=5", "--max-snapshots=3"});
  ASSERT_FALSE(line.exit);
  EXPECT_TRUE(has_note(line, "flag has no meaning in Keelson - ignoring", "backend-batch-limit"));
}

// As zap reads them.
TEST(CommandLine, TakesLogLevelsInAnyCase) {
  for (const char* level : {"debug", "WARN", "Warn", "dPanic", "FATAL", ""}) {
    EXPECT_FALSE(parse({cat("--log-level=", level)}).exit) << level;
  }
  for (const char* level : {"warning", "trace", "WARNING", " info"}) {
    EXPECT_NE(error_of(parse({cat("--log-level=", level)})).find("unrecognized level: \""),
              std::string::npos)
        << level;
  }
}

TEST(CommandLine, SaysNothingOfGates) {
  CommandLine line = parse({"--feature-gates=AllAlpha=true,AllBeta=true"});
  ASSERT_FALSE(line.exit) << line.exit->err;
  EXPECT_TRUE(line.config.feature("PriorityRequest"));
  EXPECT_TRUE(line.notes.empty()) << line.notes[0].message;
}

TEST(CommandLine, WarnsOfDeprecatedFlagsInEtcdsWords) {
  CommandLine line = parse({"--max-snapshots=3", "--v2-deprecation=gone"});
  ASSERT_FALSE(line.exit);
  std::vector<std::string> said;
  for (const PendingLog& note : line.notes) said.push_back(note.message);
  EXPECT_THAT(said,
              testing::IsSupersetOf(
                  {"--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
                   "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default "
                   "value is enforced, ignoring user input."}));
}

TEST(Environment, SetsWhatTheCommandLineDoesNot) {
  CommandLine line = parse({"--name=flag"}, {"ETCD_NAME=env", "ETCD_DATA_DIR=/e", "PATH=/bin",
                                             "ETCD_WAL_DIR=", "ETCD_NOPE=1", "ETCDCTL_API=3"});
  ASSERT_FALSE(line.exit) << line.exit->err;
  EXPECT_EQ(line.config.name, "flag");
  EXPECT_EQ(line.config.data_dir, "/e");
  EXPECT_TRUE(line.config.is_set("data-dir"));
  EXPECT_TRUE(has_note(line, "environment variable is shadowed by corresponding command-line flag",
                       "ETCD_NAME"));
  EXPECT_TRUE(has_note(line, "recognized and used environment variable", "ETCD_DATA_DIR"));
  EXPECT_TRUE(has_note(line, "unrecognized environment variable", "ETCD_NOPE=1"));
  EXPECT_FALSE(has_note(line, "unrecognized environment variable", "ETCDCTL_API=3"));
}

TEST(Environment, NamesTheVariableWithABadValue) {
  CommandLine line = parse({}, {"ETCD_MAX_TXN_OPS=many"});
  ASSERT_TRUE(line.exit);
  EXPECT_EQ(line.exit->exit_code, 1);
  EXPECT_NE(error_of(line).find("invalid value \"many\" for ETCD_MAX_TXN_OPS: parse error"),
            std::string::npos);
}

TEST(InitialCluster, FollowsTheNameAlone) {
  EXPECT_EQ(parse({"--name=a"}).config.initial_cluster, "a=http://localhost:2380");
  EXPECT_EQ(parse({}).config.initial_cluster, "default=http://localhost:2380");
  EXPECT_EQ(parse({"--name=a", "--initial-cluster=a=http://h:1"}).config.initial_cluster,
            "a=http://h:1");
}

TEST(ConfigFile, ReadsEveryKindOfValue) {
  std::vector<PendingLog> notes;
  absl::StatusOr<Config> config = parse_config_file(R"(
name: file
data-dir: "/f"
snapshot-count: 5000
quota-backend-bytes: -1
pre-vote: no
watch-progress-notify-interval: 600000000000
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
advertise-client-urls: http://127.0.0.1:1
log-outputs: [stderr, /tmp/f]
auto-compaction-retention: 1
initial-cluster-state:
feature-gates: LeaseCheckpoint=true
socket-options:
  reuse-port: true
listen-metrics-urls: https://127.0.0.1:3
listen-peer-urls: https://127.0.0.1:4
client-transport-security:
  cert-file: c.pem
  client-cert-auth: true
  crl-file: crl.der
peer-transport-security:
  cert-file: p.pem
  client-cert-auth: true
  allowed-cn: [a, b]
unheard-of: 1
)",
                                                    notes);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name, "file");
  EXPECT_EQ(config->data_dir, "/f");
  EXPECT_EQ(config->snapshot_count, 5000u);
  EXPECT_EQ(config->quota_backend_bytes, -1);
  EXPECT_FALSE(config->pre_vote);
  EXPECT_EQ(config->watch_progress_notify_interval, minutes(10));
  EXPECT_EQ(config->listen_client_urls.size(), 2u);
  EXPECT_EQ(config->log.outputs.size(), 2u);
  EXPECT_EQ(config->auto_compaction_retention, "1");
  EXPECT_EQ(config->initial_cluster_state, "new");
  EXPECT_TRUE(config->feature("LeaseCheckpoint"));
  EXPECT_TRUE(config->socket_reuse_port);
  EXPECT_EQ(config->client_tls.cert_file, "c.pem");
  EXPECT_TRUE(config->client_tls.client_cert_auth);
  EXPECT_EQ(config->client_tls.crl_file, "crl.der");
  EXPECT_EQ(config->peer_tls.allowed_cns, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].fields[0].second, "unheard-of");
}

TEST(ConfigFile, TakesTheBooleansOfYaml) {
  const auto pre_vote = [](std::string_view text) -> absl::StatusOr<bool> {
    std::vector<PendingLog> notes;
    absl::StatusOr<Config> config = parse_config_file(cat("pre-vote: ", text), notes);
    if (!config.ok()) return config.status();
    return config->pre_vote;
  };
  for (std::string_view no :
       {"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"}) {
    ASSERT_TRUE(pre_vote(no).ok()) << no;
    EXPECT_FALSE(*pre_vote(no)) << no;
  }
  for (std::string_view yes :
       {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE", "~", ""}) {
    ASSERT_TRUE(pre_vote(yes).ok()) << yes;
    EXPECT_TRUE(*pre_vote(yes)) << yes;
  }
  for (std::string_view bad : {"0", "1", "t", "F", "oN", "tRue", "\"yes\"", "'true'", "yes1"}) {
    EXPECT_FALSE(pre_vote(bad).ok()) << bad;
  }
}

TEST(ConfigFile, TakesKeysInAnyCase) {
  std::vector<PendingLog> notes;
  absl::StatusOr<Config> config = parse_config_file(R"(
name: second
NAME: first
Snapshot-Count: 7
Socket-Options:
  Reuse-PORT: true
v2-deprecation: not-yet
)",
                                                    notes);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name, "second");
  EXPECT_EQ(config->snapshot_count, 7u);
  EXPECT_TRUE(config->socket_reuse_port);
  EXPECT_TRUE(notes.empty());
}

// As Helm and people write whole numbers.
TEST(ConfigFile, TakesWholeNumbersInAnyClothes) {
  const auto quota = [](std::string_view text) -> absl::StatusOr<int64_t> {
    std::vector<PendingLog> notes;
    absl::StatusOr<Config> config = parse_config_file(cat("quota-backend-bytes: ", text), notes);
    if (!config.ok()) return config.status();
    return config->quota_backend_bytes;
  };
  const std::pair<std::string_view, int64_t> good[] = {{"8.589934592e+09", 8'589'934'592},
                                                       {"1e+04", 10'000},
                                                       {"1_000_000_000", 1'000'000'000},
                                                       {"1E9", 1'000'000'000},
                                                       {"-1e0", -1},
                                                       {"+5", 5},
                                                       {"12.0", 12},
                                                       {"1_0.5e1", 105},
                                                       {"0x10", 16},
                                                       {"9007199254740993", 9007199254740993}};
  for (const auto& [text, number] : good) {
    const absl::StatusOr<int64_t> got = quota(text);
    ASSERT_TRUE(got.ok()) << text << ": " << got.status();
    EXPECT_EQ(*got, number) << text;
  }
  for (std::string_view bad : {"1.5", "8G", "1e30", "1e400", "inf", ".nan", "nan", "'1e4'", "1e",
                               "e4", "0x1p3", "--1", "9.3e18"}) {
    EXPECT_FALSE(quota(bad).ok()) << bad;
  }
}

// What asks for security and gets none stops the start.
TEST(CommandLine, TlsFlagsTakeEffectOrStopTheStart) {
  const std::string secure = "https://127.0.0.1:1", plain = "http://127.0.0.1:1";
  const auto start = [](const std::string& url, std::vector<std::string> args) {
    args.push_back("--listen-client-urls=" + url);
    args.push_back("--advertise-client-urls=" + url);
    CommandLine line = parse(args);
    return line.exit ? line.exit->err : "";
  };
  const std::tuple<std::string, std::vector<std::string>, std::string> cases[] = {
      {secure, {"--cert-file=c", "--key-file=k"}, ""},
      {secure, {"--auto-tls"}, ""},
      {secure, {"--cert-file=c", "--key-file=k", "--auto-tls", "--client-cert-auth"}, ""},
      {secure, {"--cert-file=c", "--key-file=k", "--trusted-ca-file=a", "--client-crl-file=r"}, ""},
      {secure + "," + plain, {"--cert-file=c", "--key-file=k", "--client-cert-auth"}, ""},
      {plain, {"--listen-metrics-urls=https://127.0.0.1:2", "--auto-tls"}, ""},
      {plain, {"--cert-file=c"}, "--cert-file cannot take effect: no listen URL"},
      {plain, {"--auto-tls"}, "--auto-tls cannot take effect: no listen URL"},
      {plain, {"--client-cert-auth"}, "--client-cert-auth cannot take effect: no listen URL"},
      {plain, {"--cipher-suites=X"}, ""},
      {plain, {"--peer-cert-file=c"}, "--peer-cert-file cannot take effect: no listen URL"},
      {plain,
       {"--listen-metrics-urls=https://127.0.0.1:2"},
       "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"},
      {secure,
       {"--auto-tls", "--client-cert-auth"},
       "--client-cert-auth cannot take effect with --auto-tls"},
      {secure,
       {"--cert-file=c", "--key-file=k", "--client-crl-file=r"},
       "--client-crl-file cannot take effect: without --trusted-ca-file or --client-cert-auth"},
      {secure,
       {"--cert-file=c", "--key-file=k", "--client-cert-allowed-hostname=r"},
       "--client-cert-allowed-hostname cannot take effect: without"},
      {plain,
       {"--listen-peer-urls=https://127.0.0.1:3", "--peer-auto-tls", "--peer-cert-allowed-cn=x"},
       "--peer-cert-allowed-cn cannot take effect with --peer-auto-tls"},
      {plain,
       {"--listen-client-http-urls=" + plain},
       "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url " +
           plain},
  };
  for (const auto& [url, args, error] : cases) {
    const std::string said = start(url, args);
    if (error.empty()) {
      EXPECT_EQ(said, "");
    } else {
      EXPECT_NE(said.find(error), std::string::npos) << said << " instead of " << error;
    }
  }
}

TEST(ConfigFile, NamesMistakes) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"name: [", "config file: "},
      {"- a", "config file: the top level must be a map"},
      {"name: a\nclient-cert-auth true", "config file: yaml-cpp: error at line 3"},
      {"name: a\n# all\nauto-tls", "config file: yaml-cpp: error at line 4"},
      {"  name: a\n  auto-tls\n", "config file: yaml-cpp: error at line 4"},
      {"name: a\nauto-tls\n---\nname: b\n", "config file: yaml-cpp: error at line 3"},
      {"data-dir: b\nname: \"a\n", "config file: a text at its end is not closed"},
      {"---\nname: 'a\n", "config file: a text at its end is not closed"},
      {"{name: a, data-dir: \"b}", "config file: "},
      {"heartbeat-interval: \"100\"", "heartbeat-interval must be a whole number"},
      {"heartbeat-interval: soon", "heartbeat-interval must be a whole number"},
      {"corrupt-check-time: 10m", "corrupt-check-time must be a whole number of nanoseconds"},
      {"pre-vote: perhaps", "pre-vote must be true or false"},
      {"log-outputs: stderr", "log-outputs must be a list"},
      {"listen-client-urls: nope", "listen-client-urls"},
      {"peer-transport-security: x", "invalid peer-transport-security"},
      {"name: {a: b}", "name must be a single value"},
      {"election-timeout: 1", "--election-timeout[1ms] should be at least"},
  };
  for (const auto& [yaml, error] : mistakes) {
    std::vector<PendingLog> notes;
    absl::StatusOr<Config> config = parse_config_file(yaml, notes);
    ASSERT_FALSE(config.ok()) << yaml;
    EXPECT_NE(message_of(config.status()).find(error), std::string_view::npos)
        << yaml << ": " << config.status();
  }
}

// Whatever a file ends with.
TEST(ConfigFile, EndsInManyWays) {
  for (const char* yaml :
       {"name: a", "name: a\n", "name: a\r\n", "name: \"a\"", "name: 'a'  # as it is\n",
        "---\nname: a\n", "name: a\n---\nname: b\n", "name: a\n...\nand so on", "  name: a\n",
        "{name: a}", "{\n  \"name\": \"a\"\n}\n", "name: |-\n  a\n", "name: >-\n  a\n\n",
        "name: a\nlog-outputs: [stderr]\n", "name: a\nlog-outputs:\n- stderr\n",
        "name: a\npeer-transport-security:\n  auto-tls: false\n", "name: a\ncors:\n",
        "name: a\npeer-transport-security:\n", "# nothing\nname: a\n# more: nothing"}) {
    std::vector<PendingLog> notes;
    absl::StatusOr<Config> config = parse_config_file(yaml, notes);
    ASSERT_TRUE(config.ok()) << yaml << ": " << config.status();
    EXPECT_EQ(config->name, "a") << yaml;
    EXPECT_TRUE(notes.empty()) << yaml;
  }
  std::vector<PendingLog> notes;
  ASSERT_TRUE(parse_config_file("", notes).ok() && parse_config_file("# nothing", notes).ok());
  EXPECT_TRUE(notes.empty());
  ASSERT_TRUE(parse_config_file("autotls:\n", notes).ok());
  ASSERT_EQ(notes.size(), 1u) << "a key that nobody knows is named, without a value, too";
}

TEST(ConfigFile, ReplacesFlagsAndEnvironment) {
  const std::string path = ::testing::TempDir() + "keelson_config_test.yaml";
  std::ofstream(path) << "name: file\n";
  for (const auto& [args, environment] :
       std::vector<std::pair<std::vector<std::string>, Environment>>{
           {{"--name=flag", "--data-dir=/flag", "--config-file=" + path}, {"ETCD_WAL_DIR=/env"}},
           {{"--name=flag", "--data-dir=/flag"}, {"ETCD_CONFIG_FILE=" + path}}}) {
    CommandLine line = parse(args, environment);
    ASSERT_FALSE(line.exit) << line.exit->err;
    EXPECT_EQ(line.config.name, "file");
    EXPECT_EQ(line.config.data_dir, "");
    EXPECT_EQ(line.config.wal_dir, "");
    EXPECT_EQ(line.config.effective_data_dir(), "file.etcd");
  }
  std::remove(path.c_str());
}

TEST(AutoCompaction, ReadsHoursDurationsAndRevisions) {
  Config c;
  EXPECT_FALSE((*c.auto_compaction()).has_value());
  c.auto_compaction_retention = "5";
  EXPECT_EQ((*c.auto_compaction())->period, hours(5));
  c.auto_compaction_retention = "90m";
  EXPECT_EQ((*c.auto_compaction())->period, minutes(90));
  c.auto_compaction_mode = "revision";
  c.auto_compaction_retention = "1000";
  EXPECT_EQ((*c.auto_compaction())->revisions, 1000);
  c.auto_compaction_retention = "";
  EXPECT_FALSE((*c.auto_compaction()).has_value());
  const std::pair<const char*, const char*> mistakes[] = {
      {"soon", "invalid duration \"soon\""},
      {"1.5", "missing unit in duration \"1.5\""},
      {"-1", "missing unit in duration \"-1\""},
      {"1h5", "missing unit in duration \"1h5\""},
      {"1h1x5s", "unknown unit \"x\" in duration \"1h1x5s\""},
      {"1hs", "unknown unit \"hs\" in duration \"1hs\""}};
  for (const auto& [text, fault] : mistakes) {
    c.auto_compaction_retention = text;
    EXPECT_EQ(message_of(c.auto_compaction().status()),
              cat("error parsing CompactionRetention: time: ", fault));
  }
}

TEST(GoValues, Durations) {
  const std::pair<const char*, Duration> cases[] = {
      {"0", Duration(0)},           {"300ms", milliseconds(300)}, {"1h30m", minutes(90)},
      {"1.5s", milliseconds(1500)}, {"-2m", minutes(-2)},         {"10us", Duration(10'000)},
      {"7ns", Duration(7)},         {".5m", seconds(30)}};
  for (const auto& [text, value] : cases) {
    ASSERT_TRUE(parse_duration(text).ok()) << text;
    EXPECT_EQ(*parse_duration(text), value) << text;
  }
  for (const char* bad : {"", "5", "s", "1x", "1.s.", "-", "1e3s", "999999999h"}) {
    EXPECT_FALSE(parse_duration(bad).ok()) << bad;
  }
  EXPECT_EQ(duration_text(minutes(90)), "1h30m0s");
  EXPECT_EQ(duration_text(Duration(1'500'000)), "1.5ms");
  EXPECT_EQ(duration_text(Duration(0)), "0s");
  EXPECT_EQ(duration_text(seconds(-61)), "-1m1s");
}

TEST(GoValues, Integers) {
  EXPECT_EQ(*parse_int("-0x10"), -16);
  EXPECT_EQ(*parse_int("0b11"), 3);
  EXPECT_EQ(*parse_int("017"), 15);
  EXPECT_EQ(*parse_int("0x1_0"), 16);
  EXPECT_EQ(*parse_int("-9223372036854775808"), INT64_MIN);
  EXPECT_FALSE(parse_int("9223372036854775808").ok());
  for (const char* bad : {"", "-", "x", "0x", "1_0", "08", "1 ", "+-1"}) {
    EXPECT_FALSE(parse_int(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace keelson::server
