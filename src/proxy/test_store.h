// proxy/test_store.h
//
// For tests: a store of keys and leases as a cluster has it, with its transactions, and a Link for
// each of who asks it, that can be cut. Requests wait in the links until a step applies them; then
// their answers wait. A request may be answered that its outcome is not known, and be applied
// before, or much later, or never.
//
// Threads: the lane's.

#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/errors.h"
#include "base/random.h"
#include "proxy/messages.h"
#include "proxy/range_cache.h"
#include "proxy/test_cluster.h"
#include "proxy/test_lane.h"

namespace keelson::proxy {

class TestStore {
 public:
  using Kv = mvccpb::KeyValue;

  TestStore(TestLane* lane, Random* random) : lane_(*lane), random_(*random) {}

  class Link;

  // ---- what happens

  etcdserverpb::TxnResponse commit(const etcdserverpb::TxnRequest& request) {
    changed_.clear();
    etcdserverpb::TxnResponse response = txn(request);
    publish();
    response.mutable_header()->set_revision(revision_);
    return response;
  }
  void put(const std::string& key, const std::string& value, int64_t lease = 0) {
    etcdserverpb::TxnRequest request;
    auto& put = *request.add_success()->mutable_request_put();
    put.set_key(key);
    put.set_value(value);
    put.set_lease(lease);
    commit(request);
  }
  int64_t grant(int64_t ttl) {
    leases_[++last_lease_] = {ttl, lane_.now() + std::chrono::seconds(ttl)};
    return last_lease_;
  }
  bool renew(int64_t lease) {
    expire();
    const auto found = leases_.find(lease);
    if (found == leases_.end()) return false;
    found->second.until = lane_.now() + std::chrono::seconds(found->second.ttl);
    return true;
  }
  void revoke(int64_t lease) {
    leases_.erase(lease);
    changed_.clear();
    std::vector<std::string> keys;
    for (const auto& [key, kv] : keys_) {
      if (kv.lease() == lease) keys.push_back(key);
    }
    for (const std::string& key : keys) remove(key);
    publish();
  }
  // Leases whose time is over.
  void expire() {
    for (bool again = true; std::exchange(again, false);) {
      for (const auto& [id, lease] : leases_) {
        if (lease.until > lane_.now()) continue;
        revoke(id);
        again = true;
        break;
      }
    }
  }

  // ---- what there is

