#include "apply/applier.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "apply/body.h"
#include "apply/decode.h"
#include "apply/quota.h"
#include "apply/request_text.h"
#include "apply/slow_request.h"
#include "apply/txn.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "base/told.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

using wire::InternalKind;

constexpr std::string_view kAdvice =
    "start the member with a version that knows it, or remove it from the cluster and add it anew";
// A compaction waits no longer than this for its own hash, which is then not stored.
constexpr Duration kMostHeld = std::chrono::seconds(10);

auth::StoreOptions auth_options(const Applier::Options& options) {
  auth::StoreOptions out = options.auth;
  out.lines = options.changes;
  return out;
}

int magnitude_of(Duration took) {
  constexpr Duration kFirst = std::chrono::microseconds(100);
  const Duration over = std::max(took - Duration(1), Duration(0));
  return std::bit_width(static_cast<uint64_t>(over / kFirst));
}

}  // namespace

Applier::Applier(backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
                 membership::Cluster* members, const Clock* clock, Options options,
                 Published published)
    : backend_(backend),
      store_(*store),
      leases_(*leases),
      members_(*members),
      clock_(*clock),
      options_(options),
      published_(std::move(published)),
      auth_(auth_options(options), clock),
      started_at_(backend->consistent_index()),
      published_index_(started_at_),
      index_(started_at_),
      published_term_(backend->consistent_term()),
      term_(published_term_),
      pace_(options.compaction_slice, options.compaction_pause) {}

absl::StatusOr<std::unique_ptr<Applier>> Applier::create(
    backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
    membership::Cluster* members, const Clock* clock, Options options, Published published) {
  auto applier = std::unique_ptr<Applier>(
      new Applier(backend, store, leases, members, clock, options, std::move(published)));
  if (absl::Status s = applier->restore_auth(); !s.ok()) return s;
  if (absl::Status s = applier->restore(); !s.ok()) return s;
  if (absl::Status s = applier->begin_auth(); !s.ok()) return s;
  applier->check_invariants();
  return applier;
}

// No entry says so: a new member's record is there before the first, as on etcd.
absl::Status Applier::begin_auth() {
  backend::WriteBatch batch;
  if (!auth_.begin(batch)) return absl::OkStatus();
  auth_.publish();
  return backend_->commit(batch, Index(0), Term(0));
}

// The cluster's version, which they depend on, is with the members.
absl::Status Applier::restore_auth() {
  order_grants();
  if (absl::Status s = auth_.restore(*backend_); !s.ok()) return s;
  auth_.publish();
  return absl::OkStatus();
}

// What is not in the store: alarms, leases, and the keys that hang on those.
absl::Status Applier::restore() {
  if (absl::Status s = alarms_.restore(*backend_); !s.ok()) return s;
  if (absl::Status s = leases_.restore(*backend_); !s.ok()) return s;
  for (const auto& [key, id] : store_.take_restored_leases()) {
    if (absl::Status s = leases_.attach(id, key); !s.ok()) {
      log::warn("a key names a lease that does not exist",
                {{"key", told(key)}, {"lease", id.value}});
    }
  }
  return absl::OkStatus();
}

// The rules go before the keys, as in publish(): nobody may see the new keys under the old rules.
// Who waits for a compaction waits for what is gone: nothing of it can come back.
absl::Status Applier::replace(Replacement next, mvcc::Dispose dispose) {
  CHECK(failure_.ok());
  CHECK(index_ == published_index_);
  CHECK(index_ < next.index);
  CHECK(term_ <= next.term);
  CHECK(next.backend->consistent_index() == next.index);
  backend_ = next.backend;
  if (absl::Status s = members_.restore(*backend_); !s.ok()) return failure_ = s;
  if (absl::Status s = restore_auth(); !s.ok()) return failure_ = s;
  store_.replace(std::move(next.store), std::move(next.former), std::move(dispose));
  if (absl::Status s = restore(); !s.ok()) return failure_ = s;
  index_ = published_index_ = next.index;
  term_ = published_term_ = next.term;
  compaction_started_ = false;
  run_compacted();
  check_invariants();
  return absl::OkStatus();
}

