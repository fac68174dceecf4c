#include "http/handlers.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/line_budget.h"
#include "base/log.h"
#include "base/text.h"
#include "http/memory_stats.h"

namespace keelson::http {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";

// Go's http.Error: the text, a newline, and no sniffing.
Response error_response(int status, std::string_view text) {
  return {status,
          {{"Content-Type", kPlainText}, {"X-Content-Type-Options", "nosniff"}},
          cat(text, "\n")};
}

Response method_not_allowed() {
  Response response = error_response(405, "Method Not Allowed");
  response.headers.insert(response.headers.begin(), {"Allow", "GET"});
  return response;
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const std::optional<int> high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (!high || !low) return std::nullopt;
      out += static_cast<char>(*high * 16 + *low);
      i += 2;
    }
  }
  return out;
}

// "excluded" as etcd reads it: the non-empty values, each once.
std::vector<std::string> excluded(std::string_view query) {
  std::vector<std::string> values = query_values(query, "exclude");
  std::erase(values, "");
  return values;
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string_view alarm_name(ServerState::Alarm alarm) {
  return alarm == ServerState::Alarm::kNoSpace ? "NOSPACE" : "CORRUPT";
}

}  // namespace

std::vector<std::string> query_values(std::string_view query, std::string_view key) {
  std::vector<std::string> values;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view part = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(part.find('='), part.size());
    const std::optional<std::string> name = decoded(part.substr(0, equals));
    if (part.empty() || !name || *name != key) continue;
    if (auto value = decoded(part.substr(std::min(equals + 1, part.size())))) {
      values.push_back(*std::move(value));
    }
  }
  return values;
}

std::string error_text(const absl::Status& status) { return std::string(message_of(status)); }

// One named condition. `run` gives an empty text or what is wrong.
struct Handlers::Check {
  std::string_view name;
  std::string_view type;  // only for "readyz", or "" for both
  void (*run)(ServerState&, absl::AnyInvocable<void(std::string)>);
};

namespace {

using CheckDone = absl::AnyInvocable<void(std::string)>;

void check_corruption(ServerState& state, CheckDone done) {
  const auto alarms = state.alarms();
  const bool corrupt =
      std::find(alarms.begin(), alarms.end(), ServerState::Alarm::kCorrupt) != alarms.end();
  done(corrupt ? "alarm activated: CORRUPT" : "");
}

template <bool kSerializable>
void check_read(ServerState& state, CheckDone done) {
  state.probe_read(kSerializable, [done = std::move(done)](absl::Status status) mutable {
    done(status.ok() ? "" : error_text(status));
  });
}

void check_learner(ServerState& state, CheckDone done) {
  done(state.is_learner() ? "not supported for learner" : "");
}

void check_log(ServerState& state, CheckDone done) {
  done(state.log_stalled() ? "the log's device does not complete a write" : "");
}

}  // namespace

// Runs the chosen checks, all at once, and puts their lines together in the order of the list
// (etcd's order is that of a Go map: none).
class Handlers::CheckRun : public std::enable_shared_from_this<Handlers::CheckRun> {
 public:
  CheckRun(Handlers& handlers, std::string_view type, std::vector<const Check*> checks,
           std::string path, bool verbose, Done done)
      : handlers_(handlers),
        type_(type),
        checks_(std::move(checks)),
        path_(std::move(path)),
        verbose_(verbose),
        done_(std::move(done)),
        results_(checks_.size()),
        left_(checks_.size() + 1) {}

  void start() {
    for (size_t i = 0; i < checks_.size(); ++i) {
      checks_[i]->run(handlers_.state_, [self = shared_from_this(), i](std::string wrong) {
        self->results_[i] = std::move(wrong);
        self->finished_one();
      });
    }
    finished_one();  // the start itself: no answer before all checks have begun
  }

