// lease/lease_table.h
//
// LeaseTable holds the leases: who exists, for how long, and which keys die with whom.
//
// Place: owned by the apply lane. Grants, revokes, checkpoints and attachments come out of the log
//   and change the replicated part (ids, TTLs, keys, records); renewals and expiry times are the
//   primary's own business and never reach the log. The table deletes no key: revoke() hands the
//   keys to the caller, who deletes them in the same transaction.
// Threads: one lane at a time; nothing locks. Renewals and questions from elsewhere come there.
// Time: only as the argument `now`; the table never looks at a clock. The records it writes do not
//   depend on `now`, so that every member writes the same bytes.
// Records: bucket `lease`, key = 8-byte big-endian id, value = leasepb.Lease, written into the
//   caller's batch.
// Errors: errors::LeaseNotFound, LeaseExist, LeaseTTLTooLarge; errors::NotLeader from renew() on a
//   table that is not primary (ask the leader); errors::LeaderChanged from time_to_live() there.
// Cost: grant, renew, revoke O(log n) in the number of leases; attach and detach O(1). promote() is
//   one sort of all leases; list() does not touch them (lease_roll.h says how, and why), nor does
//   list_keys() touch the keys. all_have() asks about a key once, mostly.
// Source: etcd v3.7.1, server/lease/lessor.go and server/storage/schema/lease.go.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/tally.h"
#include "lease/lease_heap.h"
#include "lease/lease_roll.h"
#include "lease/leased_keys.h"

namespace keelson::lease {

// "No lease". Never granted.
inline constexpr LeaseId kNoLease{0};
inline constexpr int64_t kMaxTtlSeconds = 9'000'000'000;

struct LeaseOptions {
  // Shorter grants get this one. etcd: ceil(1.5 × election timeout), so 2 by default.
  int64_t min_ttl_seconds = 2;
  // Leases to revoke per second at most; take_expired() gives half of it, being called twice.
  int revoke_rate = 1000;
  // An expired lease that has not been revoked is named again after this long.
  // etcd: the request timeout, 5 s + 2 × election timeout.
  Duration expired_retry_interval = std::chrono::seconds(7);
  // Feature gate LeaseCheckpoint (off by default): the primary proposes remaining TTLs.
  bool checkpoints = false;
  Duration checkpoint_interval = std::chrono::minutes(5);
  // Remaining TTLs go to the record, too. etcd: always from cluster version 3.6 on.
  bool persist_checkpoints = true;
};

struct Checkpoint {
  LeaseId id;
  int64_t remaining_ttl_seconds = 0;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

struct Renewal {
  enum class State {
    kRenewed,
    // A remaining TTL is on record: propose checkpoint(id, 0), and when it has been applied call
    // renew() again. Otherwise the next leader would cut the lease short.
    kClearCheckpointFirst,
    // The time is up and the revocation on its way: the answer must wait for it, when_settled().
    kExpired,
  };
  State state = State::kRenewed;
  int64_t ttl_seconds = 0;  // of kRenewed
};

struct TimeToLive {
  int64_t granted_ttl_seconds = 0;
  int64_t remaining_seconds = 0;  // whole seconds, rounded towards zero; may be negative
};

// Counts since construction, for metrics; any thread may read them.
struct LeaseCounters {
  Tally granted;
  Tally revoked;
  Tally renewed;
};

class LeaseTable {
 public:
  // Told once what became of an expired lease: LeaseNotFound (revoked, or the table restored) or
  // NotLeader (demoted first). Runs inside revoke(), demote() or restore(); must not call back.
  using Settled = absl::AnyInvocable<void(absl::Status)>;

  explicit LeaseTable(LeaseOptions options);
  ~LeaseTable();
  LeaseTable(const LeaseTable&) = delete;
  LeaseTable& operator=(const LeaseTable&) = delete;

  // ---- the replicated part

  // Returns the TTL granted. The id is chosen before the proposal (a positive random one when the
  // client gave none), so that all members use the same.
  absl::StatusOr<int64_t> grant(LeaseId id, int64_t ttl_seconds, MonotonicTime now,
                                backend::WriteBatch& batch);

  // Forgets the lease and returns its keys in byte order, the order in which they are deleted.
  absl::StatusOr<std::vector<std::string>> revoke(LeaseId id, backend::WriteBatch& batch);

  // Notes the remaining TTL (0: none, the full TTL counts). An unknown lease is no error.
  void checkpoint(Checkpoint checkpoint, MonotonicTime now, backend::WriteBatch& batch);

  // A put of `key` under lease `id`: the key leaves its former lease, if any.
  absl::Status attach(LeaseId id, std::string_view key);
  // A put without a lease, or a delete. A key without lease is no error.
  void detach(std::string_view key);

  // ---- the primary's part

