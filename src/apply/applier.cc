#include "apply/applier.h"

#include <algorithm>
#include <string>
#include <utility>

#include "apply/body.h"
#include "apply/quota.h"
#include "apply/txn.h"
#include "base/check.h"
#include "base/duration_text.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "proto/membership.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

using wire::InternalKind;

// An entry that every member agreed on but this one cannot read: applying on would diverge.
Reply malformed(std::string_view what) {
  return {absl::InternalError(cat("malformed ", what, " in the log"))};
}

template <typename Message>
bool parse(std::string_view body, Message* message) {
  return message->ParseFromArray(body.data(), static_cast<int>(body.size()));
}

// A put as the client encoded it; views into those bytes.
bool parse_put(std::string_view body, mvcc::PutRequest* put) {
  pb::Reader reader(body);
  for (pb::Field field; reader.next(&field);) {
    switch (field.number) {
      case 1:
        put->key = field.bytes;
        break;
      case 2:
        put->value = field.bytes;
        break;
      case 3:
        put->lease = LeaseId(static_cast<int64_t>(field.value));
        break;
      case 4:
        put->prev_kv = field.value != 0;
        break;
      case 5:
        put->ignore_value = field.value != 0;
        break;
      case 6:
        put->ignore_lease = field.value != 0;
        break;
      default:
        break;
    }
  }
  return reader.ok() && !put->key.empty();
}

}  // namespace

Applier::Applier(backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
                 membership::Cluster* members, const Clock* clock, Options options,
                 Published published)
    : backend_(*backend),
      store_(*store),
      leases_(*leases),
      members_(*members),
      clock_(*clock),
      options_(options),
      published_(std::move(published)),
      started_at_(backend->consistent_index()),
      index_(started_at_),
      term_(backend->consistent_term()),
      hash_slot_(store->register_reader()) {}

absl::StatusOr<std::unique_ptr<Applier>> Applier::create(
    backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
    membership::Cluster* members, const Clock* clock, Options options, Published published) {
  auto applier = std::unique_ptr<Applier>(
      new Applier(backend, store, leases, members, clock, options, std::move(published)));
  if (absl::Status s = applier->alarms_.restore(*backend); !s.ok()) return s;
  if (absl::Status s = leases->restore(*backend); !s.ok()) return s;
  for (const auto& [key, id] : store->take_restored_leases()) {
    if (absl::Status s = leases->attach(id, key); !s.ok()) {
      log::warn("a key names a lease that does not exist", {{"key", key}, {"lease", id.value}});
    }
  }
  return applier;
}

absl::StatusOr<Reply> Applier::apply(const raft::Entry& entry, bool wanted) {
  CHECK(entry.index > index_);
  index_ = entry.index;
  if (entry.data.empty()) return Reply{};
  absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
  if (!request.ok()) return request.status();
  if (applied_.empty()) applying_since_ = clock_.now();
  Reply reply = dispatch(*request, wanted);
  note_applied(request->kind, reply.status);
  if (reply.status.code() == absl::StatusCode::kInternal) {
    log::error("cannot apply an entry", {{"index", entry.index.value},
                                         {"request", wire::name_of(request->kind)},
                                         {"error", message_of(reply.status)}});
  }
  return reply;
}

Reply Applier::dispatch(const wire::InternalRequest& request, bool wanted) {
  switch (request.kind) {
    case InternalKind::kPut:
      return put(request.body);
    case InternalKind::kDeleteRange:
      return delete_range(request.body);
    case InternalKind::kTxn:
      return txn(request.body, wanted);
    case InternalKind::kCompaction:
      return compact(request.body);
    case InternalKind::kLeaseGrant:
      return lease_grant(request.body);
    case InternalKind::kLeaseRevoke:
      return lease_revoke(request.body);
    case InternalKind::kLeaseCheckpoint:
      return lease_checkpoint(request.body);
    case InternalKind::kAlarm:
      return alarm(request.body);
    case InternalKind::kClusterMemberAttrSet:
      return member_attributes(request.body);
    case InternalKind::kClusterVersionSet:
      return cluster_version(request.body);
    case InternalKind::kNone:
    case InternalKind::kV2:  // of the v2 store, which etcd 3.6 gave up
    case InternalKind::kRange:
    case InternalKind::kAuthStatus:
    case InternalKind::kDowngradeVersionTest:
      return {};
    default:
      return {errors::NotImplemented("this request in the log")};
  }
}

