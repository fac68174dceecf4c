// mvcc/store.h
//
// Store is the multi-version key space: every change has a revision, and every revision since the
// last compaction can still be read. A key index in memory says which revisions exist; the
// KeyValues are in the backend's key bucket, the current ones also in memory within a budget.
//
// Place: one per member; the apply lane writes, io lanes read, watch feeds on its event batches.
// Threads: everything marked [apply] belongs to the one apply lane. Everything marked [any] may be
//   called on any thread, each with a ReaderSlot of its own. Readers take no lock and are never
//   blocked by the writer, nor it by them.
// Determinism: what [apply] calls do depends on nothing but the calls before them.
// Batches: [apply] changes are visible to WriteTxn at once and to readers when publish() returns;
//   it writes them to the backend together with the raft position they came from.
// Failure: a read that meets a damaged or missing record returns kDataLoss, never another value.
//   After an error from publish() the store must not be used any more: the node stops.
// Disk: publish() and WriteTxn write to the backend's memory only. WriteTxn reads the backend when
//   it needs the value of a key whose value was evicted (ignore_value, prev_kv, compare on VALUE)
//   or an older revision of it; nothing else on the apply lane does.
// Formats: docs/formats/mvcc.md; equal to etcd v3.7.1's (server/storage/mvcc), so hashes are equal.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "mvcc/event.h"
#include "mvcc/read_bounds.h"

namespace keelson::mvcc {

class StoreImpl;

// The numbers are etcdserverpb.RangeRequest's.
enum class SortOrder : uint8_t { kNone = 0, kAscend = 1, kDescend = 2 };
enum class SortTarget : uint8_t { kKey = 0, kVersion = 1, kCreate = 2, kMod = 3, kValue = 4 };

// The fields of etcdserverpb.RangeRequest that decide what is read. A key range is given as in the
// request: `end` empty: the one key; `end` == "\0": all keys from `key` on; else [key, end).
struct RangeOptions {
  int64_t limit = 0;     // most KeyValues to return; <= 0: all
  int64_t revision = 0;  // <= 0: the newest
  SortOrder sort_order = SortOrder::kNone;
  SortTarget sort_target = SortTarget::kKey;
  bool keys_only = false;
  bool count_only = false;
  int64_t min_mod_revision = 0;  // 0: no filter; likewise below
  int64_t max_mod_revision = 0;
  int64_t min_create_revision = 0;
  int64_t max_create_revision = 0;
  // False: `count` only says how many keys were visited, limit + 1 at most (etcd's RangeStream).
  bool total_count = true;
  // The caller can take RangeResult::held.
  bool may_hold = false;
};

class HeldRange;

// Runs a task that may take long on a thread that has the time.
using Dispose = std::function<void(absl::AnyInvocable<void()>)>;

struct RangeResult {
  int64_t revision = 0;  // for the header: the store's revision at the time of the read
  int64_t count = 0;     // keys in the range at the read revision, without limit and filters
  bool more = false;     // the limit cut something off
  // Encoded mvccpb.KeyValue each, ready to be placed behind a tag. Shared with the store.
  std::vector<Bytes> kvs;
  // Set: `kvs` is empty, and these are the KeyValues; not all of them are in memory.
  std::shared_ptr<HeldRange> held;
};

// The fields of an encoded KeyValue; views into it.
struct KeyValueView {
  std::string_view key;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  std::string_view value;
  int64_t lease = 0;
};
// False when `encoded` is not a KeyValue. [any]
bool decode_key_value(std::string_view encoded, KeyValueView* out);
// etcd's bytes: fields in order of number, zero values left out. [any]
Bytes encode_key_value(const KeyValueView& kv);

// A reader's place: each thread (or lane) that reads has one of its own, made by
// Store::register_reader(), gone before the Store is. One read at a time per slot.
class ReaderSlot {
 public:
  virtual ~ReaderSlot() = default;
};

// The store at one revision. Cheap to make (a load, an exchange, a load). It holds neither memory
// nor a snapshot, but a compaction that passes its revision waits with removing until the view is
// gone: what a view's revision shows, it shows to the end. So a view lives for one request, not
// longer. Threads: the slot's; not beyond the Store.
class ReadView {
 public:
  ReadView(ReadView&& other) noexcept;
  ReadView& operator=(ReadView&&) = delete;
  ~ReadView();