absl::StatusOr<Reply> Applier::apply(const raft::Entry& entry, bool wanted, bool hidden) {
  CHECK(entry.type == raft::EntryType::kNormal);
  if (absl::Status s = check_follows(entry); !s.ok()) return s;
  if (applied_.empty()) applied_at_ = clock_.now();
  absl::StatusOr<Reply> reply = Reply();
  hidden_ = hidden;
  if (!entry.data.empty()) {
    absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
    if (!request.ok()) return cannot_go_on(entry, "", unreadable());
    reply = apply_request(*request, wanted);
    if (given_up() && absl::IsCancelled(reply.status())) return failure_ = reply.status();
    if (!reply.ok()) return cannot_go_on(entry, wire::name_of(request->kind), reply.status());
    note_applied(entry, request->kind, *reply);
  }
  passed(entry);
  check_reply(*reply);
  return reply;
}

// Which index comes next is the caller's doing, which term the log's: a leader of an older term
// cannot have put an entry behind one of a newer.
absl::Status Applier::check_follows(const raft::Entry& entry) {
  if (!failure_.ok()) return failure_;
  CHECK(entry.index == index_ + 1);
  if (entry.term >= term_) return absl::OkStatus();
  return cannot_go_on(
      entry, "", absl::DataLossError(cat("entries of term ", term_.value, " stand before it")));
}

void Applier::passed(const raft::Entry& entry) {
  CHECK(failure_.ok());
  CHECK(entry.term >= term_);
  index_ = entry.index;
  term_ = entry.term;
  CHECK(published_index_ < index_);
}

// At most one revision an entry, and nothing but the reason for who is refused.
void Applier::check_reply(const Reply& reply) const {
  const int64_t unpublished = static_cast<int64_t>(index_ - published_index_);
  CHECK(reply.revision >= 0);
  CHECK(reply.revision <= store_.revision() + unpublished);
  if (reply.status.ok()) return;
  CHECK(reply.revision == 0);
  CHECK(reply.body.empty());
}

void Applier::check_invariants() const {
  CHECK(started_at_ <= published_index_);
  CHECK(published_index_ <= index_);
  CHECK(published_term_ <= term_);
  CHECK(published_index_ < index_ || applied_.empty());
  CHECK(when_compacted_.size() <= kMostWaiting);
  CHECK(when_compacted_.empty() || store_.compacting());
  CHECK(!in_a_hurry_ || !when_compacted_.empty());
  CHECK(!compaction_started_ || store_.compacting());
}

absl::Status Applier::cannot_go_on(const raft::Entry& entry, std::string_view what,
                                   const absl::Status& why) {
  CHECK(failure_.ok());
  CHECK(!why.ok());
  std::string text =
      cat("cannot apply entry ", entry.index.value, " of term ", entry.term.value,
          what.empty() ? "" : " (", what, what.empty() ? "" : ")", ": ", message_of(why));
  if (absl::IsUnimplemented(why)) text = cat(text, "; ", kAdvice);
  failure_ = absl::Status(why.code(), text);
  return failure_;
}

// Kinds that every member passes without an effect stay so. What would change a state that is not
// kept here ends the member: going on would be another state than the others have.
absl::StatusOr<Reply> Applier::apply_request(const wire::InternalRequest& request, bool wanted) {
  who_ = {request.username, request.auth_revision};
  asked_ = true;
  if (is_auth(request.kind)) return auth_request(request);
  switch (request.kind) {
    case InternalKind::kPut:
      return put(request.body, wanted);
    case InternalKind::kDeleteRange:
      return delete_range(request.body, wanted);
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
    case InternalKind::kDowngradeInfoSet:
      return downgrade_info(request.body);
    case InternalKind::kV2:
      return version_2(request.body);
    case InternalKind::kRange:
    case InternalKind::kDowngradeVersionTest:
      return Reply();
    default:
      return unknown(request.kind);
  }
}

absl::Status Applier::unknown(InternalKind kind) {
  return absl::UnimplementedError(
      cat("requests of number ", static_cast<uint32_t>(kind), " are not known here"));
}

absl::Status Applier::admit(int64_t cost) const {
  CHECK(cost >= 0);
  if (alarms_.corrupt()) return errors::Corrupt();
  if (alarms_.no_space() && cost > 0) return errors::NoSpace();
  return absl::OkStatus();
}

bool Applier::within_quota(int64_t cost) const {
  CHECK(cost >= 0);
  if (cost == 0) return true;
  return backend_->has_room(static_cast<uint64_t>(cost), options_.quota_bytes);
}

