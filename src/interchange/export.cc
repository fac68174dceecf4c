#include "interchange/export.h"

#include <cstdio>
#include <filesystem>
#include <memory>

#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "boltfile/sink.h"
#include "interchange/database_writer.h"
#include "interchange/etcd_version.h"
#include "interchange/layout.h"
#include "interchange/log_copy.h"
#include "interchange/store_maker.h"
#include "interchange/v2_members.h"
#include "membership/cluster.h"
#include "mvcc/row_head.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kStep = 1 << 20;
constexpr uint64_t kLogSpace = 2 * uint64_t{64'000'000};

absl::Status write_file(const std::string& path, std::string_view bytes) {
  absl::StatusOr<std::unique_ptr<boltfile::FileSink>> file = boltfile::FileSink::create(path);
  if (!file.ok()) return file.status();
  absl::Status s = (*file)->write(bytes);
  return s.ok() ? (*file)->sync() : s;
}

absl::Status write_database_file(std::shared_ptr<const backend::Snapshot> state,
                                 const std::string& path, const Export& what) {
  DatabaseWriter writer(std::move(state), {.layout = {}, .minor = what.minor});
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = writer.plan_step(kStep);
    if (!step.ok()) return step.status();
    done = *step;
  }
  const uint64_t needed = writer.size() + kLogSpace, there = free_space(path);
  if (there < needed) {
    return absl::ResourceExhaustedError(cat("interchange: not enough disk space for ", path, ": ",
                                            size_text(needed), " are needed, ", size_text(there),
                                            " are free"));
  }
  absl::StatusOr<std::unique_ptr<boltfile::FileSink>> file = boltfile::FileSink::create(path);
  if (!file.ok()) return file.status();
  uint64_t steps = 0;
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = writer.write_step(kStep, **file);
    if (!step.ok()) return step.status();
    done = *step;
    if (what.progress && !what.progress(++steps * kStep, writer.size())) {
      return absl::CancelledError("interchange: not wanted any more");
    }
  }
  return (*file)->sync();
}

// The file with which etcd begins: who the members are at that entry.
absl::Status write_snap_file(const membership::View& view, const raft::ConfState& conf,
                             const DatabaseOptions& options, Index index, Term term,
                             const std::string& dir) {
  std::string version = view.cluster_version;
  const std::optional<int> minor = minor_of(version);
  if (options.minor && minor && *options.minor < *minor) version = version_of(*options.minor);
  const raft::SnapshotMetadata metadata{.conf_state = conf, .index = index, .term = term};
  return write_file(cat(dir, "/", snap_file_name(term, index)),
                    snap_file(metadata, v2_members(view.members, view.removed, version)));
}

// Members of 3.7 that do not expect an older one tell it nothing of what it does otherwise than
// they.
void warn_of_others(const membership::View& view, const Export& what) {
  const std::optional<int> minor = minor_of(view.cluster_version);
  if (view.members.size() < 2 || view.downgrade.enabled) return;
  if (!what.minor || !minor || *what.minor >= *minor) return;
  log::warn(
      "the cluster is of a newer version: enable a downgrade first, or stop and export all of its "
      "members, "
      "or they will hold different data",
      {{"cluster-version", view.cluster_version}, {"etcd-version", version_of(*what.minor)}});
}

raft::ConfState conf_state_of(const membership::View& view) {
  raft::ConfState conf;
  for (const membership::Member& member : view.members) {
    (member.is_learner ? conf.learners : conf.voters).push_back(member.id);
  }
  return conf;
}

AppliedBy etcd_of(int minor) {
  CHECK(minor >= kOldestMinor);
  if (minor == 5) return AppliedBy::kEtcd35;
  return minor == 6 ? AppliedBy::kEtcd36 : AppliedBy::kEtcd37;
}

absl::Status write_parts(const backend::Backend& store, const Export& what,
                         const std::string& member) {
  const Index index = store.consistent_index();
  if (index == Index(0)) {
    return absl::FailedPreconditionError(
        cat("interchange: the store in ", what.data_dir, " is empty: there is nothing to export"));
  }
  membership::Cluster cluster{ClusterId(0)};
  if (absl::Status s = cluster.restore(store); !s.ok()) return s;
  const std::shared_ptr<const membership::View> view = cluster.view();
  warn_of_others(*view, what);
  const raft::ConfState conf = conf_state_of(*view);
  absl::StatusOr<wire::WalSnapshot> mark = wal::newest_mark(what.wal_dir, index);
  if (!mark.ok()) return mark.status();
  const LogCopy copy{.from = what.wal_dir,
                     .mark = *std::move(mark),
                     .to = member + "/wal",
                     .index = index,
                     .conf_state = conf,
                     .minor = what.minor,
                     .applied_by = etcd_of(what.minor.value_or(kNewestMinor))};
  absl::StatusOr<CheckedLog> checked = check_log(copy);
  if (!checked.ok()) return checked.status();
  absl::StatusOr<CopiedLog> log = copy_log(copy, *std::move(checked));
  if (!log.ok()) return log.status();
  KEELSON_FAILPOINT("interchange_export_log");
  const std::string snap = member + "/snap";
  absl::Status s = write_database_file(store.snapshot(), snap + "/db", what);
  if (s.ok()) {
    s = write_snap_file(*view, conf, {.layout = {}, .minor = what.minor}, index, log->term, snap);
  }
  if (s.ok()) s = sync_directory(snap);
  if (s.ok()) s = sync_directory(member);
  if (!s.ok()) return s;
  KEELSON_FAILPOINT("interchange_export_whole");
  log::info("exported the data directory", {{"consistent-index", index.value},
                                            {"entries", log->entries},
                                            {"members", view->members.size()}});
  return absl::OkStatus();
}

}  // namespace

absl::Status export_directory(const Export& what) {
  const std::string member = member_dir(what.output_dir), part = member + ".part";
  std::error_code error;
  if (fs::exists(member, error)) {
    return absl::AlreadyExistsError(cat("interchange: ", member, " exists"));
  }
  absl::StatusOr<std::string> place = only_store(what.data_dir);
  if (!place.ok()) return place.status();
  absl::StatusOr<std::unique_ptr<backend::Backend>> store = backend::open_rocks_backend(
      *place, {.heads = mvcc::kHeadFormat, .flush_on_close = false, .create_if_missing = false});
  if (!store.ok()) return store.status();
  fs::remove_all(part, error);
  fs::create_directories(part + "/snap", error);
  if (error) {
    return absl::UnavailableError(cat("interchange: cannot make ", part, ": ", error.message()));
  }
  absl::Status s = write_parts(**store, what, part);
  if (s.ok() && std::rename(part.c_str(), member.c_str()) != 0) {
    s = absl::UnavailableError(cat("interchange: cannot rename ", part, " to ", member));
  }
  if (s.ok()) return sync_directory(what.output_dir);
  fs::remove_all(part, error);
  return s;
}

}  // namespace keelson::interchange
