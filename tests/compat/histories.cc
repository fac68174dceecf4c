#include "tests/compat/histories.h"

#include <algorithm>
#include <iostream>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/compat/side.h"

namespace keelson::compat {
namespace {

using namespace etcdserverpb;

// Draws requests over few keys and leases, so that they meet each other often.
class Requests {
 public:
  explicit Requests(uint64_t seed) : random_(seed) {}

  int64_t below(int64_t n) { return static_cast<int64_t>(random_.below(static_cast<uint64_t>(n))); }
  bool one_in(int64_t n) { return below(n) == 0; }

  std::string key() { return cat(one_in(4) ? "b/" : "a/", below(12)); }
  std::string end() {
    constexpr std::string_view kEnds[] = {"a0", "b0", "b/", "a/5", std::string_view("\0", 1)};
    return std::string(kEnds[below(5)]);
  }
  int64_t lease() { return 100 + below(6); }
  // Mostly a revision there was; sometimes compacted, sometimes in the future.
  int64_t revision(int64_t now) { return one_in(20) ? now + below(5) : below(now + 1); }

  PutRequest put() {
    PutRequest request;
    request.set_key(key());
    if (one_in(12)) {
      request.set_ignore_value(true);
    } else {
      request.set_value(cat("v", below(1000), std::string(static_cast<size_t>(below(40)), '.')));
    }
    if (one_in(12)) {
      request.set_ignore_lease(true);
    } else if (one_in(4)) {
      request.set_lease(lease());
    }
    request.set_prev_kv(one_in(3));
    return request;
  }

  DeleteRangeRequest remove() {
    DeleteRangeRequest request;
    request.set_key(key());
    if (one_in(5)) request.set_range_end(end());
    request.set_prev_kv(one_in(3));
    return request;
  }

  RangeRequest range(int64_t now) {
    RangeRequest request;
    request.set_key(key());
    if (!one_in(3)) request.set_range_end(end());
    if (one_in(3)) request.set_revision(revision(now));
    if (one_in(3)) request.set_limit(below(6));
    if (one_in(3)) {
      request.set_sort_order(static_cast<RangeRequest::SortOrder>(below(3)));
      request.set_sort_target(static_cast<RangeRequest::SortTarget>(below(5)));
      // Versions tie, and past twelve elements Go's sort puts ties in no order that could be told.
      if (request.sort_target() == RangeRequest::VERSION && !request.range_end().empty()) {
        request.set_key("a/");
        request.set_range_end("a0");
      }
    }
    request.set_serializable(one_in(2));
    request.set_count_only(one_in(8));
    if (one_in(10)) request.set_min_mod_revision(revision(now));
    if (one_in(10)) request.set_max_mod_revision(revision(now));
    if (one_in(10)) request.set_min_create_revision(revision(now));
    if (one_in(10)) request.set_max_create_revision(revision(now));
    return request;
  }

  Compare compare(int64_t now) {
    Compare out;
    out.set_key(key());
    if (one_in(6)) out.set_range_end(end());
    out.set_result(static_cast<Compare::CompareResult>(below(4)));
    switch (below(5)) {
      case 0:
        out.set_target(Compare::VERSION);
        out.set_version(below(4));
        break;
      case 1:
        out.set_target(Compare::CREATE);
        out.set_create_revision(revision(now));
        break;
      case 2:
        out.set_target(Compare::MOD);
        out.set_mod_revision(revision(now));
        break;
      case 3:
        out.set_target(Compare::VALUE);
        out.set_value(cat("v", below(1000)));
        break;
      default:
        out.set_target(Compare::LEASE);
        out.set_lease(one_in(2) ? 0 : lease());
    }
    return out;
  }

