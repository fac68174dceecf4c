#include "boltfile/etcd_state.h"

#include <algorithm>
#include <charconv>

#include "base/endian.h"
#include "base/protobuf.h"
#include "base/revision_key.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

using View = std::string_view;

absl::Status bad(View bucket, View key, View what) {
  std::string shown;
  for (const char c : key.substr(0, 64)) {
    const bool plain = c > ' ' && c < 0x7f;
    shown +=
        plain ? std::string(1, c) : cat("\\x", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  }
  return absl::DataLossError(cat("boltfile: bucket ", bucket, ", record ", shown, ": ", what));
}

template <typename Id>
absl::Status big64(View bucket, View key, View value, std::optional<Id>* out) {
  if (value.size() != 8) return bad(bucket, key, "is not a number of eight bytes");
  out->emplace(load_big64(value.data()));
  return absl::OkStatus();
}

absl::Status compaction(View key, View value, std::optional<int64_t>* out) {
  ParsedRevision at;
  if (!parse_revision_key(value, &at)) return bad("meta", key, "is not a revision");
  *out = at.revision.main;
  return absl::OkStatus();
}

// Members' keys are their ids as etcd prints them: hexadecimal, without leading zeros.
bool parse_member(View text, MemberId* id) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id->value, 16);
  return error == std::errc() && stop == end && !text.empty();
}

bool well_formed(View message) {
  pb::LoggedReader reader(message);
  for (pb::Field field; reader.next(&field);) {
  }
  return reader.ok();
}

absl::Status meta_record(View key, View value, EtcdMeta* meta, std::vector<std::string>* unknown) {
  if (key == "consistent_index") return big64("meta", key, value, &meta->consistent_index);
  if (key == "term") return big64("meta", key, value, &meta->term);
  if (key == "scheduledCompactRev") return compaction(key, value, &meta->scheduled_compaction);
  if (key == "finishedCompactRev") return compaction(key, value, &meta->finished_compaction);
  if (key == "confState") {
    meta->conf_state.emplace(value);
  } else if (key == "storageVersion") {
    meta->storage_version.emplace(value);
  } else if (unknown) {
    unknown->push_back(cat("meta/", key));
  }
  return absl::OkStatus();
}

absl::Status read_meta(File& file, EtcdMeta* meta, std::vector<std::string>* unknown) {
  return for_each_record(
      file, "meta", [&](View key, View value) { return meta_record(key, value, meta, unknown); });
}

absl::Status read_alarms(File& file, EtcdState* state) {
  return for_each_record(file, "alarm", [&](View key, View) {
    EtcdAlarm alarm;
    pb::LoggedReader reader(key);
    for (pb::Field field; reader.next(&field);) {
      if (field.is(1, pb::kVarint)) alarm.member = MemberId(field.value);
      if (field.is(2, pb::kVarint)) alarm.alarm = field.value;
    }
    if (!reader.ok()) return bad("alarm", key, "does not parse");
    state->alarms.push_back(alarm);
    return absl::OkStatus();
  });
}