  int64_t revision() const { return revision_; }
  // -1: never compacted.
  int64_t compact_revision() const { return compact_revision_; }

  // Errors: errors::Compacted(), errors::FutureRev() as etcd has them; kDataLoss and other errors
  // of the backend. A read of the view's own revision is never errors::Compacted(). With bounds:
  // not_here(), and kCancelled when it is unwanted.
  absl::StatusOr<RangeResult> range(std::string_view key, std::string_view end,
                                    const RangeOptions& options = {}) const;
  // The KeyValue of one key at this view's revision; nullopt: no such key.
  absl::StatusOr<std::optional<Bytes>> get(std::string_view key) const;

 private:
  friend class Store;
  ReadView(ReaderSlot& slot, ReadBounds* bounds);
  const StoreImpl* store_;
  void* slot_;          // its place in that store; null: moved from
  ReadBounds* bounds_;  // null: none
  int64_t revision_ = 0;
  int64_t compact_revision_ = 0;
};

struct PutRequest {
  std::string_view key;
  std::string_view value;
  LeaseId lease;
  bool ignore_value = false;  // keep the key's value
  bool ignore_lease = false;  // keep the key's lease
  bool prev_kv = false;
};
struct PutResult {
  int64_t revision = 0;   // the transaction's
  Bytes prev_kv;          // empty unless asked for and there was one
  size_t value_size = 0;  // of the value stored, also when it was kept
};
struct DeleteResult {
  int64_t revision = 0;  // the transaction's, or the store's when nothing changed so far
  int64_t deleted = 0;
  std::vector<Bytes> prev_kvs;  // in order of keys, when asked for
};

// A key went from one lease to another (0: none). In order of the changes.
struct LeaseChange {
  std::string_view key;  // valid until the next publish()
  LeaseId before;
  LeaseId after;
};

// One transaction: all its changes share one main revision, numbered by sub in order. It cannot be
// undone: check first, then change. Without a change it uses up no revision. One at a time; must be
// gone before publish(). [apply]
class WriteTxn {
 public:
  WriteTxn(WriteTxn&& other) noexcept;
  WriteTxn& operator=(WriteTxn&&) = delete;
  ~WriteTxn();  // ends the transaction: the store's revision is now revision()

  // Reads see this transaction's own changes; errors as ReadView's.
  absl::StatusOr<RangeResult> range(std::string_view key, std::string_view end,
                                    const RangeOptions& options = {}) const;
  absl::StatusOr<std::optional<Bytes>> get(std::string_view key) const;

  // Is there such a key now, and from where on may revisions be read (-1: never compacted)? Told by
  // the index, so that what can be refused is refused before the first change.
  bool exists(std::string_view key) const;
  int64_t compact_revision() const;

  // REQUIRES: a key, and exists(key) when a value or lease is to be kept.
  // An error of these, and of a range() at a revision that can be read, is one of this member's
  // own backend: the transaction is broken and must not be published.
  absl::StatusOr<PutResult> put(const PutRequest& request);
  absl::StatusOr<DeleteResult> delete_range(std::string_view key, std::string_view end,
                                            bool prev_kv = false);
  // Deletes those of `keys` that there are, in their order. What is near is not looked for anew, so
  // that many cost as little as a range of them. REQUIRES: sorted, no key twice.
  DeleteResult delete_keys(std::span<const std::string> keys);

  // The revision reads see now: the store's before the first change, one more after it.
  int64_t revision() const;
  // Before the transaction.
  int64_t first_revision() const;
  size_t changes() const;
  const std::vector<LeaseChange>& lease_changes() const;

