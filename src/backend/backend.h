// backend/backend.h
//
// Backend is the ordered store under everything: buckets of byte keys and values, written in atomic
// batches that carry the raft position they came from.
//
// Place: one per member, owned by the node; mvcc, lease, auth and membership keep records in it.
// Implementations: backend/rocks/rocks_backend.h (RocksDB), backend/memory_backend.h (tests and
//   simulation; loses what was not flushed).
// Threads: commit(), flush() and set_durable_listener() belong to one writer lane. Everything else,
//   snapshots and iterators included, may be called from any thread. An Iterator is one thread's.
// Durability: commit() promises nothing about disk: the raft log is the redo log. A crash falls
//   back to some earlier commit, whole, over all buckets at once; durable_index() says which raft
//   entries are never needed again.
// Errors: kDataLoss  stored bytes fail their checksum or do not parse; nothing wrong is returned.
//         kResourceExhausted  the disk is full; writes still succeed in memory while there is room.
//         kUnavailable  the disk fails otherwise. Messages say what the operator can do.
// Source of bucket names and meta records: etcd v3.7.1, server/storage/schema.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/ids.h"

namespace keelson::backend {

enum class Bucket : uint8_t {
  kKey,
  kMeta,
  kLease,
  kAlarm,
  kCluster,
  kMembers,
  kMembersRemoved,
  kAuth,
  kAuthUsers,
  kAuthRoles,
};
inline constexpr size_t kBucketCount = 10;

// etcd's name: "key", "meta", "lease", "alarm", "cluster", "members", "members_removed", "auth",
// "authUsers", "authRoles".
std::string_view bucket_name(Bucket bucket);

// All buckets in the order of their names, as etcd's whole-database hash and its files have them.
std::span<const Bucket> buckets_by_name();

// Records of the meta bucket that commit() keeps: 8 bytes, big endian.
inline constexpr std::string_view kConsistentIndexKey = "consistent_index";
inline constexpr std::string_view kTermKey = "term";

// Changes to be made together, in order. A value; reuse it with clear() to keep its memory.
class WriteBatch {
 public:
  void put(Bucket bucket, std::string_view key, std::string_view value) {
    add(bucket, kPut, key, value);
  }
  void del(Bucket bucket, std::string_view key) { add(bucket, kDel, key, {}); }

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  // Bytes of keys and values, with a little per change.
  size_t bytes() const { return data_.size(); }
  void clear() {
    data_.clear();
    count_ = 0;
  }

  // Calls put(bucket, key, value) and del(bucket, key) in the order they were added.
  template <typename Put, typename Del>
  void for_each(Put&& put, Del&& del) const {
    const char* at = data_.data();
    const char* end = at + data_.size();
    while (at < end) {
      Head head;
      __builtin_memcpy(&head, at, sizeof head);
      at += sizeof head;
      std::string_view key(at, head.key_size);
      std::string_view value(at + head.key_size, head.value_size);
      at += size_t{head.key_size} + head.value_size;
      if (head.kind == kPut) {
        put(head.bucket, key, value);
      } else {
        del(head.bucket, key);
      }
    }
  }

 private:
  enum Kind : uint8_t { kPut, kDel };
  struct Head {
    uint32_t key_size;
    uint32_t value_size;
    Bucket bucket;
    Kind kind;
  };
  void add(Bucket bucket, Kind kind, std::string_view key, std::string_view value) {
    Head head{static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size()), bucket, kind};
    data_.append(reinterpret_cast<const char*>(&head), sizeof head);
    data_.append(key);
    data_.append(value);
    ++count_;
  }

  std::string data_;
  size_t count_ = 0;
};

// A cursor over one bucket, in byte order of keys, within the bounds it was made with.
// key() and value() are valid until the next move.
class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual bool valid() const = 0;
  virtual void seek_to_first() = 0;
  virtual void seek_to_last() = 0;
  virtual void seek(std::string_view at_or_after) = 0;
  virtual void seek_for_prev(std::string_view at_or_before) = 0;
  // REQUIRES: valid().
  virtual void next() = 0;
  virtual void prev() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  // When valid() turned false: Ok at the end of the range, else why reading stopped.
  virtual absl::Status status() const = 0;
};

