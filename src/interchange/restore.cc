#include "interchange/restore.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/revision_key.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/sha256.h"
#include "boltfile/snapshot_file.h"
#include "boltfile/source.h"
#include "interchange/layout.h"
#include "interchange/store_maker.h"
#include "membership/cluster.h"
#include "membership/member_json.h"
#include "membership/v2_store.h"
#include "raft/conf_change.h"
#include "wal/snap_files.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;
using backend::Bucket;

constexpr Term kFirstTerm{1};

// As Go prints bytes.
std::string numbers(std::string_view bytes) {
  std::string out = "[";
  for (const char c : bytes) {
    out += cat(out.size() > 1 ? " " : "", static_cast<int>(static_cast<uint8_t>(c)));
  }
  return out + "]";
}

absl::Status check_snapshot_sum(const boltfile::Source& source) {
  if (!boltfile::has_sum(source)) {
    return absl::DataLossError("snapshot missing hash but --skip-hash-check=false");
  }
  constexpr size_t kPiece = 1 << 20;
  const uint64_t end = source.size() - boltfile::kSha256Size;
  boltfile::Sha256 sum;
  std::string piece;
  for (uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(std::min<uint64_t>(kPiece, end - at));
    if (absl::Status s = source.read(at, piece.data(), piece.size()); !s.ok()) return s;
    sum.update(piece);
  }
  std::string stored(boltfile::kSha256Size, '\0');
  if (absl::Status s = source.read(end, stored.data(), stored.size()); !s.ok()) return s;
  const std::string found = sum.finish();
  if (stored == found) return absl::OkStatus();
  return absl::DataLossError(cat("expected sha256 ", numbers(stored), ", got ", numbers(found)));
}

absl::Status check_places(const RestoreOptions& options) {
  std::error_code error;
  if (fs::exists(options.data_dir, error) && !fs::is_empty(options.data_dir, error)) {
    return absl::AlreadyExistsError(
        cat("data-dir \"", options.data_dir, "\" not empty or could not be read"));
  }
  if (fs::exists(options.wal_dir, error)) {
    return absl::AlreadyExistsError(cat("wal-dir \"", options.wal_dir, "\" exists"));
  }
  return absl::OkStatus();
}

// The records of the new cluster, and of the revision that is raised.
absl::Status add_changes(boltfile::File& file, const RestoreOptions& options,
                         const membership::Bootstrap& group, backend::WriteBatch* batch) {
  std::vector<MemberId> voters;
  for (const membership::Member& member : group.members) {
    voters.push_back(member.id);
    membership::tell_added(group.cluster, member);
    batch->put(Bucket::kMembers, cat(absl::Hex(member.id.value)), membership::member_json(member));
  }
  batch->put(Bucket::kMeta, "confState", membership::conf_state_json(voters, {}));
  if (options.bump_revision == 0) return absl::OkStatus();
  absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(file);
  if (!keys.ok()) return keys.status();
  absl::StatusOr<std::optional<Revision>> last = keys->last_revision();
  if (!last.ok()) return last.status();
  const int64_t latest = last->value_or(Revision()).main;
  if (options.bump_revision > static_cast<uint64_t>(kMaxTakenRevision - latest)) {
    return absl::InvalidArgumentError(
        cat("--bump-revision=", options.bump_revision, " passes the largest revision there is"));
  }
  const int64_t raised = latest + static_cast<int64_t>(options.bump_revision);
  log::info("bumping latest revision", {{"latest-revision", latest},
                                        {"bump-amount", options.bump_revision},
                                        {"new-latest-revision", raised}});
  const RevisionKey key({raised, 0});
  batch->put(Bucket::kKey, key.view(), {});
  log::info("marking revision compacted", {{"revision", raised}});
  batch->put(Bucket::kMeta, "scheduledCompactRev", key.view());
  return absl::OkStatus();
}

