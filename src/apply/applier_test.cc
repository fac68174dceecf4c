// What the log, a peer or a disk may say that no correct member writes: an answer, or this member's
// orderly end, never a CHECK.

#include "apply/applier.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/memory_backend.h"
#include "base/errors.h"
#include "base/line_budget.h"
#include "base/quiet_log.h"
#include "base/test_log.h"
#include "base/text.h"
#include "base/time_text.h"
#include "membership/cluster.h"
#include "raft/conf_change.h"

namespace keelson::apply {
namespace {

using raft::ConfChangeType;
using wire::InternalKind;

// Stands still, but for the next so many times that it is looked at.
class StillClock final : public Clock {
 public:
  MonotonicTime now() const override {
    if (!steps.empty()) {
      now_ = now_ + steps.front();
      steps.pop_front();
    }
    return now_;
  }
  Duration unix_time() const override { return {}; }
  mutable std::deque<Duration> steps;

 private:
  mutable MonotonicTime now_{std::chrono::seconds(100)};
};

class CountingObserver final : public Observer {
 public:
  void applied(std::span<const Applied> entries) override {
    for (const Applied& row : entries) {
      rows.push_back(cat(wire::name_of(row.kind), row.ok ? "" : " refused", " ", row.count, " in ",
                         duration_text(row.took)));
    }
  }
  void slow_apply() override { ++slow; }
  void lease_granted(int64_t) override {}
  void compaction_step(Duration) override {}
  void compaction_finished(Duration) override { ++finished; }

  int finished = 0;
  int slow = 0;
  std::vector<std::string> rows;
};

// Runs at once what is for later.
class TellingLane final : public Executor {
 public:
  void post(Task task) override { task(); }
  void post_after(Duration, Task task) override { task(); }
};

class ApplierTest : public ::testing::Test {
 protected:
  // A member on what is in backend_.
  absl::Status start() {
    applier_.reset();
    members_ = std::make_unique<membership::Cluster>(ClusterId(1));
    index_ = backend_->consistent_index();
    store_ = *mvcc::Store::open(backend_.get());
    absl::StatusOr<std::unique_ptr<Applier>> made =
        Applier::create(backend_.get(), store_.get(), &leases_, members_.get(), &clock_,
                        {.warning_duration = std::chrono::milliseconds(100),
                         .observer = &observer_,
                         .lines = lines_.get(),
                         .changes = changes_.get()},
                        [](mvcc::EventBatchPtr) {});
    if (!made.ok()) return made.status();
    applier_ = *std::move(made);
    return absl::OkStatus();
  }

  // What another program left in a bucket.
  void write(backend::Bucket bucket, std::string_view key, std::string_view value = {}) {
    backend::WriteBatch batch;
    batch.put(bucket, key, value);
    ASSERT_TRUE(backend_->commit(batch, Index(0), Term(0)).ok());
  }

  absl::Status change(ConfChangeType type, uint64_t member, const membership::Member& described,
                      Term term = Term(1)) {
    raft::ConfChange change{.type = type, .node_id = MemberId(member)};
    change.context = membership::encode_context(described);
    return applier_
        ->apply_conf_change({.type = raft::EntryType::kConfChange,
                             .term = term,
                             .index = ++index_,
                             .data = raft::encode(change)})
        .status();
  }

  absl::StatusOr<Reply> put(std::string_view key) {
    etcdserverpb::PutRequest request;
    request.set_key(std::string(key));
    request.set_value("one");
    return apply(InternalKind::kPut, request.SerializeAsString());
  }
  absl::StatusOr<Reply> compact(int64_t revision) {
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    return apply(InternalKind::kCompaction, request.SerializeAsString());
  }
  absl::StatusOr<Reply> apply(InternalKind kind, std::string_view request) {
    return applier_->apply(
        {.term = Term(1), .index = ++index_, .data = wire::wrap_internal(1, {}, 0, kind, request)},
        true);
  }