absl::StatusOr<Reply> Applier::put(std::string_view body, bool wanted) {
  mvcc::PutRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  int64_t cost = put_cost(request.key.size(), request.value.size());
  if (absl::Status s = admit(cost); !s.ok()) return Reply{std::move(s)};
  if (absl::Status s = permits().put(request.key, request.lease, request.prev_kv); !s.ok()) {
    return Reply{std::move(s)};
  }
  if (request.lease != lease::kNoLease && !leases_.exists(request.lease)) {
    return Reply{errors::LeaseNotFound()};
  }
  bool in_quota = within_quota(cost);
  TxnOps ops{.ranges = request.prev_kv || request.ignore_value || request.ignore_lease};
  mvcc::WriteTxn txn = store_.begin();
  if ((request.ignore_value || request.ignore_lease) && !txn.exists(request.key)) {
    counts_.add(ops);
    return Reply{errors::KeyNotFound()};
  }
  request.prev_kv &= wanted;
  absl::StatusOr<mvcc::PutResult> result = txn.put(request);
  if (!result.ok()) return result.status();
  CHECK(txn.changes() == 1);
  CHECK(result->revision == txn.revision());
  CHECK(request.prev_kv || result->prev_kv.empty());
  ops.puts = 1;
  ops.put_bytes = request.key.size() + result->value_size;
  counts_.add(ops);
  conclude(txn);
  // As etcd: past the quota the put is done, and the client told that there is no space.
  if (!in_quota) return Reply{errors::NoSpace()};
  return Reply{absl::OkStatus(), result->revision, put_body(result->prev_kv)};
}

absl::StatusOr<Reply> Applier::delete_range(std::string_view body, bool wanted) {
  etcdserverpb::DeleteRangeRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  if (absl::Status s = admit(0); !s.ok()) return Reply{std::move(s)};
  absl::Status permitted =
      permits().delete_range(request.key(), request.range_end(), request.prev_kv());
  if (!permitted.ok()) return Reply{std::move(permitted)};
  const bool show = wanted && request.prev_kv();
  mvcc::WriteTxn txn = store_.begin();
  absl::StatusOr<mvcc::DeleteResult> result =
      txn.delete_range(request.key(), request.range_end(), show);
  if (!result.ok()) return result.status();
  CHECK(static_cast<size_t>(result->deleted) == txn.changes());
  CHECK(result->prev_kvs.size() == (show ? txn.changes() : 0));
  counts_.add({.ranges = request.prev_kv(), .deletes = 1});
  conclude(txn);
  return Reply{absl::OkStatus(), result->revision, delete_body(*result)};
}

// What was decoded goes here, on the lane, whose stack has room for the deepest; the applier itself
// may be destroyed where there is little.
absl::StatusOr<Reply> Applier::txn(std::string_view body, bool wanted) {
  absl::StatusOr<Reply> reply = decode_and_run_txn(body, wanted);
  txn_request_.Clear();
  return reply;
}

absl::StatusOr<Reply> Applier::decode_and_run_txn(std::string_view body, bool wanted) {
  if (absl::Status s = decode_logged(body, &txn_request_); !s.ok()) return s;
  int64_t cost = txn_cost(txn_request_);
  if (absl::Status s = admit(cost); !s.ok()) return Reply{std::move(s)};
  if (absl::Status s = permits().txn(txn_request_); !s.ok()) return Reply{std::move(s)};
  bool in_quota = within_quota(cost);
  mvcc::WriteTxn txn = store_.begin();
  absl::StatusOr<Reply> reply =
      run_txn(txn, leases_, txn_request_, wanted, hidden_, counts_, &given_up_);
  if (!reply.ok()) return reply;
  if (!reply->status.ok()) CHECK(txn.changes() == 0);
  conclude(txn);
  if (reply->status.ok() && !in_quota) return Reply{errors::NoSpace()};
  return reply;
}

absl::StatusOr<Reply> Applier::compact(std::string_view body) {
  etcdserverpb::CompactionRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  if (absl::Status s = admit(0); !s.ok()) return Reply{std::move(s)};
  absl::Status compacted = store_.compact(request.revision());
  CHECK(!compacted.ok() || store_.compacting());
  return Reply{std::move(compacted)};
}