// What the alarms let pass. `cost` is what the request may add.
absl::Status Applier::admit(InternalKind kind, int64_t cost) const {
  if (alarms_.corrupt()) return errors::Corrupt();
  if (alarms_.no_space() && cost > 0) return errors::NoSpace();
  return absl::OkStatus();
}

bool Applier::within_quota(int64_t cost) const {
  if (cost == 0) return true;
  uint64_t added = static_cast<uint64_t>(cost);
  return backend_.approximate_size() + added < options_.quota_bytes ||
         backend_.size_on_disk() + added < options_.quota_bytes;
}

Reply Applier::put(std::string_view body) {
  mvcc::PutRequest request;
  if (!parse_put(body, &request)) return malformed("put");
  int64_t cost = put_cost(request.key.size(), request.value.size());
  if (absl::Status s = admit(InternalKind::kPut, cost); !s.ok()) return {std::move(s)};
  if (request.lease != lease::kNoLease && !leases_.exists(request.lease)) {
    return {errors::LeaseNotFound()};
  }
  bool in_quota = within_quota(cost);
  mvcc::WriteTxn txn = store_.begin();
  absl::StatusOr<mvcc::PutResult> result = txn.put(request);
  TxnOps ops{.ranges = request.prev_kv || request.ignore_value || request.ignore_lease};
  if (result.ok()) {
    ops.puts = 1;
    ops.put_bytes = request.key.size() + result->value_size;
  }
  counts_.add(ops);
  if (!result.ok()) return {result.status()};
  attach_leases(txn);
  // As etcd: past the quota the put is done, and the client told that there is no space.
  if (!in_quota) return {errors::NoSpace()};
  return {absl::OkStatus(), result->revision, put_body(result->prev_kv)};
}

Reply Applier::delete_range(std::string_view body) {
  etcdserverpb::DeleteRangeRequest request;
  if (!parse(body, &request)) return malformed("delete_range");
  if (absl::Status s = admit(InternalKind::kDeleteRange, 0); !s.ok()) return {std::move(s)};
  mvcc::WriteTxn txn = store_.begin();
  absl::StatusOr<mvcc::DeleteResult> result =
      txn.delete_range(request.key(), request.range_end(), request.prev_kv());
  if (!result.ok()) return {result.status()};
  counts_.add({.ranges = request.prev_kv(), .deletes = 1});
  attach_leases(txn);
  return {absl::OkStatus(), result->revision, delete_body(*result)};
}

Reply Applier::txn(std::string_view body, bool wanted) {
  if (!parse(body, &txn_request_)) return malformed("txn");
  int64_t cost = txn_cost(txn_request_);
  if (absl::Status s = admit(InternalKind::kTxn, cost); !s.ok()) return {std::move(s)};
  bool in_quota = within_quota(cost);
  mvcc::WriteTxn txn = store_.begin();
  Reply reply = run_txn(txn, leases_, txn_request_, wanted, counts_);
  attach_leases(txn);
  if (reply.status.ok() && !in_quota) return {errors::NoSpace()};
  return reply;
}

Reply Applier::compact(std::string_view body) {
  etcdserverpb::CompactionRequest request;
  if (!parse(body, &request)) return malformed("compaction");
  if (absl::Status s = admit(InternalKind::kCompaction, 0); !s.ok()) return {std::move(s)};
  if (absl::Status s = store_.compact(request.revision()); !s.ok()) return {std::move(s)};
  return {absl::OkStatus(), 0, {}};
}

