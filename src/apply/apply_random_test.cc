// Random logs through three appliers, one whose clients wait, one whose do not, and one whose
// clients wait for transactions with hidden ranges; with crashes,
// replays and failing reads at any moment: every answer is the slow twin's, a member that cannot go
// on publishes nothing, and both end with the same bytes.

#include <gtest/gtest.h>

#include <iostream>

#include "absl/strings/escaping.h"
#include "apply/applier.h"
#include "apply/hidden_ranges.h"
#include "apply/slow_machine.h"
#include "backend/memory_backend.h"
#include "base/quiet_log.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "proto/membership.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;

constexpr MemberId kMember{5};

class StillClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::seconds(100)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

struct Step {
  raft::Entry entry;
  InternalKind kind = InternalKind::kNone;
  SlowMachine::Answer answer;
};

std::string wide_open() { return std::string(1, '\0'); }

// Makes up a log and what the twin answers to it.
class LogMaker {
 public:
  explicit LogMaker(SeededRandom& random) : random_(random) {}

  std::vector<Step> make(size_t entries) {
    add_member();
    while (log_.size() < entries) add();
    return std::move(log_);
  }
  const SlowMachine& machine() const { return machine_; }

 private:
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  std::string key() { return std::string(1, static_cast<char>('a' + random_.below(7))); }
  std::string value() {
    return std::string(random_.below(12), static_cast<char>('a' + random_.below(26)));
  }
  std::string end() { return one_in(2) ? "" : one_in(4) ? wide_open() : key(); }
  int64_t lease() { return one_in(2) ? 0 : static_cast<int64_t>(random_.below(5)); }
  int64_t revision() {
    if (one_in(2)) return 0;
    if (one_in(8)) return -static_cast<int64_t>(random_.below(3));
    return static_cast<int64_t>(random_.below(static_cast<uint64_t>(machine_.kv.revision) + 3));
  }

  pb::PutRequest put() {
    pb::PutRequest request;
    request.set_key(key());
    request.set_lease(lease());
    request.set_prev_kv(one_in(3));
    if (one_in(6)) {
      request.set_ignore_value(true);
    } else {
      request.set_value(value());
    }
    if (one_in(6)) {
      request.set_ignore_lease(true);
      request.set_lease(0);
    }
    return request;
  }

  pb::DeleteRangeRequest delete_range() {
    pb::DeleteRangeRequest request;
    request.set_key(key());
    request.set_range_end(one_in(2) ? "" : end());
    request.set_prev_kv(one_in(3));
    return request;
  }

