// apply/slow_machine.h
//
// The obvious twin of Applier for tests: requests as protobuf has them, executed on a vector of
// changes in the order of steps of etcd's applier (v3.7.1, server/etcdserver/apply and txn). Its
// rules are written from etcd's, not from Applier's.
//
// Threads: one.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/errors.h"
#include "mvcc/slow_store.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {

class SlowMachine {
 public:
  // What the client is told: an error, or the response message without its outer header.
  struct Answer {
    absl::Status status;
    std::string response;
  };

  Answer put(const etcdserverpb::PutRequest& put) {
    if (absl::Status s = alarmed(true); !s.ok()) return {s};
    if (put.lease() != 0 && !leases.contains(put.lease())) return {errors::LeaseNotFound()};
    if (keeps(put) && !live(put.key())) return {errors::KeyNotFound()};
    begin();
    etcdserverpb::PutResponse response = change(put);
    return finish(response);
  }

  Answer delete_range(const etcdserverpb::DeleteRangeRequest& request) {
    if (absl::Status s = alarmed(false); !s.ok()) return {s};
    begin();
    etcdserverpb::DeleteRangeResponse response = change(request);
    return finish(response);
  }

  Answer txn(const etcdserverpb::TxnRequest& txn) {
    if (absl::Status s = alarmed(adds(txn)); !s.ok()) return {s};
    begin();
    std::vector<bool> path = decide(txn);
    size_t at = 0;
    gone_.clear();
    if (absl::Status s = check(txn, path, &at); !s.ok()) return {s};
    at = 0;
    etcdserverpb::TxnResponse response = run(txn, path, &at);
    return finish(response);
  }

  Answer compact(int64_t revision) {
    if (absl::Status s = alarmed(false); !s.ok()) return {s};
    if (revision <= kv.compacted) return {errors::Compacted()};
    if (revision > kv.revision) return {errors::FutureRev()};
    kv.compact(revision);
    return {};
  }

