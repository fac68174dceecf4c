// Statuses and bodies of the plain HTTP paths, as a real etcd gives them.

#include "http/handlers.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/test_log.h"

namespace keelson::http {
namespace {

class FakeState final : public ServerState {
 public:
  std::vector<Alarm> alarms() const override { return active; }
  bool has_leader() const override { return leader; }
  bool is_learner() const override { return learner; }
  bool log_stalled() const override { return stalled; }
  void probe_read(bool serializable, absl::AnyInvocable<void(absl::Status)> done) override {
    ++probes;
    if (hold) {
      held.push_back(std::move(done));
    } else {
      done(serializable ? local : consensus);
    }
  }
  std::string cluster_version() const override { return cluster; }
  std::string storage_version() const override { return cluster; }
  void raft_status(absl::AnyInvocable<void(std::string)> done) override { done(R"({"term":7})"); }

  std::vector<Alarm> active;
  bool leader = true, learner = false, stalled = false, hold = false;
  absl::Status local, consensus;
  std::string cluster = "3.7.0";
  int probes = 0;
  std::vector<absl::AnyInvocable<void(absl::Status)>> held;
};

// Runs everything at once.
class AtOnce final : public Executor {
 public:
  void post(Task task) override { task(); }
  void post_after(Duration, Task task) override { task(); }
};

class Nowhere final : public Executor {
 public:
  void post(Task) override {}
  void post_after(Duration, Task) override {}
};

class StandingClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::hours(1)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

class HandlersTest : public ::testing::Test {
 protected:
  Response get(std::string path, std::string query = "", std::string method = "GET") {
    std::optional<Response> answer;
    handlers_.handle({std::move(method), std::move(path), std::move(query)}, [&answer](Response r) {
      ASSERT_FALSE(answer);
      answer = std::move(r);
    });
    EXPECT_TRUE(answer);
    Response response = answer.value_or(Response{});
    if (!response.shared_body.empty()) response.body = response.shared_body.str();
    return response;
  }

  static std::string header(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }

  FakeState state_;
  Metrics metrics_{MetricsOptions{}};
  AtOnce pages_;
  Handlers handlers_{state_, metrics_, &pages_, {"3.7.1", {"keelson", "--name", "a\"b"}}};
};

TEST_F(HandlersTest, Version) {
  EXPECT_EQ(get("/version").body,
            R"({"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"})");
  state_.cluster = "";
  const Response r = get("/version");
  EXPECT_EQ(r.body, R"({"etcdserver":"3.7.1","etcdcluster":"not_decided","storage":"unknown"})");
  EXPECT_EQ(header(r, "Content-Type"), "application/json");
}

TEST_F(HandlersTest, HealthyIsTrue) {
  for (const char* query : {"", "serializable=true"}) {
    const Response r = get("/health", query);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, R"({"health":"true","reason":""})");
  }
  EXPECT_EQ(metrics_.health_success.value(), 2);
}

TEST_F(HandlersTest, HealthTellsOfAlarms) {
  state_.active = {ServerState::Alarm::kNoSpace, ServerState::Alarm::kCorrupt};
  Response r = get("/health");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
  EXPECT_EQ(get("/health", "exclude=NOSPACE").body,
            "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}\n");
  EXPECT_EQ(get("/health", "exclude=NOSPACE&exclude=CORRUPT&exclude=").status, 200);
  EXPECT_EQ(metrics_.health_failures.value(), 2);
}

// Anybody may ask, as often as they like.
TEST_F(HandlersTest, WhatTheLogSaysOfHealthIsBounded) {
  log::TestLog log(log::Level::kWarn);
  const StandingClock still;
  Nowhere lane;
  LineBudget lines(still, &lane, {.bytes_per_second = 1, .bytes_at_once = 4000});
  Handlers handlers(state_, metrics_, &pages_, {.lines = &lines});
  state_.active = {ServerState::Alarm::kCorrupt};
  state_.leader = false;
  for (int i = 0; i < 100; ++i) {
    for (const char* path : {"/health", "/readyz"})
      handlers.handle({"GET", path, ""}, [](Response r) { EXPECT_EQ(r.status, 503); });
  }
  const size_t said = log.take("/health error").size() + log.take("Health check error").size();
  EXPECT_GT(said, 0u);
  EXPECT_LT(said, 20u);
}

TEST_F(HandlersTest, HealthNeedsALeaderUnlessSerializable) {
  state_.leader = false;
  Response r = get("/health");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
  EXPECT_EQ(state_.probes, 0);
  EXPECT_EQ(get("/health", "serializable=true").status, 200);
  EXPECT_EQ(get("/health", "serializable=yes").status, 503);
}

TEST_F(HandlersTest, HealthTellsWhyTheReadFailed) {
  state_.consensus = errors::Timeout();
  Response r = get("/health");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body,
            "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request timed out\"}\n");
  EXPECT_EQ(header(r, "X-Content-Type-Options"), "nosniff");
}

TEST_F(HandlersTest, LivezAndReadyz) {
  EXPECT_EQ(get("/livez").body, "ok\n");
  EXPECT_EQ(get("/livez", "verbose").body, "[+]serializable_read ok\nok\n");
  EXPECT_EQ(get("/readyz", "verbose").body,
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n"
            "[+]non_learner ok\n[+]log_device ok\nok\n");
  EXPECT_EQ(get("/readyz/non_learner", "verbose=").body, "[+]non_learner ok\nok\n");
  EXPECT_EQ(
      get("/readyz",
          "verbose&exclude=nope&exclude=non_learner&exclude=log_device&exclude=data_corruption")
          .body,
      "[+]serializable_read ok\n[+]linearizable_read ok\nok\n");
  EXPECT_EQ(header(get("/readyz"), "Content-Type"), "text/plain; charset=utf-8");
}

