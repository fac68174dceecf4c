// apply/applier.h
//
// Applier is the replicated state machine: committed entries go in, one after the other, and change
// the key space, the leases, the alarms and the membership; answers come out. The same entries
// leave the same bytes in the backend on every member, Keelson or etcd.
//
// Threads: one lane (the apply lane), but for what says otherwise.
// Determinism: what is written depends on the entries alone. The clock only times leases, which
//   expire by entries that the leader proposes.
// Order of effects: etcd v3.7.1, server/etcdserver/apply (a CORRUPT alarm refuses everything, a
//   NOSPACE alarm what adds, then the quota, then the store).
// Errors: two kinds, told apart by type. A Reply's status is an answer for the client, the same on
//   every member. Every other status that comes out of here means that this member cannot go on: it
//   must end; what was applied since the last publish() must be neither published nor answered.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apply/alarms.h"
#include "apply/observer.h"
#include "apply/op_counts.h"
#include "apply/permits.h"
#include "apply/reply.h"
#include "auth/auth_store.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/ids.h"
#include "base/line_budget.h"
#include "lease/lease_table.h"
#include "membership/cluster.h"
#include "mvcc/compaction_pace.h"
#include "mvcc/store.h"
#include "raft/conf_change.h"
#include "raft/entries.h"
#include "wire/internal_request.h"
#include "wire/raft_types.h"

namespace keelson::apply {

// A whole other state, as of entry `index`: what a snapshot from the leader brought.
struct Replacement {
  Index index;
  Term term;
  backend::Backend* backend = nullptr;
  std::unique_ptr<mvcc::Store> store;  // on it
  std::shared_ptr<void> former;        // what the former store stands on; ends with it
};

struct ConfChanged {
  // For the consensus core: the change itself, or one that does nothing when the cluster's state
  // refuses it.
  raft::ConfChangeV2 change;
  absl::Status answer;  // for the client: why it was refused
};

class Applier {
 public:
  struct Options {
    uint64_t quota_bytes = UINT64_MAX;  // of backend size; UINT64_MAX: none
    // The gentle pace of compactions: revisions removed, and the pause after them.
    size_t compaction_slice = 1000;
    Duration compaction_pause{0};
    // An entry that takes longer to apply is worth a warning; 0: none is.
    Duration warning_duration{0};
    auth::StoreOptions auth;
    Observer* observer = nullptr;  // outlives the applier
    // Of lines about entries, as of those that were slow or refused; null: no bound. Outlives the
    // applier.
    LineBudget* lines = nullptr;
    // The same of users and roles that were changed: who floods does not hide those.
    LineBudget* changes = nullptr;
  };
  // Told of every published batch that changed keys, before anyone is told that it is applied.
  using Published = std::function<void(mvcc::EventBatchPtr)>;

  // The parts outlive the applier. Leases and alarms are restored here.
  static absl::StatusOr<std::unique_ptr<Applier>> create(
      backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
      membership::Cluster* members, const Clock* clock, Options options, Published published);

  // Up to where the backend held the effects of the log when the member started; entries up to it
  // must not be applied again.
  Index applied_index() const { return started_at_; }
  // Of the last entry applied, or of that one.
  Term applied_term() const { return term_; }

  // One normal entry; an empty one (raft's own) changes nothing. `wanted`: somebody waits for the
  // answer; `hidden`: who asked for a transaction as it was before hide_ranges(). An error is not
  // the client's: see above. kCancelled: it was given up half way.
  // REQUIRES: entries come in order of index, each once; none after an error.
  absl::StatusOr<Reply> apply(const raft::Entry& entry, bool wanted, bool hidden = false);

  // The member ends: what is being applied may be given up, which is like any error. The log has it
  // for the next start. Any thread.
  void give_up() { given_up_.store(true, std::memory_order_relaxed); }
  bool given_up() const { return given_up_.load(std::memory_order_relaxed); }

  // A membership change.
  absl::StatusOr<ConfChanged> apply_conf_change(const raft::Entry& entry);

  // Makes everything since the last call visible as the effect of the log up to `index`.
  // REQUIRES: `index` is that of the last entry applied.
  absl::Status publish(Index index, Term term);

  // From now on the state is another one, later in the log than everything applied; the tables of
  // leases and members hold what it says. An error: this member cannot go on.
  // REQUIRES: what was applied is published.
  absl::Status replace(Replacement next, mvcc::Dispose dispose);

  // What was applied since the last publish() takes so much memory, about.
  size_t unpublished_bytes() const { return store_.batch().bytes(); }

  // A compaction under way goes on in slices, each of which publishes itself.
  bool has_background_work() const { return store_.compacting(); }
  Duration background_pause() const { return background_pause_; }
  absl::Status background_step();
  // `done` runs on this lane once no compaction is under way and its removals are committed.
  // REQUIRES: may_wait().
  // With `in_a_hurry` the compaction rests no more than it works until then.
  void when_compacted(Task done, bool in_a_hurry = false);
  // False: as many wait as may.
  bool may_wait() const { return when_compacted_.size() < kMostWaiting; }

  // The hash that belongs to a compaction just published, to be computed off this lane; mostly
  // null.
  std::unique_ptr<mvcc::HashKvJob> take_compaction_hash();

