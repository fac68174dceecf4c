// interchange/test_states.h
//
// For tests: random states in a store of ours, and databases in memory.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/memory_backend.h"
#include "base/endian.h"
#include "base/protobuf.h"
#include "base/random.h"
#include "base/text.h"
#include "boltfile/test_databases.h"
#include "interchange/database_writer.h"
#include "lease/lease_record.h"
#include "membership/member_json.h"
#include "mvcc/store.h"

namespace keelson::interchange {

// Bucket by bucket, in the order of the enum.
using Contents = std::vector<std::map<std::string, std::string>>;

inline Contents contents_of(const backend::Reader& reader) {
  Contents all(backend::kBucketCount);
  for (size_t i = 0; i < backend::kBucketCount; ++i) {
    auto it = reader.iterate(static_cast<backend::Bucket>(i));
    for (it->seek_to_first(); it->valid(); it->next()) all[i].emplace(it->key(), it->value());
    EXPECT_TRUE(it->status().ok()) << it->status();
  }
  return all;
}

inline std::map<std::string, std::string>& bucket_of(Contents& contents, backend::Bucket bucket) {
  return contents[static_cast<size_t>(bucket)];
}

inline uint32_t hash_of(const mvcc::Store& store, int64_t revision = 0) {
  auto job = store.hash_kv(revision);
  EXPECT_TRUE(job.ok()) << job.status();
  if (!job.ok()) return 0;
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = (*job)->step(1000);
    EXPECT_TRUE(step.ok()) << step.status();
    done = !step.ok() || *step;
  }
  return (*job)->result().hash;
}

// Everything that etcd keeps besides keys.
inline void add_other_records(Random& random, backend::WriteBatch& batch) {
  using backend::Bucket;
  for (uint64_t i = random.below(20); i > 0; --i) {
    lease::LeaseRecord lease{LeaseId(static_cast<int64_t>(1 + random.below(INT64_MAX))),
                             static_cast<int64_t>(1 + random.below(100000)),
                             static_cast<int64_t>(random.below(100))};
    batch.put(Bucket::kLease, lease::encode_key(lease.id), lease::encode_value(lease));
  }
  std::vector<MemberId> voters, learners;
  for (uint64_t i = 1 + random.below(5); i > 0; --i) {
    membership::Member member{.id = MemberId(1 + random.below(UINT64_MAX)),
                              .name = cat("m", i),
                              .peer_urls = {cat("http://10.0.0.", i, ":2380")}};
    member.is_learner = random.below(4) == 0;
    (member.is_learner ? learners : voters).push_back(member.id);
    batch.put(Bucket::kMembers, cat(absl::Hex(member.id.value)), membership::member_json(member));
  }
  batch.put(Bucket::kMeta, "confState", membership::conf_state_json(voters, learners));
  for (uint64_t i = random.below(3); i > 0; --i) {
    batch.put(Bucket::kMembersRemoved, cat(absl::Hex(1 + random.below(UINT64_MAX))), "removed");
    std::string alarm, named;
    pb::append_varint_field(alarm, 1, 1 + random.below(UINT64_MAX));
    pb::append_varint_field(alarm, 2, 1 + random.below(2));
    batch.put(Bucket::kAlarm, alarm, "");
    pb::append_bytes_field(named, 1, cat("name", i));
    batch.put(Bucket::kAuthUsers, cat("user", i), named);
    batch.put(Bucket::kAuthRoles, cat("role", i), named);
  }
  if (random.below(2) == 0) {
    batch.put(Bucket::kAuth, "authEnabled", std::string(1, '\x01'));
    batch.put(Bucket::kAuth, "authRevision", big64(3 + random.below(100)));
  }
  if (random.below(4) > 0) {
    batch.put(Bucket::kCluster, "clusterVersion", cat("3.", 5 + random.below(3), ".0"));
    if (random.below(2) == 0) {
      batch.put(Bucket::kCluster, "downgrade", membership::downgrade_json({}));
    }
  }
}

// A member's store, some hundred entries of the log later.
class RandomState {
 public:
  // `backend` is new and outlives this. `keys`: about as many records.
  RandomState(Random& random, backend::Backend* backend, uint64_t keys)
      : random_(random), backend_(backend) {
    auto opened = mvcc::Store::open(backend);
    EXPECT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    add_other_records(random, store_->batch());
    publish();
    for (uint64_t i = 0; i < keys; ++i) {
      change();
      if (random.below(5) == 0) publish();
      if (random.below(100) == 0) compact();
    }
    publish();
  }

  mvcc::Store& store() { return *store_; }
  Index index() const { return Index(index_); }

 private:
  std::string random_key() {
    const uint64_t kind = random_.below(50);
    if (kind == 0) return std::string(1, static_cast<char>(random_.below(256)));
    if (kind == 1) return boltfile::random_bytes(random_, 1 + random_.below(3000));
    return cat("key", random_.below(200));
  }

  void change() {
    mvcc::WriteTxn txn = store_->begin();
    for (uint64_t n = 1 + random_.below(3); n > 0; --n) {
      const std::string key = random_key();
      if (random_.below(4) == 0) {
        EXPECT_TRUE(txn.delete_range(key, random_.below(10) == 0 ? "keyz" : "").ok());
        continue;
      }
      const uint64_t sizes[] = {0, 10, 300, 5000, random_.below(200) == 0 ? 1500000u : 40u};
      const std::string value = boltfile::random_bytes(random_, sizes[random_.below(5)]);
      EXPECT_TRUE(txn.put({.key = key,
                           .value = value,
                           .lease = LeaseId(static_cast<int64_t>(random_.below(3)))})
                      .ok());
    }
  }

  void publish() {
    ++index_;
    EXPECT_TRUE(store_->publish(Index(index_), Term(1 + index_ / 100)).ok());
  }

  // To its end, half way, or not begun.
  void compact() {
    publish();
    const int64_t from = std::max<int64_t>(store_->compact_revision(), 0) + 1;
    if (store_->revision() <= from || store_->compacting()) {
      while (store_->compact_step(1000)) publish();
      return publish();
    }
    const auto span = static_cast<uint64_t>(store_->revision() - from);
    EXPECT_TRUE(store_->compact(from + static_cast<int64_t>(random_.below(span + 1))).ok());
    publish();
    for (uint64_t steps = random_.below(20); steps > 0 && store_->compact_step(20); --steps) {
      publish();
    }
    publish();
  }

  Random& random_;
  backend::Backend* const backend_;
  std::unique_ptr<mvcc::Store> store_;
  uint64_t index_ = 0;
};

}  // namespace keelson::interchange
