// archive/test_member.h
//
// For tests: a member without its network, whose log and state an archive keeps: entries of all
// kinds go into the log, are committed and applied, some of them in the place of others that were
// not. It remembers what the state was behind each entry. And a twin of a restore, in memory.
//
// Threads: one.

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apply/applier.h"
#include "archive/archive.h"
#include "archive/catalogue.h"
#include "archive/replay.h"
#include "backend/held_snapshot.h"
#include "backend/memory_backend.h"
#include "base/endian.h"
#include "base/quiet_log.h"
#include "base/random.h"
#include "base/text.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/source.h"
#include "interchange/database_reader.h"
#include "proto/rpc.pb.h"
#include "raft/conf_change.h"
#include "wal/memory_file_system.h"
#include "wal/wal.h"
#include "wire/internal_request.h"

namespace keelson::archive {

inline constexpr char kMemberLog[] = "member/wal";
inline constexpr char kArchiveDir[] = "archive";

class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return now_; }
  Duration unix_time() const override {
    return std::chrono::hours(24 * 365 * 50) + offset_ + now_.since_origin;
  }
  int64_t unix_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(unix_time()).count();
  }
  void advance(Duration by) { now_ = now_ + by; }

 private:
  MonotonicTime now_{std::chrono::hours(1)};
  Duration offset_{0};
};

// What a state is: its keys by their hash, the rest by every byte.
struct Fingerprint {
  int64_t revision = 0;
  int64_t compacted = 0;
  uint32_t hash = 0;
  std::string others;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

inline Fingerprint fingerprint_of(const mvcc::Store& keys, const backend::Backend& backend) {
  Fingerprint print{.revision = keys.revision(), .compacted = keys.compact_revision()};
  auto job = keys.hash_kv(0);
  EXPECT_TRUE(job.ok()) << job.status();
  for (bool done = !job.ok(); !done;) {
    absl::StatusOr<bool> step = (*job)->step(1000);
    EXPECT_TRUE(step.ok()) << step.status();
    done = !step.ok() || *step;
  }
  if (job.ok()) print.hash = (*job)->result().hash;
  for (const backend::Bucket bucket : backend::buckets_by_name()) {
    if (bucket == backend::Bucket::kKey || bucket == backend::Bucket::kMeta) continue;
    auto it = backend.iterate(bucket);
    for (it->seek_to_first(); it->valid(); it->next()) {
      print.others += cat(backend::bucket_name(bucket), "/", it->key(), "=", it->value(), "\n");
    }
  }
  return print;
}

// What a state was, and when it became that.
struct Recorded {
  Term term;
  int64_t unix_ms = 0;
  Fingerprint print;
};
using Record = std::map<uint64_t, Recorded>;  // by index

// Of a member with a short election timeout, which lengthens no lease.
inline constexpr lease::LeaseOptions kLeases{.min_ttl_seconds = 1};

class TestMember final : public Member {
 public:
  TestMember(wal::MemoryFileSystem* fs, TestClock* clock, Random* random, Owner owner)
      : fs_(*fs), clock_(*clock), random_(*random), owner_(owner) {
    log_ = *wal::Wal::create(
        kMemberLog, wire::encode(wire::WalMetadata{owner.member, owner.cluster}), log_options());
    state_.backend = std::make_shared<backend::MemoryBackend>();
    open_state();
    apply({add_member(owner.member, "m", false)});
  }

  std::shared_ptr<const backend::Snapshot> state() override {
    std::shared_ptr<const backend::Snapshot> state = backend::held_snapshot(state_.backend);
    states_.push_back(state);
    return state;
  }
  // States that were asked for and are still held.
  int64_t held() const {
    return std::count_if(states_.begin(), states_.end(),
                         [](const auto& state) { return !state.expired(); });
  }
  void need_log_from(Index index) override { needed_ = index; }

  Owner owner() const { return owner_; }
  uint64_t applied() const { return applied_; }
  Index needed() const { return needed_; }
  const Record& record() const { return record_; }
  int64_t revision() const { return state_.keys->revision(); }
  wal::Wal& log() { return *log_; }