  log::QuietLog quiet_;
  StillClock clock_;
  std::shared_ptr<backend::MemoryBackend> backend_ = std::make_shared<backend::MemoryBackend>();
  CountingObserver observer_;
  TellingLane lane_;
  std::unique_ptr<LineBudget> lines_, changes_;
  std::unique_ptr<membership::Cluster> members_;
  lease::LeaseTable leases_{lease::LeaseOptions{}};
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<Applier> applier_;
  Index index_;
};

std::string alarm_key(uint64_t member, etcdserverpb::AlarmType type) {
  etcdserverpb::AlarmMember record;
  record.set_memberid(member);
  record.set_alarm(type);
  return record.SerializeAsString();
}

TEST_F(ApplierTest, AlarmsAreTakenFromTheBucket) {
  write(backend::Bucket::kAlarm, alarm_key(7, etcdserverpb::NOSPACE));
  // Of a type that comes after those we know: as etcd, it is kept.
  write(backend::Bucket::kAlarm, alarm_key(7, static_cast<etcdserverpb::AlarmType>(9)));
  ASSERT_TRUE(start().ok());
  EXPECT_TRUE(applier_->alarms().no_space());
  EXPECT_FALSE(applier_->alarms().corrupt());
  EXPECT_EQ(applier_->alarms().get(etcdserverpb::NONE).size(), 2u);
}

TEST_F(ApplierTest, ARecordThatIsNoAlarmIsRefused) {
  const std::string keys[] = {
      alarm_key(7, etcdserverpb::NONE),            // nobody writes it
      std::string("\x10\x01\x08\x07", 4),          // NOSPACE of 7 in another order
      std::string("\x08\x07\x10\x01\x18\x01", 6),  // a field more
      std::string("\x08", 1),
  };
  for (const std::string& key : keys) {
    backend_ = std::make_shared<backend::MemoryBackend>();
    write(backend::Bucket::kAlarm, key);
    EXPECT_TRUE(absl::IsDataLoss(start())) << testing::PrintToString(key);
  }
}

TEST_F(ApplierTest, ALeaseOfNobodyIsRefused) {
  write(backend::Bucket::kLease, std::string(8, '\0'), std::string("\x10\x0a", 2));
  EXPECT_TRUE(absl::IsDataLoss(start()));
}

TEST_F(ApplierTest, AMembershipChangeNamesTheMemberThatItDescribes) {
  struct Case {
    ConfChangeType type;
    uint64_t member;
    uint64_t described;
    bool fits;
  };
  const Case cases[] = {
      {ConfChangeType::kAddNode, 7, 7, true},
      {ConfChangeType::kAddNode, 7, 8, false},
      {ConfChangeType::kAddNode, 0, 0, false},
      {ConfChangeType::kAddLearnerNode, 7, 6, false},
      {ConfChangeType::kUpdateNode, 7, 8, false},
      {ConfChangeType::kAddLearnerNode, 0, 0, false},
      // Describes nobody; refused: there is none.
      {ConfChangeType::kRemoveNode, 7, 8, true},
  };
  for (const Case& c : cases) {
    backend_ = std::make_shared<backend::MemoryBackend>();
    ASSERT_TRUE(start().ok());
    absl::Status changed =
        change(c.type, c.member, {.id = MemberId(c.described), .peer_urls = {"http://a:1"}});
    EXPECT_EQ(changed.ok(), c.fits) << c.member << " " << c.described << " " << changed;
    // Nothing moves after an end.
    EXPECT_EQ(applier_->publish(index_, Term(1)).ok(), c.fits);
  }
}

// Any client may ask for it: it is in the log of every member then.
TEST_F(ApplierTest, NobodyIsNotRemovedAndNotUpdated) {
  ASSERT_TRUE(start().ok());
  const raft::ConfChange changes[] = {
      {.type = ConfChangeType::kRemoveNode},
      {.type = ConfChangeType::kUpdateNode,
       .context = membership::encode_context({.peer_urls = {"http://a:1"}})},
  };
  for (const raft::ConfChange& asked : changes) {
    const raft::Entry entry{.type = raft::EntryType::kConfChange,
                            .term = Term(1),
                            .index = ++index_,
                            .data = raft::encode(asked)};
    absl::StatusOr<ConfChanged> changed = applier_->apply_conf_change(entry);
    ASSERT_TRUE(changed.ok()) << changed.status();
    EXPECT_EQ(changed->answer, errors::MemberNotFound());
    EXPECT_TRUE(applier_->publish(index_, Term(1)).ok());
  }
}

// Nothing shows of it, nor of what came before it since the last publish().
TEST_F(ApplierTest, ATransactionIsGivenUpHalfWay) {
  for (bool compares : {false, true}) {
    ASSERT_TRUE(start().ok());
    ASSERT_TRUE(put("a")->status.ok());
    ASSERT_TRUE(applier_->publish(index_, Term(1)).ok());
    const int64_t shown = store_->revision();
    applier_->give_up();
    ASSERT_TRUE(put("b")->status.ok());
    etcdserverpb::TxnRequest txn;
    if (compares) {
      txn.add_compare()->set_key("a");
    } else {
      txn.add_success()->mutable_request_put()->set_key("c");
    }
    const absl::StatusOr<Reply> reply = apply(InternalKind::kTxn, txn.SerializeAsString());
    EXPECT_TRUE(absl::IsCancelled(reply.status())) << reply.status();
    EXPECT_TRUE(absl::IsCancelled(applier_->publish(index_ - 1, Term(1))));
    EXPECT_EQ(store_->revision(), shown);
  }
}

// However many keys a compare names, each of them counts.
TEST_F(ApplierTest, ACompareLooksAtEveryKeyOfItsRange) {
  ASSERT_TRUE(start().ok());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(put("k" + std::to_string(1000 + i))->status.ok());
    if (i % 128 > 1 && i != 299) continue;
    etcdserverpb::TxnRequest txn;
    etcdserverpb::Compare* compare = txn.add_compare();
    compare->set_key("k");
    compare->set_range_end(std::string(1, '\0'));
    compare->set_target(etcdserverpb::Compare::CREATE);
    compare->set_result(etcdserverpb::Compare::LESS);
    for (int64_t bound : {i + 2, i + 3}) {  // the newest key was made in revision i + 2
      compare->set_create_revision(bound);
      absl::StatusOr<Reply> reply = apply(InternalKind::kTxn, txn.SerializeAsString());
      ASSERT_TRUE(reply.ok()) << reply.status();
      std::string body;
      for (const Bytes& part : reply->body.parts()) body.append(part.view());
      EXPECT_EQ(body.empty(), bound == i + 2) << i;  // nothing but whether it succeeded
    }
  }
}

TEST_F(ApplierTest, TermsDoNotGoDown) {
  const membership::Member seven{.id = MemberId(7), .peer_urls = {"http://a:1"}};
  const membership::Member eight{.id = MemberId(8), .peer_urls = {"http://a:2"}};
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(change(ConfChangeType::kAddNode, 7, seven, Term(3)).ok());
  absl::Status changed = change(ConfChangeType::kAddNode, 8, eight, Term(2));
  EXPECT_TRUE(absl::IsDataLoss(changed)) << changed;
  EXPECT_EQ(members_->view()->find(MemberId(8)), nullptr);
  EXPECT_EQ(applier_->publish(Index(1), Term(3)), changed);
}

// A step of a compaction may be on its way when a snapshot replaces the state.
TEST_F(ApplierTest, AStepOfACompactionThatIsGoneDoesNothing) {
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(put("k")->status.ok());
  ASSERT_TRUE(put("k")->status.ok());
  ASSERT_TRUE(compact(3)->status.ok());
  ASSERT_TRUE(applier_->publish(index_, Term(1)).ok());
  ASSERT_TRUE(applier_->has_background_work());
  bool told = false;
  applier_->when_compacted([&] { told = true; });
  EXPECT_FALSE(told);

  auto next = std::make_shared<backend::MemoryBackend>();
  backend::WriteBatch batch;
  ASSERT_TRUE(next->commit(batch, Index(10), Term(1)).ok());
  Replacement replacement{.index = Index(10), .term = Term(1), .backend = next.get()};
  replacement.former = std::exchange(backend_, next);
  {
    mvcc::PutRequest request{.key = "n"};
    replacement.store = *mvcc::Store::open(next.get());
    for (int i = 0; i < 3; ++i) {
      mvcc::WriteTxn txn = replacement.store->begin();
      ASSERT_TRUE(txn.put(request).ok());
    }
    ASSERT_TRUE(replacement.store->publish(Index(10), Term(1)).ok());
  }
  std::vector<absl::AnyInvocable<void()>> disposed;
  ASSERT_TRUE(
      applier_
          ->replace(std::move(replacement),
                    [&](absl::AnyInvocable<void()> task) { disposed.push_back(std::move(task)); })
          .ok());
  EXPECT_TRUE(told);
  EXPECT_FALSE(applier_->has_background_work());
  ASSERT_TRUE(applier_->background_step().ok());
  EXPECT_EQ(observer_.finished, 0);
  for (auto& task : disposed) std::move(task)();
}

// Who reads the new keys is held against the new rules.
TEST_F(ApplierTest, TheRulesOfAReceivedStateAreThereBeforeItsKeys) {
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(put("k")->status.ok());
  ASSERT_TRUE(applier_->publish(index_, Term(1)).ok());
  auto next = std::make_shared<backend::MemoryBackend>();
  backend::WriteBatch batch;
  batch.put(backend::Bucket::kAuth, "authEnabled", "\x01");
  ASSERT_TRUE(next->commit(batch, Index(10), Term(1)).ok());
  Replacement replacement{.index = Index(10), .term = Term(1), .backend = next.get()};
  replacement.former = std::exchange(backend_, next);
  replacement.store = *mvcc::Store::open(next.get());
  {
    mvcc::WriteTxn txn = replacement.store->begin();
    ASSERT_TRUE(txn.put({.key = "secret"}).ok());
  }
  ASSERT_TRUE(replacement.store->publish(Index(10), Term(1)).ok());
  ASSERT_FALSE(applier_->auth().newest()->enabled());
  // Nobody reads the former keys any more, so it is told as soon as the new ones are there.
  std::optional<bool> enabled;
  std::vector<absl::AnyInvocable<void()>> disposed;
  ASSERT_TRUE(applier_
                  ->replace(std::move(replacement),
                            [&](absl::AnyInvocable<void()> task) {
                              if (!enabled) enabled = applier_->auth().newest()->enabled();
                              disposed.push_back(std::move(task));
                            })
                  .ok());
  EXPECT_EQ(enabled, true);
  for (auto& task : disposed) std::move(task)();
}

// As it says of the cluster's version: b to a is no range of keys, and etcd 3.7 alone permits it.
TEST_F(ApplierTest, TheRulesOfAReceivedStateAreThoseOfItsVersion) {
  ASSERT_TRUE(start().ok());
  for (const auto& [version, permitted] : {std::pair("3.6.0", false), {"3.7.0", true}}) {
    const Index index = Index(index_.value + 10);
    auto next = std::make_shared<backend::MemoryBackend>();
    backend::WriteBatch batch;
    batch.put(backend::Bucket::kAuth, "authEnabled", "\x01");
    batch.put(backend::Bucket::kAuth, "authRevision", std::string("\0\0\0\0\0\0\0\x07", 8));
    batch.put(backend::Bucket::kCluster, "clusterVersion", version);
    authpb::User user;
    user.set_name("u");
    user.add_roles("r");
    batch.put(backend::Bucket::kAuthUsers, "u", user.SerializeAsString());
    authpb::Role role;
    role.set_name("r");
    for (const char* end : {"c", "b", "d"}) {
      authpb::Permission* permission = role.add_keypermission();
      permission->set_key("a");
      permission->set_range_end(end);
    }
    batch.put(backend::Bucket::kAuthRoles, "r", role.SerializeAsString());
    ASSERT_TRUE(next->commit(batch, index, Term(1)).ok());
    Replacement replacement{.index = index, .term = Term(1), .backend = next.get()};
    replacement.former = std::exchange(backend_, next);
    replacement.store = *mvcc::Store::open(next.get());
    ASSERT_TRUE(
        applier_->replace(std::move(replacement), [](auto task) { std::move(task)(); }).ok());
    index_ = index;
    const std::shared_ptr<const auth::Rules> rules = applier_->auth().newest();
    EXPECT_EQ(rules->may({"u", 7}, auth::Access::kRead, "b", "a").ok(), permitted) << version;
    EXPECT_TRUE(rules->may({"u", 7}, auth::Access::kRead, "a", "d").ok());
  }
}

// Of entries in one batch each is timed by itself, and who is slow is named, as in etcd.
TEST_F(ApplierTest, ASlowEntryIsNamed) {
  log::TestLog log(log::Level::kWarn);
  ASSERT_TRUE(start().ok());
  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  clock_.steps = {Duration(0),       microseconds(100), microseconds(50),
                  milliseconds(150), microseconds(101), milliseconds(101)};
  for (const char* key : {"a", "b", "c\x01", "d"}) ASSERT_TRUE(put(key).ok());
  ASSERT_TRUE(compact(100).ok());
  ASSERT_TRUE(applier_->publish(index_, Term(1)).ok());
  EXPECT_EQ(observer_.slow, 2);
  EXPECT_EQ(observer_.rows,
            (std::vector<std::string>{"put 2 in 150\u00b5s", "put 1 in 150ms",
                                      "put 1 in 101\u00b5s", "compaction refused 1 in 101ms"}));
  using Fields = std::map<std::string, std::string>;
  std::vector<Fields> said;
  for (auto& line : log.take("apply request took too long")) said.push_back(line.fields);
  EXPECT_EQ(said,
            (std::vector<Fields>{{{"took", "150ms"},
                                  {"expected-duration", "100ms"},
                                  {"prefix", ""},
                                  {"request", "header:<ID:1> put:<key:\"c\\001\" value_size:3 >"},
                                  {"response", "size:4"}},
                                 {{"took", "101ms"},
                                  {"expected-duration", "100ms"},
                                  {"prefix", ""},
                                  {"request", "header:{ID:1} compaction:{revision:100}"},
                                  {"response", ""},
                                  {"error", "mvcc: required revision is a future revision"}}}));
}

// What is refused is named, as in etcd, whether it was slow or not; but what was compacted before
// is no failure, and what only an administrator may ask never comes to be tried.
TEST_F(ApplierTest, WhatIsRefusedIsNamed) {
  log::TestLog log(log::Level::kWarn);
  ASSERT_TRUE(start().ok());
  etcdserverpb::PutRequest leased;
  leased.set_key("a");
  leased.set_value("secret");
  leased.set_lease(7);
  ASSERT_FALSE(apply(InternalKind::kPut, leased.SerializeAsString())->status.ok());
  ASSERT_TRUE(put("b")->status.ok());
  ASSERT_TRUE(compact(2)->status.ok());
  ASSERT_EQ(compact(2)->status, errors::Compacted());
  using Fields = std::map<std::string, std::string>;
  auto said = log.take("failed to apply request");
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].fields,
            (Fields{{"took", "0s"},
                    {"request", "header:<ID:1> put:<key:\"a\" value_size:6 lease:7 >"},
                    {"response", ""},
                    {"error", "lease not found"}}));
  EXPECT_TRUE(log.take("apply request took too long").empty());
}

