// node/test_store.h
//
// TestStore is what the store of a TestMember lies on, and what can go wrong there.
//
// Threads: one, except where an implementation says otherwise. Lifetime: survives the Node that
// uses it; what open() returns does not survive the TestStore.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/memory_backend.h"
#include "base/executor.h"
#include "base/random.h"

namespace keelson::node {

// The node owns its backend; the one behind it lives on.
class ForwardingBackend : public backend::Backend {
 public:
  explicit ForwardingBackend(backend::Backend& to) : to_(to) {}

  absl::StatusOr<std::optional<Bytes>> get(backend::Bucket bucket,
                                           std::string_view key) const override {
    return to_.get(bucket, key);
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      backend::Bucket bucket, std::span<const std::string_view> keys) const override {
    return to_.multi_get(bucket, keys);
  }
  std::unique_ptr<backend::Iterator> iterate(backend::Bucket bucket,
                                             backend::IterateOptions options) const override {
    return to_.iterate(bucket, options);
  }
  absl::Status commit(const backend::WriteBatch& batch, Index index, Term term) override {
    return to_.commit(batch, index, term);
  }
  Index consistent_index() const override { return to_.consistent_index(); }
  Term consistent_term() const override { return to_.consistent_term(); }
  std::shared_ptr<const backend::Snapshot> snapshot() const override { return to_.snapshot(); }
  void flush(absl::AnyInvocable<void(absl::Status)> done) override { to_.flush(std::move(done)); }
  void end_patience() override { to_.end_patience(); }
  std::unique_ptr<backend::HeadWalk> walk_heads(const backend::HeadFormat& format) const override {
    return to_.walk_heads(format);
  }
  void read_through(backend::TakePassing passing) override { to_.read_through(std::move(passing)); }
  Index durable_index() const override { return to_.durable_index(); }
  void set_durable_listener(std::function<void(Index)> listener) override {
    to_.set_durable_listener(std::move(listener));
  }
  uint64_t size_on_disk() const override { return to_.size_on_disk(); }
  uint64_t approximate_size() const override { return to_.approximate_size(); }
  uint64_t size_in_use() const override { return to_.size_in_use(); }
  void set_live_bytes(uint64_t bytes) override { to_.set_live_bytes(bytes); }
  void reclaim(absl::AnyInvocable<void(absl::Status)> done) override {
    to_.reclaim(std::move(done));
  }
  absl::Status checkpoint(const std::string& dir) override { return to_.checkpoint(dir); }
  absl::Status health() const override { return to_.health(); }
  void set_health_listener(std::function<void(const absl::Status&)> listener) override {
    to_.set_health_listener(std::move(listener));
  }

 private:
  backend::Backend& to_;
};

class TestStore {
 public:
  virtual ~TestStore() = default;

  virtual absl::StatusOr<std::unique_ptr<backend::Backend>> open() = 0;
  // The process dies, and the backend is destroyed next. `keep` what it would have written in time,
  // if the store can.
  virtual void kill(bool keep) = 0;
  // The power goes: the same, and only what is durable is there when it comes back.
  virtual void lose_power() = 0;

  // One fault of its own choice, that comes once or stays.
  virtual void break_something(Random& random) = 0;
  // No more faults.
  virtual void mend() = 0;

  // What threads of the store's own have said since is posted to `lane`. If `idle`, the member has
  // nothing else to do, and what is under way may be waited for.
  virtual void deliver(Executor& lane, bool idle) {}
};

// The twin in memory: every history of it is the same each time.
class MemoryStore final : public TestStore {
 public:
  explicit MemoryStore(backend::MemoryBackend& disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<backend::Backend>> open() override {
    return std::make_unique<ForwardingBackend>(disk_);
  }
  void kill(bool keep) override {
    if (!keep) disk_.crash();
  }
  void lose_power() override { disk_.crash(); }

  void break_something(Random& random) override {
    switch (random.below(3)) {
      case 0:
        return disk_.fail_writes(absl::UnavailableError("EIO"));
      case 1:
        return disk_.fail_reads(absl::DataLossError("a block's sum does not match"),
                                static_cast<int>(random.below(20)));
      case 2:
        return disk_.hold_flushes();
    }
  }
  void mend() override {
    disk_.fail_writes(absl::OkStatus());
    disk_.fail_reads(absl::OkStatus());
    disk_.release_flushes();
  }

 private:
  backend::MemoryBackend& disk_;
};

}  // namespace keelson::node