struct IterateOptions {
  std::string_view lower;  // first key that may be shown
  std::string_view upper;  // first key beyond the range; empty: no bound
  // A long walk over cold data should not push hot blocks out of the cache.
  bool fill_cache = false;
};

// What the owner of a bucket's records needs of each of them before it can serve: a short text made
// of the record alone, kept apart from the values so that a start does not have to read those.
struct HeadFormat {
  // Appends the head of a record. Pure; called from any thread. An error says that the record is
  // damaged.
  absl::Status (*of)(std::string_view key, std::string_view value, std::string* head) = nullptr;
  // Heads that were made by another version are not used.
  uint32_t version = 0;
};

// A walk over the heads of a bucket, in byte order of keys. One thread's.
class HeadWalk {
 public:
  virtual ~HeadWalk() = default;
  // False at the end, or when it failed: status() says which.
  virtual bool next() = 0;
  // Of the record that next() went to; valid until the next call.
  virtual std::string_view key() const = 0;
  virtual std::string_view head() const = 0;
  virtual absl::Status status() const = 0;
};

// Records as they passed by, keys with their values.
using PassingRecords = std::vector<std::pair<std::string, std::string>>;
// False: no more are wanted.
using TakePassing = std::function<bool(PassingRecords)>;

// What both the newest state and a pinned one can answer.
class Reader {
 public:
  virtual ~Reader() = default;
  // nullopt: no such key.
  virtual absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const = 0;
  // One answer per key, in their order; the first error ends it.
  virtual absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const = 0;
  // Not positioned yet. The bounds are copied. Pins the state it started from until destroyed.
  virtual std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options = {}) const = 0;
};

// The state at one moment, after some whole number of commits. Keeps superseded data on disk while
// it lives, so it should not live for hours. Must be gone before its Backend is.
class Snapshot : public Reader {
 public:
  // The position of the last commit it contains.
  virtual Index consistent_index() const = 0;
  virtual Term consistent_term() const = 0;
};

class Backend : public Reader {
 public:
  // Makes the changes of `batch` visible, all together, and records that they are the effect of the
  // raft log up to `consistent_index` (at `term`). An index of 0 leaves the recorded position as it
  // is (changes that come from no entry), a term of 0 the recorded term, as etcd does.
  // REQUIRES: consistent_index does not go back.
  // After an error nothing of the batch is visible and the node has to stop.
  virtual absl::Status commit(const WriteBatch& batch, Index consistent_index, Term term) = 0;

  // The heads of the key bucket's records. REQUIRES: no commit while it lives: it is for a start.
  // Here made from the values; a backend that keeps heads of this format uses those.
  virtual std::unique_ptr<HeadWalk> walk_heads(const HeadFormat& format) const;

  // The position of the newest commit; what the node replays the log from after open.
  virtual Index consistent_index() const = 0;
  virtual Term consistent_term() const = 0;

  // As multi_get(), from memory alone: false when one of them is only on the disk. The answers are
  // in `found` otherwise. What is all in memory says true always.
  virtual absl::StatusOr<bool> multi_get_in_memory(Bucket bucket,
                                                   std::span<const std::string_view> keys,
                                                   std::vector<std::optional<Bytes>>* found) const {
    absl::StatusOr<std::vector<std::optional<Bytes>>> all = multi_get(bucket, keys);
    if (!all.ok()) return all.status();
    *found = *std::move(all);
    return true;
  }

  virtual std::shared_ptr<const Snapshot> snapshot() const = 0;

  // Asks for everything committed so far to go to stable storage; returns at once. `done` is called
  // once, from a background thread (or inline by the in-memory twin), with Ok when it is there.
  virtual void flush(absl::AnyInvocable<void(absl::Status)> done) = 0;

  // From now on a flush that finds no space fails with kResourceExhausted instead of waiting, those
  // that wait now among them: for an orderly end, which must not take as long as a disk is full.
  // Nothing is lost, the raft log has it. Any thread.
  virtual void end_patience() {}