Reply Applier::lease_grant(std::string_view body) {
  etcdserverpb::LeaseGrantRequest request;
  if (!parse(body, &request)) return malformed("lease_grant");
  if (absl::Status s = admit(InternalKind::kLeaseGrant, kLeaseCost); !s.ok()) return {std::move(s)};
  bool in_quota = within_quota(kLeaseCost);
  absl::StatusOr<int64_t> ttl =
      leases_.grant(LeaseId(request.id()), request.ttl(), clock_.now(), store_.batch());
  if (!ttl.ok()) return {ttl.status()};
  if (options_.observer) options_.observer->lease_granted(*ttl);
  if (!in_quota) return {errors::NoSpace()};
  std::string out;
  pb::append_varint_field(out, 2, static_cast<uint64_t>(request.id()));
  pb::append_varint_field(out, 3, static_cast<uint64_t>(*ttl));
  return {absl::OkStatus(), 0, Parts::copy(out)};
}

// The keys die with the lease, in one transaction.
Reply Applier::lease_revoke(std::string_view body) {
  etcdserverpb::LeaseRevokeRequest request;
  if (!parse(body, &request)) return malformed("lease_revoke");
  if (absl::Status s = admit(InternalKind::kLeaseRevoke, 0); !s.ok()) return {std::move(s)};
  absl::StatusOr<std::vector<std::string>> keys =
      leases_.revoke(LeaseId(request.id()), store_.batch());
  if (!keys.ok()) return {keys.status()};
  mvcc::WriteTxn txn = store_.begin();
  for (const std::string& key : *keys) {
    absl::StatusOr<mvcc::DeleteResult> deleted = txn.delete_range(key, {});
    if (!deleted.ok()) return {deleted.status()};
  }
  counts_.add({.deletes = keys->size()});
  return {absl::OkStatus(), txn.revision(), {}};
}

Reply Applier::lease_checkpoint(std::string_view body) {
  etcdserverpb::LeaseCheckpointRequest request;
  if (!parse(body, &request)) return malformed("lease_checkpoint");
  for (const etcdserverpb::LeaseCheckpoint& c : request.checkpoints()) {
    leases_.checkpoint({LeaseId(c.id()), c.remaining_ttl()}, clock_.now(), store_.batch());
  }
  return {};
}

Reply Applier::alarm(std::string_view body) {
  etcdserverpb::AlarmRequest request;
  if (!parse(body, &request)) return malformed("alarm");
  Alarm named{request.alarm(), MemberId(request.memberid())};
  std::vector<Alarm> found;
  switch (request.action()) {
    case etcdserverpb::AlarmRequest::GET:
      found = alarms_.get(request.alarm());
      break;
    case etcdserverpb::AlarmRequest::ACTIVATE:
      if (named.type == etcdserverpb::NONE) break;
      alarms_.activate(named, store_.batch());
      found = {named};
      break;
    case etcdserverpb::AlarmRequest::DEACTIVATE:
      if (alarms_.deactivate(named, store_.batch())) found = {named};
      break;
    default:
      break;
  }
  etcdserverpb::AlarmResponse response;
  for (const Alarm& alarm : found) {
    etcdserverpb::AlarmMember* member = response.add_alarms();
    member->set_memberid(alarm.member.value);
    member->set_alarm(alarm.type);
  }
  return {absl::OkStatus(), 0, Parts::copy(response.SerializeAsString())};
}

void Applier::attach_leases(const mvcc::WriteTxn& txn) {
  for (const mvcc::LeaseChange& change : txn.lease_changes()) {
    if (change.after == lease::kNoLease) {
      leases_.detach(change.key);
    } else if (absl::Status s = leases_.attach(change.after, change.key); !s.ok()) {
      // Only by ignore_lease can a key still name a lease that is gone; it stays without one.
      leases_.detach(change.key);
    }
  }
}

void Applier::note_applied(InternalKind kind, const absl::Status& status) {
  bool ok = status.ok() || status == errors::Compacted();
  for (Applied& row : applied_) {
    if (row.kind == kind && row.ok == ok) {
      ++row.count;
      return;
    }
  }
  applied_.push_back({kind, ok, 1});
}