TEST_F(HandlersTest, FailedChecksAreAlwaysListed) {
  state_.active = {ServerState::Alarm::kCorrupt};
  state_.learner = true;
  state_.stalled = true;
  state_.consensus = errors::NoLeader();
  Response r = get("/readyz");
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.body,
            "[-]data_corruption failed: alarm activated: CORRUPT\n"
            "[+]serializable_read ok\n"
            "[-]linearizable_read failed: etcdserver: no leader\n"
            "[-]non_learner failed: not supported for learner\n"
            "[-]log_device failed: the log's device does not complete a write\n\n");
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(get("/readyz/serializable_read").status, 200);
  EXPECT_EQ(get("/readyz/linearizable_read").status, 503);
  const std::string page = get("/metrics").body;
  EXPECT_NE(page.find("etcd_server_healthcheck{name=\"non_learner\",type=\"readyz\"} 0\n"),
            std::string::npos);
  EXPECT_NE(page.find("etcd_server_healthchecks_total{name=\"linearizable_read\",status=\"error\","
                      "type=\"readyz\"} 2\n"),
            std::string::npos);
}

TEST_F(HandlersTest, AnswersOnceAllProbesHave) {
  state_.hold = true;
  std::optional<Response> answer;
  handlers_.handle({"GET", "/readyz", ""}, [&answer](Response r) { answer = std::move(r); });
  ASSERT_EQ(state_.held.size(), 2u);
  state_.held[1](absl::OkStatus());
  EXPECT_FALSE(answer);
  state_.held[0](absl::OkStatus());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
}

TEST_F(HandlersTest, OnlyGetAndOnlyWhatIsThere) {
  for (const char* path : {"/health", "/livez", "/readyz/non_learner", "/version", "/debug/vars"}) {
    const Response r = get(path, "", "POST");
    EXPECT_EQ(r.status, 405) << path;
    EXPECT_EQ(r.body, "Method Not Allowed\n");
    EXPECT_EQ(header(r, "Allow"), "GET");
  }
  EXPECT_EQ(get("/metrics", "", "POST").status, 200);  // as with etcd
  for (const char* path : {"/", "/livez/nope", "/healthy", ""}) {
    const Response r = get(path);
    EXPECT_EQ(r.status, 404) << path;
    EXPECT_EQ(r.body, "404 page not found\n");
  }
}

TEST_F(HandlersTest, DebugVars) {
  const Response r = get("/debug/vars");
  EXPECT_EQ(header(r, "Content-Type"), "application/json; charset=utf-8");
  EXPECT_TRUE(r.body.starts_with("{\n\"cmdline\": [\"keelson\",\"--name\",\"a\\\"b\"],\n"));
  const auto vars = nlohmann::json::parse(r.body);
  EXPECT_GT(vars.at("file_descriptor_limit"), 0);
  EXPECT_EQ(vars.at("raft.status").at("term"), 7);
  EXPECT_EQ(vars.size(), 4u);
}

// The names that readers of Go's numbers know, and what holds among them there. This program may
// have another allocator, and zeros; tests/stats looks at the server's.
TEST_F(HandlersTest, MemoryHasGosNames) {
  const auto stats = nlohmann::json::parse(get("/debug/vars").body).at("memstats");
  const char* const names[] = {
      "Alloc",       "TotalAlloc", "Sys",        "Lookups",     "Mallocs",       "Frees",
      "HeapAlloc",   "HeapSys",    "HeapIdle",   "HeapInuse",   "HeapReleased",  "HeapObjects",
      "StackInuse",  "StackSys",   "MSpanInuse", "MSpanSys",    "MCacheInuse",   "MCacheSys",
      "BuckHashSys", "GCSys",      "OtherSys",   "NextGC",      "LastGC",        "PauseTotalNs",
      "PauseNs",     "PauseEnd",   "NumGC",      "NumForcedGC", "GCCPUFraction", "EnableGC",
      "DebugGC",     "BySize"};
  for (const char* name : names) EXPECT_TRUE(stats.contains(name)) << name;
  EXPECT_EQ(stats.size(), std::size(names));
  const auto number = [&stats](const char* name) { return stats.at(name).get<uint64_t>(); };
  EXPECT_EQ(number("Alloc"), number("HeapAlloc"));
  EXPECT_EQ(number("HeapSys"), number("HeapIdle") + number("HeapInuse"));
  EXPECT_EQ(number("HeapObjects"), number("Mallocs") - number("Frees"));
  EXPECT_EQ(number("Sys"), number("HeapSys") + number("OtherSys"));
  EXPECT_LE(number("HeapReleased"), number("HeapIdle"));
  EXPECT_LE(number("HeapAlloc"), number("HeapInuse"));
}

TEST(QueryValues, DecodesAndSkipsWhatCannotBe) {
  EXPECT_EQ(query_values("a=1&b=2&a=%41+x&a=%zz&a=%4&&=3&a", "a"),
            (std::vector<std::string>{"1", "A x", ""}));
  EXPECT_TRUE(query_values("", "a").empty());
}

}  // namespace
}  // namespace keelson::http