  // `count` entries, each applied for itself.
  void work(uint64_t count) {
    for (; count > 0; --count) {
      if (random_.below(12) == 0) lose_some();
      apply({random_entry()});
      if (random_.below(3) == 0) step_compaction();
      clock_.advance(std::chrono::milliseconds(random_.below(400)));
    }
  }
  void put(const std::string& key, const std::string& value) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    apply({normal(wire::InternalKind::kPut, request.SerializeAsString())});
  }
  void compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    apply({normal(wire::InternalKind::kCompaction, request.SerializeAsString())});
  }
  void grant(int64_t id, int64_t ttl) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(ttl);
    apply({normal(wire::InternalKind::kLeaseGrant, request.SerializeAsString())});
  }
  // An entry without a new revision.
  void nothing() { apply({{.term = Term(term_), .index = next_index()}}); }

  // The store is durable; the log lets go of what nobody needs.
  void mark() {
    state_.backend->flush([](absl::Status) {});
    if (!log_->save_snapshot({Index(applied_), Term(term_of(applied_))}, {}).ok()) return;
    if (!log_->sync().ok()) return;
    log_->release_to(Index(applied_), needed_);
  }

  // Entries that this member never sees, and the state behind them instead.
  void receive_state(uint64_t entries) {
    for (; entries > 0; --entries) apply({random_entry()}, /*through_log=*/false);
    auto fresh = std::make_shared<backend::MemoryBackend>();
    backend::WriteBatch all;
    for (const backend::Bucket bucket : backend::buckets_by_name()) {
      auto it = state_.backend->iterate(bucket);
      for (it->seek_to_first(); it->valid(); it->next()) all.put(bucket, it->key(), it->value());
    }
    ASSERT_TRUE(fresh->commit(all, Index(applied_), Term(term_of(applied_))).ok());
    fresh->flush([](absl::Status) {});
    state_ = {};
    state_.backend = std::move(fresh);
    open_state();
    ASSERT_TRUE(log_->save_snapshot({Index(applied_), Term(term_of(applied_))}, {}).ok());
    ASSERT_TRUE(log_->sync().ok());
    log_->release_to(Index(applied_), needed_);
  }

  // The process or the machine is gone and comes back. Everything that was applied was durable in
  // the log.
  void restart() {
    log_.reset();
    state_.drop_parts();
    state_.backend->crash();
    const Index stands = state_.backend->consistent_index();
    auto mark = wal::newest_mark(kMemberLog, stands, &fs_);
    ASSERT_TRUE(mark.ok()) << mark.status();
    std::vector<raft::Entry> entries;
    auto opened = wal::Wal::open(kMemberLog, {mark->index, mark->term}, log_options(),
                                 wal::collect_into(&entries));
    ASSERT_TRUE(opened.ok()) << opened.status();
    log_ = std::move(opened->wal);
    open_state();
    for (const raft::Entry& entry : entries) {
      if (entry.index <= stands || entry.index.value > applied_) continue;
      apply_one(entry);
    }
    ASSERT_EQ(state_.backend->consistent_index().value, applied_);
  }

 private:
  struct State {
    std::shared_ptr<backend::MemoryBackend> backend;
    std::unique_ptr<mvcc::Store> keys;
    std::unique_ptr<lease::LeaseTable> leases;
    std::unique_ptr<membership::Cluster> members;
    std::unique_ptr<apply::Applier> applier;
    void drop_parts() {
      applier.reset();
      members.reset();
      leases.reset();
      keys.reset();
    }
    ~State() { drop_parts(); }
    State() = default;
    State& operator=(State&& other) noexcept {
      drop_parts();
      backend = std::move(other.backend);
      return *this;
    }
  };

  wal::Options log_options() const {
    wal::Options options;
    options.fs = &fs_;
    options.segment_bytes = 16 << 10;
    options.max_segments = 1;
    options.max_held = 6;
    return options;
  }

  void open_state() {
    state_.keys = *mvcc::Store::open(state_.backend.get());
    state_.leases = std::make_unique<lease::LeaseTable>(kLeases);
    state_.members = std::make_unique<membership::Cluster>(owner_.cluster);
    ASSERT_TRUE(state_.members->restore(*state_.backend).ok());
    auto applier =
        apply::Applier::create(state_.backend.get(), state_.keys.get(), state_.leases.get(),
                               state_.members.get(), &clock_, {}, [](mvcc::EventBatchPtr) {});
    ASSERT_TRUE(applier.ok()) << applier.status();
    state_.applier = *std::move(applier);
  }

  Index next_index() const { return Index(applied_ + 1); }
  uint64_t term_of(uint64_t index) const { return record_.at(index).term.value; }

  raft::Entry normal(wire::InternalKind kind, const std::string& request) {
    return {.data_set = true,
            .term = Term(term_),
            .index = next_index(),
            .data = wire::wrap_internal(++requests_, {}, 0, kind, request)};
  }

  raft::Entry add_member(MemberId id, const std::string& name, bool learns) {
    membership::Member member{.id = id, .name = name, .peer_urls = {cat("http://", name, ":1")}};
    member.is_learner = learns;
    raft::ConfChange change{
        .type = learns ? raft::ConfChangeType::kAddLearnerNode : raft::ConfChangeType::kAddNode,
        .node_id = id,
        .context = membership::encode_context(member)};
    return {.type = raft::EntryType::kConfChange,
            .type_set = true,
            .data_set = true,
            .term = Term(term_),
            .index = next_index(),
            .data = raft::encode(change)};
  }

  raft::Entry random_entry() {
    switch (random_.below(16)) {
      case 0:
        ++term_;
        return {.term = Term(term_), .index = next_index()};
      case 1:
        return random_delete();
      case 2:
        return random_txn();
      case 3:
        return random_lease();
      case 4: {
        etcdserverpb::CompactionRequest request;
        request.set_revision(revision() - static_cast<int64_t>(random_.below(20)));
        return normal(wire::InternalKind::kCompaction, request.SerializeAsString());
      }
      case 5:
        return random_other();
      default: {
        etcdserverpb::PutRequest request;
        request.set_key(cat("key", random_.below(30)));
        request.set_value(std::string(random_.below(2) == 0 ? random_.below(1500) : 5, 'v'));
        if (random_.below(8) == 0) request.set_lease(static_cast<int64_t>(1 + random_.below(5)));
        return normal(wire::InternalKind::kPut, request.SerializeAsString());
      }
    }
  }

  raft::Entry random_delete() {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(cat("key", random_.below(30)));
    if (random_.below(5) == 0) request.set_range_end("keyz");
    return normal(wire::InternalKind::kDeleteRange, request.SerializeAsString());
  }

  raft::Entry random_txn() {
    etcdserverpb::TxnRequest request;
    for (uint64_t i = random_.below(3); i > 0; --i) {
      auto* put = request.add_success()->mutable_request_put();
      put->set_key(cat("txn", i, "/", random_.below(5)));
      put->set_value("x");
    }
    return normal(wire::InternalKind::kTxn, request.SerializeAsString());
  }

  raft::Entry random_lease() {
    const auto id = static_cast<int64_t>(1 + random_.below(5));
    if (random_.below(3) == 0) {
      etcdserverpb::LeaseRevokeRequest request;
      request.set_id(id);
      return normal(wire::InternalKind::kLeaseRevoke, request.SerializeAsString());
    }
    if (random_.below(3) == 0) {
      etcdserverpb::LeaseCheckpointRequest request;
      auto* checkpoint = request.add_checkpoints();
      checkpoint->set_id(id);
      checkpoint->set_remaining_ttl(static_cast<int64_t>(1 + random_.below(50)));
      return normal(wire::InternalKind::kLeaseCheckpoint, request.SerializeAsString());
    }
    etcdserverpb::LeaseGrantRequest request;
    request.set_id(id);
    request.set_ttl(static_cast<int64_t>(1 + random_.below(100)));
    return normal(wire::InternalKind::kLeaseGrant, request.SerializeAsString());
  }

  raft::Entry random_other() {
    if (random_.below(2) == 0) {
      return add_member(MemberId(100 + random_.below(5)), cat("n", random_.below(5)), true);
    }
    if (random_.below(2) == 0) {
      etcdserverpb::AuthRoleAddRequest request;
      request.set_name(cat("role", random_.below(5)));
      return normal(wire::InternalKind::kAuthRoleAdd, request.SerializeAsString());
    }
    etcdserverpb::AlarmRequest request;
    request.set_action(random_.below(2) == 0 ? etcdserverpb::AlarmRequest::ACTIVATE
                                             : etcdserverpb::AlarmRequest::DEACTIVATE);
    request.set_memberid(owner_.member.value);
    request.set_alarm(etcdserverpb::NOSPACE);
    return normal(wire::InternalKind::kAlarm, request.SerializeAsString());
  }

  // Of a leader that nobody follows any more.
  void lose_some() {
    std::vector<raft::Entry> entries;
    for (uint64_t i = 1 + random_.below(3); i > 0; --i) {
      raft::Entry entry = random_entry();
      entry.index = Index(applied_ + entries.size() + 1);
      entries.push_back(std::move(entry));
      entries.back().term = Term(term_);
    }
    ASSERT_TRUE(log_->append({Term(term_), owner_.member, Index(applied_)}, entries).ok());
    if (random_.below(2) == 0) {
      ASSERT_TRUE(log_->sync().ok());
    }
    ++term_;
  }

  void apply(std::vector<raft::Entry> entries, bool through_log = true) {
    if (through_log) {
      raft::HardState state;
      if (random_.below(3) > 0) state = {Term(term_), owner_.member, Index(applied_)};
      ASSERT_TRUE(log_->append(state, entries).ok());
      ASSERT_TRUE(log_->sync().ok());
    }
    for (const raft::Entry& entry : entries) {
      apply_one(entry);
      applied_ = entry.index.value;
      record_[applied_] = {entry.term, clock_.unix_ms(),
                           fingerprint_of(*state_.keys, *state_.backend)};
    }
  }

  void apply_one(const raft::Entry& entry) {
    absl::Status status = raft::is_conf_change(entry.type)
                              ? state_.applier->apply_conf_change(entry).status()
                              : state_.applier->apply(entry, true).status();
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(state_.applier->publish(entry.index, entry.term).ok());
    state_.applier->take_compaction_hash().reset();
  }

  void step_compaction() {
    if (state_.applier->has_background_work()) {
      ASSERT_TRUE(state_.applier->background_step().ok());
    }
  }

  wal::MemoryFileSystem& fs_;
  TestClock& clock_;
  Random& random_;
  const Owner owner_;
  std::unique_ptr<wal::Wal> log_;
  State state_;
  std::vector<std::weak_ptr<const backend::Snapshot>> states_;
  uint64_t applied_ = 0;
  uint64_t term_ = 1;
  uint64_t requests_ = 0;
  Index needed_{UINT64_MAX};
  Record record_;
};