  // Leases are renewed and asked about here; grants and revocations come by entries.
  lease::LeaseTable& leases() { return leases_; }
  const Alarms& alarms() const { return alarms_; }
  const OpCounts& counts() const { return counts_; }  // any thread
  membership::Cluster& members() { return members_; }
  const auth::AuthStore& auth() const { return auth_; }
  MonotonicTime now() const { return clock_.now(); }

 private:
  Applier(backend::Backend* backend, mvcc::Store* store, lease::LeaseTable* leases,
          membership::Cluster* members, const Clock* clock, Options options, Published published);

  // applier.cc
  absl::Status restore_auth();
  absl::Status restore();
  absl::Status begin_auth();
  absl::StatusOr<Reply> apply_request(const wire::InternalRequest& request, bool wanted);
  absl::Status cannot_go_on(const raft::Entry& entry, std::string_view what,
                            const absl::Status& why);
  // What the alarms refuse. `cost` is what the request may add.
  absl::Status admit(int64_t cost) const;
  static absl::Status unknown(wire::InternalKind kind);
  bool within_quota(int64_t cost) const;

  // One kind of request each. An error is not the client's: see above.
  absl::StatusOr<Reply> put(std::string_view body, bool wanted);
  absl::StatusOr<Reply> delete_range(std::string_view body, bool wanted);
  absl::StatusOr<Reply> txn(std::string_view body, bool wanted);
  absl::StatusOr<Reply> decode_and_run_txn(std::string_view body, bool wanted);
  absl::StatusOr<Reply> compact(std::string_view body);
  absl::StatusOr<Reply> lease_grant(std::string_view body);
  absl::StatusOr<Reply> lease_revoke(std::string_view body);
  absl::StatusOr<Reply> lease_checkpoint(std::string_view body);
  absl::StatusOr<Reply> alarm(std::string_view body);

  // applier_cluster.cc
  absl::StatusOr<Reply> member_attributes(std::string_view body);
  absl::StatusOr<Reply> cluster_version(std::string_view body);
  absl::StatusOr<Reply> downgrade_info(std::string_view body);
  absl::StatusOr<Reply> version_2(std::string_view body);
  absl::StatusOr<Reply> set_attributes(MemberId id, std::string_view name,
                                       std::vector<std::string> client_urls);
  absl::StatusOr<Reply> set_version(std::string_view version);

  // applier_auth.cc
  static bool is_auth(wire::InternalKind kind);
  absl::StatusOr<Reply> auth_request(const wire::InternalRequest& request);
  template <typename Request>
  absl::StatusOr<Reply> change(std::string_view body,
                               absl::Status (auth::AuthStore::*what)(const Request&,
                                                                     backend::WriteBatch&));
  absl::StatusOr<Reply> changed(absl::Status status);
  absl::StatusOr<Reply> authenticate(std::string_view body);
  absl::StatusOr<Reply> auth_status();
  absl::StatusOr<Reply> user_get(std::string_view body);
  absl::StatusOr<Reply> role_get(std::string_view body);
  absl::StatusOr<Reply> user_list();
  absl::StatusOr<Reply> role_list();
  void order_grants();

  // What `who_` may do.
  Permits permits() { return Permits(auth_.rules(), who_, &leases_); }

  void note_applied(const raft::Entry& entry, wire::InternalKind kind, const Reply& reply);
  void report_applied();
  bool is_slow(Duration took) const;
  void warn_of(const raft::Entry& entry, const Reply& reply, Duration took) const;
  // The transaction is done: its keys go to their leases.
  void conclude(const mvcc::WriteTxn& txn);
  void run_compacted();
  absl::Status check_follows(const raft::Entry& entry);
  void passed(const raft::Entry& entry);
  void check_reply(const Reply& reply) const;
  void check_invariants() const;

  backend::Backend* backend_;
  mvcc::Store& store_;
  lease::LeaseTable& leases_;
  membership::Cluster& members_;
  const Clock& clock_;
  const Options options_;
  const Published published_;

  Alarms alarms_;
  auth::AuthStore auth_;
  auth::Identity who_;   // of the entry being applied
  bool hidden_ = false;  // of the entry being applied: hide_ranges() was at it
  bool asked_ = true;    // that was asked of the state machine; false: refused ahead of it
  // started_at_ <= published_index_ <= index_, each entry is the one after index_, and terms never
  // go down: published_term_ <= term_. With failure_ set nothing moves any more.
  Index started_at_;
  Index published_index_;
  Index index_;  // applied so far
  Term published_term_;
  Term term_;  // of index_
  absl::Status failure_;
  std::atomic<bool> given_up_{false};  // set once
  static constexpr size_t kMostWaiting = 1024;
  std::vector<Task> when_compacted_;  // at most kMostWaiting; none unless store_.compacting()
  bool in_a_hurry_ = false;           // one of them is
  OpCounts counts_;
  std::vector<Applied> applied_;     // since the last publish(); none if index_ is published
  MonotonicTime applied_at_;         // the last of them ended; of no meaning without one
  MonotonicTime compacting_since_;   // the first step of the compaction under way
  bool compaction_started_ = false;  // and there was one: only while store_.compacting()
  const mvcc::CompactionPace pace_;
  Duration background_pause_{0};  // after the last step
  // Reused, so that parsing allocates little. Cleared outside of txn(): nothing in it nests.
  etcdserverpb::TxnRequest txn_request_;
};

}  // namespace keelson::apply
