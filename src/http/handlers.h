// http/handlers.h
//
// /version, /health, /livez, /readyz and their sub-checks, /metrics and /debug/vars: the plain
// HTTP that operators, probes and scrapers speak. Bodies, reasons and status codes are etcd's
// (source: etcd v3.7.1, server/etcdserver/api/etcdhttp).
//
// Place: knows nothing of sockets; http_endpoint.h puts it on a listener.
// Threads: handle() from any, many at once; `done` runs once, on the caller's thread or on whatever
//   thread the probe answers, or the page is made.
// Lifetime: outlives every probe under way, as do the state and the metrics.

#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/line_budget.h"
#include "http/metrics.h"
#include "http/page_maker.h"

namespace keelson::http {

// What the handlers ask the running server. Any thread.
class ServerState {
 public:
  virtual ~ServerState() = default;

  enum class Alarm { kNoSpace, kCorrupt };
  // Active alarms of any member, in the order they were raised or by member.
  virtual std::vector<Alarm> alarms() const = 0;
  virtual bool has_leader() const = 0;
  virtual bool is_learner() const = 0;
  // The log's device has not completed a write for an election timeout, though some wait.
  virtual bool log_stalled() const = 0;

  // One small read, as a client would make it (first key, keys only), with the server's request
  // timeout. Linearizable ones go through the read index. Calls `done` exactly once, from any
  // thread, with the error that the client would get.
  virtual void probe_read(bool serializable, absl::AnyInvocable<void(absl::Status)> done) = 0;

  // "3.7.0"; empty while the cluster has not decided.
  virtual std::string cluster_version() const = 0;
  virtual std::string storage_version() const = 0;

  // etcd-raft's JSON of the member's status. Calls `done` once, from any thread.
  virtual void raft_status(absl::AnyInvocable<void(std::string)> done) = 0;
};

struct Request {
  std::string method;  // "GET"
  std::string path;    // "/health"
  std::string query;   // what follows '?', still encoded
  bool gzip = false;   // the client takes it compressed
};

struct Response {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Bytes shared_body;  // instead of it: the same for several answers
};

struct HandlersOptions {
  std::string etcd_version;          // "3.7.1"
  std::vector<std::string> command;  // for /debug/vars
  LineBudget* lines = nullptr;       // for what is said of health; null: no bound
};

class Handlers {
 public:
  using Done = absl::AnyInvocable<void(Response)>;

  // `pages` is where the pages of metrics and of variables are made; it has stopped before this
  // goes.
  Handlers(ServerState& state, Metrics& metrics, Executor* pages, HandlersOptions options);

  // The paths that are answered, to be put on a router. `everything`: those of the client port;
  // otherwise those of --listen-metrics-urls.
  static std::vector<std::string_view> paths(bool everything);

  void handle(const Request& request, Done done);

 private:
  struct Check;
  class CheckRun;

  void health(const Request& request, Done done);
  void finish_health(std::string reason, Done done);
  void checks(const Request& request, std::string_view type, std::string_view only, Done done);
  Response version(const Request& request) const;
  std::string vars_page(std::string_view raft_status) const;

  ServerState& state_;
  Metrics& metrics_;
  const HandlersOptions options_;
  PageMaker pages_;
  PageMaker vars_;
};

// Values of `key` in a query, decoded, in order. A part that is not properly encoded is left out.
std::vector<std::string> query_values(std::string_view query, std::string_view key);

// The error's text as a Go client of etcd prints it:
// "rpc error: code = Unavailable desc = etcdserver: no leader" is for clients; inside the server,
// where these checks run, an error is its bare text.
std::string error_text(const absl::Status& status);

}  // namespace keelson::http
