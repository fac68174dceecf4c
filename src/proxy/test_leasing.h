// proxy/test_leasing.h
//
// For tests: proxies with leasing before one store (proxy/test_store.h), and clients of theirs, who
// know what they may be told: a read what was there between its question and its answer, at a
// revision that was, and a write that it was made, once.
//
// Threads: the lane's.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "proxy/leasing.h"
#include "proxy/test_store.h"

namespace keelson::proxy {

constexpr char kLeasingPrefix[] = "leasing/";

class TestProxy {
 public:
  TestProxy(TestStore& store, TestLane* lane, const std::string& name_space,
            const Holdings::Limits& limits)
      : store_(store),
        lane_(*lane),
        prefix(name_space),
        link(store),
        watches({link, *lane, *lane, prefix, metrics}),
        leasing({link, *lane, *lane, watches, prefix, metrics}, kLeasingPrefix, limits) {
    leasing.start();
  }

  // ---- as the KV service does it

  using Answer = std::function<void(absl::StatusOr<Parts>)>;

  void range(const etcdserverpb::RangeRequest& request, Answer answer) {
    if (auto found = leasing.find(request, newest_)) return take(answer, *std::move(found));
    const auto plain = [this, request, answer] {
      call()->ask("/etcdserverpb.KV/Range", in_namespace(request),
                  [this, answer](auto answered) { take(answer, without(std::move(answered))); });
    };
    const bool acquires = leasing.acquire(request, [=, this](std::optional<Parts> read) {
      read ? take(answer, *std::move(read)) : plain();
    });
    if (!acquires) plain();
  }
  template <typename Request>
  std::shared_ptr<LeasedCall> write(const Request& request, Answer answer) {
    auto calling = call();
    leasing.write(calling, GuardedForm(leasing.keys(), request),
                  [this, answer](auto answered) { take(answer, std::move(answered)); });
    return calling;
  }
  void txn(const etcdserverpb::TxnRequest& request, const Answer& answer) {
    if (auto found = leasing.find(request, newest_)) return take(answer, *std::move(found));
    write(request, answer);
  }

  int64_t newest() const { return newest_; }
  // What clients bring along.
  LeasedCall::Metadata metadata;

 private:
  void take(const Answer& answer, absl::StatusOr<Parts> answered) {
    if (answered.ok()) newest_ = std::max(newest_, revision_of(*answered));
    answer(std::move(answered));
    leasing.holdings().check_invariants();
  }
  std::shared_ptr<LeasedCall> call() {
    return std::make_shared<LeasedCall>(link, lane_, metadata, std::nullopt);
  }
  absl::StatusOr<Parts> without(absl::StatusOr<Parts> answered) const {
    etcdserverpb::RangeResponse response;
    if (!answered.ok() || prefix.empty()) return answered;
    EXPECT_TRUE(response.ParseFromString(answered->flat()));
    prefix.take_from(&response);
    return encoded(response);
  }
  Bytes in_namespace(etcdserverpb::RangeRequest request) const {
    if (!prefix.empty()) prefix.add_to(&request).IgnoreError();
    return Bytes::copy(request.SerializeAsString());
  }

  TestStore& store_;
  TestLane& lane_;
  int64_t newest_ = 0;

 public:
  const KeyPrefix prefix;
  Metrics metrics;
  TestStore::Link link;
  WatchHub watches;
  Leasing leasing;
};

class LeasingWorld {
 public:
  LeasingWorld(uint64_t seed, size_t proxies, const std::string& name_space = "",
               const Holdings::Limits& limits = {})
      : random(seed), store(&lane, &random), name_space_(name_space) {
    for (size_t i = 0; i < proxies; ++i) {
      all.push_back(std::make_unique<TestProxy>(store, &lane, name_space, limits));
    }
    pass(std::chrono::seconds(2));
    for (const auto& proxy : all) EXPECT_TRUE(proxy->leasing.has_session());
  }
  ~LeasingWorld() {
    for (const auto& proxy : all) proxy->link.cut = false;
    for (const auto& proxy : all) proxy->leasing.stop();
    settle();
  }

  TestProxy& at(size_t number) { return *all[number]; }

  // All that can be done now is.
  void settle() {
    do {
      lane.run();
    } while (step());
  }
  bool step() {
    const size_t first = random.below(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[(first + i) % all.size()]->link.step()) return true;
    }
    return false;
  }
  void pass(Duration time) {
    constexpr Duration kBit = std::chrono::milliseconds(250);
    settle();
    for (; time > Duration(0); time -= kBit) {
      lane.pass(std::min(time, kBit));
      store.expire();
      settle();
    }
  }

  // ---- clients, who look at what they are told