 private:
  friend class Store;
  explicit WriteTxn(StoreImpl* store);
  StoreImpl* store_;
};

// etcd's HashKV answer.
struct KvHash {
  uint32_t hash = 0;
  int64_t compact_revision = 0;
  int64_t hash_revision = 0;
  int64_t current_revision = 0;  // for the header
};

// A hash being computed in slices; the answer is that of a store whose compaction at
// compact_revision is complete. The thread of its slot; must be gone before the Store is.
class HashKvJob {
 public:
  // What the next step() is to somebody else.
  enum class Urgency {
    kNone,
    kHoldsRemoval,  // the compaction waits for this job with removing revisions
    kNotYet,        // it would do nothing: the compaction is not done yet
  };

  virtual ~HashKvJob() = default;
  // Works on about `max_records` records, or a megabyte of them; true when done. kAborted: only of
  // a compaction's hash, when the next compaction has made it worthless.
  virtual absl::StatusOr<bool> step(size_t max_records) = 0;
  virtual Urgency urgency() const { return Urgency::kNone; }
  // REQUIRES: step() returned true.
  virtual KvHash result() const = 0;
};

// A piece of history, whole transactions only.
struct History {
  std::vector<Event> events;  // in order of revision
  int64_t next_revision = 0;  // where to go on; > `to` when all was given
  size_t bytes = 0;
};

struct StoreOptions {
  // Memory for encoded current KeyValues; what does not fit is read from the backend.
  uint64_t value_memory = uint64_t{128} << 20;
  // How many births and deaths of keys are remembered for exact counts at older revisions.
  size_t liveness_ring = 32768;
};

struct StoreStats {
  int64_t keys = 0;             // live (etcd_debugging_mvcc_keys_total)
  int64_t records = 0;          // keys in the index, dead ones waiting for compaction included
  uint64_t index_bytes = 0;     // nodes, records, versions
  uint64_t value_bytes = 0;     // encoded KeyValues held in memory
  uint64_t retired = 0;         // pieces waiting for readers to leave
  uint64_t garbage_queue = 0;   // superseded versions waiting for a compaction
  uint64_t compacted_keys = 0;  // revisions deleted by compactions (db_compaction_keys_total)
  uint64_t descents = 0;        // ways down the index that births and deaths of keys have taken
};

class Store {
 public:
  // Reads the whole key bucket once and rebuilds the index. `backend` must outlive the store. An
  // unfinished compaction goes on with compact_step(). kDataLoss: the bucket does not parse.
  static absl::StatusOr<std::unique_ptr<Store>> open(backend::Backend* backend,
                                                     StoreOptions options = {});
  ~Store();

  // Keys with a lease, found by open(): to be attached once. [apply]
  std::vector<std::pair<std::string, LeaseId>> take_restored_leases();

  // ---- reading [any] ----
  std::unique_ptr<ReaderSlot> register_reader();
  // `bounds`, if given, holds for all ranges of the view together and outlives it.
  ReadView read(ReaderSlot& slot, ReadBounds* bounds = nullptr) const;
  // One read on a view of its own. result.revision is the view's.
  absl::StatusOr<RangeResult> range(ReaderSlot& slot, std::string_view key, std::string_view end,
                                    const RangeOptions& options = {}) const;
  int64_t revision() const;          // published
  int64_t compact_revision() const;  // published; -1: never compacted
  int64_t keys() const;              // live ones, published
  uint64_t compacted_keys() const;   // revisions that compactions deleted, published

  // The events of [from, to], about `max_bytes` of them but at least one transaction.
  // errors::Compacted() when `from` < compact_revision(); `to` beyond revision() is cut to it.
  absl::StatusOr<History> history(ReaderSlot& slot, int64_t from, int64_t to,
                                  size_t max_bytes) const;
  // The KeyValue under the event's key just before the event's revision; empty: there was none, or
  // it has been compacted away (etcd then sends none).
  absl::StatusOr<Bytes> previous_kv(ReaderSlot& slot, const Event& event) const;
  // Those of all events of one revision, to be read when they are wanted: one entry for each event,
  // of size 0 if there was none. Null: they have been compacted away. errors as HeldRange::begin().
  absl::StatusOr<std::shared_ptr<HeldRange>> hold_previous(ReaderSlot& slot,
                                                           std::span<const Event> events) const;
  // The same as previous_kv() without waiting for a disk; nullopt: that must tell.
  std::optional<Bytes> previous_kv_in_memory(ReaderSlot& slot, const Event& event) const;