// What the log of every member of the new cluster begins with: the members, committed, and a mark,
// with the file that etcd's own restore leaves beside it.
absl::Status make_log(const RestoreOptions& options, const membership::Bootstrap& group) {
  const auto self = std::find_if(group.members.begin(), group.members.end(),
                                 [&](const auto& member) { return member.name == options.name; });
  CHECK(self != group.members.end());
  if (fs::path parent = fs::path(options.wal_dir).parent_path(); !parent.empty()) {
    std::error_code error;
    fs::create_directories(parent, error);
    if (error) return absl::UnavailableError(cat("cannot make ", parent.string()));
  }
  absl::StatusOr<std::unique_ptr<wal::Wal>> log = wal::Wal::create(
      options.wal_dir, wire::encode(wire::WalMetadata{self->id, group.cluster}), wal::Options());
  if (!log.ok()) return log.status();
  std::vector<raft::Entry> entries;
  raft::ConfState conf;
  for (const membership::Member& member : group.members) {
    conf.voters.push_back(member.id);
    const raft::ConfChange change{.node_id = member.id,
                                  .context = Bytes::copy(membership::member_json(member))};
    entries.push_back({.type = raft::EntryType::kConfChange,
                       .type_set = true,
                       .term = kFirstTerm,
                       .index = Index(entries.size() + 1),
                       .data = raft::encode(change)});
  }
  const Index last(entries.size());
  const SystemClock clock;
  absl::Status s = wal::SnapFiles({.dir = snap_dir(options.data_dir)}, &clock)
                       .save({.data = Bytes::copy(membership::v2_store_json(
                                  {.cluster = group.cluster, .members = group.members})),
                              .metadata = {.conf_state = conf, .index = last, .term = kFirstTerm}});
  if (!s.ok()) return s;
  s = (*log)->append({.term = kFirstTerm, .vote = group.members.front().id, .commit = last},
                     entries);
  if (s.ok()) s = (*log)->save_snapshot({last, kFirstTerm}, conf);
  if (s.ok()) s = (*log)->sync();
  if (s.ok()) s = (*log)->close();
  return s;
}

}  // namespace

absl::Status check_restore(const RestoreOptions& options) {
  absl::StatusOr<membership::Bootstrap> group =
      membership::bootstrap(options.initial_cluster, options.initial_cluster_token);
  return group.ok() ? check_places(options) : group.status();
}

absl::Status restore_snapshot(const RestoreOptions& options) {
  if (absl::Status s = check_restore(options); !s.ok()) return s;
  const absl::StatusOr<membership::Bootstrap> group =
      membership::bootstrap(options.initial_cluster, options.initial_cluster_token);
  const auto tell = [&](std::string_view what) {
    log::info(what, {{"path", options.snapshot},
                     {"wal-dir", options.wal_dir},
                     {"data-dir", options.data_dir},
                     {"store", store_dir(options.data_dir)}});
  };
  tell("restoring snapshot");
  absl::StatusOr<std::unique_ptr<boltfile::Source>> source =
      boltfile::open_source(options.snapshot);
  if (absl::IsNotFound(source.status())) {
    return absl::NotFoundError(cat("open ", options.snapshot, ": no such file or directory"));
  }
  if (!source.ok()) return source.status();
  if (!options.skip_hash_check) {
    if (absl::Status s = check_snapshot_sum(**source); !s.ok()) return s;
  }
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(*std::move(source));
  if (!file.ok()) return file.status();
  if (absl::Status s = check_space(**file, options.data_dir); !s.ok()) return s;

  ReadOptions reading{.position = Position{Index(group->members.size()), kFirstTerm},
                      .without_members = true,
                      .progress = options.progress};
  if (absl::Status s = add_changes(**file, options, *group, &reading.last); !s.ok()) return s;
  StoreMaker maker(member_dir(options.data_dir));
  absl::StatusOr<ReadResult> result = maker.read(**file, reading);
  if (!result.ok()) return result.status();
  for (const std::string& name : result->left_out) {
    log::warn("left out a bucket that etcd does not have", {{"bucket", name}});
  }
  if (absl::Status s = make_log(options, *group); !s.ok()) return s;
  KEELSON_FAILPOINT("interchange_log_made");
  if (absl::Status s = maker.install(); !s.ok()) return s;
  tell("restored snapshot");
  return absl::OkStatus();
}

}  // namespace keelson::interchange