  // What came of a read, once it is over.
  struct Read {
    bool over = false;
    absl::Status status;
    std::optional<mvccpb::KeyValue> kv;
    int64_t revision = 0;
  };
  std::shared_ptr<Read> read(size_t proxy, const std::string& key) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    auto read = std::make_shared<Read>();
    ++under_way;
    const int64_t newest = at(proxy).newest();
    at(proxy).range(request, [=, this, since = store.revision()](absl::StatusOr<Parts> answered) {
      --under_way;
      read->over = true;
      read->status = answered.status();
      etcdserverpb::RangeResponse response;
      if (!answered.ok() || !response.ParseFromString(answered->flat())) return;
      if (response.kvs_size() > 0) read->kv = response.kvs(0);
      read->revision = response.header().revision();
      EXPECT_EQ(response.count(), response.kvs_size());
      check_revision(read->revision, newest);
      EXPECT_TRUE(was(key, read->kv, since, store.revision()))
          << key << " was never " << (read->kv ? read->kv->ShortDebugString() : "gone") << " from "
          << since << " to " << store.revision();
      EXPECT_TRUE(was(key, read->kv, read->revision, read->revision)) << key;
    });
    return read;
  }
  struct Wrote {
    bool over = false;
    absl::Status status;
    int64_t revision = 0;
    etcdserverpb::TxnResponse txn;
  };
  std::shared_ptr<Wrote> put(size_t proxy, const std::string& key, const std::string& value,
                             int64_t lease = 0) {
    etcdserverpb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_lease(lease);
    return written<etcdserverpb::PutResponse>(
        proxy, request, [this, key, value](const Wrote& wrote) {
          const size_t times = store.puts_of(value);
          EXPECT_LE(times, 1u);
          if (!wrote.status.ok()) return;
          EXPECT_EQ(times, 1u);
          const auto then = store.at(full(key), wrote.revision);
          EXPECT_TRUE(then && then->value() == value) << key;
        });
  }
  std::shared_ptr<Wrote> remove(size_t proxy, const std::string& key, const std::string& end = "") {
    etcdserverpb::DeleteRangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    return written<etcdserverpb::DeleteRangeResponse>(
        proxy, request, [this, key, end](const Wrote& wrote) {
          if (!KeySpan{key, end}.contains(key)) return;
          EXPECT_FALSE(wrote.status.ok() && store.at(full(key), wrote.revision)) << key;
        });
  }
  std::shared_ptr<Wrote> txn(size_t proxy, const etcdserverpb::TxnRequest& request) {
    auto wrote = std::make_shared<Wrote>();
    ++under_way;
    const bool only_reads = GuardedForm(at(proxy).leasing.keys(), request).spans().empty();
    at(proxy).txn(request, [=, this, newest = at(proxy).newest()](auto answered) {
      over(wrote, newest, std::move(answered), [&](const Parts& answer) {
        EXPECT_TRUE(wrote->txn.ParseFromString(answer.flat()));
        if (only_reads) check_reads(wrote->txn);
      });
    });
    return wrote;
  }

  // Until all that is under way is over.
  void finish(Duration at_most) {
    for (; under_way > 0 && at_most > Duration(0); at_most -= std::chrono::milliseconds(250)) {
      pass(std::chrono::milliseconds(250));
    }
    EXPECT_EQ(under_way, 0u);
  }

  std::string full(const std::string& key) const { return name_space_ + key; }
  std::string leasing_key(const std::string& key) const {
    return cat(name_space_, kLeasingPrefix, key);
  }

  TestLane lane;
  SeededRandom random;
  TestStore store;
  std::vector<std::unique_ptr<TestProxy>> all;
  size_t under_way = 0;

 private:
  template <typename Response, typename Request, typename Check>
  std::shared_ptr<Wrote> written(size_t proxy, const Request& request, Check check) {
    auto wrote = std::make_shared<Wrote>();
    ++under_way;
    at(proxy).write(request, [this, wrote, check, since = store.revision()](auto answered) {
      over(wrote, since, std::move(answered), [](const Parts& answer) {
        Response response;
        EXPECT_TRUE(response.ParseFromString(answer.flat()));
      });
      check(*wrote);
    });
    return wrote;
  }
  template <typename Take>
  void over(const std::shared_ptr<Wrote>& wrote, int64_t least, absl::StatusOr<Parts> answered,
            const Take& take) {
    --under_way;
    wrote->over = true;
    wrote->status = answered.status();
    if (!answered.ok()) return;
    wrote->revision = revision_of(*answered);
    check_revision(wrote->revision, least);
    take(*answered);
  }
  void check_revision(int64_t revision, int64_t least) const {
    EXPECT_GT(revision, 0);
    EXPECT_GE(revision, least);
    EXPECT_LE(revision, store.revision());
  }
  // Whether it was so at some time between the two.
  bool was(const std::string& key, const std::optional<mvccpb::KeyValue>& kv, int64_t from,
           int64_t to) const {
    for (int64_t at = from; at <= to; ++at) {
      std::optional<mvccpb::KeyValue> then = store.at(full(key), at);
      if (then) then->set_key(key);
      if (then.has_value() != kv.has_value()) continue;
      if (!then || then->SerializeAsString() == kv->SerializeAsString()) return true;
    }
    return false;
  }
  // Of a transaction that only reads, what is there, all at once.
  void check_reads(const etcdserverpb::TxnResponse& response) const {
    for (const auto& op : response.responses()) {
      if (!op.has_response_range() || op.response_range().kvs_size() == 0) continue;
      const mvccpb::KeyValue& kv = op.response_range().kvs(0);
      const int64_t at = response.header().revision();
      EXPECT_TRUE(was(kv.key(), kv, at, at)) << kv.key();
    }
  }

  const std::string name_space_;
};

}  // namespace keelson::proxy