  int64_t revision() const { return revision_; }
  const std::map<std::string, Kv>& keys() const { return keys_; }
  size_t leases() const { return leases_.size(); }
  std::optional<Kv> now(const std::string& key) const {
    const auto found = keys_.find(key);
    return found == keys_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<Kv> at(const std::string& key, int64_t revision) const {
    const auto found = history_.find(key);
    if (found == history_.end()) return std::nullopt;
    auto behind = found->second.upper_bound(revision);
    return behind == found->second.begin() ? std::nullopt : std::prev(behind)->second;
  }
  // How often that was put.
  size_t puts_of(const std::string& value) const {
    const auto found = puts_.find(value);
    return found == puts_.end() ? 0 : found->second;
  }
  // Who brings no token is refused.
  bool has_users = false;
  // Puts are refused.
  bool is_full = false;

 private:
  friend class Link;
  struct Lease {
    int64_t ttl;
    MonotonicTime until;
  };
  static bool holds(const etcdserverpb::Compare& compare, const Kv& kv) {
    const auto order = [](const auto& a, const auto& b) { return a < b ? -1 : a > b ? 1 : 0; };
    int result = 0;
    if (compare.target() == compare.VALUE) result = order(kv.value(), compare.value());
    if (compare.target() == compare.VERSION) result = order(kv.version(), compare.version());
    if (compare.target() == compare.CREATE) {
      result = order(kv.create_revision(), compare.create_revision());
    }
    if (compare.target() == compare.MOD) result = order(kv.mod_revision(), compare.mod_revision());
    if (compare.target() == compare.LEASE) result = order(kv.lease(), compare.lease());
    if (compare.result() == compare.EQUAL) return result == 0;
    if (compare.result() == compare.NOT_EQUAL) return result != 0;
    return compare.result() == compare.GREATER ? result > 0 : result < 0;
  }
  bool holds(const etcdserverpb::Compare& compare) const {
    const std::vector<Kv> found = in({compare.key(), compare.range_end()});
    if (found.empty()) return compare.target() != compare.VALUE && holds(compare, Kv());
    return std::all_of(found.begin(), found.end(),
                       [&](const Kv& kv) { return holds(compare, kv); });
  }
  std::vector<Kv> in(const KeySpan& span) const {
    std::vector<Kv> found;
    for (const auto& [key, kv] : keys_) {
      if (span.contains(key)) found.push_back(kv);
    }
    return found;
  }
  etcdserverpb::TxnResponse txn(const etcdserverpb::TxnRequest& request) {
    etcdserverpb::TxnResponse response;
    response.mutable_header();
    response.set_succeeded(std::all_of(request.compare().begin(), request.compare().end(),
                                       [this](const auto& compare) { return holds(compare); }));
    for (const auto& op : response.succeeded() ? request.success() : request.failure()) {
      etcdserverpb::ResponseOp& out = *response.add_responses();
      if (op.has_request_range()) *out.mutable_response_range() = range(op.request_range());
      if (op.has_request_put()) put(op.request_put(), out.mutable_response_put());
      if (op.has_request_txn()) *out.mutable_response_txn() = txn(op.request_txn());
      if (!op.has_request_delete_range()) continue;
      const auto& span = op.request_delete_range();
      int64_t removed = 0;
      for (const Kv& kv : in({span.key(), span.range_end()})) {
        remove(kv.key());
        ++removed;
      }
      out.mutable_response_delete_range()->set_deleted(removed);
    }
    return response;
  }
  etcdserverpb::RangeResponse range(const etcdserverpb::RangeRequest& request) const {
    etcdserverpb::RangeResponse response;
    response.mutable_header()->set_revision(changed_.empty() ? revision_ : revision_ + 1);
    const std::vector<Kv> found = in({request.key(), request.range_end()});
    response.set_count(static_cast<int64_t>(found.size()));
    for (const Kv& kv : found) {
      if (request.count_only()) break;
      if (request.limit() > 0 && response.kvs_size() == request.limit()) {
        response.set_more(true);
        break;
      }
      Kv& shown = *response.add_kvs();
      shown = kv;
      if (request.keys_only()) shown.clear_value();
    }
    return response;
  }
  void put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
    response->mutable_header()->set_revision(revision_ + 1);
    Kv& kv = keys_[request.key()];
    if (kv.version() == 0) kv.set_create_revision(revision_ + 1);
    kv.set_key(request.key());
    kv.set_version(kv.version() + 1);
    kv.set_mod_revision(revision_ + 1);
    if (!request.ignore_value()) kv.set_value(request.value());
    if (!request.ignore_lease()) kv.set_lease(request.lease());
    ++puts_[request.value()];
    changed_.push_back({request.key(), revision_ + 1, false, kv});
  }
  void remove(const std::string& key) {
    keys_.erase(key);
    changed_.push_back({key, revision_ + 1, true});
  }
  void publish();

  // What a server refuses before it does anything.
  absl::Status refusal(const etcdserverpb::TxnRequest& request) const {
    const bool success = std::all_of(request.compare().begin(), request.compare().end(),
                                     [this](const auto& compare) { return holds(compare); });
    for (const auto& op : success ? request.success() : request.failure()) {
      if (op.has_request_txn()) {
        if (absl::Status s = refusal(op.request_txn()); !s.ok()) return s;
      }
      if (!op.has_request_put()) continue;
      if (is_full) return errors::NoSpace();
      const int64_t lease = op.request_put().lease();
      if (lease != 0 && leases_.count(lease) == 0) return errors::LeaseNotFound();
    }
    return absl::OkStatus();
  }
  template <typename Request>
  static Request parsed(const Bytes& bytes) {
    Request request;
    request.ParseFromString(std::string(bytes.view()));
    return request;
  }
  absl::StatusOr<Parts> apply(const std::string& path, const Bytes& message, bool has_token) {
    expire();
    if (has_users && !has_token) return errors::UserEmpty();
    if (path.ends_with("/Range")) {
      changed_.clear();
      return encoded(range(parsed<etcdserverpb::RangeRequest>(message)));
    }
    if (path.ends_with("/Txn")) {
      const auto request = parsed<etcdserverpb::TxnRequest>(message);
      if (absl::Status s = refusal(request); !s.ok()) return s;
      return encoded(commit(request));
    }
    if (path.ends_with("/LeaseGrant")) {
      etcdserverpb::LeaseGrantResponse response;
      response.mutable_header()->set_revision(revision_);
      response.set_ttl(parsed<etcdserverpb::LeaseGrantRequest>(message).ttl());
      response.set_id(grant(response.ttl()));
      return encoded(response);
    }
    if (path.ends_with("/LeaseRevoke")) {
      revoke(parsed<etcdserverpb::LeaseRevokeRequest>(message).id());
      return encoded(etcdserverpb::LeaseRevokeResponse());
    }
    return absl::UnimplementedError(path);
  }