  // revision 0: the newest. errors::Compacted(), errors::FutureRev() as etcd. A revision whose hash
  // a compaction stored is answered from there, as etcd does: its job is done at once. Any other
  // reads a snapshot of the backend, which it pins until it is done; compactions wait for its first
  // part, a walk over the index.
  absl::StatusOr<std::unique_ptr<HashKvJob>> hash_kv(int64_t revision) const;
  // Those that compactions have left, oldest first; some ten at most.
  std::vector<KvHash> compaction_hashes() const;

  // ---- writing [apply] ----
  WriteTxn begin();

  // What publish() will write; lease, auth and membership add their records here.
  backend::WriteBatch& batch();

  // Writes everything since the last publish() to the backend as the effect of the log up to
  // `index`, then shows it to readers. Returns the events, null when there are none.
  absl::StatusOr<EventBatchPtr> publish(keelson::Index index, Term term);

  // Sets the compact revision: from the next publish() on, reads below `revision` get
  // errors::Compacted(). Errors: errors::Compacted() when revision <= the present one,
  // errors::FutureRev() when > the newest.
  absl::Status compact(int64_t revision);

  // Removes about `max_work` superseded revisions from memory and (with the next publish()) from
  // the backend. False: nothing left to do. To be called after a publish(), until false; work for a
  // compact() of the same batch starts only after its publish().
  bool compact_step(size_t max_work);
  // A compaction was scheduled and its last compact_step() is not done.
  bool compacting() const;
  // The next compact_step() would do nothing: reads of older revisions that had begun are not done
  // yet, or the compaction's hash has still to read what is to be removed.
  bool compaction_held();
  // How many superseded revisions the compaction under way has still to remove, to within a
  // thousand.
  uint64_t compaction_debt() const;

  // The hash that etcd computes while it compacts (over everything since the compaction before), to
  // be run in the background. To be called right after the publish() that follows compact(), before
  // the first compact_step(); null when etcd would store none. Once done, its result answers
  // hash_kv(that revision). The compaction waits with removing for the first part of it, which is
  // as long as what was written since the compaction before; dropping the job ends that, and so
  // does drop_compaction_hash(). The next compact() makes the job worthless. Pins no snapshot.
  std::unique_ptr<HashKvJob> take_compaction_hash();
  void drop_compaction_hash();

  // Everything is what `next` holds from now on, on a backend of its own. Readers take no notice:
  // views that there are show the former store to their end, later ones the new one. What is left
  // of the former ends, and `stands_on` with it, in a task given to `dispose` when its last reader
  // has left; a slot leaves with its next read or with follow(). The next events follow revision().
  // REQUIRES: no transaction and nothing unpublished; next->revision() >= revision(). [apply]
  void replace(std::unique_ptr<Store> next, std::shared_ptr<void> stands_on, Dispose dispose);
  // The slot's own thread: lets go of a store that was replaced. False: something that was read of
  // it through this slot is still held; it is to be called again.
  bool follow(ReaderSlot& slot) const;

  // Records of the key bucket that somebody read anyway: the values of those that are current and
  // not in memory are kept there, within the budget. False: it is used up.
  bool warm(const backend::PassingRecords& records);

  // For metrics: copy the result out of the apply lane. [apply]
  StoreStats stats() const;

  // Checks every invariant of the index; costs a full walk. For tests and simulation.
  void check_invariants() const;

 private:
  explicit Store(std::shared_ptr<StoreImpl> impl);
  void show();
  StoreImpl& go_to_newest(ReaderSlot& slot) const;

  mutable std::mutex replacing_;     // impl_ and generation_ change together
  std::shared_ptr<StoreImpl> impl_;  // the apply lane's, who alone changes it
  std::atomic<uint64_t> generation_{1};
  // What is published, for who has no slot: a former store may be gone at any time.
  std::atomic<int64_t> revision_{1};
  std::atomic<int64_t> compact_revision_{-1};
  std::atomic<int64_t> keys_{0};
  std::atomic<uint64_t> compacted_keys_{0};
};

}  // namespace keelson::mvcc
