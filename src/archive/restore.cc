#include "archive/restore.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "archive/layout.h"
#include "archive/replay.h"
#include "backend/rocks/rocks_backend.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "boltfile/etcd_keys.h"
#include "boltfile/etcd_state.h"
#include "boltfile/sink.h"
#include "boltfile/snapshot_file.h"
#include "interchange/database_reader.h"
#include "interchange/database_writer.h"
#include "interchange/store_maker.h"
#include "mvcc/row_head.h"

namespace keelson::archive {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kStep = 1 << 20;

// Where the state is made; gone with this.
class Workplace {
 public:
  static absl::StatusOr<std::unique_ptr<Workplace>> make(const std::string& path) {
    std::error_code error;
    if (fs::exists(path, error)) {
      return absl::AlreadyExistsError(
          cat("archive: ", path, " is there, of a restore that was interrupted; remove it"));
    }
    fs::create_directories(path, error);
    if (error) return absl::UnavailableError(cat("cannot make ", path, ": ", error.message()));
    return std::unique_ptr<Workplace>(new Workplace(path));
  }
  ~Workplace() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string store() const { return path_ + "/store"; }
  std::string snapshot() const { return path_ + "/state.db"; }
  void drop_store() const {
    std::error_code ignored;
    fs::remove_all(store(), ignored);
  }