  Answer grant(const etcdserverpb::LeaseGrantRequest& request) {
    if (absl::Status s = alarmed(true); !s.ok()) return {s};
    if (request.id() == 0) return {errors::LeaseNotFound()};
    if (request.ttl() > 9'000'000'000) return {errors::LeaseTTLTooLarge()};
    if (leases.contains(request.id())) return {errors::LeaseExist()};
    int64_t ttl = std::max<int64_t>(request.ttl(), 2);
    leases[request.id()] = ttl;
    etcdserverpb::LeaseGrantResponse response;
    response.set_id(request.id());
    response.set_ttl(ttl);
    return {absl::OkStatus(), response.SerializeAsString()};
  }

  Answer revoke(int64_t id) {
    if (absl::Status s = alarmed(false); !s.ok()) return {s};
    if (leases.erase(id) == 0) return {errors::LeaseNotFound()};
    begin();
    for (const mvcc::SlowChange& change : everything()) {
      if (change.lease == id) remove(change.key);
    }
    kv.revision = now();
    return {};
  }

  Answer alarm(const etcdserverpb::AlarmRequest& request) {
    std::pair<int, uint64_t> named{request.alarm(), request.memberid()};
    etcdserverpb::AlarmResponse response;
    auto add = [&](const std::pair<int, uint64_t>& alarm) {
      auto* member = response.add_alarms();
      member->set_memberid(alarm.second);
      member->set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.first));
    };
    if (request.action() == etcdserverpb::AlarmRequest::GET) {
      for (const auto& alarm : alarms) {
        if (request.alarm() == etcdserverpb::NONE || request.alarm() == alarm.first) add(alarm);
      }
    } else if (request.action() == etcdserverpb::AlarmRequest::ACTIVATE) {
      if (request.alarm() != etcdserverpb::NONE) {
        alarms.insert(named);
        add(named);
      }
    } else if (alarms.erase(named) > 0) {
      add(named);
    }
    return {absl::OkStatus(), response.SerializeAsString()};
  }

  std::vector<mvcc::SlowChange> everything() const {
    return kv.all_visible(std::string_view("\0", 1), std::string_view("\0", 1), now());
  }

  mvcc::SlowStore kv;
  std::map<int64_t, int64_t> leases;  // id → TTL
  std::set<std::pair<int, uint64_t>> alarms;

 private:
  bool has(etcdserverpb::AlarmType type) const {
    auto at = alarms.lower_bound({type, 0});
    return at != alarms.end() && at->first == type;
  }
  absl::Status alarmed(bool adds) const {
    if (has(etcdserverpb::CORRUPT)) return errors::Corrupt();
    return adds && has(etcdserverpb::NOSPACE) ? errors::NoSpace() : absl::OkStatus();
  }
  static bool adds(const etcdserverpb::TxnRequest& txn) {
    for (const auto* branch : {&txn.success(), &txn.failure()}) {
      for (const auto& op : *branch) {
        if (op.has_request_put() || (op.has_request_txn() && adds(op.request_txn()))) return true;
      }
    }
    return false;
  }
  static bool keeps(const etcdserverpb::PutRequest& put) {
    return put.ignore_value() || put.ignore_lease();
  }

  void begin() { sub_ = 0; }
  int64_t now() const { return kv.revision + (sub_ > 0 ? 1 : 0); }
  template <typename Response>
  Answer finish(Response& response) {
    kv.revision = now();
    sub_ = 0;
    response.mutable_header()->set_revision(kv.revision);
    return {absl::OkStatus(), response.SerializeAsString()};
  }
  const mvcc::SlowChange* live(const std::string& key) const { return kv.visible(key, now()); }

  static mvccpb::KeyValue message(const mvcc::SlowChange& change) {
    mvccpb::KeyValue kv;
    kv.ParseFromString(change.encoded());
    return kv;
  }

  void add(mvcc::SlowChange change) {
    change.revision = {kv.revision + 1, sub_++};
    kv.changes.push_back(std::move(change));
  }
  void remove(const std::string& key) { add({.key = key, .tombstone = true}); }

  etcdserverpb::PutResponse change(const etcdserverpb::PutRequest& put) {
    etcdserverpb::PutResponse response;
    const mvcc::SlowChange* found = live(put.key());
    std::optional<mvcc::SlowChange> before;
    if (found) before = *found;
    if (put.prev_kv() && before) *response.mutable_prev_kv() = message(*before);
    mvcc::SlowChange change{.key = put.key()};
    change.value = put.ignore_value() ? before->value : put.value();
    change.lease = put.ignore_lease() ? before->lease : put.lease();
    change.create = before ? before->create : kv.revision + 1;
    change.version = before ? before->version + 1 : 1;
    add(std::move(change));
    response.mutable_header()->set_revision(now());
    return response;
  }

  etcdserverpb::DeleteRangeResponse change(const etcdserverpb::DeleteRangeRequest& request) {
    etcdserverpb::DeleteRangeResponse response;
    for (const mvcc::SlowChange& change :
         kv.all_visible(request.key(), request.range_end(), now())) {
      if (request.prev_kv()) *response.add_prev_kvs() = message(change);
      response.set_deleted(response.deleted() + 1);
      remove(change.key);
    }
    response.mutable_header()->set_revision(now());
    return response;
  }

  etcdserverpb::RangeResponse range(const etcdserverpb::RangeRequest& request) const {
    mvcc::RangeOptions options{
        .limit = request.limit(),
        .revision = request.revision(),
        .sort_order = static_cast<mvcc::SortOrder>(request.sort_order()),
        .sort_target = static_cast<mvcc::SortTarget>(request.sort_target()),
        .keys_only = request.keys_only(),
        .count_only = request.count_only(),
        .min_mod_revision = request.min_mod_revision(),
        .max_mod_revision = request.max_mod_revision(),
        .min_create_revision = request.min_create_revision(),
        .max_create_revision = request.max_create_revision(),
    };
    auto found = kv.range(request.key(), request.range_end(), options, now());
    etcdserverpb::RangeResponse response;
    response.mutable_header()->set_revision(found->revision);
    response.set_count(found->count);
    response.set_more(found->more);
    for (const Bytes& kv : found->kvs) response.add_kvs()->ParseFromString(kv.str());
    return response;
  }

  template <typename T>
  static bool result_holds(const etcdserverpb::Compare& compare, const T& stored, const T& named) {
    if (compare.result() == etcdserverpb::Compare::EQUAL) return stored == named;
    if (compare.result() == etcdserverpb::Compare::GREATER) return stored > named;
    if (compare.result() == etcdserverpb::Compare::LESS) return stored < named;
    return stored != named;
  }
  static bool holds(const etcdserverpb::Compare& c, const mvcc::SlowChange& kv) {
    if (c.target() == etcdserverpb::Compare::VALUE) return result_holds(c, kv.value, c.value());
    if (c.target() == etcdserverpb::Compare::CREATE) {
      return result_holds<int64_t>(c, kv.create, c.create_revision());
    }
    if (c.target() == etcdserverpb::Compare::MOD) {
      return result_holds<int64_t>(c, kv.revision.main, c.mod_revision());
    }
    if (c.target() == etcdserverpb::Compare::VERSION) {
      return result_holds<int64_t>(c, kv.version, c.version());
    }
    return result_holds<int64_t>(c, kv.lease, c.lease());
  }
  bool holds(const etcdserverpb::Compare& compare) const {
    auto found = kv.all_visible(compare.key(), compare.range_end(), now());
    if (found.empty()) {
      return compare.target() != etcdserverpb::Compare::VALUE && holds(compare, mvcc::SlowChange{});
    }
    for (const mvcc::SlowChange& kv : found) {
      if (!holds(compare, kv)) return false;
    }
    return true;
  }

  std::vector<bool> decide(const etcdserverpb::TxnRequest& txn) const {
    bool taken = true;
    for (const auto& compare : txn.compare()) taken = taken && holds(compare);
    std::vector<bool> path = {taken};
    for (const auto& op : taken ? txn.success() : txn.failure()) {
      if (!op.has_request_txn()) continue;
      std::vector<bool> inner = decide(op.request_txn());
      path.insert(path.end(), inner.begin(), inner.end());
    }
    return path;
  }

  absl::Status check(const etcdserverpb::TxnRequest& txn, const std::vector<bool>& path,
                     size_t* at) {
    for (const auto& op : path[(*at)++] ? txn.success() : txn.failure()) {
      if (op.has_request_range()) {
        int64_t revision = op.request_range().revision();
        if (revision != 0 && revision > kv.revision) return errors::FutureRev();
        if (revision != 0 && revision < kv.compacted) return errors::Compacted();
      } else if (op.has_request_delete_range()) {
        gone_.emplace_back(op.request_delete_range().key(), op.request_delete_range().range_end());
      } else if (op.has_request_put()) {
        const auto& put = op.request_put();
        if (put.lease() != 0 && !leases.contains(put.lease())) return errors::LeaseNotFound();
        if (!keeps(put)) continue;
        if (!live(put.key())) return errors::KeyNotFound();
        for (const auto& [begin, end] : gone_) {
          if (mvcc::SlowStore::inside(put.key(), begin, end)) return errors::KeyNotFound();
        }
      } else if (op.has_request_txn()) {
        if (absl::Status s = check(op.request_txn(), path, at); !s.ok()) return s;
      }
    }
    return absl::OkStatus();
  }

  etcdserverpb::TxnResponse run(const etcdserverpb::TxnRequest& txn, const std::vector<bool>& path,
                                size_t* at) {
    etcdserverpb::TxnResponse response;
    response.set_succeeded(path[(*at)++]);
    for (const auto& op : response.succeeded() ? txn.success() : txn.failure()) {
      etcdserverpb::ResponseOp& out = *response.add_responses();
      if (op.has_request_range()) *out.mutable_response_range() = range(op.request_range());
      if (op.has_request_put()) *out.mutable_response_put() = change(op.request_put());
      if (op.has_request_delete_range()) {
        *out.mutable_response_delete_range() = change(op.request_delete_range());
      }
      if (op.has_request_txn()) {
        *out.mutable_response_txn() = run(op.request_txn(), path, at);
        out.mutable_response_txn()->mutable_header();
      }
    }
    return response;
  }

  int64_t sub_ = 0;                                        // changes of the transaction under way
  std::vector<std::pair<std::string, std::string>> gone_;  // deleted so far, on the path checked
};

}  // namespace keelson::apply