  pb::RangeRequest range() {
    pb::RangeRequest request;
    request.set_key(key());
    request.set_range_end(end());
    request.set_revision(revision());
    request.set_limit(one_in(3) ? static_cast<int64_t>(random_.below(4)) : 0);
    request.set_keys_only(one_in(5));
    request.set_count_only(one_in(6));
    if (one_in(4)) {
      request.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(random_.below(3)));
      request.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(random_.below(5)));
    }
    if (one_in(6)) request.set_min_mod_revision(revision());
    if (one_in(6)) request.set_max_create_revision(revision());
    return request;
  }

  pb::Compare compare() {
    pb::Compare compare;
    compare.set_key(key());
    compare.set_range_end(one_in(4) ? end() : "");
    compare.set_result(static_cast<pb::Compare::CompareResult>(random_.below(4)));
    compare.set_target(static_cast<pb::Compare::CompareTarget>(random_.below(5)));
    switch (compare.target()) {
      case pb::Compare::VALUE:
        compare.set_value(value());
        break;
      case pb::Compare::CREATE:
        compare.set_create_revision(revision());
        break;
      case pb::Compare::MOD:
        compare.set_mod_revision(revision());
        break;
      case pb::Compare::VERSION:
        compare.set_version(static_cast<int64_t>(random_.below(4)));
        break;
      default:
        compare.set_lease(lease());
        break;
    }
    return compare;
  }

  pb::TxnRequest txn(int depth) {
    pb::TxnRequest request;
    for (uint64_t n = random_.below(3); n > 0; --n) *request.add_compare() = compare();
    for (auto* branch : {request.mutable_success(), request.mutable_failure()}) {
      for (uint64_t n = random_.below(5); n > 0; --n) add_op(*branch->Add(), depth);
    }
    return request;
  }

  void add_op(pb::RequestOp& op, int depth) {
    uint64_t what = random_.below(9);
    if (what < 3) {
      *op.mutable_request_put() = put();
    } else if (what < 5) {
      *op.mutable_request_delete_range() = delete_range();
    } else if (what < 8 || depth == 0) {
      *op.mutable_request_range() = range();
    } else if (!one_in(3)) {
      *op.mutable_request_txn() = txn(depth - 1);
    } else {
      // As hide_ranges() leaves them.
      pb::RequestOp* at = &op;
      for (uint64_t n = 1 + random_.below(3); n > 0; --n) {
        at = at->mutable_request_txn()->add_success();
      }
      *at->mutable_request_range() = range();
    }
  }

  raft::Entry next(Bytes data) {
    if (one_in(10)) ++term_;
    return {.term = Term(term_), .index = Index(log_.size() + 1), .data = std::move(data)};
  }

  void add(InternalKind kind, const std::string& request, SlowMachine::Answer answer) {
    Bytes data = wire::wrap_internal(log_.size() + 1, {}, 0, kind, request);
    log_.push_back({next(std::move(data)), kind, std::move(answer)});
  }

  void add_member() {
    membership::Member member{.id = kMember, .peer_urls = {"http://a:1"}};
    raft::ConfChange change{.node_id = kMember, .context = membership::encode_context(member)};
    raft::Entry entry = next(raft::encode(change));
    entry.type = raft::EntryType::kConfChange;
    log_.push_back({std::move(entry)});
  }

  void add() {
    if (!machine_.alarms.empty() && one_in(3)) return add_alarm(pb::AlarmRequest::DEACTIVATE);
    uint64_t what = random_.below(100);
    if (what < 32) {
      pb::PutRequest request = put();
      add(InternalKind::kPut, request.SerializeAsString(), machine_.put(request));
    } else if (what < 42) {
      pb::DeleteRangeRequest request = delete_range();
      add(InternalKind::kDeleteRange, request.SerializeAsString(), machine_.delete_range(request));
    } else if (what < 72) {
      pb::TxnRequest request = txn(3);
      add(InternalKind::kTxn, request.SerializeAsString(), machine_.txn(request));
    } else if (what < 78) {
      pb::CompactionRequest request;
      request.set_revision(revision());
      add(InternalKind::kCompaction, request.SerializeAsString(),
          machine_.compact(request.revision()));
    } else if (what < 93) {
      add_lease();
    } else if (what < 95) {
      add_alarm(static_cast<pb::AlarmRequest::AlarmAction>(random_.below(3)));
    } else {
      add_rest();
    }
  }

  void add_lease() {
    uint64_t what = random_.below(10);
    auto id = static_cast<int64_t>(random_.below(5));
    if (what < 5) {
      pb::LeaseGrantRequest request;
      request.set_id(id);
      request.set_ttl(static_cast<int64_t>(random_.below(5)));
      add(InternalKind::kLeaseGrant, request.SerializeAsString(), machine_.grant(request));
    } else if (what < 9) {
      pb::LeaseRevokeRequest request;
      request.set_id(id);
      add(InternalKind::kLeaseRevoke, request.SerializeAsString(), machine_.revoke(id));
    } else {
      pb::LeaseCheckpointRequest request;
      request.add_checkpoints()->set_id(id);
      request.mutable_checkpoints(0)->set_remaining_ttl(7);
      add(InternalKind::kLeaseCheckpoint, request.SerializeAsString(), {});
    }
  }

  void add_alarm(pb::AlarmRequest::AlarmAction action) {
    pb::AlarmRequest request;
    request.set_action(action);
    request.set_alarm(static_cast<pb::AlarmType>(random_.below(3)));
    request.set_memberid(1 + random_.below(2));
    if (action == pb::AlarmRequest::DEACTIVATE && !machine_.alarms.empty()) {
      request.set_alarm(static_cast<pb::AlarmType>(machine_.alarms.begin()->first));
      request.set_memberid(machine_.alarms.begin()->second);
    }
    add(InternalKind::kAlarm, request.SerializeAsString(), machine_.alarm(request));
  }

  void add_rest() {
    membershippb::ClusterMemberAttrSetRequest attributes;
    attributes.set_member_id(kMember.value);
    attributes.mutable_member_attributes()->set_name(value());
    membershippb::ClusterVersionSetRequest version;
    version.set_ver(cat("3.", random_.below(8), ".0"));
    membershippb::DowngradeInfoSetRequest downgrade;
    downgrade.set_enabled(one_in(2));
    downgrade.set_ver("3.6.0");
    switch (random_.below(6)) {
      case 0:
        return add(InternalKind::kClusterMemberAttrSet, attributes.SerializeAsString(), {});
      case 1:
        return add(InternalKind::kClusterVersionSet, version.SerializeAsString(), {});
      case 2:
        return add(InternalKind::kDowngradeInfoSet, downgrade.SerializeAsString(), {});
      case 3:
        return add(InternalKind::kRange, range().SerializeAsString(), {});
      case 4:
        return add(InternalKind::kAuthUserList, {}, {});
      default:
        log_.push_back({next({})});  // raft's own
    }
  }

  SeededRandom& random_;
  SlowMachine machine_;
  std::vector<Step> log_;
  uint64_t term_ = 1;
};