  // The leader calls this once all entries of earlier terms are applied. Every lease starts over
  // with its remaining or full TTL plus `extend` (the election timeout); where more than the
  // revoke rate would run out together, the later ones are spread out.
  void promote(Duration extend, MonotonicTime now);
  void demote();
  bool primary() const { return primary_; }

  absl::StatusOr<Renewal> renew(LeaseId id, MonotonicTime now);
  // REQUIRES: renew() has just said kExpired.
  void when_settled(LeaseId id, Settled settled);

  // Leases whose time is up, at most revoke_rate / 2, longest overdue first; for the leader to
  // propose their revocation. Each comes again after the retry interval if it is still there.
  // Call every 500 ms. Empty when not primary.
  std::vector<LeaseId> take_expired(MonotonicTime now);

  // Remaining TTLs that are due to be proposed in one LeaseCheckpoint entry. Call every 500 ms,
  // again (500 times at most) while it returns `max`. Empty unless primary with checkpoints on.
  std::vector<Checkpoint> take_due_checkpoints(MonotonicTime now, size_t max = 1000);

  // ---- questions

  bool exists(LeaseId id) const { return leases_.contains(id); }
  size_t size() const { return leases_.size(); }
  absl::StatusOr<TimeToLive> time_to_live(LeaseId id, MonotonicTime now) const;
  // The keys of a lease as of now; none for an unknown one. Cheap, and read anywhere, as list() is.
  KeyListing list_keys(LeaseId id) const;
  // Whether every key of a lease (none, of an unknown one) has a property: LeasedKeys::all_have().
  bool all_have(LeaseId id, uint64_t property, absl::FunctionRef<bool(std::string_view)> has);
  bool has_keys(LeaseId id) const;
  // Everybody as of now. Cheap, however many there are; the listing may be read anywhere.
  LeaseListing list() const { return roll_.list(); }
  // kNoLease if none.
  LeaseId lease_of(std::string_view key) const;
  const LeaseCounters& counters() const { return counters_; }

  // ---- start and snapshots

  // Forgets everything and reads the bucket; stays primary or not. Then comes attach() for each
  // live key with a lease. Restored leases run out only after the next promote().
  // Fails with DataLoss on a record that cannot be read.
  absl::Status restore(const backend::Reader& reader);

  // Tests and simulation: aborts if the indexes disagree.
  void check_invariants() const;
  // Work done so far, for tests: entries moved in the orders, pieces of the roll copied.
  uint64_t heap_moves() const { return expiries_.moves() + checkpoints_.moves(); }
  uint64_t pieces_copied() const { return roll_.copies(); }
  uint64_t key_pieces_copied() const { return key_pieces_copied_; }

 private:
  struct Lease;

  Lease* find(LeaseId id) const;
  // How long a lease has from a promotion on.
  struct Start {
    MonotonicTime at;
    uint32_t place;
  };
  Lease& add(LeaseId id);
  void leave_place(const Lease& lease);
  MonotonicTime expiry(const Lease& lease) const;
  bool expired(const Lease& lease, MonotonicTime now) const;
  void persist(const Lease& lease, backend::WriteBatch& batch) const;
  void refresh(Lease& lease, MonotonicTime now);
  bool worth_checkpoints(const Lease& lease) const;
  void schedule_checkpoint(Lease& lease, MonotonicTime now);
  // REQUIRES: no two, kForever aside, less than a second apart unless equal.
  static void sort_by_time(std::vector<Start>& starts);
  void spread_pile_ups(std::vector<Start>& starts, MonotonicTime now) const;
  Shared<LeasedKey> unlink(LeasedKey& key);
  static Lease& lease_of(const LeasedKey& key);
  static void settle(Lease& lease, const absl::Status& status);
  void clear();
  void check_sizes() const;
  absl::Status restore_record(std::string_view key, std::string_view value);

  const LeaseOptions options_;
  bool primary_ = false;
  LeaseCounters counters_;

  absl::flat_hash_map<LeaseId, std::unique_ptr<Lease>> leases_;
  // Place by place, the same in both: all leases, and with their expiries (kForever unless
  // primary). leases_.size() == by_place_.size() == roll_.size().
  std::vector<Lease*> by_place_;
  LeaseRoll roll_;
  // Every attached key, which its lease's LeasedKeys keep; the views point into them.
  absl::flat_hash_map<absl::string_view, LeasedKey*> keys_;
  uint64_t key_pieces_copied_ = 0;
  // When to name the lease in take_expired(): all leases if primary, else none.
  LeaseHeap expiries_;
  // When to checkpoint it: some leases, none unless primary with checkpoints on.
  // checkpoints_.size() <= expiries_.size().
  LeaseHeap checkpoints_;
};

}  // namespace keelson::lease