void Applier::report_applied() {
  if (applied_.empty()) return;
  Duration took = clock_.now() - applying_since_;
  if (options_.observer) options_.observer->applied(applied_, took);
  if (options_.warning_duration > Duration(0) && took > options_.warning_duration) {
    warn_slow(took);
    if (options_.observer) options_.observer->slow_apply();
  }
  applied_.clear();
}

void Applier::warn_slow(Duration took) const {
  std::string requests;
  for (const Applied& row : applied_) {
    requests += cat(requests.empty() ? "" : " ", wire::name_of(row.kind), ":", row.count);
  }
  log::warn("apply request took too long",
            {{"took", milliseconds_text(took)},
             {"expected-duration", milliseconds_text(options_.warning_duration)},
             {"prefix", ""},
             {"request", requests}});
}

absl::Status Applier::publish(Index index, Term term) {
  CHECK(index >= index_);
  index_ = index;
  term_ = term;
  report_applied();
  absl::StatusOr<mvcc::EventBatchPtr> events = store_.publish(index, term);
  if (!events.ok()) return events.status();
  if (*events) published_(*std::move(events));
  return absl::OkStatus();
}

absl::Status Applier::background_step() {
  MonotonicTime start = clock_.now();
  if (!std::exchange(compaction_started_, true)) compacting_since_ = start;
  store_.compact_step(options_.compaction_slice);
  absl::StatusOr<mvcc::EventBatchPtr> events = store_.publish(index_, term_);
  if (!events.ok()) return events.status();
  CHECK(*events == nullptr);
  MonotonicTime end = clock_.now();
  if (options_.observer) options_.observer->compaction_step(end - start);
  if (store_.compacting()) return absl::OkStatus();
  compaction_started_ = false;
  if (options_.observer) options_.observer->compaction_finished(end - compacting_since_);
  log::info("finished scheduled compaction", {{"compact-revision", store_.compact_revision()}});
  run_compacted();
  return absl::OkStatus();
}

std::unique_ptr<mvcc::HashKvJob> Applier::take_compaction_hash() {
  if (!store_.compacting()) return nullptr;
  return store_.take_compaction_hash(*hash_slot_);
}

void Applier::when_compacted(Task done) {
  when_compacted_.push_back(std::move(done));
  if (!store_.compacting()) run_compacted();
}

void Applier::run_compacted() {
  for (Task& done : std::exchange(when_compacted_, {})) done();
}

// The records of one member, from the log of another version or of ours.
Reply Applier::member_attributes(std::string_view body) {
  membershippb::ClusterMemberAttrSetRequest request;
  if (!parse(body, &request)) return malformed("cluster_member_attr_set");
  const membershippb::Attributes& attributes = request.member_attributes();
  members_.set_attributes(MemberId(request.member_id()), attributes.name(),
                          {attributes.client_urls().begin(), attributes.client_urls().end()},
                          store_.batch());
  return {};
}

Reply Applier::cluster_version(std::string_view body) {
  membershippb::ClusterVersionSetRequest request;
  if (!parse(body, &request)) return malformed("cluster_version_set");
  members_.set_version(request.ver(), store_.batch());
  return {};
}

// A change that the table refuses still is an entry that every member passes: the core is told of
// one that changes nobody.
absl::StatusOr<raft::ConfChangeV2> Applier::apply_conf_change(const raft::Entry& entry) {
  index_ = entry.index;
  if (entry.type != raft::EntryType::kConfChange) return raft::conf_change_of(entry);
  absl::StatusOr<raft::ConfChange> change = raft::decode_conf_change(entry.data);
  if (!change.ok()) return change.status();
  membership::Change named{static_cast<membership::ChangeKind>(change->type), change->node_id,
                           change->context};
  absl::Status status = members_.validate(named);
  if (status.ok()) status = members_.apply(named, store_.batch());
  if (!status.ok()) {
    log::warn("refused a membership change",
              {{"member", change->node_id.value}, {"error", message_of(status)}});
    change->node_id = raft::kNobody;
  }
  return raft::as_v2(*change);
}

}  // namespace keelson::apply
