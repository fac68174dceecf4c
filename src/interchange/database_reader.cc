#include "interchange/database_reader.h"

#include <algorithm>
#include <future>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "backend/key_load.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "boltfile/hash_kv.h"
#include "interchange/etcd_version.h"
#include "lease/lease_record.h"
#include "membership/member_json.h"

namespace keelson::interchange {
namespace {

using backend::Bucket;

constexpr uint64_t kBatchBytes = 1 << 20;

absl::Status bad(Bucket bucket, std::string_view key, std::string_view what) {
  return absl::DataLossError(
      cat("interchange: bucket ", backend::bucket_name(bucket), ", record ", key, ": ", what));
}

// What read_database() keeps by other means.
bool is_position(std::string_view meta_key) {
  return meta_key == backend::kConsistentIndexKey || meta_key == backend::kTermKey ||
         meta_key == "storageVersion";
}

bool contains(const std::vector<MemberId>& ids, MemberId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Members of the file, with what the configuration says of them.
absl::StatusOr<std::vector<membership::Member>> members_of(
    const boltfile::EtcdState& state, const std::optional<raft::ConfState>& conf) {
  std::vector<membership::Member> members;
  std::set<MemberId> named;
  if (conf) {
    for (const auto* list : {&conf->voters, &conf->voters_outgoing, &conf->learners}) {
      named.insert(list->begin(), list->end());
    }
  }
  for (const boltfile::EtcdMember& record : state.members) {
    const std::string key = cat(absl::Hex(record.id.value));
    absl::StatusOr<membership::Member> member = membership::parse_member(record.json);
    if (!member.ok()) return bad(Bucket::kMembers, key, message_of(member.status()));
    if (member->id != record.id) {
      return bad(Bucket::kMembers, key, cat("holds member ", absl::Hex(member->id.value)));
    }
    if (conf) {
      if (named.erase(record.id) == 0) {
        return bad(Bucket::kMembers, key, "is not in the raft configuration");
      }
      member->is_learner = contains(conf->learners, record.id);
    }
    members.push_back(*std::move(member));
  }
  if (named.empty()) return members;
  return bad(Bucket::kMembers, cat(absl::Hex(named.begin()->value)),
             "is missing, but in the raft configuration");
}

absl::Status flush(backend::Backend& store) {
  // The store's thread holds on to it until it has said all.
  auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> flushed = promise->get_future();
  store.flush([promise](absl::Status s) { promise->set_value(std::move(s)); });
  return flushed.get();
}

class Reading {
 public:
  Reading(boltfile::File& file, backend::Backend* store, const ReadOptions& options)
      : file_(file), store_(*store), options_(options) {}

  absl::StatusOr<ReadResult> run() {
    absl::StatusOr<boltfile::EtcdState> state = boltfile::read_etcd_state(file_);
    if (!state.ok()) return state.status();
    result_.state = *std::move(state);
    absl::Status s = check_version(result_.state);
    if (s.ok()) s = find_position();
    if (s.ok()) s = find_left_out();
    if (s.ok()) s = read_keys();
    if (s.ok()) s = read_leases();
    for (Bucket bucket : {Bucket::kAlarm, Bucket::kAuth, Bucket::kAuthUsers, Bucket::kAuthRoles,
                          Bucket::kCluster, Bucket::kMeta}) {
      if (s.ok()) s = copy(bucket);
    }
    if (s.ok() && !options_.without_members) s = read_members();
    if (s.ok()) s = finish();
    if (!s.ok()) return s;
    return std::move(result_);
  }

 private:
  absl::Status find_position() {
    if (options_.position) {
      result_.position = *options_.position;
    } else if (result_.state.meta.consistent_index) {
      result_.position.index = *result_.state.meta.consistent_index;
      result_.position.term = result_.state.meta.term.value_or(Term(0));
    }
    if (result_.position.index != Index(0)) return absl::OkStatus();
    return bad(Bucket::kMeta, backend::kConsistentIndexKey,
               "is missing: nothing says where in the log this state stands");
  }

  absl::Status find_left_out() {
    absl::StatusOr<std::vector<std::string>> names = file_.root().bucket_names();
    if (!names.ok()) return names.status();
    for (std::string& name : *names) {
      const auto& known = boltfile::kEtcdBuckets;
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      result_.left_out.push_back(std::move(name));
    }
    return absl::OkStatus();
  }

  absl::Status read_keys() {
    const std::unique_ptr<backend::KeyLoad> load = backend::load_keys(store_);
    absl::StatusOr<std::vector<KeyStretch>> keys =
        interchange::read_keys(file_, load.get(), {.progress = options_.progress});
    if (!keys.ok()) return keys.status();
    result_.keys = *std::move(keys);
    for (const KeyStretch& stretch : result_.keys) {
      result_.total.records += stretch.total.records;
      result_.total.bytes += stretch.total.bytes;
    }
    KEELSON_FAILPOINT("interchange_keys_read");
    return absl::OkStatus();
  }

  absl::Status read_leases() {
    return boltfile::for_each_record(
        file_, backend::bucket_name(Bucket::kLease),
        [this](std::string_view key, std::string_view value) -> absl::Status {
          absl::StatusOr<lease::LeaseRecord> record = lease::decode_record(key, value);
          if (!record.ok()) {
            return bad(Bucket::kLease, absl::BytesToHexString(to_absl(key)),
                       message_of(record.status()));
          }
          ++result_.leases;
          return take(Bucket::kLease, key, value);
        });
  }

  // read_etcd_state() has looked at these records.
  absl::Status copy(Bucket bucket) {
    return boltfile::for_each_record(
        file_, backend::bucket_name(bucket),
        [this, bucket](std::string_view key, std::string_view value) -> absl::Status {
          if (bucket == Bucket::kMeta && is_position(key)) return absl::OkStatus();
          return take(bucket, key, value);
        });
  }

  absl::Status read_members() {
    absl::StatusOr<std::vector<membership::Member>> members =
        members_of(result_.state, options_.conf_state);
    if (!members.ok()) return members.status();
    for (const membership::Member& member : *members) {
      absl::Status s = take(Bucket::kMembers, cat(absl::Hex(member.id.value)), member_json(member));
      if (!s.ok()) return s;
    }
    if (options_.conf_state) {
      absl::Status s = take(
          Bucket::kMeta, "confState",
          membership::conf_state_json(options_.conf_state->voters, options_.conf_state->learners));
      if (!s.ok()) return s;
    }
    return copy(Bucket::kMembersRemoved);
  }

  absl::Status take(Bucket bucket, std::string_view key, std::string_view value) {
    batch_.put(bucket, key, value);
    ++result_.total.records;
    result_.total.bytes += key.size() + value.size();
    if (batch_.bytes() < kBatchBytes) return absl::OkStatus();
    return commit();
  }

  absl::Status commit() {
    absl::Status s = store_.commit(batch_, Index(0), Term(0));
    batch_.clear();
    return s.ok() ? tell() : s;
  }

  absl::Status tell() {
    if (!options_.progress || options_.progress(result_.total)) return absl::OkStatus();
    return absl::CancelledError("interchange: nobody wants the database any more");
  }

  absl::Status finish() {
    options_.last.for_each(
        [this](Bucket bucket, std::string_view key, std::string_view value) {
          batch_.put(bucket, key, value);
        },
        [this](Bucket bucket, std::string_view key) { batch_.del(bucket, key); });
    absl::Status s = store_.commit(batch_, result_.position.index, result_.position.term);
    if (!s.ok()) return s;
    if (s = flush(store_); !s.ok()) return s;
    CHECK(store_.durable_index() == result_.position.index);
    return tell();
  }

  boltfile::File& file_;
  backend::Backend& store_;
  const ReadOptions& options_;
  backend::WriteBatch batch_;
  ReadResult result_;
};

absl::Status newer(std::string_view what, std::string_view version) {
  return absl::FailedPreconditionError(cat("interchange: the database's ", what, " is ", version,
                                           "; this is Keelson for etcd 3.", kNewestMinor,
                                           ", which opens nothing newer"));
}

}  // namespace

absl::StatusOr<ReadResult> read_database(boltfile::File& file, backend::Backend* store,
                                         const ReadOptions& options) {
  CHECK(store->consistent_index() == Index(0));
  return Reading(file, store, options).run();
}

absl::Status check_version(const boltfile::EtcdState& state) {
  for (const auto& [what, version] :
       {std::pair<std::string_view, const std::optional<std::string>&>("storage version",
                                                                       state.meta.storage_version),
        {"cluster version", state.cluster_version}}) {
    if (!version) continue;
    const std::optional<int> minor = minor_of(*version);
    if (!minor || *minor > kNewestMinor) return newer(what, *version);
  }
  return absl::OkStatus();
}

absl::Status check_same_hash(boltfile::File& file, const mvcc::Store& store) {
  absl::StatusOr<boltfile::KvHash> theirs = boltfile::hash_kv(file);
  if (!theirs.ok()) return theirs.status();
  absl::StatusOr<std::unique_ptr<mvcc::HashKvJob>> job = store.hash_kv(0);
  if (!job.ok()) return job.status();
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = (*job)->step(SIZE_MAX);
    if (!step.ok()) return step.status();
    done = *step;
  }
  const mvcc::KvHash ours = (*job)->result();
  if (ours.hash == theirs->hash && ours.hash_revision == theirs->hash_revision &&
      ours.compact_revision == theirs->compact_revision) {
    return absl::OkStatus();
  }
  return absl::DataLossError(cat("interchange: HashKV of the database is ", theirs->hash,
                                 " at revision ", theirs->hash_revision, ", of the store ",
                                 ours.hash, " at ", ours.hash_revision));
}

}  // namespace keelson::interchange