  // Somebody else met a full disk that the store may share: what the store holds back for such a
  // moment is given away. Where it did so, health() is kResourceExhausted until it is had again.
  // Any thread; may wait for the disk.
  virtual void make_room() {}

  // Every commit up to this raft index survives a crash; log segments before it can go.
  virtual Index durable_index() const = 0;
  // There is a log to this store now: whoever finds the store without one is told so, even when
  // nothing has become durable in it yet. Before what the log has is acknowledged to anybody.
  virtual absl::Status note_log() { return absl::OkStatus(); }
  // Called with the new durable_index() each time it advances, from a background thread: post to a
  // lane, do not work there. Set once, before the first commit.
  virtual void set_durable_listener(std::function<void(Index)> listener) = 0;

  // From now on everything that is stored is read once, slowly, in the background: damage that no
  // read has met yet shows in health(). The key bucket's records are handed to `passing` on the
  // way, some hundred at a time, in order, from that thread: note them, do not work there. Once.
  virtual void read_through(TakePassing passing) {}

  // Space. size_on_disk() is what the quota is held against and what etcd calls dbSize: the files
  // of the newest state and the write buffers that will become files; not the raft log, and not
  // files that only an iterator or snapshot still holds. size_in_use() (dbSizeInUse) is the share
  // of it that is alive; the difference is given back within seconds, in the background, as soon as
  // it is a quarter of the whole (less near the quota), and at once by reclaim().
  virtual uint64_t size_on_disk() const = 0;
  // The same to within a few megabytes, for a price that every request can pay.
  virtual uint64_t approximate_size() const { return size_on_disk(); }
  // Whether `added` more bytes stay below `quota`: asked of the cheap size first, and of the exact
  // one before it is denied.
  bool has_room(uint64_t added, uint64_t quota) const {
    return approximate_size() + added < quota || size_on_disk() + added < quota;
  }
  virtual uint64_t size_in_use() const = 0;
  // Told by whoever owns the records of the key bucket: the bytes of keys and values that are alive
  // as of the last commit. Until the first call everything counts as alive.
  virtual void set_live_bytes(uint64_t bytes) {}
  // Gives back now what dead records take; commits and reads go on meanwhile. Returns at once;
  // `done` is called once, from a background thread (inline by the in-memory twin, which keeps
  // nothing dead), when it is done or could not be, and why.
  virtual void reclaim(absl::AnyInvocable<void(absl::Status)> done) { done(absl::OkStatus()); }

  // A complete, openable copy of the newest state in the new directory `dir`; hard links where the
  // file system has them. REQUIRES: dir does not exist, its parent does. Any thread; takes long.
  virtual absl::Status checkpoint(const std::string& dir) = 0;

  // Ok, or the first background failure that still stands (full disk, I/O error, corruption).
  virtual absl::Status health() const = 0;
  // Called with each new health(), from a background thread: note it, do not work there. Set once,
  // before the first commit.
  virtual void set_health_listener(std::function<void(const absl::Status&)> listener) {}
};

// The CRC-32C etcd calls Hash(): bucket names, keys and values of the whole database, without the
// records of the meta bucket that may differ between healthy members (consistent_index, term,
// storageVersion). Reads everything, in slices. One thread's, off the apply lane; must be gone
// before the reader is.
class HashAllJob {
 public:
  explicit HashAllJob(const Reader& reader) : reader_(reader) {}

  // Works on about `max_records` records, or a megabyte of them; true when done. An error ends it.
  absl::StatusOr<bool> step(size_t max_records);
  // REQUIRES: step() returned true.
  uint32_t result() const;

 private:
  const Reader& reader_;
  uint32_t crc_ = 0;
  size_t bucket_ = 0;                   // in the order of names; <= kBucketCount
  std::unique_ptr<Iterator> position_;  // in that bucket; null: it is not begun, or all is done
};

// The same in one go: for tests and small databases.
absl::StatusOr<uint32_t> hash_all(const Reader& reader);

}  // namespace keelson::backend