// What clients of a member wait for.
enum class Wait : uint8_t { kNothing, kAnswers, kAnswersToHidden };

// One member, from its backend up.
class Machine {
 public:
  Machine(SeededRandom& random, const std::vector<Step>& log, Wait wait, uint64_t value_memory)
      : random_(random),
        log_(log),
        wanted_(wait != Wait::kNothing),
        hides_(wait == Wait::kAnswersToHidden),
        value_memory_(value_memory) {
    open();
  }

  void run() {
    while (applied() < log_.size() && !testing::Test::HasFailure()) {
      apply_batch();
      step_aside();
    }
    while (applier_->has_background_work()) ASSERT_TRUE(applier_->background_step().ok());
    store_->check_invariants();
    leases_->check_invariants();
  }

  // What a foreign or damaged log may hold: the member ends, and shows nothing of it.
  void refuse(raft::Entry entry) {
    std::string before = dump();
    int64_t revision = store_->revision();
    EXPECT_FALSE(applier_->apply(entry, wanted_).ok());
    EXPECT_FALSE(applier_->publish(entry.index, entry.term).ok());
    EXPECT_FALSE(applier_->background_step().ok());
    EXPECT_EQ(dump(), before);
    EXPECT_EQ(store_->revision(), revision);
    open();
  }

  std::string dump() const {
    std::string out;
    for (backend::Bucket bucket : backend::buckets_by_name()) {
      auto records = backend_.iterate(bucket);
      for (records->seek_to_first(); records->valid(); records->next()) {
        out += cat(backend::bucket_name(bucket), " ", absl::CHexEscape(to_absl(records->key())),
                   "=", absl::CHexEscape(to_absl(records->value())), "\n");
      }
    }
    return out;
  }

  // Against what the twin holds at the end.
  void compare_with(const SlowMachine& machine) {
    ASSERT_EQ(store_->revision(), machine.kv.revision);
    ASSERT_EQ(store_->compact_revision(), machine.kv.compacted);
    std::string here, there;
    auto found = store_->range(*slot_, wide_open(), wide_open());
    ASSERT_TRUE(found.ok());
    for (const Bytes& kv : found->kvs) here += kv.str();
    for (const mvcc::SlowChange& change : machine.everything()) {
      there += change.encoded();
      ASSERT_EQ(leases_->lease_of(change.key).value, change.lease) << change.key;
    }
    ASSERT_EQ(here, there);
    ASSERT_EQ(leases_->size(), machine.leases.size());
    for (const auto& [id, ttl] : machine.leases) ASSERT_TRUE(leases_->exists(LeaseId(id)));
    ASSERT_EQ(applier_->alarms().get(pb::NONE).size(), machine.alarms.size());
  }

  uint64_t failures() const { return failures_; }

 private:
  uint64_t applied() const { return backend_.consistent_index().value; }

