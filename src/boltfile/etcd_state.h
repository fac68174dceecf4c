// boltfile/etcd_state.h
//
// What etcd keeps in its database besides keys: the buckets, and their records read and checked.
// Records whose inside other rooms own (members' JSON, users, roles) come as they are stored.
//
// Threads: as the File's. Memory: the state without leases, which are walked.
// Errors: DataLoss naming bucket and record for what does not read as etcd writes it;
//   FailedPrecondition when it is not etcd's database (no key or no meta bucket).
// Source: etcd v3.7.1, server/storage/schema; docs/formats/bolt.md.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "boltfile/file.h"

namespace keelson::boltfile {

// In the order of the file. A new etcd makes all of them.
constexpr std::array<std::string_view, 10> kEtcdBuckets = {
    "alarm", "auth",  "authRoles", "authUsers",       "cluster",
    "key",   "lease", "members",   "members_removed", "meta"};

struct EtcdMeta {
  std::optional<Index> consistent_index;
  std::optional<Term> term;  // since 3.5
  std::optional<int64_t> scheduled_compaction;
  std::optional<int64_t> finished_compaction;
  std::optional<std::string> conf_state;       // JSON, since 3.5
  std::optional<std::string> storage_version;  // "3.6.0", since 3.6

  // The revision that a server which opens this has compacted at; -1: never.
  int64_t compact_revision() const;
  // Nothing of that compaction is left to do.
  bool compaction_complete() const;
};

struct EtcdLease {
  LeaseId id;
  int64_t ttl = 0;            // seconds
  int64_t remaining_ttl = 0;  // of the last checkpoint; 0: none
};

struct EtcdAlarm {
  MemberId member;
  uint64_t alarm = 0;  // AlarmType
};

struct EtcdMember {
  MemberId id;
  std::string json;
};

struct EtcdNamed {
  std::string name;
  std::string message;  // authpb.User or authpb.Role
};

struct EtcdState {
  EtcdMeta meta;
  std::vector<EtcdAlarm> alarms;
  std::vector<EtcdMember> members;
  std::vector<MemberId> members_removed;
  std::optional<std::string> cluster_version;  // "3.5.0"
  std::optional<std::string> downgrade;        // JSON
  bool auth_enabled = false;
  uint64_t auth_revision = 0;
  std::vector<EtcdNamed> users;
  std::vector<EtcdNamed> roles;
  // Buckets, and "bucket/key" in those with fixed keys, that this version of etcd does not have:
  // who carries the state elsewhere would lose them.
  std::vector<std::string> unknown;
};

absl::StatusOr<EtcdState> read_etcd_state(File& file);
absl::StatusOr<EtcdMeta> read_etcd_meta(File& file);
// Stops at the first error of `use`.
absl::Status read_etcd_leases(File& file, absl::FunctionRef<absl::Status(const EtcdLease&)> use);

// Calls `use` for each key and value of a bucket, in order; not at all when there is no such
// bucket. A bucket inside it is damage.
absl::Status for_each_record(
    File& file, std::string_view bucket,
    absl::FunctionRef<absl::Status(std::string_view key, std::string_view value)> use);

}  // namespace keelson::boltfile
