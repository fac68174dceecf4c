// server/corruption_checks.h
//
// CorruptionChecks compares what the members hold, by their hashes: the leader does, at intervals
// (--corrupt-check-time) and by what compactions have left (CompactHashCheck), and raises the
// CORRUPT alarm for who differs; a member that starts does (InitialCorruptCheck), and refuses to
// serve when it differs.
//
// Threads: CorruptionChecks and what it asks on one lane; judge_initially() on any.
// Lifetime: what it asks outlives it; destroyed once the lane has stopped.
// Bounds: one check of each sort at a time.
// Source: etcd v3.7.1, server/etcdserver/corrupt.go: what is compared, the order, texts and fields.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/ids.h"
#include "mvcc/store.h"

namespace keelson::server {

// What another member said to the question for its hash.
struct PeerHash {
  MemberId member;
  std::vector<std::string> urls;
  absl::StatusOr<mvcc::KvHash> hash;
};

// Whether a member that is about to start differs from others that compacted at the same revision:
// FailedPrecondition, in etcd's words.
absl::Status judge_initially(MemberId self, const mvcc::KvHash& own,
                             const std::vector<PeerHash>& others);

class CorruptionChecks {
 public:
  // The cluster as this member sees it. `done` is called once, on the lane, or never when the
  // member stops.
  class Cluster {
   public:
    template <typename Value>
    using Done = absl::AnyInvocable<void(Value)>;

    virtual ~Cluster() = default;
    virtual MemberId self() const = 0;
    // The term in which this member leads.
    virtual std::optional<Term> leads() const = 0;
    // Of everything that this member has.
    virtual void hash(Done<absl::StatusOr<mvcc::KvHash>> done) = 0;
    virtual std::vector<mvcc::KvHash> compaction_hashes() const = 0;
    // What all other members hold, up to `revision`; in their order.
    virtual void ask_others(int64_t revision, Done<std::vector<PeerHash>> done) = 0;
    // A linearizable read.
    virtual void confirm(Done<absl::Status> done) = 0;
    // As the leader of `term`, or not at all. Of kNobody: it is not known whom it is about.
    virtual void raise_alarm(Term term, MemberId member) = 0;
  };

  struct Options {
    Duration interval{0};                         // 0: never
    std::optional<Duration> compaction_interval;  // nothing: never
    Duration timeout{0};                          // of a question, for the log
  };

  CorruptionChecks(Executor& lane, Cluster& cluster, Options options);

  // Begins to look at the intervals.
  void start();

  // One look, in the term in which this member leads; `done` on the lane.
  void check(Term term, absl::AnyInvocable<void(absl::Status)> done);
  void check_compactions(Term term, absl::AnyInvocable<void()> done);

 private:
  struct Check;
  struct CompactionCheck;

  void tick();
  void tick_compactions();
  void finish(Check& check, const absl::StatusOr<mvcc::KvHash>& again);
  void check_next(std::shared_ptr<CompactionCheck> check);
  std::vector<mvcc::KvHash> unchecked() const;
  bool compare(Term term, const mvcc::KvHash& own, const std::vector<PeerHash>& others);
  bool note_equal(const mvcc::KvHash& own, size_t checked, size_t others);

  Executor& lane_;
  Cluster& cluster_;
  const Options options_;
  bool checking_ = false;
  bool checking_compactions_ = false;
  // The newest revision at which all members were found equal by compactions.
  int64_t latest_checked_ = 0;
};

}  // namespace keelson::server