  void open() {
    applier_.reset();
    slot_.reset();
    backend_.fail_reads(absl::OkStatus());
    leases_ = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{});
    members_ = std::make_unique<membership::Cluster>(ClusterId(1));
    store_ = *mvcc::Store::open(&backend_, {.value_memory = value_memory_});
    slot_ = store_->register_reader();
    ASSERT_TRUE(members_->restore(backend_).ok());
    applier_ =
        *Applier::create(&backend_, store_.get(), leases_.get(), members_.get(), &clock_,
                         {.compaction_slice = 1 + random_.below(3)}, [](mvcc::EventBatchPtr) {});
  }

  void apply_batch() {
    uint64_t from = applied();
    uint64_t to = std::min<uint64_t>(log_.size(), from + 1 + random_.below(6));
    failing_ = random_.below(4) == 0;
    if (failing_) {
      backend_.fail_reads(absl::DataLossError("a block that cannot be read"),
                          static_cast<int>(random_.below(6)));
    }
    int64_t revision = store_->revision();
    for (uint64_t at = from; at < to; ++at) {
      if (!apply(log_[at])) return ended(log_[at], revision);
    }
    backend_.fail_reads(absl::OkStatus());
    ASSERT_TRUE(applier_->publish(log_[to - 1].entry.index, log_[to - 1].entry.term).ok());
    if (random_.below(2) == 0) applier_->take_compaction_hash();
  }

  // False: the member cannot go on.
  bool apply(const Step& step) {
    if (step.entry.type != raft::EntryType::kNormal) {
      EXPECT_TRUE(applier_->apply_conf_change(step.entry).ok());
      return true;
    }
    raft::Entry entry = step.entry;
    const bool hidden = hides_ && step.kind == InternalKind::kTxn && hide_ranges(entry);
    absl::StatusOr<Reply> reply = applier_->apply(entry, wanted_, hidden);
    if (!reply.ok()) {
      EXPECT_TRUE(failing_) << reply.status();
      return false;
    }
    std::string where = cat("entry ", step.entry.index.value, " ", wire::name_of(step.kind));
    EXPECT_EQ(reply->status, step.answer.status) << where;
    if (wanted_) {
      EXPECT_EQ(shown(step.kind, *reply), expected(step)) << where;
    }
    return true;
  }

  bool hide_ranges(raft::Entry& entry) {
    const absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
    pb::TxnRequest txn;
    EXPECT_TRUE(request.ok() && txn.ParseFromString(std::string(request->body)));
    const absl::StatusOr<bool> hidden = apply::hide_ranges(
        txn, random_.below(2) == 0 ? Refusable::kForKeys : Refusable::kForRevision);
    CHECK(hidden.ok());
    if (!*hidden) return false;
    entry.data = wire::wrap_internal(1, {}, 0, InternalKind::kTxn, txn.SerializeAsString());
    return true;
  }

  void ended(const Step& step, int64_t revision) {
    ++failures_;
    EXPECT_FALSE(applier_->publish(step.entry.index, step.entry.term).ok());
    EXPECT_EQ(store_->revision(), revision);
    backend_.crash();
    open();
  }

  void step_aside() {
    switch (random_.below(8)) {
      case 0:
        backend_.crash();
        return open();
      case 1:
        return open();
      case 2:
      case 3:
        return backend_.flush([](absl::Status) {});
      case 4:
        for (int n = 0; n < 4 && applier_->has_background_work(); ++n) {
          ASSERT_TRUE(applier_->background_step().ok());
        }
        return;
      default:
        return;
    }
  }

  template <typename Response>
  static std::string text_of(const std::string& bytes, int64_t revision) {
    Response response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    if (revision != 0) response.mutable_header()->set_revision(revision);
    return response.ShortDebugString();
  }
  static std::string text_of(InternalKind kind, const std::string& bytes, int64_t revision) {
    if (kind == InternalKind::kPut) return text_of<pb::PutResponse>(bytes, revision);
    if (kind == InternalKind::kDeleteRange) {
      return text_of<pb::DeleteRangeResponse>(bytes, revision);
    }
    if (kind == InternalKind::kTxn) return text_of<pb::TxnResponse>(bytes, revision);
    if (kind == InternalKind::kAlarm) return text_of<pb::AlarmResponse>(bytes, 0);
    if (kind == InternalKind::kLeaseGrant) return text_of<pb::LeaseGrantResponse>(bytes, 0);
    return "";
  }
  static std::string shown(InternalKind kind, const Reply& reply) {
    std::string bytes;
    for (const Bytes& part : reply.body.parts()) bytes += part.view();
    return text_of(kind, bytes, reply.status.ok() ? reply.revision : 0);
  }
  static std::string expected(const Step& step) {
    return text_of(step.kind, step.answer.response, 0);
  }

  SeededRandom& random_;
  const std::vector<Step>& log_;
  const bool wanted_;
  const bool hides_;
  const uint64_t value_memory_;
  uint64_t failures_ = 0;
  bool failing_ = false;  // reads may, in the batch under way
  StillClock clock_;
  backend::MemoryBackend backend_;
  std::unique_ptr<lease::LeaseTable> leases_;
  std::unique_ptr<membership::Cluster> members_;
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<mvcc::ReaderSlot> slot_;
  std::unique_ptr<Applier> applier_;
};