absl::Status read_members(File& file, EtcdState* state) {
  absl::Status s = for_each_record(file, "members", [&](View key, View value) {
    EtcdMember member{.json = std::string(value)};
    if (!parse_member(key, &member.id)) return bad("members", key, "is not a member's id");
    state->members.push_back(std::move(member));
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return for_each_record(file, "members_removed", [&](View key, View) {
    MemberId id;
    if (!parse_member(key, &id)) return bad("members_removed", key, "is not a member's id");
    state->members_removed.push_back(id);
    return absl::OkStatus();
  });
}

absl::Status read_cluster(File& file, EtcdState* state) {
  return for_each_record(file, "cluster", [&](View key, View value) {
    if (key == "clusterVersion") {
      state->cluster_version.emplace(value);
    } else if (key == "downgrade") {
      state->downgrade.emplace(value);
    } else {
      state->unknown.push_back(cat("cluster/", key));
    }
    return absl::OkStatus();
  });
}

absl::Status read_named(File& file, View bucket, std::vector<EtcdNamed>* out) {
  return for_each_record(file, bucket, [&](View key, View value) {
    if (!well_formed(value)) return bad(bucket, key, "does not parse");
    out->push_back({std::string(key), std::string(value)});
    return absl::OkStatus();
  });
}

absl::Status read_auth(File& file, EtcdState* state) {
  absl::Status s = for_each_record(file, "auth", [&](View key, View value) {
    if (key == "authEnabled") {
      state->auth_enabled = value == View("\x01", 1);
    } else if (key == "authRevision") {
      if (value.size() != 8) return bad("auth", key, "is not a number of eight bytes");
      state->auth_revision = load_big64(value.data());
    } else {
      state->unknown.push_back(cat("auth/", key));
    }
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  if (s = read_named(file, "authUsers", &state->users); !s.ok()) return s;
  return read_named(file, "authRoles", &state->roles);
}

// What the root holds is buckets, etcd's own ones among them.
absl::Status check_buckets(File& file, std::vector<std::string>* unknown) {
  absl::StatusOr<std::vector<std::string>> names = file.root().bucket_names();
  if (!names.ok()) return names.status();
  for (View needed : {"key", "meta"}) {
    if (std::find(names->begin(), names->end(), needed) == names->end()) {
      return absl::FailedPreconditionError(
          cat("boltfile: ", file.source().name(), " has no bucket \"", needed, "\": not etcd's"));
    }
  }
  for (const std::string& name : *names) {
    if (std::find(kEtcdBuckets.begin(), kEtcdBuckets.end(), name) == kEtcdBuckets.end()) {
      unknown->push_back(name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t EtcdMeta::compact_revision() const {
  return std::max(scheduled_compaction.value_or(-1), finished_compaction.value_or(-1));
}

bool EtcdMeta::compaction_complete() const {
  return finished_compaction.value_or(-1) == compact_revision();
}

absl::Status for_each_record(File& file, View bucket,
                             absl::FunctionRef<absl::Status(View key, View value)> use) {
  absl::StatusOr<Bucket> inside = file.root().bucket(bucket);
  if (absl::IsNotFound(inside.status())) return absl::OkStatus();
  if (!inside.ok()) return inside.status();
  Cursor cursor(*inside);
  absl::Status s = cursor.seek_first();
  for (; s.ok() && cursor.valid(); s = cursor.next()) {
    if (cursor.is_bucket()) return bad(bucket, cursor.key(), "is a bucket");
    if (absl::Status used = use(cursor.key(), cursor.value()); !used.ok()) return used;
  }
  return s;
}

absl::StatusOr<EtcdMeta> read_etcd_meta(File& file) {
  EtcdMeta meta;
  if (absl::Status s = read_meta(file, &meta, nullptr); !s.ok()) return s;
  return meta;
}

absl::StatusOr<EtcdState> read_etcd_state(File& file) {
  EtcdState state;
  absl::Status s = check_buckets(file, &state.unknown);
  if (s.ok()) s = read_meta(file, &state.meta, &state.unknown);
  if (s.ok()) s = read_alarms(file, &state);
  if (s.ok()) s = read_members(file, &state);
  if (s.ok()) s = read_cluster(file, &state);
  if (s.ok()) s = read_auth(file, &state);
  if (!s.ok()) return s;
  return state;
}

absl::Status read_etcd_leases(File& file, absl::FunctionRef<absl::Status(const EtcdLease&)> use) {
  return for_each_record(file, "lease", [&](View key, View value) {
    if (key.size() != 8) return bad("lease", key, "is not a lease's id");
    EtcdLease lease;
    pb::LoggedReader reader(value);
    for (pb::Field field; reader.next(&field);) {
      const auto number = static_cast<int64_t>(field.value);
      if (field.is(1, pb::kVarint)) lease.id = LeaseId(number);
      if (field.is(2, pb::kVarint)) lease.ttl = number;
      if (field.is(3, pb::kVarint)) lease.remaining_ttl = number;
    }
    if (!reader.ok()) return bad("lease", key, "does not parse");
    if (static_cast<uint64_t>(lease.id.value) != load_big64(key.data())) {
      return bad("lease", key, cat("holds lease ", lease.id.value));
    }
    return use(lease);
  });
}

}  // namespace keelson::boltfile