 private:
  void finished_one() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) answer();
  }

  void answer() {
    std::string lines;
    bool failed = false;
    for (size_t i = 0; i < checks_.size(); ++i) {
      const bool ok = results_[i].empty();
      failed |= !ok;
      lines += ok ? cat("[+]", checks_[i]->name, " ok\n")
                  : cat("[-]", checks_[i]->name, " failed: ", results_[i], "\n");
      record(std::string(checks_[i]->name), ok);
    }
    if (failed) {
      if (take_line(handlers_.options_.lines, kUsualLine + lines.size())) {
        log::error("Health check error",
                   {{"path", path_}, {"reason", lines}, {"status-code", 503}});
      }
      return done_(error_response(503, lines));
    }
    log::debug("Health check OK", {{"path", path_}, {"reason", lines}, {"status-code", 200}});
    Response response{200,
                      {{"Content-Type", kPlainText}, {"X-Content-Type-Options", "nosniff"}},
                      cat(verbose_ ? lines : "", "ok\n")};
    done_(std::move(response));
  }

  void record(const std::string& name, bool ok) {
    const std::string type(type_);
    handlers_.metrics_.healthcheck.set({type, name}, ok ? 1 : 0);
    handlers_.metrics_.healthchecks_total.add({type, name, ok ? "success" : "error"});
  }

  Handlers& handlers_;
  const std::string_view type_;
  const std::vector<const Check*> checks_;
  const std::string path_;
  const bool verbose_;
  Done done_;
  std::vector<std::string> results_;
  std::atomic<size_t> left_;
};

Handlers::Handlers(ServerState& state, Metrics& metrics, Executor* pages, HandlersOptions options)
    : state_(state),
      metrics_(metrics),
      options_(std::move(options)),
      pages_(pages, [&metrics] { return metrics_page(metrics); }),
      vars_(pages, [this, pages](PageMaker::Made made) {
        state_.raft_status([this, pages, made = std::move(made)](std::string raft) mutable {
          // The numbers of the memory take a while to add up.
          pages->post([this, made = std::move(made), raft = std::move(raft)]() mutable {
            made(vars_page(raft));
          });
        });
      }) {}

std::vector<std::string_view> Handlers::paths(bool everything) {
  std::vector<std::string_view> paths = {"/health",
                                         "/livez",
                                         "/livez/serializable_read",
                                         "/readyz",
                                         "/readyz/data_corruption",
                                         "/readyz/serializable_read",
                                         "/readyz/linearizable_read",
                                         "/readyz/non_learner",
                                         "/readyz/log_device",
                                         "/metrics"};
  if (everything) paths.insert(paths.end(), {"/version", "/debug/vars"});
  return paths;
}

void Handlers::handle(const Request& request, Done done) {
  const std::string_view path = request.path;
  if (path == "/metrics") {
    metrics_.pages_in_flight.add(1);
    return pages_.get(
        request.gzip, [this, gzip = request.gzip, done = std::move(done)](Bytes page) mutable {
          metrics_.pages_in_flight.add(-1);
          metrics_.pages_served.add();
          Response response{200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}};
          if (gzip) response.headers.emplace_back("Content-Encoding", "gzip");
          response.shared_body = std::move(page);
          done(std::move(response));
        });
  }
  const auto known = paths(true);
  if (std::find(known.begin(), known.end(), path) == known.end()) {
    return done(error_response(404, "404 page not found"));
  }
  if (request.method != "GET") return done(method_not_allowed());
  if (path == "/version") return done(version(request));
  if (path == "/debug/vars") {
    return vars_.get(false, [done = std::move(done)](Bytes page) mutable {
      Response response{200, {{"Content-Type", "application/json; charset=utf-8"}}};
      response.shared_body = std::move(page);
      done(std::move(response));
    });
  }
  if (path == "/health") return health(request, std::move(done));
  const size_t slash = path.find('/', 1);
  checks(request, path.starts_with("/livez") ? "livez" : "readyz",
         slash == std::string_view::npos ? "" : path.substr(slash + 1), std::move(done));
}

