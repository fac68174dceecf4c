// apply/test_member.h
//
// A state machine and what it stands on, in memory, for tests that look at it from the log's side.
// Time stands still.
//
// Threads: one.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "apply/applier.h"
#include "backend/memory_backend.h"
#include "base/quiet_log.h"

namespace keelson::apply {

class TestMember {
 public:
  TestMember() { open(); }

  // An orderly end, and a start.
  void reopen() {
    backend_.flush([](absl::Status) {});
    open();
  }

  Index next() const { return backend_.consistent_index() + 1; }
  // The entry of that index, published: what was answered, or why the member has ended.
  absl::StatusOr<Reply> apply(Bytes entry) {
    const Index index = next();
    absl::StatusOr<Reply> reply =
        applier_->apply({.term = Term(1), .index = index, .data = std::move(entry)}, true);
    if (!reply.ok()) return reply;
    EXPECT_TRUE(applier_->publish(index, Term(1)).ok());
    applier_->auth().check_invariants();
    return reply;
  }

  std::map<std::string, std::string> records(backend::Bucket bucket) const {
    std::map<std::string, std::string> out;
    auto at = backend_.iterate(bucket);
    for (at->seek_to_first(); at->valid(); at->next()) {
      out[std::string(at->key())] = std::string(at->value());
    }
    return out;
  }

  Applier& applier() { return *applier_; }

 private:
  class StillClock final : public Clock {
   public:
    MonotonicTime now() const override { return {std::chrono::seconds(100)}; }
    Duration unix_time() const override { return std::chrono::hours(1); }
  };

  void open() {
    applier_.reset();
    leases_ = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{});
    members_ = std::make_unique<membership::Cluster>(ClusterId(1));
    ASSERT_TRUE(members_->restore(backend_).ok());
    store_ = *mvcc::Store::open(&backend_, {});
    auto applier = Applier::create(&backend_, store_.get(), leases_.get(), members_.get(), &clock_,
                                   {}, [](mvcc::EventBatchPtr) {});
    ASSERT_TRUE(applier.ok()) << applier.status();
    applier_ = *std::move(applier);
  }

  log::QuietLog quiet_;
  StillClock clock_;
  backend::MemoryBackend backend_;
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<lease::LeaseTable> leases_;
  std::unique_ptr<membership::Cluster> members_;
  std::unique_ptr<Applier> applier_;
};

}  // namespace keelson::apply