 private:
  explicit Workplace(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// Whoever writes to an archive holds its lock.
bool is_being_written(const std::string& archive) {
  absl::StatusOr<std::unique_ptr<wal::File>> marker =
      wal::posix_file_system()->open(marker_path(archive), wal::OpenMode::kReadWrite);
  return marker.ok() && absl::IsUnavailable((*marker)->try_lock());
}

class Restoring {
 public:
  explicit Restoring(const PointRestore& what) : what_(what) {}

  absl::StatusOr<RestoredPoint> run() {
    if (absl::Status s = interchange::check_restore(what_.restore); !s.ok()) return s;
    absl::StatusOr<std::vector<StretchEntry>> catalogue =
        read_catalogue(*wal::posix_file_system(), what_.archive);
    if (!catalogue.ok()) return catalogue.status();
    absl::StatusOr<Route> route = find_route(*catalogue, what_.target);
    if (!route.ok()) return route.status();
    route_ = *route;
    stretch_ = stretch_path(what_.archive, route_.stretch);
    log::info("bringing back a state", {{"archive", what_.archive},
                                        {"stretch", route_.stretch},
                                        {"snapshot-revision", route_.snapshot.revision},
                                        {"snapshot-index", route_.snapshot.index.value}});
    if (absl::Status s = open_snapshot(); !s.ok()) return s;
    if (absl::Status s = check_reach(); !s.ok()) return s;
    const bool is_there = route_.revision ? route_.snapshot.revision == *route_.revision
                                          : route_.snapshot.index == *route_.index;
    if (is_there) {
      result_ = {route_.snapshot.index, route_.snapshot.revision};
      if (absl::Status s = hand_over(snapshot_path()); !s.ok()) return s;
      return result_;
    }
    if (absl::Status s = make(); !s.ok()) return s;
    return result_;
  }

 private:
  std::string snapshot_path() const { return cat(stretch_, "/", to_string(route_.snapshot)); }

  absl::Status open_snapshot() {
    absl::StatusOr<std::unique_ptr<boltfile::Source>> source =
        boltfile::open_source(snapshot_path());
    if (!source.ok()) return source.status();
    tell("checking the snapshot", 0, 0);
    absl::StatusOr<bool> summed = boltfile::check_sum(**source);
    if (!summed.ok()) return summed.status();
    if (!*summed) {
      return absl::DataLossError(cat("archive: ", snapshot_path(), " has no checksum at its end"));
    }
    absl::StatusOr<std::unique_ptr<boltfile::File>> file = boltfile::File::open(*std::move(source));
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    return check_name();
  }

  // The sum is over what is in the file, not over its name.
  absl::Status check_name() {
    absl::StatusOr<boltfile::EtcdMeta> meta = boltfile::read_etcd_meta(*file_);
    if (!meta.ok()) return meta.status();
    absl::StatusOr<boltfile::EtcdKeys> keys = boltfile::EtcdKeys::open(*file_);
    if (!keys.ok()) return keys.status();
    absl::StatusOr<std::optional<Revision>> last = keys->last_revision();
    if (!last.ok()) return last.status();
    const int64_t revision =
        std::max({int64_t{1}, last->value_or(Revision()).main,
                  meta->scheduled_compaction.value_or(0), meta->finished_compaction.value_or(0)});
    const Index index = meta->consistent_index.value_or(Index(0));
    if (revision == route_.snapshot.revision && index == route_.snapshot.index) {
      return absl::OkStatus();
    }
    return absl::DataLossError(
        cat("archive: ", snapshot_path(), " is of revision ", revision, ", entry ", index.value));
  }

  absl::StatusOr<std::unique_ptr<wal::Follower>> follow(wal::Follower::Behind behind) const {
    return wal::Follower::open(log_path(stretch_), behind, {.of_committed = true});
  }

  // A revision that is nowhere near is refused before anything is done: an entry makes one at most.
  absl::Status check_reach() const {
    if (!route_.revision || *route_.revision <= route_.last.revision) return absl::OkStatus();
    if (route_.last.term == Term(0)) return absl::OkStatus();
    absl::StatusOr<std::unique_ptr<wal::Follower>> log =
        follow({route_.last.index, route_.last.term, std::nullopt});
    if (!log.ok()) return log.status();
    int64_t most = route_.last.revision;
    while (most < *route_.revision) {
      absl::StatusOr<std::optional<raft::Entry>> entry = (*log)->next({Index(UINT64_MAX), Term(0)});
      if (!entry.ok()) return entry.status();
      if (!*entry) return not_there((*log)->handed(), most, **log);
      ++most;
    }
    return absl::OkStatus();
  }

  absl::Status not_there(Index index, int64_t revision, const wal::Follower& log) const {
    if (absl::IsDataLoss(log.end()) && !is_being_written(what_.archive)) return log.end();
    const std::string wanted =
        route_.revision ? cat("revision ", *route_.revision) : cat("entry ", route_.index->value);
    return absl::NotFoundError(
        cat("archive: ", wanted, " is not archived: stretch ", route_.stretch, " ends at entry ",
            index.value, route_.revision ? ", revision " : ", at most at revision ", revision));
  }

  absl::Status make() {
    // The store, the file made of it, and the new member's store.
    absl::Status s = interchange::check_space(*file_, what_.restore.data_dir, 2 * file_->size());
    if (!s.ok()) return s;
    absl::StatusOr<std::unique_ptr<Workplace>> place =
        Workplace::make(what_.restore.data_dir + ".restoring");
    if (!place.ok()) return place.status();
    if (s = replay((*place)->store(), (*place)->snapshot()); !s.ok()) return s;
    file_.reset();
    (*place)->drop_store();
    KEELSON_FAILPOINT("archive_restore_made");
    return hand_over((*place)->snapshot());
  }

  absl::Status replay(const std::string& store_path, const std::string& result_path) {
    absl::StatusOr<std::unique_ptr<backend::Backend>> store = backend::open_rocks_backend(
        store_path, {.heads = mvcc::kHeadFormat, .patient = false, .flush_on_close = false});
    if (!store.ok()) return store.status();
    interchange::ReadOptions reading;
    reading.progress = [&](const interchange::ReadProgress& read) {
      tell("reading the snapshot", read.bytes, file_->size());
      return true;
    };
    absl::StatusOr<interchange::ReadResult> read =
        interchange::read_database(*file_, store->get(), reading);
    if (!read.ok()) return read.status();
    CHECK(read->position.index == route_.snapshot.index);
    if (absl::Status s = apply(store->get(), read->position); !s.ok()) return s;
    return write(**store, result_path);
  }

  absl::Status apply(backend::Backend* store, const interchange::Position& from) {
    absl::StatusOr<std::unique_ptr<Replay>> replay = Replay::create(store, route_.owner.cluster);
    if (!replay.ok()) return replay.status();
    absl::StatusOr<std::unique_ptr<wal::Follower>> log =
        follow({from.index, from.term, std::nullopt});
    if (!log.ok()) return log.status();
    const auto progress = [&](const Replay::Progress& at) {
      if (route_.revision) {
        tell_number("applying revisions", static_cast<uint64_t>(at.revision),
                    static_cast<uint64_t>(route_.snapshot.revision),
                    static_cast<uint64_t>(*route_.revision));
      } else {
        tell_number("applying entries", at.index.value, from.index.value, route_.index->value);
      }
    };
    absl::StatusOr<bool> reached = (*replay)->run(**log, {route_.revision, route_.index}, progress);
    if (!reached.ok()) return reached.status();
    if (!*reached) return not_there((*replay)->index(), (*replay)->revision(), **log);
    result_ = {(*replay)->index(), (*replay)->revision()};
    return absl::OkStatus();
  }

  absl::Status write(const backend::Backend& store, const std::string& path) {
    absl::StatusOr<std::unique_ptr<boltfile::FileSink>> file = boltfile::FileSink::create(path);
    if (!file.ok()) return file.status();
    boltfile::SummingSink summed(file->get());
    interchange::DatabaseWriter writer(store.snapshot());
    for (bool done = false; !done;) {
      absl::StatusOr<bool> step = writer.plan_step(kStep);
      if (!step.ok()) return step.status();
      done = *step;
    }
    uint64_t steps = 0;
    for (bool done = false; !done;) {
      absl::StatusOr<bool> step = writer.write_step(kStep, summed);
      if (!step.ok()) return step.status();
      done = *step;
      tell("writing the state", ++steps * kStep, writer.size());
    }
    absl::Status s = summed.finish();
    return s.ok() ? (*file)->sync() : s;
  }

  absl::Status hand_over(const std::string& snapshot) {
    interchange::RestoreOptions options = what_.restore;
    options.snapshot = snapshot;
    options.skip_hash_check = false;
    return interchange::restore_snapshot(options);
  }

  void tell(std::string_view what, uint64_t done, uint64_t total) const {
    if (what_.progress) what_.progress(what, done, total);
  }
  void tell_number(std::string_view what, uint64_t at, uint64_t from, uint64_t to) const {
    tell(what, at - from, to - from);
  }

  const PointRestore& what_;
  Route route_;
  std::string stretch_;
  std::unique_ptr<boltfile::File> file_;
  RestoredPoint result_;
};

}  // namespace

absl::StatusOr<RestoredPoint> restore_point(const PointRestore& what) {
  return Restoring(what).run();
}

}  // namespace keelson::archive