// A state that came out of an archive.
struct BroughtBack {
  Route route;
  Index index;
  Fingerprint print;
};

// What restore_point() does, but for the files.
inline absl::StatusOr<BroughtBack> bring_back(wal::MemoryFileSystem& fs, const Target& target) {
  absl::StatusOr<std::vector<StretchEntry>> catalogue = read_catalogue(fs, kArchiveDir);
  if (!catalogue.ok()) return catalogue.status();
  absl::StatusOr<Route> route = find_route(*catalogue, target);
  if (!route.ok()) return route.status();
  const std::string stretch = stretch_path(kArchiveDir, route->stretch);
  const std::string bytes = fs.contents(cat(stretch, "/", to_string(route->snapshot)));
  absl::StatusOr<bool> summed = boltfile::check_sum(*boltfile::memory_source(bytes));
  if (!summed.ok()) return summed.status();
  EXPECT_TRUE(*summed);
  absl::StatusOr<std::unique_ptr<boltfile::File>> file =
      boltfile::File::open(boltfile::memory_source(bytes));
  if (!file.ok()) return file.status();
  backend::MemoryBackend store;
  absl::StatusOr<interchange::ReadResult> read = interchange::read_database(**file, &store);
  if (!read.ok()) return read.status();
  EXPECT_EQ(read->position.index, route->snapshot.index);
  absl::StatusOr<std::unique_ptr<Replay>> replay = Replay::create(&store, route->owner.cluster);
  if (!replay.ok()) return replay.status();
  EXPECT_EQ((*replay)->revision(), route->snapshot.revision);
  absl::StatusOr<std::unique_ptr<wal::Follower>> log = wal::Follower::open(
      log_path(stretch), {read->position.index, read->position.term, std::nullopt},
      {.fs = &fs, .of_committed = true});
  if (!log.ok()) return log.status();
  absl::StatusOr<bool> reached = (*replay)->run(**log, {route->revision, route->index});
  if (!reached.ok()) return reached.status();
  if (!*reached) {
    if (!(*log)->end().ok()) return (*log)->end();
    return absl::NotFoundError("the stretch ends before");
  }
  return BroughtBack{*route, (*replay)->index(), fingerprint_of((*replay)->keys(), store)};
}

}  // namespace keelson::archive