  TestLane& lane_;
  Random& random_;
  int64_t revision_ = 1;
  std::map<std::string, Kv> keys_;
  std::map<std::string, std::map<int64_t, std::optional<Kv>>> history_;  // by key, revision
  std::map<int64_t, Lease> leases_;
  int64_t last_lease_ = 100;
  std::map<std::string, size_t> puts_;
  std::vector<TestCluster::Event> changed_;  // by what is being committed
  std::vector<Link*> links_;
};

class TestStore::Link final : public outbound::RpcClient {
 public:
  explicit Link(TestStore& store) : store_(store), streams_(&store.lane_, &store.random_) {
    CHECK(store.revision_ == 1);
    store.links_.push_back(this);
    streams_.renew_lease = [&store](int64_t lease) { return store.renew(lease) ? 60 : 0; };
  }

  // Nothing goes through it, nor back; whoever waits does so until its deadline.
  bool cut = false;
  // Of so many unary calls that are applied one is answered with an error; 0: none.
  size_t unsure = 0;
  size_t asked = 0;  // unary calls but the proxy's looks for users
  TestCluster& streams() { return streams_; }
  size_t waiting() const { return waiting_.size(); }

  bool step() {
    end_overdue();
    if (cut) return false;
    if (store_.random_.below(2) == 0 && streams_.step()) return true;
    if (!waiting_.empty()) {
      advance(store_.random_.below(waiting_.size()));
      return true;
    }
    return streams_.step();
  }

  std::shared_ptr<outbound::RpcCall> unary(outbound::RpcRequest request, Done done) override {
    if (!request.path.ends_with("/Range")) ++asked;
    auto call = std::make_shared<Call>(*this);
    waiting_.push_back({call, std::move(request), std::move(done)});
    return call;
  }
  std::shared_ptr<outbound::RpcStream> stream(
      outbound::RpcRequest request, Executor* lane,
      std::unique_ptr<outbound::RpcStreamEvents> events) override {
    return streams_.stream(std::move(request), lane, std::move(events));
  }

 private:
  class Call final : public outbound::RpcCall {
   public:
    explicit Call(Link& link) : link_(link) {}
    void cancel() override { link_.end(this, absl::CancelledError("cancelled")); }

   private:
    Link& link_;
  };
  struct Waiting {
    std::shared_ptr<Call> call;  // shared with who may cancel it
    outbound::RpcRequest request;
    Done done;  // null: nobody waits any more
    std::optional<absl::StatusOr<Parts>> answer = std::nullopt;
  };

  void advance(size_t at) {
    Waiting& one = waiting_[at];
    if (!one.answer) {
      const bool fails = unsure > 0 && one.done && store_.random_.below(unsure) == 0;
      // Answered before it is applied, if it ever is.
      if (fails && store_.random_.below(2) == 0) {
        std::exchange(one.done, nullptr)(absl::UnavailableError("lost"));
        if (store_.random_.below(4) == 0) remove(at);
        return;
      }
      one.answer =
          store_.apply(one.request.path, one.request.message, !one.request.metadata.empty());
      if (fails) one.answer = absl::UnavailableError("lost");
      return;
    }
    Waiting taken = std::move(one);
    remove(at);
    if (taken.done) taken.done(*std::move(taken.answer));
  }
  void remove(size_t at) { waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(at)); }
  void end(const Call* call, const absl::Status& why) {
    for (Waiting& one : waiting_) {
      if (one.call.get() == call && one.done) return std::exchange(one.done, nullptr)(why);
    }
  }
  void end_overdue() {
    std::vector<std::shared_ptr<Call>> overdue;
    for (const Waiting& one : waiting_) {
      if (one.done && one.request.deadline && *one.request.deadline <= store_.lane_.now()) {
        overdue.push_back(one.call);
      }
    }
    for (const auto& call : overdue) end(call.get(), absl::DeadlineExceededError("too late"));
  }

  TestStore& store_;
  TestCluster streams_;
  std::deque<Waiting> waiting_;
};

inline void TestStore::publish() {
  if (changed_.empty()) return;
  ++revision_;
  for (const TestCluster::Event& event : changed_) {
    history_[event.key][revision_] = event.is_delete ? std::nullopt : std::optional<Kv>(event.kv);
  }
  for (Link* link : links_) link->streams().happened(changed_);
  changed_.clear();
}

}  // namespace keelson::proxy