// Entries that nobody may pass over.
std::vector<Bytes> poison() {
  pb::TxnRequest keyless;
  keyless.add_success()->mutable_request_put()->set_value("no key");
  membershippb::ClusterMemberAttrSetRequest stranger;
  stranger.set_member_id(99);
  membershippb::ClusterVersionSetRequest version;
  version.set_ver("three");
  auto wrap = [](InternalKind kind, std::string_view request) {
    return wire::wrap_internal(1, {}, 0, kind, request);
  };
  return {Bytes::copy("\xff\xff garbage"), wrap(InternalKind::kNone, {}),
          wrap(InternalKind::kPut, "\x0a\x05half"), wrap(InternalKind::kTxn, "\x12\x02\x12\x7f"),
          wrap(InternalKind::kAuthUserAdd, "\x0a\x05half"),
          // A password as it is, from before etcd 3.5.
          wrap(InternalKind::kAuthUserAdd, "\x0a\x01u\x12\x01p"),
          wrap(static_cast<InternalKind>(12), {}), wrap(static_cast<InternalKind>(4000), {}),
          wrap(InternalKind::kV2,
               "\x12\x06"
               "DELETE\x1a\x02/1"),
          wrap(InternalKind::kClusterMemberAttrSet, stranger.SerializeAsString()),
          wrap(InternalKind::kClusterVersionSet, version.SerializeAsString()),
          // Not looked at under an alarm.
          wrap(InternalKind::kPut, {}), wrap(InternalKind::kTxn, keyless.SerializeAsString())};
}

// Returns how often a member could not go on.
uint64_t run_seed(uint64_t seed) {
  SeededRandom random(seed);
  LogMaker maker(random);
  std::vector<Step> log = maker.make(20 + random.below(80));
  Machine waited(random, log, Wait::kAnswers, random.below(2) * 200);
  Machine unwaited(random, log, Wait::kNothing, random.below(2) * 200);
  Machine hiding(random, log, Wait::kAnswersToHidden, random.below(2) * 200);
  uint64_t failures = 0;
  for (Machine* machine : {&waited, &unwaited, &hiding}) {
    machine->run();
    if (testing::Test::HasFailure()) return 0;
    machine->compare_with(maker.machine());
    std::vector<Bytes> bad = poison();
    if (!maker.machine().alarms.empty()) bad.resize(bad.size() - 2);
    machine->refuse({.term = log.back().entry.term,
                     .index = log.back().entry.index + 1,
                     .data = bad[random.below(bad.size())]});
    failures += machine->failures();
  }
  EXPECT_EQ(waited.dump(), unwaited.dump());
  EXPECT_EQ(waited.dump(), hiding.dump());
  return failures;
}

TEST(ApplyRandom, EveryMemberEndsInTheSameBytes) {
  log::QuietLog quiet;
  uint64_t failures = 0, logs = 0;
  for_each_seed(300, [&](uint64_t seed) {
    failures += run_seed(seed);
    ++logs;
  });
  std::cout << logs << " logs, " << failures << " times a member could not go on\n";
  if (!seeds_are_the_usual()) return;
  EXPECT_GT(failures, logs / 4);
}

}  // namespace
}  // namespace keelson::apply