TEST_F(ApplierTest, WhatIsRefusedAheadIsNeitherNamedNorCounted) {
  log::TestLog log(log::Level::kWarn);
  backend::WriteBatch batch;
  batch.put(backend::Bucket::kAuth, "authEnabled", "\x01");
  batch.put(backend::Bucket::kAuth, "authRevision", std::string("\0\0\0\0\0\0\0\x05", 8));
  ASSERT_TRUE(backend_->commit(batch, Index(0), Term(0)).ok());
  ASSERT_TRUE(start().ok());
  ASSERT_EQ(apply(InternalKind::kAuthUserList, "")->status, errors::UserEmpty());
  ASSERT_EQ(put("a")->status, errors::UserEmpty());
  ASSERT_TRUE(applier_->publish(index_, Term(1)).ok());
  EXPECT_EQ(observer_.rows, (std::vector<std::string>{"put refused 1 in 0s"}));
  EXPECT_EQ(log.take("failed to apply request").size(), 1u);
}

TEST_F(ApplierTest, WhatIsSaidOfEntriesIsBounded) {
  log::TestLog log(log::Level::kWarn);
  lines_ = std::make_unique<LineBudget>(
      clock_, &lane_, LineBudget::Options{.bytes_per_second = 1, .bytes_at_once = 1000});
  ASSERT_TRUE(start().ok());
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(compact(100)->status.ok());
  const size_t said = log.take("failed to apply request").size();
  EXPECT_GT(said, 1u);
  EXPECT_LT(said, 10u);
  EXPECT_EQ(log.take("there was more to say of requests than the log takes").size(), 50 - said);
}