  void fill(google::protobuf::RepeatedPtrField<RequestOp>* ops, int64_t now, int depth) {
    for (int64_t left = below(4); left > 0; --left) {
      RequestOp* op = ops->Add();
      const int64_t kind = below(depth < 2 ? 8 : 7);
      if (kind < 3) {
        *op->mutable_request_put() = put();
      } else if (kind < 5) {
        *op->mutable_request_delete_range() = remove();
      } else if (kind < 7) {
        *op->mutable_request_range() = range(now);
      } else {
        *op->mutable_request_txn() = txn(now, depth + 1);
      }
    }
  }

  TxnRequest txn(int64_t now, int depth = 0) {
    TxnRequest request;
    for (int64_t left = below(3); left > 0; --left) *request.add_compare() = compare(now);
    fill(request.mutable_success(), now, depth);
    fill(request.mutable_failure(), now, depth);
    return request;
  }

 private:
  SeededRandom random_;
};

class History {
 public:
  History(const HistoryOptions& history, const RunOptions& options)
      : history_(history),
        options_(options),
        requests_(history.seed),
        reference_(options.reference, {}),
        subject_(options.subject, {}) {}

  absl::Status start() {
    absl::Status status = reference_.launch();
    if (status.ok()) status = subject_.launch();
    if (status.ok()) status = reference_.start();
    const absl::Status other = status.ok() ? subject_.start() : status;
    return status.ok() ? other : status;
  }

  absl::StatusOr<Tally> run() {
    const int64_t restart_at = requests_.below(history_.requests);
    for (int i = 0; i < history_.requests; ++i) {
      step();
      if (i != restart_at) continue;
      const bool kill = requests_.one_in(2);
      if (const absl::Status status = restart(kill); !status.ok()) return status;
    }
    compare_stores();
    return tally_;
  }

 private:
  absl::Status restart(bool kill) {
    const absl::Status status = reference_.restart(kill);
    return status.ok() ? subject_.restart(kill) : status;
  }

  void step() {
    const int64_t kind = requests_.below(100);
    if (kind < 40) return ask("KV/Put", requests_.put());
    if (kind < 50) return ask("KV/DeleteRange", requests_.remove());
    if (kind < 62) return ask("KV/Range", requests_.range(now_));
    if (kind < 88) return ask("KV/Txn", requests_.txn(now_));
    if (kind < 91) return compact();
    if (kind < 92) return hash(requests_.revision(now_));
    lease(kind);
  }

  void lease(int64_t kind) {
    if (kind < 95) {
      LeaseGrantRequest grant;
      grant.set_id(requests_.lease());
      grant.set_ttl(5000 + 100 * grant.id());
      return ask("Lease/LeaseGrant", grant);
    }
    if (kind < 97) {
      LeaseRevokeRequest revoke;
      revoke.set_id(requests_.lease());
      return ask("Lease/LeaseRevoke", revoke);
    }
    if (kind < 98) return ask("Lease/LeaseLeases", LeaseLeasesRequest());
    ask_lease_keys(requests_.lease());
  }

  // A lease's keys come in no certain order.
  void ask_lease_keys(int64_t id) {
    LeaseTimeToLiveRequest request;
    request.set_id(id);
    request.set_keys(true);
    Answer reference = reference_.call("Lease/LeaseTimeToLive", request);
    Answer subject = subject_.call("Lease/LeaseTimeToLive", request);
    for (Answer* answer : {&reference, &subject}) {
      if (answer->messages.empty()) continue;
      auto& response = dynamic_cast<LeaseTimeToLiveResponse&>(*answer->messages[0]);
      std::sort(response.mutable_keys()->begin(), response.mutable_keys()->end());
    }
    judge("Lease/LeaseTimeToLive", request, reference, subject);
  }

  void compact() {
    CompactionRequest request;
    // Never at 0: etcd would then answer its remembered hash of revision 0 for the newest.
    request.set_revision(std::max<int64_t>(1, requests_.revision(now_)));
    request.set_physical(true);
    ask("KV/Compact", request);
  }

  void hash(int64_t revision) {
    HashKVRequest request;
    request.set_revision(revision);
    ask("Maintenance/HashKV", request);
  }

