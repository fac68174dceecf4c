// backend/memory_backend.h
//
// MemoryBackend is the twin of the RocksDB backend for tests and simulation: ordered maps in memory
// that can crash. crash() falls back to what the last flush() had, as a machine that loses power
// does; the object then plays the part of the store opened again.
//
// Place: tests and sim/ only; never shipped in a server.
// Threads: as Backend; one mutex guards everything.
// Cost: the maps are copied on the first commit after a snapshot, flush or iterator; small data
// only.

#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace keelson::backend {

class MemoryBackend final : public Backend {
 public:
  MemoryBackend();

  absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const override;
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const override;
  std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options = {}) const override;

  absl::StatusOr<bool> multi_get_in_memory(Bucket bucket, std::span<const std::string_view> keys,
                                           std::vector<std::optional<Bytes>>* found) const override;
  absl::Status commit(const WriteBatch& batch, Index consistent_index, Term term) override;
  Index consistent_index() const override;
  Term consistent_term() const override;
  std::shared_ptr<const Snapshot> snapshot() const override;
  void flush(absl::AnyInvocable<void(absl::Status)> done) override;
  Index durable_index() const override;
  void set_durable_listener(std::function<void(Index)> listener) override;
  uint64_t size_on_disk() const override;
  uint64_t size_in_use() const override;
  // Keeps a copy under the name `dir`; open_checkpoint() opens it.
  absl::Status checkpoint(const std::string& dir) override;
  absl::Status health() const override;

  // ---- what only tests do ----

  // Loses everything since the last completed flush. Snapshots taken before stay readable.
  void crash();
  // While held, flush() only remembers what was asked; release_flushes() completes it in order.
  void hold_flushes();
  void release_flushes();
  // From now on commit() and flush() fail with `status`; Ok mends it.
  void fail_writes(absl::Status status);
  // get() and multi_get() fail with `status` after `good` more of them; Ok mends it.
  void fail_reads(absl::Status status, int good = 0);
  // From now on, or no longer, multi_get_in_memory() says that nothing is.
  void set_cold(bool cold) { cold_ = cold; }
  std::unique_ptr<MemoryBackend> open_checkpoint(const std::string& dir) const;

  // One moment's contents; immutable once shared.
  struct State {
    std::array<std::map<std::string, Bytes, std::less<>>, kBucketCount> buckets;
    Index index;
    Term term;
    uint64_t bytes = 0;
  };

 private:
  using StatePtr = std::shared_ptr<const State>;
  StatePtr current() const;
  State& writable_locked();
  void complete_flush(StatePtr flushed);
  absl::Status read_locked() const;

  mutable std::mutex mutex_;
  std::shared_ptr<State> state_;
  StatePtr durable_;
  std::function<void(Index)> listener_;
  absl::Status failure_;
  absl::Status read_failure_;
  mutable int good_reads_ = 0;  // before read_failure_ shows
  bool hold_ = false;
  std::atomic<bool> cold_{false};
  std::vector<std::pair<StatePtr, absl::AnyInvocable<void(absl::Status)>>> held_;
  std::map<std::string, StatePtr> checkpoints_;
};

}  // namespace keelson::backend