// Whoever may change something may do so as often as they like; and who only floods hides nothing
// of that.
TEST_F(ApplierTest, WhatIsSaidOfChangesIsBounded) {
  log::TestLog log(log::Level::kInfo);
  const LineBudget::Options small{.bytes_per_second = 1, .bytes_at_once = 1000};
  lines_ = std::make_unique<LineBudget>(clock_, &lane_, small);
  changes_ = std::make_unique<LineBudget>(clock_, &lane_, small);
  ASSERT_TRUE(start().ok());
  for (int i = 0; i < 50; ++i) {
    const raft::ConfChange nobody{.type = ConfChangeType::kRemoveNode, .node_id = MemberId(77)};
    ASSERT_TRUE(applier_
                    ->apply_conf_change({.type = raft::EntryType::kConfChange,
                                         .term = Term(1),
                                         .index = ++index_,
                                         .data = raft::encode(nobody)})
                    .ok());
  }
  const size_t refused = log.take("refused a membership change").size();
  EXPECT_GT(refused, 1u);
  EXPECT_LT(refused, 10u);
  for (int i = 0; i < 50; ++i) {
    etcdserverpb::AuthRoleAddRequest add;
    add.set_name(std::string(1000, 'r') + std::to_string(i));
    ASSERT_TRUE(apply(InternalKind::kAuthRoleAdd, add.SerializeAsString())->status.ok());
  }
  const size_t added = log.take("created a role").size();
  EXPECT_GT(added, 1u);
  EXPECT_LT(added, 10u);
}

}  // namespace
}  // namespace keelson::apply
