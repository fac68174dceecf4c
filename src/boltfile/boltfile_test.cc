// Databases that etcd saved, with what it said of them; what a writer refuses; HashKV against the
// slow way.

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <set>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/protobuf.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/freelist.h"
#include "boltfile/hash_kv.h"
#include "boltfile/live_keys.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/test_databases.h"
#include "boltfile/verify.h"

namespace keelson::boltfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string golden(const std::string& name) {
  std::ifstream in(cat(KEELSON_SOURCE_DIR, "/src/boltfile/testdata/", name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(BoltfileGolden, WhatEtcdSaved) {
  const std::string bytes = golden("etcd_3_5_snapshot.db");
  std::unique_ptr<File> file = *open_memory(bytes);
  EXPECT_TRUE(verify(*file)->ok());
  EXPECT_TRUE(*check_sum(file->source()));
  const SnapshotStatus status = *snapshot_status(*file);
  EXPECT_EQ(status.hash, 4240383574u);
  EXPECT_EQ(status.revision, 97);
  EXPECT_EQ(status.records, 108u);
  EXPECT_EQ(status.size, 57344u);
  EXPECT_EQ(hash_kv(*file)->hash, 27696176u);
  EXPECT_EQ(hash_kv(*file)->compact_revision, 40);
  EXPECT_EQ(hash_kv(*file)->current_revision, 97);
  EXPECT_EQ(hash_kv(*file, 60)->hash, 1094019030u);
  EXPECT_EQ(hash_kv(*file, 39).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(hash_kv(*file, 98).status().code(), absl::StatusCode::kOutOfRange);

  const EtcdState state = *read_etcd_state(*file);
  EXPECT_EQ(state.meta.finished_compaction, 40);
  EXPECT_TRUE(state.meta.compaction_complete());
  EXPECT_EQ(state.cluster_version, "3.5.0");
  EXPECT_EQ(state.members.size(), 1u);
  ASSERT_EQ(state.users.size(), 1u);
  EXPECT_EQ(state.users[0].name, "root");
  ASSERT_EQ(state.roles.size(), 1u);
  EXPECT_EQ(state.roles[0].name, "reader");
  EXPECT_TRUE(state.unknown.empty());
  std::vector<int64_t> ttls;
  ASSERT_TRUE(read_etcd_leases(*file, [&](const EtcdLease& lease) {
                ttls.push_back(lease.ttl);
                return absl::OkStatus();
              }).ok());
  EXPECT_THAT(ttls, testing::UnorderedElementsAre(600, 900));
}

TEST(BoltfileGolden, ASumThatDoesNotMatch) {
  std::string bytes = golden("etcd_3_5_snapshot.db");
  bytes[20000] ^= 1;
  EXPECT_EQ(check_sum(*memory_source(bytes)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(*check_sum(*memory_source(golden("etcd_3_5_defragmented.db"))));
}

TEST(BoltfileGolden, TheOlderMetaWithAListOfFreePages) {
  std::string bytes = golden("etcd_3_5_defragmented.db");
  EXPECT_EQ((*open_memory(bytes))->meta().freelist, kNoFreelist);
  bytes[kPageHead + 16] ^= 1;
  std::unique_ptr<File> older = *open_memory(bytes);
  EXPECT_EQ(older->meta().freelist, PageId(2));
  EXPECT_TRUE(read_freelist(*older, [](PageId) {}).ok());
  EXPECT_TRUE(verify(*older)->ok()) << verify(*older)->status();
}

TEST(BoltfileWriter, RefusesWhatIsOutOfOrder) {
  for (const std::string second : {"a", "b", ""}) {
    StringSink sink;
    Writer writer(Layout(), &sink);
    ASSERT_TRUE(writer.begin_bucket("bucket").ok());
    ASSERT_TRUE(writer.add("b", "").ok());
    EXPECT_EQ(writer.add(second, "").code(), absl::StatusCode::kInvalidArgument);
    // And stays refused.
    EXPECT_EQ(writer.end_bucket().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(writer.finish().code(), absl::StatusCode::kInvalidArgument);
  }
  StringSink sink;
  Writer writer(Layout(), &sink);
  ASSERT_TRUE(writer.begin_bucket("b").ok());
  ASSERT_TRUE(writer.end_bucket().ok());
  EXPECT_EQ(writer.begin_bucket("a").code(), absl::StatusCode::kInvalidArgument);
}

TEST(BoltfileWriter, RefusesWhatNoDatabaseHolds) {
  Planner planner{Layout()};
  EXPECT_EQ(planner.begin_bucket(0).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(planner.begin_bucket(1).ok());
  EXPECT_EQ(planner.add(32769, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(planner.add(1, uint64_t{1} << 31).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(valid_layout({.page_size = 5000}));
  EXPECT_FALSE(valid_layout({.page_size = 2048}));
  EXPECT_FALSE(valid_layout({.page_size = 128 << 10}));
}

TEST(BoltfileWriter, KeepsToThePlan) {
  TestBucket planned, more, less;
  for (int i = 100; i < 300; ++i) planned.buckets["b"].keys[cat(i)] = std::string(100, 'v');
  more = less = planned;
  more.buckets["b"].keys["500"] = std::string(9000, 'v');
  less.buckets["b"].keys.clear();
  for (const TestBucket& written : {more, less}) {
    const Plan plan = plan_of(planned, {});
    StringSink sink;
    Writer writer(plan, static_cast<Sink*>(&sink));
    absl::Status s = write_inside(written, writer);
    if (s.ok()) s = writer.finish();
    EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
    EXPECT_LE(sink.bytes.size(), plan.bytes());
  }
}

class FullSink final : public Sink {
 public:
  absl::Status write(std::string_view) override { return absl::ResourceExhaustedError("full"); }
};

TEST(BoltfileWriter, TellsWhatTheSinkSays) {
  TestBucket root;
  for (int i = 1000; i < 3000; ++i) root.buckets["b"].keys[cat(i)] = std::string(1000, 'v');
  FullSink sink;
  Writer writer(plan_of(root, {}), &sink);
  EXPECT_EQ(write_inside(root, writer).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(writer.finish().code(), absl::StatusCode::kResourceExhausted);
}

TEST(BoltfileEtcdState, RefusesWhatIsNotEtcds) {
  auto error_of = [](const TestBucket& root) {
    const std::string bytes = database_of(root);
    return std::string(message_of(read_etcd_state(**open_memory(bytes)).status()));
  };
  TestBucket good;
  for (std::string_view name : kEtcdBuckets) good.buckets[std::string(name)];
  EXPECT_EQ(error_of(good), "");
  TestBucket bad = good;
  bad.buckets.erase("key");
  EXPECT_THAT(error_of(bad), HasSubstr("no bucket \"key\""));
  bad = good;
  bad.buckets["meta"].keys["term"] = "short";
  EXPECT_THAT(error_of(bad), HasSubstr("bucket meta, record term: is not a number"));
  bad = good;
  bad.buckets["members"].keys["not hex"] = "{}";
  EXPECT_THAT(error_of(bad), HasSubstr("bucket members, record not\\x20hex"));
  bad = good;
  bad.buckets["authUsers"].keys["u"] = "\x0a\x7f";
  EXPECT_THAT(error_of(bad), HasSubstr("bucket authUsers, record u: does not parse"));
  bad = good;
  bad.buckets["alarm"].buckets["inside"];
  EXPECT_THAT(error_of(bad), HasSubstr("bucket alarm, record inside: is a bucket"));

  good.buckets["later"];
  good.buckets["meta"].keys["newThing"] = "x";
  const std::string bytes = database_of(good);
  EXPECT_THAT(read_etcd_state(**open_memory(bytes))->unknown,
              ElementsAre("later", "meta/newThing"));
}

std::string key_value(std::string_view key, int64_t created, int64_t at, int64_t version) {
  std::string message;
  pb::append_bytes_field(message, 1, key);
  pb::append_varint_field(message, 2, static_cast<uint64_t>(created));
  pb::append_varint_field(message, 3, static_cast<uint64_t>(at));
  pb::append_varint_field(message, 4, static_cast<uint64_t>(version));
  return message;
}

TEST(BoltfileEtcdKeys, EachRecordIsChecked) {
  auto error_of = [](std::string_view key, std::string_view value) {
    return std::string(message_of(parse_etcd_record(key, value).status()));
  };
  const RevisionKey at({7, 1});
  EXPECT_EQ(error_of(at.view(), key_value("k", 7, 7, 1)), "");
  EXPECT_EQ(error_of(RevisionKey({7, 0}, true).view(), key_value("k", 0, 0, 0)), "");
  EXPECT_EQ(error_of(at.view(), ""), "");
  EXPECT_THAT(error_of("short", ""), HasSubstr("is not a revision"));
  EXPECT_THAT(error_of(at.view(), "\x0a\x7f"), HasSubstr("revision 7/1: does not parse"));
  EXPECT_THAT(error_of(at.view(), key_value("", 7, 7, 1)), HasSubstr("has no key"));
  EXPECT_THAT(error_of(at.view(), key_value("k", 7, 8, 1)), HasSubstr("modified at 8"));
  EXPECT_THAT(error_of(at.view(), key_value("k", 8, 7, 1)), HasSubstr("created at 8"));
  EXPECT_THAT(error_of(at.view(), key_value("k", 7, 7, 0)), HasSubstr("version 0"));
}

// A store's history, and the compaction that was asked for last.
struct History {
  struct Entry {
    int64_t at;
    std::string key;
    bool tombstone;
    int64_t version = 0;
  };
  std::vector<Entry> entries;
  int64_t compacted = -1;
  bool complete = true;

  // The newest entry of `key` up to `revision`.
  const Entry* newest(const std::string& key, int64_t revision) const {
    const Entry* found = nullptr;
    for (const Entry& e : entries) {
      if (e.key == key && e.at <= revision) found = &e;
    }
    return found;
  }
  // A compaction at `compacted` leaves it.
  bool stays(const Entry& e) const {
    if (e.at > compacted) return true;
    return newest(e.key, compacted) == &e && (!e.tombstone || e.at == compacted);
  }
  bool alive(const Entry& e, int64_t revision) const {
    return newest(e.key, revision) == &e && !e.tombstone;
  }

  uint32_t hash(int64_t revision) const {
    bool any = false;
    for (const Entry& e : entries) any = any || (e.at <= revision && alive(e, revision));
    uint32_t crc = crc32c::extend(0, "key");
    for (const Entry& e : entries) {
      if (e.at > revision || !stays(e)) continue;
      if (e.at == compacted && e.tombstone) continue;
      if (e.at <= compacted && any && !alive(e, revision)) continue;
      crc = crc32c::extend(crc, RevisionKey({e.at, 0}, e.tombstone).view());
      crc = crc32c::extend(crc, value_of(e));
    }
    return crc;
  }
  static std::string value_of(const Entry& e) {
    return e.tombstone ? key_value(e.key, 0, 0, 0) : key_value(e.key, e.at, e.at, e.version);
  }
};

History random_history(Random& random) {
  History history;
  std::map<std::string, int64_t> alive;  // with its version
  const uint64_t keys = 1 + random.below(8);
  const int64_t last = 2 + static_cast<int64_t>(random.below(40));
  for (int64_t at = 2; at <= last; ++at) {
    const std::string key = cat("k", random.below(keys));
    const bool tombstone = alive.contains(key) && random.below(2) == 0;
    history.entries.push_back({at, key, tombstone, tombstone ? 0 : ++alive[key]});
    if (tombstone) alive.erase(key);
  }
  if (random.below(4) > 0) history.compacted = static_cast<int64_t>(1 + random.below(last));
  history.complete = random.below(2) == 0;
  return history;
}

// Stretches of about the same size, however uneven the keys are.
TEST(BoltfileBucket, CutsAreEven) {
  TestBucket root;
  auto& keys = root.buckets["key"].keys;
  for (int i = 0; i < 20000; ++i) {
    keys[cat(i < 18000 ? "a" : "b", 100000 + i)] = std::string(100, 'v');
  }
  const std::string bytes = database_of(root);
  auto file = open_memory(bytes);
  ASSERT_TRUE(file.ok());
  const Bucket bucket = *(*file)->root().bucket("key");
  EXPECT_TRUE(bucket.cuts(1)->empty());
  for (const size_t parts : {2, 3, 8, 50}) {
    const std::vector<std::string> cuts = *bucket.cuts(parts);
    ASSERT_EQ(cuts.size(), parts - 1);
    auto from = keys.begin();
    for (size_t i = 0; i <= cuts.size(); ++i) {
      const auto until = i < cuts.size() ? keys.lower_bound(cuts[i]) : keys.end();
      const auto count = static_cast<size_t>(std::distance(from, until));
      EXPECT_GE(count * parts, keys.size() / 2) << i;
      EXPECT_LE(count * parts, keys.size() * 2) << i;
      from = until;
    }
  }
  // As far as there are pages.
  EXPECT_LT(bucket.cuts(1'000'000)->size(), 2000u);
  TestBucket small;
  small.buckets["key"].keys["k"] = "v";
  const std::string few = database_of(small);
  auto other = open_memory(few);
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE((*other)->root().bucket("key")->cuts(8)->empty());
}

// What is left of it when its compaction has come as far as it has.
TestBucket left_of(const History& history, Random& random) {
  TestBucket root;
  auto& meta = root.buckets["meta"].keys;
  auto& keys = root.buckets["key"].keys;
  if (history.compacted >= 0) {
    const std::string mark(RevisionKey({history.compacted, 0}).view());
    meta["scheduledCompactRev"] = mark;
    if (history.complete) meta["finishedCompactRev"] = mark;
  }
  // A compaction removes in the order of revisions.
  const auto removed_up_to = static_cast<int64_t>(random.below(40));
  for (const History::Entry& e : history.entries) {
    if (!history.stays(e) && (history.complete || e.at < removed_up_to)) continue;
    keys[std::string(RevisionKey({e.at, 0}, e.tombstone).view())] = History::value_of(e);
  }
  return root;
}

TEST(BoltfileLiveKeys, AreThoseOfASet) {
  for_each_seed(3000, [](uint64_t seed) {
    SeededRandom random(seed);
    const History history = random_history(random);
    TestBucket root = left_of(history, random);
    if (random.below(8) == 0) {
      root.buckets["key"].keys[std::string(RevisionKey({90, 0}).view())] = "";  // a bump
    }
    const std::string bytes = database_of(root);
    std::unique_ptr<File> file = *open_memory(bytes);
    LiveKeys live(*read_etcd_meta(*file));
    std::set<std::string, std::less<>> alive;
    EtcdKeys keys = *EtcdKeys::open(*file);
    for (absl::Status s = keys.seek({}); s.ok() && keys.valid(); s = keys.next()) {
      const EtcdRecord& record = keys.record();
      live.take(record);
      if (record.tombstone) {
        alive.erase(std::string(record.key));
      } else {
        alive.emplace(record.key);
      }
    }
    // In one walk, or in as many as it takes.
    for (const size_t most : {LiveKeys::kMostSums, size_t{3}, size_t{1}}) {
      ASSERT_EQ(*live.count(*file, most), alive.size())
          << "compacted " << history.compacted << (history.complete ? "" : ", not finished");
    }
  });
}

TEST(BoltfileHashKv, IsTheSlowWays) {
  for_each_seed(3000, [](uint64_t seed) {
    SeededRandom random(seed);
    const History history = random_history(random);
    const TestBucket root = left_of(history, random);
    const std::string bytes = database_of(root);
    std::unique_ptr<File> file = *open_memory(bytes);
    const int64_t last = hash_kv(*file)->current_revision;
    for (int64_t at = std::max<int64_t>(1, history.compacted); at <= last; ++at) {
      absl::StatusOr<KvHash> hash = hash_kv(*file, at);
      ASSERT_TRUE(hash.ok()) << hash.status();
      ASSERT_EQ(hash->hash, history.hash(at)) << "at " << at << ", compacted " << history.compacted;
    }
  });
}

}  // namespace
}  // namespace keelson::boltfile