absl::StatusOr<Reply> Applier::lease_grant(std::string_view body) {
  etcdserverpb::LeaseGrantRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  if (absl::Status s = admit(kLeaseCost); !s.ok()) return Reply{std::move(s)};
  bool in_quota = within_quota(kLeaseCost);
  size_t before = leases_.size();
  absl::StatusOr<int64_t> ttl =
      leases_.grant(LeaseId(request.id()), request.ttl(), clock_.now(), store_.batch());
  CHECK(leases_.size() == before + (ttl.ok() ? 1 : 0));
  if (!ttl.ok()) return Reply{ttl.status()};
  CHECK(leases_.exists(LeaseId(request.id())));
  CHECK(*ttl > 0);
  if (options_.observer) options_.observer->lease_granted(*ttl);
  if (!in_quota) return Reply{errors::NoSpace()};
  std::string out;
  pb::append_varint_field(out, 2, static_cast<uint64_t>(request.id()));
  pb::append_varint_field(out, 3, static_cast<uint64_t>(*ttl));
  return Reply{absl::OkStatus(), 0, Parts::copy(out)};
}

// The keys die with the lease, in one transaction.
absl::StatusOr<Reply> Applier::lease_revoke(std::string_view body) {
  etcdserverpb::LeaseRevokeRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  if (absl::Status s = admit(0); !s.ok()) return Reply{std::move(s)};
  if (absl::Status s = permits().write_lease(LeaseId(request.id())); !s.ok()) {
    return Reply{std::move(s)};
  }
  absl::StatusOr<std::vector<std::string>> keys =
      leases_.revoke(LeaseId(request.id()), store_.batch());
  if (!keys.ok()) return Reply{keys.status()};
  CHECK(!leases_.exists(LeaseId(request.id())));
  mvcc::WriteTxn txn = store_.begin();
  txn.delete_keys(*keys);
  counts_.add({.deletes = keys->size()});
  // A key that is attached is alive.
  CHECK(txn.changes() == keys->size());
  return Reply{absl::OkStatus(), txn.revision(), {}};
}

absl::StatusOr<Reply> Applier::lease_checkpoint(std::string_view body) {
  etcdserverpb::LeaseCheckpointRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  const size_t before = leases_.size();
  for (const etcdserverpb::LeaseCheckpoint& c : request.checkpoints()) {
    leases_.checkpoint({LeaseId(c.id()), c.remaining_ttl()}, clock_.now(), store_.batch());
  }
  CHECK(leases_.size() == before);
  return Reply();
}