  void compare_stores() {
    RangeRequest everything;
    everything.set_key(std::string(1, '\0'));
    everything.set_range_end(std::string(1, '\0'));
    ask("KV/Range", everything);
    ask("Lease/LeaseLeases", LeaseLeasesRequest());
    hash(0);
    for (int i = 0; i < 8; ++i) hash(requests_.revision(now_));
    for (int64_t id = 100; id < 106; ++id) ask_lease_keys(id);
    compare_events();
  }

  // A watch of everything from the oldest revision there is to the newest.
  void compare_events() {
    const Answer hash = reference_.call("Maintenance/HashKV", HashKVRequest());
    if (hash.messages.empty()) return;
    const auto& response = dynamic_cast<const HashKVResponse&>(*hash.messages[0]);
    Step step;
    step.verb = "stream";
    step.rest = "w Watch/Watch";
    both(step);
    step.verb = "send";
    step.rest =
        cat(R"(w create_request { key: "\000" range_end: "\000" prev_kv: true start_revision: )",
            std::max<int64_t>(1, response.compact_revision() + 1), " }");
    both(step);
    step.verb = "recv";
    step.rest = "w";
    both(step);
    step.verb = "progress";
    both(step);
  }

  void both(const Step& step) {
    const Answer reference = reference_.take(step);
    judge(step.verb, WatchRequest(), reference, subject_.take(step));
  }

  void ask(const std::string& method, const google::protobuf::Message& request) {
    const Answer reference = reference_.call(method, request);
    const Answer subject = subject_.call(method, request);
    judge(method, request, reference, subject);
    if (reference.messages.empty()) return;
    const auto& message = *reference.messages[0];
    const auto* header = message.GetDescriptor()->FindFieldByName("header");
    if (header == nullptr) return;
    now_ = dynamic_cast<const ResponseHeader&>(message.GetReflection()->GetMessage(message, header))
               .revision();
  }

  // A transaction that is wrong in two ways: etcd 3.7 looks at its operations in their order and at
  // a put's lease before its key; 3.5 looks at all puts before all ranges, and at keys first.
  static bool checks_in_another_order(const std::string& method, const Answer& reference,
                                      const Answer& subject) {
    auto is_of_checks = [](const Answer& answer) {
      for (const char* text : {"etcdserver: requested lease not found", "etcdserver: key not found",
                               "etcdserver: mvcc: required revision has been compacted",
                               "etcdserver: mvcc: required revision is a future revision"}) {
        if (answer.message == text) return true;
      }
      return false;
    };
    return (method == "KV/Txn" || method == "KV/Put") && is_of_checks(reference) &&
           is_of_checks(subject);
  }

  void judge(const std::string& method, const google::protobuf::Message& request,
             const Answer& reference, const Answer& subject) {
    ++tally_.steps;
    ++tally_.requests;
    const std::string found = differences(reference, subject);
    if (options_.verbose) {
      std::cout << method << " " << harness::to_text(request) << "\n    " << show(reference)
                << "\n";
    }
    if (found.empty() || checks_in_another_order(method, reference, subject)) return;
    if (++tally_.differences > 5) return;  // after the first few, everything differs
    std::cout << "history seed " << history_.seed << ", request " << tally_.requests << ": "
              << method << " " << harness::to_text(request)
              << "\n  reference: " << show(reference).substr(0, 2000)
              << "\n  subject:   " << show(subject).substr(0, 2000) << "\n  " << found
              << std::flush;
  }

  const HistoryOptions& history_;
  const RunOptions& options_;
  Requests requests_;
  Side reference_;
  Side subject_;
  int64_t now_ = 1;
  Tally tally_;
};

}  // namespace

absl::StatusOr<Tally> run_history(const HistoryOptions& history, const RunOptions& options) {
  History run(history, options);
  if (const absl::Status status = run.start(); !status.ok()) return status;
  return run.run();
}

}  // namespace keelson::compat