void Handlers::checks(const Request& request, std::string_view type, std::string_view only,
                      Done done) {
  static constexpr Check kChecks[] = {
      {"data_corruption", "readyz", check_corruption},
      {"serializable_read", "", check_read<true>},
      {"linearizable_read", "readyz", check_read<false>},
      {"non_learner", "readyz", check_learner},
      {"log_device", "readyz", check_log},  // not etcd's
  };
  const std::vector<std::string> exclude =
      only.empty() ? excluded(request.query) : std::vector<std::string>();
  std::vector<const Check*> chosen;
  for (const Check& check : kChecks) {
    if (!check.type.empty() && check.type != type) continue;
    if (!only.empty() && check.name != only) continue;
    if (!contains(exclude, check.name)) chosen.push_back(&check);
  }
  const bool verbose = !query_values(request.query, "verbose").empty();
  std::make_shared<CheckRun>(*this, type, std::move(chosen), request.path, verbose, std::move(done))
      ->start();
}

void Handlers::health(const Request& request, Done done) {
  const std::vector<std::string> exclude = excluded(request.query);
  for (ServerState::Alarm alarm : state_.alarms()) {
    if (contains(exclude, alarm_name(alarm))) continue;
    if (take_line(options_.lines, kUsualLine)) {
      log::warn("serving /health false due to an alarm", {{"alarm", alarm_name(alarm)}});
    }
    return finish_health(cat("ALARM ", alarm_name(alarm)), std::move(done));
  }
  const std::vector<std::string> flag = query_values(request.query, "serializable");
  const bool serializable = !flag.empty() && flag.front() == "true";
  if (!serializable && !state_.has_leader()) {
    if (take_line(options_.lines, kUsualLine)) log::warn("serving /health false; no leader");
    return finish_health("RAFT NO LEADER", std::move(done));
  }
  state_.probe_read(serializable, [this, done = std::move(done)](absl::Status status) mutable {
    if (!status.ok() && take_line(options_.lines, kUsualLine)) {
      log::warn("serving /health false; Range fails", {{"error", error_text(status)}});
    }
    finish_health(status.ok() ? "" : cat("RANGE ERROR:", error_text(status)), std::move(done));
  });
}

void Handlers::finish_health(std::string reason, Done done) {
  const bool ok = reason.empty();
  nlohmann::ordered_json body = {{"health", ok ? "true" : "false"}, {"reason", reason}};
  const std::string text = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  (ok ? metrics_.health_success : metrics_.health_failures).add();
  if (ok) return done({200, {{"Content-Type", kPlainText}}, text});
  if (take_line(options_.lines, kUsualLine + text.size())) {
    log::warn("/health error", {{"output", text}, {"status-code", 503}});
  }
  done(error_response(503, text));
}

Response Handlers::version(const Request& request) const {
  const std::string cluster = state_.cluster_version(), storage = state_.storage_version();
  nlohmann::ordered_json body = {{"etcdserver", options_.etcd_version},
                                 {"etcdcluster", cluster.empty() ? "not_decided" : cluster},
                                 {"storage", storage.empty() ? "unknown" : storage}};
  return {200, {{"Content-Type", "application/json"}}, body.dump()};
}

// As Go's expvar writes it, by name.
std::string Handlers::vars_page(std::string_view raft_status) const {
  rlimit files{};
  const bool known = getrlimit(RLIMIT_NOFILE, &files) == 0;
  const nlohmann::json command(options_.command);
  return cat(
      "{\n\"cmdline\": ", command.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      ",\n\"file_descriptor_limit\": ", known ? files.rlim_cur : 0,
      ",\n\"memstats\": ", memory_json(memory_stats(/*by_size=*/true)),
      ",\n\"raft.status\": ", raft_status, "\n}\n");
}

}  // namespace keelson::http