absl::StatusOr<Reply> Applier::alarm(std::string_view body) {
  etcdserverpb::AlarmRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  Alarm named{request.alarm(), MemberId(request.memberid())};
  std::vector<Alarm> found;
  switch (request.action()) {
    case etcdserverpb::AlarmRequest::GET:
      found = alarms_.get(request.alarm());
      break;
    case etcdserverpb::AlarmRequest::ACTIVATE:
      if (named.type == etcdserverpb::NONE) break;
      alarms_.activate(named, store_.batch());
      CHECK(alarms_.contains(named));
      found = {named};
      break;
    case etcdserverpb::AlarmRequest::DEACTIVATE:
      if (alarms_.deactivate(named, store_.batch())) found = {named};
      CHECK(!alarms_.contains(named));
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
  return Reply{absl::OkStatus(), 0, Parts::copy(response.SerializeAsString())};
}

void Applier::conclude(const mvcc::WriteTxn& txn) {
  CHECK(txn.revision() == txn.first_revision() + (txn.changes() > 0 ? 1 : 0));
  // A put or a delete takes a key from one lease to another, or leaves it.
  CHECK(txn.lease_changes().size() <= txn.changes());
  for (const mvcc::LeaseChange& change : txn.lease_changes()) {
    if (change.after == lease::kNoLease) {
      leases_.detach(change.key);
    } else if (absl::Status s = leases_.attach(change.after, change.key); !s.ok()) {
      // Only by ignore_lease can a key still name a lease that is gone; it stays without one.
      leases_.detach(change.key);
    }
    DCHECK(leases_.lease_of(change.key) == change.after || !leases_.exists(change.after));
  }
}

// One look at the clock for each entry, 30 ns: an entry begins where the one before it has ended.
void Applier::note_applied(const raft::Entry& entry, InternalKind kind, const Reply& reply) {
  CHECK(kind != InternalKind::kNone);
  const MonotonicTime now = clock_.now();
  const Duration took = std::max(now - std::exchange(applied_at_, now), Duration(0));
  // A refusal ahead of it all is none of the state machine's doing.
  if (!asked_) return;
  const bool ok = reply.status.ok() || reply.status == errors::Compacted();
  const auto magnitude = static_cast<uint8_t>(magnitude_of(took));
  const bool slow = is_slow(took);
  if (slow || !ok) warn_of(entry, reply, took);
  if (slow && options_.observer) options_.observer->slow_apply();
  for (Applied& row : applied_) {
    if (row.kind == kind && row.ok == ok && row.magnitude == magnitude) {
      ++row.count;
      row.took += took;
      return;
    }
  }
  applied_.push_back({kind, ok, magnitude, 1, took});
}

void Applier::report_applied() {
  if (applied_.empty()) return;
  CHECK(published_index_ < index_);
  if (options_.observer) options_.observer->applied(applied_);
  applied_.clear();
}

bool Applier::is_slow(Duration took) const {
  return options_.warning_duration > Duration(0) && took > options_.warning_duration;
}

void Applier::warn_of(const raft::Entry& entry, const Reply& reply, Duration took) const {
  if (!may_warn(options_.lines)) return;
  const std::string request = entry_text(entry.data);
  if (is_slow(took)) {
    warn_slow({.took = took,
               .expected = options_.warning_duration,
               .request = request,
               .response = reply.status.ok() ? answer_text(reply) : std::string(),
               .status = reply.status},
              options_.lines);
  }
  if (reply.status.ok() || reply.status == errors::Compacted()) return;
  warn_failed({.took = took, .request = request, .status = reply.status}, options_.lines);
}

absl::Status Applier::publish(Index index, Term term) {
  if (!failure_.ok()) return failure_;
  CHECK(index == index_);
  CHECK(term == term_);
  CHECK(index >= published_index_);
  int64_t revision = store_.revision();
  report_applied();
  // Before the keys: who reads under rules of before, and sees what came after, is told so.
  auth_.publish();
  absl::StatusOr<mvcc::EventBatchPtr> events = store_.publish(index, term);
  if (!events.ok()) return failure_ = events.status();
  // At most one revision an entry.
  CHECK(store_.revision() >= revision);
  CHECK(static_cast<uint64_t>(store_.revision() - revision) <= index - published_index_);
  published_index_ = index;
  published_term_ = term;
  check_invariants();
  CHECK((*events != nullptr) == (store_.revision() > revision));
  if (*events) published_(*std::move(events));
  return absl::OkStatus();
}

absl::Status Applier::background_step() {
  if (!failure_.ok()) return failure_;
  // Between two batches: what a compaction removes is the effect of what is published.
  CHECK(index_ == published_index_);
  // What was to be stepped may have gone with the state that a snapshot replaced.
  if (!store_.compacting()) return absl::OkStatus();
  MonotonicTime start = clock_.now();
  if (!std::exchange(compaction_started_, true)) compacting_since_ = start;
  if (store_.compaction_held() && start - compacting_since_ > kMostHeld) {
    store_.drop_compaction_hash();
  }
  if (store_.compaction_held()) {
    background_pause_ = pace_.held_pause();
    return absl::OkStatus();
  }
  store_.compact_step(pace_.step());
  absl::StatusOr<mvcc::EventBatchPtr> events = store_.publish(index_, term_);
  if (!events.ok()) return failure_ = events.status();
  CHECK(*events == nullptr);
  KEELSON_FAILPOINT("mvcc_compact_committed");
  MonotonicTime end = clock_.now();
  background_pause_ = pace_.pause(store_.compaction_debt(), end - start, in_a_hurry_);
  if (options_.observer) options_.observer->compaction_step(end - start);
  if (store_.compacting()) return absl::OkStatus();
  compaction_started_ = false;
  if (options_.observer) options_.observer->compaction_finished(end - compacting_since_);
  if (take_line(options_.lines, kUsualLine)) {
    log::info("finished scheduled compaction", {{"compact-revision", store_.compact_revision()}});
  }
  run_compacted();
  check_invariants();
  return absl::OkStatus();
}

std::unique_ptr<mvcc::HashKvJob> Applier::take_compaction_hash() {
  CHECK(index_ == published_index_);
  if (!store_.compacting()) return nullptr;
  std::unique_ptr<mvcc::HashKvJob> job = store_.take_compaction_hash();
  // There is one only where no compaction was under way before, so nobody waits for this one yet.
  CHECK(job == nullptr || when_compacted_.empty());
  return job;
}

void Applier::when_compacted(Task done, bool in_a_hurry) {
  CHECK(may_wait());
  when_compacted_.push_back(std::move(done));
  in_a_hurry_ |= in_a_hurry;
  if (!store_.compacting()) run_compacted();
  check_invariants();
}

void Applier::run_compacted() {
  in_a_hurry_ = false;
  for (Task& done : std::exchange(when_compacted_, {})) done();
  CHECK(when_compacted_.empty());  // none is asked for by being told
}

}  // namespace keelson::apply
