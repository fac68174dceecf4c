#include "interchange/export.h"

#include <filesystem>
#include <memory>

#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/size_text.h"
#include "base/text.h"
#include "boltfile/sink.h"
#include "interchange/change_over.h"
#include "interchange/database_writer.h"
#include "interchange/etcd_version.h"
#include "interchange/key_stretches.h"
#include "interchange/layout.h"
#include "interchange/log_copy.h"
#include "interchange/store_maker.h"
#include "membership/cluster.h"
#include "membership/v2_store.h"
#include "mvcc/row_head.h"
#include "wal/snap_files.h"
#include "wal/wal.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kStep = 1 << 20;

absl::Status plan(DatabaseWriter& writer) {
  for (bool done = false; !done;) {
    absl::StatusOr<bool> step = writer.plan_step(kStep);
    if (!step.ok()) return step.status();
    done = *step;
  }
  return absl::OkStatus();
}

absl::Status check_room(const std::string& path, uint64_t needed) {
  const uint64_t there = free_space(path);
  if (there >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(cat("interchange: not enough disk space for ", path, ": ",
                                          size_text(needed), " are needed, ", size_text(there),
                                          " are free"));
}

absl::Status write_database_file(DatabaseWriter& writer, const std::string& path,
                                 const Export& what) {
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
absl::Status write_snap_file(membership::View view, const raft::SnapshotMetadata& at,
                             std::optional<int> minor, const std::string& dir) {
  const std::optional<int> decided = minor_of(view.cluster_version);
  if (minor && decided && *minor < *decided) view.cluster_version = version_of(*minor);
  const SystemClock clock;
  return wal::SnapFiles({.dir = dir}, &clock)
      .save({.data = Bytes::copy(membership::v2_store_json(view)), .metadata = at});
}

// Those that do not expect an older one tell it nothing of what it does otherwise than they.
void warn_of_others(const membership::View& view, const Export& what) {
  const std::optional<int> minor = minor_of(view.cluster_version);
  if (view.members.size() < 2) return;
  if (!what.minor || !minor || *what.minor >= *minor) return;
  log::warn(
      "the cluster speaks a newer version than the etcd that is to open this: as long as other "
      "members of Keelson do, they refuse it, and members of etcd would hold different data. "
      "Enable a downgrade before the export, or stop and export all members",
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

absl::Status compare_with(const backend::Backend& store, const std::string& path,
                          const Export& what) {
  absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(path);
  if (!file.ok()) return file.status();
  TellProgress tell;
  if (what.progress) {
    tell = [&](const ReadProgress& progress) {
      return what.progress(progress.bytes, (*file)->size());
    };
  }
  absl::StatusOr<std::vector<KeyStretch>> written = read_keys(**file, nullptr, {.progress = tell});
  if (!written.ok()) return written.status();
  return check_keys(*written, *store.snapshot(), {.progress = tell});
}

absl::Status write_parts(const backend::Backend& store, const Export& what,
                         const std::string& member, const std::string& new_wal_dir) {
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
  const absl::StatusOr<std::optional<Bytes>> rights =
      store.get(backend::Bucket::kAuth, "authEnabled");
  if (!rights.ok()) return rights.status();
  const LogCopy copy{.from = what.wal_dir,
                     .mark = *std::move(mark),
                     .to = new_wal_dir,
                     .index = index,
                     .conf_state = conf,
                     .minor = what.minor,
                     .applied_by = etcd_of(what.minor.value_or(kNewestMinor)),
                     .rights_count = rights->has_value() && (*rights)->view() == "\x01"};
  absl::StatusOr<CheckedLog> checked = check_log(copy);
  if (!checked.ok()) return checked.status();
  const std::string snap = member + "/snap";
  DatabaseWriter writer(store.snapshot(), {.layout = {}, .minor = what.minor});
  absl::Status s = plan(writer);
  if (s.ok()) s = check_room(snap + "/db", writer.size() + kLogSpace + checked->bytes);
  if (!s.ok()) return s;
  fit_history(copy, writer.size(), snap, &*checked);
  absl::StatusOr<CopiedLog> log = copy_log(copy, *std::move(checked));
  if (!log.ok()) return log.status();
  KEELSON_FAILPOINT("interchange_export_log");
  s = write_database_file(writer, snap + "/db", what);
  if (s.ok()) {
    s = write_snap_file(*view, {.conf_state = conf, .index = index, .term = log->term}, what.minor,
                        snap);
  }
  if (s.ok() && what.compare) s = compare_with(store, snap + "/db", what);
  for (const std::string& dir : {snap, member, parent_of(new_wal_dir)}) {
    if (s.ok()) s = sync_directory(dir);
  }
  if (!s.ok()) return s;
  KEELSON_FAILPOINT("interchange_export_whole");
  log::info("exported the data directory", {{"consistent-index", index.value},
                                            {"entries", log->entries},
                                            {"entries-of-before", log->entries_of_before},
                                            {"members", view->members.size()}});
  return absl::OkStatus();
}

}  // namespace

absl::Status export_member(const Export& what, const std::string& member_dir,
                           const std::string& new_wal_dir) {
  absl::StatusOr<std::string> place = only_store(what.data_dir);
  if (!place.ok()) return place.status();
  absl::StatusOr<std::unique_ptr<backend::Backend>> store = backend::open_rocks_backend(
      *place, {.heads = mvcc::kHeadFormat, .flush_on_close = false, .create_if_missing = false});
  if (!store.ok()) return store.status();
  for (const std::string& name : {member_dir + "/snap", parent_of(new_wal_dir)}) {
    std::error_code error;
    fs::create_directories(name, error);
    if (error) {
      return absl::UnavailableError(cat("interchange: cannot make ", name, ": ", error.message()));
    }
  }
  return write_parts(**store, what, member_dir, new_wal_dir);
}

absl::Status export_directory(const Export& what) {
  const std::string member = member_dir(what.output_dir), part = member + ".part";
  if (there(member)) return absl::AlreadyExistsError(cat("interchange: ", member, " exists"));
  if (absl::Status s = only_store(what.data_dir).status(); !s.ok()) return s;
  absl::Status s = remove_all(part);
  if (s.ok()) s = export_member(what, part, part + "/wal");
  if (s.ok()) s = move(part, member);
  if (!s.ok()) remove_all(part).IgnoreError();
  return s;
}

}  // namespace keelson::interchange
