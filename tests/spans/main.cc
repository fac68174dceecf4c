// spans_check: what a collector gets of a server with --enable-distributed-tracing: the spans that
// etcd v3.7.1 makes, with their attributes, parents and events, for calls and streams, and of what
// the member does by itself; that a collector that is not there, or does not answer, keeps nobody
// waiting. Where there is a real etcd (3.5), the spans of calls beside its own: names, parents,
// states and resource; its attributes are older ones.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <optional>
#include <thread>
#include <vector>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"
#include "tests/harness/http.h"
#include "tests/harness/server.h"
#include "tests/spans/collector.h"

namespace keelson::spans {
namespace {

namespace pb = etcdserverpb;
using harness::CallOptions;
using harness::Client;
using harness::Milliseconds;
using harness::Server;
using Lines = std::vector<std::string>;

constexpr char kCaller[] = "b7ad6b7169203331";

int failures = 0;

void expect(bool ok, const std::string& what) {
  if (ok) return;
  std::cout << "FAILED: " << what << std::endl;
  ++failures;
}

void expect_lines(const Lines& got, Lines wanted, const std::string& what) {
  std::sort(wanted.begin(), wanted.end());
  if (got == wanted) return;
  std::string text = what;
  for (const std::string& line : got) text += "\n  got      " + line;
  for (const std::string& line : wanted) text += "\n  expected " + line;
  expect(false, text);
}

std::vector<std::string> flags(const Collector& collector, int64_t rate, bool old = false) {
  const std::string kind = old ? "experimental-" : "";
  return {cat("--", kind, "enable-distributed-tracing"),
          cat("--", kind, "distributed-tracing-address=", collector.address()),
          cat("--", kind, "distributed-tracing-service-name=spans"),
          cat("--", kind, "distributed-tracing-instance-id=one"),
          cat("--", kind, "distributed-tracing-sampling-rate=", rate)};
}

std::unique_ptr<Server> started(const std::string& binary, std::vector<std::string> flags) {
  auto server = std::make_unique<Server>(harness::ServerOptions{
      .binary = binary, .flags = std::move(flags), .environment = {"OTEL_BSP_SCHEDULE_DELAY=50"}});
  absl::Status status = server->start();
  if (status.ok()) return server;
  std::cout << message_of(status) << std::endl;
  std::exit(1);
}

// A trace that began elsewhere.
std::string new_trace() {
  static uint64_t number = 0;
  return cat("0af7651916cd43dd84480000", absl::Hex(++number, absl::kZeroPad8));
}

CallOptions under(const std::string& trace, bool sampled = true) {
  return {.metadata = {{"traceparent", cat("00-", trace, "-", kCaller, sampled ? "-01" : "-00")},
                       {"tracestate", "vendor=1"}}};
}

// One thing that a client does, and the spans that it makes.
struct Case {
  std::string name;
  std::function<void(Client&, const CallOptions&)> act;
  Lines spans;  // but for the call's own, which is the first
};

// The call's own span; @ stands for the server's port.
std::string call(const std::string& method, const std::string& code = "OK",
                 const std::string& more = "") {
  return cat(method, " < caller [rpc.method=", method,
             ", rpc.system.name=grpc, server.address=127.0.0.1, server.port=#@, "
             "rpc.response.status_code=",
             code, "]", more);
}

const std::string kThroughLog = " (Send raft proposal, Receive raft result)";

template <typename Request>
std::function<void(Client&, const CallOptions&)> ask(const std::string& path, Request request) {
  return [path, request](Client& client, const CallOptions& options) {
    client.unary(path, request.SerializeAsString(), options);
  };
}

pb::PutRequest put(const std::string& key, int64_t lease = 0) {
  pb::PutRequest request;
  request.set_key(key);
  request.set_value("v");
  request.set_lease(lease);
  return request;
}

pb::RangeRequest range(const std::string& key, const std::string& end = "") {
  pb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(end);
  return request;
}

std::vector<Case> reads() {
  pb::RangeRequest detailed = range("a", "z");
  detailed.set_revision(1);
  detailed.set_limit(7);
  detailed.set_keys_only(true);
  detailed.set_serializable(true);
  pb::RangeRequest count = range("k");
  count.set_count_only(true);
  pb::TxnRequest txn;
  *txn.add_success()->mutable_request_range() = range("k");
  return {
      {"a get",
       ask("/etcdserverpb.KV/Range", range("k")),
       {call("etcdserverpb.KV/Range"),
        "range < etcdserverpb.KV/Range [range_begin=k, range_end=, rev=#0, limit=#0, "
        "count_only=false, keys_only=false]"}},
      {"a detailed get",
       ask("/etcdserverpb.KV/Range", detailed),
       {call("etcdserverpb.KV/Range"),
        "range < etcdserverpb.KV/Range [range_begin=a, range_end=z, rev=#1, limit=#7, "
        "count_only=false, keys_only=true]"}},
      {"a count",
       ask("/etcdserverpb.KV/Range", count),
       {call("etcdserverpb.KV/Range"),
        "range < etcdserverpb.KV/Range [range_begin=k, range_end=, rev=#0, limit=#0, "
        "count_only=true, keys_only=false]"}},
      {"a refused get",
       ask("/etcdserverpb.KV/Range", range("")),
       {call("etcdserverpb.KV/Range", "INVALID_ARGUMENT")}},
      {"a transaction that reads",
       ask("/etcdserverpb.KV/Txn", txn),
       {call("etcdserverpb.KV/Txn"),
        "txn < etcdserverpb.KV/Txn [compare_first_key=, success_first_key=k, "
        "success_first_type=range, success_first_lease=#-1, compare_len=#0, success_len=#1, "
        "failure_len=#0, read_only=true]"}},
      {"members",
       ask("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest()),
       {call("etcdserverpb.Cluster/MemberList")}},
      {"status",
       ask("/etcdserverpb.Maintenance/Status", pb::StatusRequest()),
       {call("etcdserverpb.Maintenance/Status")}},
  };
}

std::vector<Case> writes() {
  pb::TxnRequest txn;  // as in etcd's own test
  pb::Compare* compare = txn.add_compare();
  compare->set_target(pb::Compare::MOD);
  compare->set_key("cmp_key");
  compare->set_mod_revision(1);
  *txn.add_success()->mutable_request_put() = put("op_key", 1234);
  *txn.add_success()->mutable_request_range() = range("other_key");
  pb::DeleteRangeRequest deletion;
  deletion.set_key("a");
  deletion.set_range_end("b");
  pb::CompactionRequest compaction;
  compaction.set_revision(1);
  pb::AuthUserAddRequest user;
  user.set_name("somebody");
  user.mutable_options()->set_no_password(true);
  return {
      {"a put",
       ask("/etcdserverpb.KV/Put", put("k\xff")),
       {call("etcdserverpb.KV/Put"),
        "put < etcdserverpb.KV/Put [key=k\xef\xbf\xbd]" + kThroughLog}},
      {"a put under no lease",
       ask("/etcdserverpb.KV/Put", put("k", 4711)),
       {call("etcdserverpb.KV/Put", "NOT_FOUND"),
        "put < etcdserverpb.KV/Put [key=k]" + kThroughLog}},
      {"a deletion",
       ask("/etcdserverpb.KV/DeleteRange", deletion),
       {call("etcdserverpb.KV/DeleteRange"),
        "delete_range < etcdserverpb.KV/DeleteRange [range_begin=a, range_end=b]" + kThroughLog}},
      {"a transaction",
       ask("/etcdserverpb.KV/Txn", txn),
       {call("etcdserverpb.KV/Txn"),
        "txn < etcdserverpb.KV/Txn [compare_first_key=cmp_key, success_first_key=op_key, "
        "success_first_type=put, success_first_lease=#1234, compare_len=#1, success_len=#2, "
        "failure_len=#0, read_only=false]" +
            kThroughLog}},
      {"a compaction",
       ask("/etcdserverpb.KV/Compact", compaction),
       {call("etcdserverpb.KV/Compact"),
        "compact < etcdserverpb.KV/Compact [is_physical=false, rev=#1]" + kThroughLog}},
      {"a new user",
       ask("/etcdserverpb.Auth/UserAdd", user),
       {call("etcdserverpb.Auth/UserAdd", "OK", kThroughLog)}},
  };
}

void keep_alive(Client& client, const CallOptions& options) {
  auto stream = client.stream("/etcdserverpb.Lease/LeaseKeepAlive", options);
  for (int64_t id : {4242, 4343}) {
    pb::LeaseKeepAliveRequest request;
    request.set_id(id);
    stream->send(request.SerializeAsString());
    expect(stream->receive(Milliseconds(10000)).has_value(), "an answer to a keep-alive");
  }
  stream->half_close();
  expect(stream->finish().ok(), "a keep-alive stream ends well");
}

std::vector<Case> leases() {
  pb::LeaseGrantRequest grant;
  grant.set_id(4242);
  grant.set_ttl(1'000'123);
  pb::LeaseRevokeRequest revoke;
  revoke.set_id(4242);
  const std::string renewal = "lease_renew < etcdserverpb.Lease/LeaseKeepAlive [id=#";
  return {
      {"a lease",
       ask("/etcdserverpb.Lease/LeaseGrant", grant),
       {call("etcdserverpb.Lease/LeaseGrant"),
        "lease_grant < etcdserverpb.Lease/LeaseGrant [id=#4242, ttl=#1000123]" + kThroughLog}},
      {"renewals",
       keep_alive,
       {call("etcdserverpb.Lease/LeaseKeepAlive"), renewal + "4242]", renewal + "4343]"}},
      {"a revocation",
       ask("/etcdserverpb.Lease/LeaseRevoke", revoke),
       {call("etcdserverpb.Lease/LeaseRevoke"),
        "lease_revoke < etcdserverpb.Lease/LeaseRevoke [id=#4242]" + kThroughLog}},
      {"another one",
       ask("/etcdserverpb.Lease/LeaseRevoke", revoke),
       {call("etcdserverpb.Lease/LeaseRevoke", "NOT_FOUND"),
        "lease_revoke < etcdserverpb.Lease/LeaseRevoke [id=#4242]" + kThroughLog}},
  };
}

// Two watchers, one of which is cancelled, and a third that is refused; then the client goes.
void watch(Client& client, const CallOptions& options) {
  auto stream = client.stream("/etcdserverpb.Watch/Watch", options);
  auto send = [&](const pb::WatchRequest& request) {
    stream->send(request.SerializeAsString());
    expect(stream->receive(Milliseconds(10000)).has_value(), "an answer to a watch");
  };
  pb::WatchRequest request;
  request.mutable_create_request()->set_key("watch-key");
  request.mutable_create_request()->set_start_revision(1'000'000);
  request.mutable_create_request()->set_progress_notify(true);
  request.mutable_create_request()->set_watch_id(7);
  send(request);
  request.mutable_create_request()->set_key("");
  send(request);  // the id is taken
  request.mutable_create_request()->set_watch_id(8);
  request.mutable_create_request()->set_range_end(std::string(1, '\0'));
  request.mutable_create_request()->set_prev_kv(true);
  request.mutable_create_request()->set_fragment(true);
  send(request);
  request.mutable_cancel_request()->set_watch_id(7);
  send(request);
  stream->cancel();
  stream->finish();
}

void range_stream(Client& client, const CallOptions& options) {
  auto stream = client.stream("/etcdserverpb.KV/RangeStream", options);
  stream->send(range("k", "l").SerializeAsString());
  stream->half_close();
  expect(stream->finish().ok(), "a range as a stream");
}

std::vector<Case> streams() {
  return {
      {"watches",
       watch,
       {call("etcdserverpb.Watch/Watch", "CANCELLED"),
        "watch < etcdserverpb.Watch/Watch [key=watch-key, range_end=, start_rev=#1000000, "
        "progress_notify=true, prev_kv=false, fragment=false]",
        cat("watch < etcdserverpb.Watch/Watch [key=", std::string(1, '\0'),
            ", range_end=, start_rev=#1000000, progress_notify=true, prev_kv=true, "
            "fragment=true]")}},
  };
}

// What etcd 3.5 does not have.
std::vector<Case> newer_streams() {
  return {
      {"a stream of a range",
       range_stream,
       {call("etcdserverpb.KV/RangeStream"),
        "range_streaming < etcdserverpb.KV/RangeStream [range_begin=k, range_end=l, rev=#0, "
        "limit=#0, count_only=false]"}},
  };
}

// What Lock does is told by the spans of what it is made of.
std::vector<Case> locks() {
  pb::LeaseGrantRequest session;
  session.set_id(77);
  session.set_ttl(600);
  v3lockpb::LockRequest lock;
  lock.set_name("L");
  lock.set_lease(77);
  v3lockpb::UnlockRequest unlock;
  unlock.set_key("L/4d");
  v3electionpb::LeaderRequest leader;
  leader.set_name("nobody");
  return {
      {"a lease for it",
       ask("/etcdserverpb.Lease/LeaseGrant", session),
       {call("etcdserverpb.Lease/LeaseGrant"),
        "lease_grant < etcdserverpb.Lease/LeaseGrant [id=#77, ttl=#600]" + kThroughLog}},
      {"a lock",
       ask("/v3lockpb.Lock/Lock", lock),
       {call("v3lockpb.Lock/Lock"),
        "txn < v3lockpb.Lock/Lock [compare_first_key=L/4d, success_first_key=L/4d, "
        "success_first_type=put, success_first_lease=#77, compare_len=#1, success_len=#1, "
        "failure_len=#1, read_only=false]" +
            kThroughLog,
        "range < v3lockpb.Lock/Lock [range_begin=L/, range_end=L0, rev=#0, limit=#1, "
        "count_only=false, keys_only=false]"}},
      {"its end",
       ask("/v3lockpb.Lock/Unlock", unlock),
       {call("v3lockpb.Lock/Unlock"),
        "delete_range < v3lockpb.Lock/Unlock [range_begin=L/4d, range_end=]" + kThroughLog}},
      {"who leads",
       ask("/v3electionpb.Election/Leader", leader),
       {call("v3electionpb.Election/Leader", "UNKNOWN", " STATUS_CODE_ERROR election: no leader"),
        "range < v3electionpb.Election/Leader [range_begin=nobody/, range_end=nobody0, rev=#0, "
        "limit=#1, count_only=false, keys_only=false]"}},
  };
}

std::string port_of(const Server& server) {
  return server.address().substr(server.address().find(':') + 1);
}

std::string at_port(std::string line, const Server& server) {
  if (const size_t at = line.find('@'); at != line.npos) line.replace(at, 1, port_of(server));
  return line;
}

// Of a case: the trace, as the collector got it.
std::vector<Received> traced(Server& server, Collector& collector, const Case& one, size_t spans) {
  const std::string trace = new_trace();
  one.act(server.client(), under(trace));
  return collector.trace(trace, spans);
}

void expect_form(const Received& got, bool is_call, const std::string& what) {
  const otlp::Span& span = got.span;
  expect(got.resource == "service.instance.id=one, service.name=spans",
         cat(what, ": resource ", got.resource));
  expect(got.scope == (is_call ? "go.opentelemetry.io/contrib/instrumentation/google.golang.org/"
                                 "grpc/otelgrpc 0.68.0"
                               : "go.etcd.io/etcd "),
         cat(what, ": scope ", got.scope));
  expect(span.flags() == (is_call ? 0x301u : 0x101u), cat(what, ": flags ", span.flags()));
  expect(span.kind() == (is_call ? otlp::Span::SPAN_KIND_SERVER : otlp::Span::SPAN_KIND_INTERNAL),
         cat(what, ": kind ", span.kind()));
  expect(span.trace_state() == "vendor=1", cat(what, ": state ", span.trace_state()));
  expect(span.span_id().size() == 8 && span.trace_id().size() == 16, what + ": ids");
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  expect(span.start_time_unix_nano() <= span.end_time_unix_nano(), what + ": times");
  expect(std::abs(now - static_cast<int64_t>(span.start_time_unix_nano())) < 300'000'000'000,
         what + ": it is now");
}

std::vector<Case> all_cases(bool also_newer) {
  std::vector<Case> all;
  for (const auto& some : {reads(), writes(), leases(), streams(), locks()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  if (also_newer) {
    for (const Case& one : newer_streams()) all.push_back(one);
  }
  return all;
}

void spans_of_calls(Server& server, Collector& collector) {
  for (const Case& one : all_cases(true)) {
    const std::vector<Received> got = traced(server, collector, one, one.spans.size());
    Lines wanted;
    for (const std::string& line : one.spans) wanted.push_back(at_port(line, server));
    expect_lines(lines_of(got, kCaller), wanted, one.name);
    for (const Received& span : got) {
      expect_form(span, span.span.name().find('/') != std::string::npos,
                  cat(one.name, ": ", span.span.name()));
    }
  }
}

// Names, parents, states and the resource of calls' spans are as those of etcd 3.5.
void beside_etcd(Server& keelson, Collector& ours, const std::string& etcd) {
  Collector theirs;
  auto reference = started(etcd, flags(theirs, 0, true));
  auto form = [](const std::vector<Received>& spans, const std::string& name) {
    std::string text;
    for (const Received& one : spans) {
      const otlp::Span& span = one.span;
      if (span.name() != name) continue;
      text += cat(span.name(), " parent ", hex(span.parent_span_id()), " state ",
                  span.trace_state(), " kind ", span.kind(), " status ", span.status().code(), " ",
                  span.status().message(), " resource ", one.resource, "; ");
    }
    return text;
  };
  for (const Case& one : all_cases(false)) {
    const std::string name = one.spans[0].substr(0, one.spans[0].find(' '));
    const std::string at_etcd = form(traced(*reference, theirs, one, 1), name);
    const std::string here = form(traced(keelson, ours, one, one.spans.size()), name);
    expect(at_etcd == here, cat(one.name, "\n  etcd ", at_etcd, "\n  here ", here));
  }
}

// Who is not sampled makes no span, and neither does what is no call.
void silence(Server& server, Collector& collector) {
  const std::string not_sampled = new_trace(), nowhere = new_trace(), last = new_trace();
  const std::string request = range("k").SerializeAsString();
  server.client().unary("/etcdserverpb.KV/Range", request, under(not_sampled, false));
  server.client().unary("/etcdserverpb.KV/Nothing", request, under(nowhere));
  server.client().unary("/etcdserverpb.KV/Range", request, under(last));
  expect(collector.trace(last, 2).size() == 2, "the spans of the call after them");
  expect(collector.trace(not_sampled, 0).empty(), "a call that is not sampled");
  expect(collector.trace(nowhere, 0).empty(), "a method that is not there");
}

void gateway(Server& server, Collector& collector) {
  const std::string trace = new_trace();
  const absl::StatusOr<harness::HttpAnswer> answer = harness::http_request(
      server.address(),
      {.verb = "POST",
       .target = "/v3/kv/put",
       .fields = {{"Grpc-Metadata-Traceparent", cat("00-", trace, "-", kCaller, "-01")}},
       .body = R"({"key":"Zw==","value":"dg=="})"});
  expect(answer.ok() && answer->code == 200, "a put in JSON");
  expect_lines(lines_of(collector.trace(trace, 2), kCaller),
               {at_port(call("etcdserverpb.KV/Put"), server),
                "put < etcdserverpb.KV/Put [key=g]" + kThroughLog},
               "a put in JSON");
}

// What a member does by itself, and calls of whom nothing is known, begin traces.
void traces_of_its_own(const std::string& binary) {
  Collector collector;
  auto server = started(binary, flags(collector, 1'000'000));
  server->client().unary("/etcdserverpb.KV/Put", put("unmistakable").SerializeAsString());
  std::vector<Received> trace = collector.any("put", "key=unmistakable");
  trace = trace.empty() ? trace : collector.trace(hex(trace[0].span.trace_id()), 2);
  expect(trace.size() == 2, "the trace of a put");
  for (const Received& one : trace) {
    const bool is_call = one.span.name() != "put";
    expect(one.span.parent_span_id().empty() == is_call, one.span.name() + ": parent");
    expect(one.span.flags() == (is_call ? 0x301u : 0x101u), one.span.name() + ": flags");
    expect(one.span.trace_state().empty(), one.span.name() + ": state");
  }
  // A caller that is malformed is none.
  server->client().unary("/etcdserverpb.KV/Put", put("malformed").SerializeAsString(),
                         {.metadata = {{"traceparent", "00-nonsense"}}});
  expect(collector.any("put", "key=malformed").size() >= 1, "a put of nobody");

  harness::http_request(server->address(), "GET", "/health").IgnoreError();
  trace = collector.any("range", "limit=#1");
  expect_lines(lines_of(trace, kCaller),
               {"range < - [range_begin=, range_end=, rev=#0, limit=#1, count_only=false, "
                "keys_only=true]"},
               "a probe");

  pb::LeaseGrantRequest grant;
  grant.set_id(99);
  grant.set_ttl(1);
  server->client().unary("/etcdserverpb.Lease/LeaseGrant", grant.SerializeAsString());
  expect_lines(lines_of(collector.any("lease_revoke", "id=#99"), kCaller),
               {"lease_revoke < - [id=#99]" + kThroughLog}, "a lease that has expired");
}

// The last spans come, too.
void the_end(const std::string& binary) {
  Collector collector;
  auto server = started(binary, flags(collector, 0));
  server->set_environment({});
  expect(server->stop().ok(), "a stop");
  expect(server->start().ok(), "a start");  // with the usual five seconds
  const std::string trace = new_trace();
  server->client().unary("/etcdserverpb.KV/Put", put("k").SerializeAsString(), under(trace));
  expect(server->stop().ok(), "a stop with spans");
  expect(collector.trace(trace, 2, Milliseconds(0)).size() == 2, "the spans of the last call");
}

// Nobody there, or somebody who does not answer: the member serves, and ends.
void bad_collectors(const std::string& binary) {
  auto collector = std::make_unique<Collector>();
  const std::string address = collector->address();
  const std::vector<std::string> as_usual = flags(*collector, 1'000'000);
  collector.reset();
  {
    auto server = started(binary, as_usual);
    for (int i = 0; i < 3000; ++i) {
      const auto reply =
          server->client().unary("/etcdserverpb.KV/Put", put("k").SerializeAsString());
      if (!reply.status.ok()) expect(false, "a put without a collector");
    }
    auto page = harness::http_request(server->address(), "GET", "/metrics");
    const std::string row = "keelson_tracing_spans_total{outcome=\"dropped\"} ";
    const size_t at = page.ok() ? page->body.find(row) : std::string::npos;
    expect(at != std::string::npos && page->body[at + row.size()] != '0',
           "spans beyond the queue are dropped and counted");
    // There again: what ends from now on comes.
    collector = std::make_unique<Collector>(address);
    std::vector<Received> found;
    for (int i = 0; i < 120 && found.empty(); ++i) {
      server->client().unary("/etcdserverpb.KV/Put", put("again").SerializeAsString());
      found = collector->any("put", "key=again", Milliseconds(500));
    }
    expect(!found.empty(), "spans for a collector that has come back");
    collector->hang();
    for (int i = 0; i < 600; ++i) {
      server->client().unary("/etcdserverpb.KV/Put", put("k").SerializeAsString());
    }
    expect(server->stop(Milliseconds(20000)).ok(), "an end beside a collector that hangs");
  }
}

int run(const std::string& subject, const std::string& given_etcd) {
  {
    Collector collector;
    auto server = started(subject, flags(collector, 0));
    spans_of_calls(*server, collector);
    silence(*server, collector);
    gateway(*server, collector);
    const std::string etcd = harness::find_etcd(given_etcd, KEELSON_SOURCE_DIR);
    if (etcd.empty()) {
      std::cout << "no etcd to compare with" << std::endl;
    } else {
      server->stop().IgnoreError();
      server->wipe();
      expect(server->start().ok(), "a new start");
      beside_etcd(*server, collector, etcd);
    }
  }
  traces_of_its_own(subject);
  the_end(subject);
  bad_collectors(subject);
  std::cout << (failures == 0 ? "ok" : cat(failures, " failed")) << std::endl;
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keelson::spans

int main(int argc, char** argv) {
  CLI::App app("Spans of a running server.");
  std::string subject, etcd;
  app.add_option("--server", subject, "the server under test")->required();
  app.add_option("--etcd", etcd, "a real etcd to compare with");
  CLI11_PARSE(app, argc, argv);
  return keelson::spans::run(subject, etcd);
}
