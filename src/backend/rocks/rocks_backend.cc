#include "backend/rocks/rocks_backend.h"

#include <chrono>
#include <filesystem>
#include <set>
#include <utility>

#include "backend/rocks/durability.h"
#include "backend/rocks/flusher.h"
#include "backend/rocks/head_keeper.h"
#include "backend/rocks/head_walk.h"
#include "backend/rocks/options.h"
#include "backend/rocks/patient_files.h"
#include "backend/rocks/reader.h"
#include "backend/rocks/reclaimer.h"
#include "backend/rocks/regular_files.h"
#include "backend/rocks/reserve.h"
#include "backend/rocks/space_use.h"
#include "backend/rocks/status.h"
#include "backend/rocks/table_load.h"
#include "backend/rocks/torn_manifest.h"
#include "backend/rocks/verifier.h"
#include "backend/rocks/waits.h"
#include "base/check.h"
#include "base/endian.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "rocksdb/db.h"
#include "rocksdb/sst_file_reader.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/version.h"
#include "rocksdb/write_batch.h"

namespace keelson::backend {
namespace {

using rocks::Durability;
using rocks::Families;
using rocks::Flusher;
using rocks::PatientFiles;
using rocks::Reclaimer;
using rocks::Reserve;
using rocks::slice;
using rocks::SpaceUse;
using rocks::to_status;
using rocks::Verifier;
using rocks::Waits;

absl::StatusOr<uint64_t> meta_number(const Reader& reader, std::string_view key) {
  absl::StatusOr<std::optional<Bytes>> found = reader.get(Bucket::kMeta, key);
  if (!found.ok()) return found.status();
  if (!*found) return 0;
  if ((*found)->size() != 8) {
    return absl::DataLossError(cat("backend: meta record ", key, " has ", (*found)->size(),
                                   " bytes instead of 8; restore this member from a snapshot"));
  }
  return load_big64((*found)->data());
}

class RocksSnapshot final : public Snapshot {
 public:
  RocksSnapshot(rocksdb::DB* db, const Families& families)
      : db_(db), pinned_(db->GetSnapshot()), reader_(db, families, pinned_) {
    // From the pinned state itself: another thread may be committing. The records were read and
    // parsed at open and only we write them; should the read fail, 0 ("unknown") errs on the safe
    // side.
    index_ = Index(meta_number(reader_, kConsistentIndexKey).value_or(0));
    term_ = Term(meta_number(reader_, kTermKey).value_or(0));
  }
  ~RocksSnapshot() override { db_->ReleaseSnapshot(pinned_); }

  absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const override {
    return reader_.get(bucket, key);
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const override {
    return reader_.multi_get(bucket, keys);
  }
  std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options) const override {
    return reader_.iterate(bucket, options);
  }
  Index consistent_index() const override { return index_; }
  Term consistent_term() const override { return term_; }

 private:
  rocksdb::DB* db_;
  const rocksdb::Snapshot* pinned_;
  rocks::DbReader reader_;
  Index index_;
  Term term_;
};

// The files as RocksDB sees them.
struct Disk {
  Disk(const std::shared_ptr<rocksdb::FileSystem>& below, const std::string& path,
       const RocksOptions& options, const std::shared_ptr<Durability>& durability)
      : reserve(std::make_unique<Reserve>(
            below, path, options.read_only ? 0 : options.reserve_bytes, Waits(options.haste),
            [durability](bool is_short) { durability->space_short(is_short); })),
        files(std::make_shared<PatientFiles>(
            below, [durability](bool full) { durability->waiting(full); },
            [reserve = reserve.get()] { return reserve->give_away(); },
            [reserve = reserve.get()](uint64_t bytes) { return reserve->leaves_room(bytes); },
            Waits(options.haste))),
        env(Waits(options.haste).environment(files)) {
    reserve->take_first();
    durability->set_merge_output_listener(
        [files = files.get()](const std::string& name) { files->expect_merge_output(name); });
  }
  std::unique_ptr<Reserve> reserve;
  std::shared_ptr<PatientFiles> files;
  std::unique_ptr<rocksdb::Env> env;
};

class RocksBackend final : public Backend, public LoadsKeys {
 public:
  RocksBackend(Disk disk, std::unique_ptr<rocksdb::DB> db, Families families,
               std::shared_ptr<Durability> durability, std::shared_ptr<rocks::HeadKeeper> heads,
               const RocksOptions& options)
      : disk_(std::move(disk)),
        db_(std::move(db)),
        families_(std::move(families)),
        durability_(std::move(durability)),
        heads_(std::move(heads)),
        reader_(db_.get(), families_, nullptr),
        space_(db_.get(), families_),
        flush_on_close_(options.flush_on_close && !options.read_only),
        committed_(options.committed),
        waits_(options.haste),
        flusher_(db_.get(), families_, durability_.get(), waits_,
                 [this] { disk_.reserve->give_away(); }),
        reclaimer_(db_.get(), families_, &flusher_, &space_, disk_.reserve.get(),
                   options.quota_bytes, options.reclaim_step, waits_) {
    durability_->set_retry([this] { flusher_.retry_later(); });
    if (options.patient) {
      disk_.files->be_patient();
    } else {
      durability_->be_patient(false);
    }
  }

  ~RocksBackend() override {
    RocksBackend::end_patience();
    if (verifier_) verifier_->stop();
    reclaimer_.stop();
    flusher_.stop(flush_on_close_);
    disk_.reserve->stop();
    for (rocksdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
    db_->Close().PermitUncheckedError();
  }

  absl::Status load_position() {
    absl::StatusOr<uint64_t> index = meta_number(reader_, kConsistentIndexKey);
    if (!index.ok()) return index.status();
    absl::StatusOr<uint64_t> term = meta_number(reader_, kTermKey);
    if (!term.ok()) return term.status();
    index_.store(*index);
    term_.store(*term);
    durability_->start_at(Index(*index));
    return durability_->check_not_older(Index(*index));
  }

  absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const override {
    return reader_.get(bucket, key);
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const override {
    return reader_.multi_get(bucket, keys);
  }
  absl::StatusOr<bool> multi_get_in_memory(
      Bucket bucket, std::span<const std::string_view> keys,
      std::vector<std::optional<Bytes>>* found) const override {
    return reader_.multi_get_in_memory(bucket, keys, found);
  }
  std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options) const override {
    return reader_.iterate(bucket, options);
  }

  absl::Status commit(const WriteBatch& batch, Index index, Term term) override {
    KEELSON_FAILPOINT("backend_before_commit");
    if (absl::Status s = KEELSON_FAILPOINT_STATUS("backend_commit"); !s.ok()) return s;
    CHECK(index == Index(0) || index >= consistent_index());
    const bool deletes_keys = fill(batch, index, term);
    if (writes_.Count() == 0) return absl::OkStatus();

    // Noted before the write, or a flush that is quick would find nothing to report.
    if (index != Index(0)) {
      durability_->note_commit(db_->GetLatestSequenceNumber() + writes_.Count(), index);
    }
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    auto start = std::chrono::steady_clock::now();
    absl::Status status = to_status(db_->Write(options, &writes_), "writing");
    if (!status.ok()) return status;
    if (index != Index(0)) index_.store(index.value, std::memory_order_release);
    if (index != Index(0) && term != Term(0)) term_.store(term.value, std::memory_order_release);
    if (committed_) committed_(std::chrono::steady_clock::now() - start);
    grow_approximate_size(writes_.GetDataSize());
    if (deletes_keys) reclaimer_.look_soon();
    KEELSON_FAILPOINT("backend_after_commit");
    return absl::OkStatus();
  }

  Index consistent_index() const override { return Index(index_.load(std::memory_order_acquire)); }
  Term consistent_term() const override { return Term(term_.load(std::memory_order_acquire)); }

  std::shared_ptr<const Snapshot> snapshot() const override {
    return std::make_shared<RocksSnapshot>(db_.get(), families_);
  }

  void flush(absl::AnyInvocable<void(absl::Status)> done) override {
    flusher_.flush(std::move(done));
  }
  void begin_patience() {
    durability_->be_patient(true);
    disk_.files->be_patient();
  }
  void end_patience() override {
    durability_->be_patient(false);
    disk_.files->stop();
  }
  std::unique_ptr<HeadWalk> walk_heads(const HeadFormat& format) const override {
    if (!heads_ || heads_->version() != format.version) return Backend::walk_heads(format);
    return rocks::merge_head_files(db_.get(), family(Bucket::kKey), reader_, *heads_, format);
  }
  std::unique_ptr<KeyLoad> load_keys() override {
    CHECK(consistent_index() == Index(0));
    return std::make_unique<rocks::TableLoad>(db_.get(), family(Bucket::kKey), heads_.get());
  }
  void read_through(TakePassing passing) override {
    CHECK(!verifier_);
    verifier_ = std::make_unique<Verifier>(
        db_.get(), families_, waits_, std::move(passing),
        [this](absl::Status damage) { durability_->report_damage(std::move(damage)); });
  }
  Index durable_index() const override { return durability_->durable_index(); }
  absl::Status note_log() override { return durability_->note_log(); }
  void set_durable_listener(std::function<void(Index)> listener) override {
    durability_->set_listener(std::move(listener));
  }

  uint64_t size_on_disk() const override {
    uint64_t size = space_.size();
    approximate_size_.store(size, std::memory_order_relaxed);
    return size;
  }
  uint64_t approximate_size() const override {
    return approximate_size_.load(std::memory_order_relaxed);
  }
  uint64_t size_in_use() const override { return space_.size_in_use(); }
  void set_live_bytes(uint64_t bytes) override { space_.set_live_bytes(bytes); }
  void reclaim(absl::AnyInvocable<void(absl::Status)> done) override {
    // It flushes first, which would wait for space.
    if (!durability_->may_flush()) return done(health());
    reclaimer_.reclaim(std::move(done));
  }
  void make_room() override { disk_.reserve->give_away(); }

  absl::Status checkpoint(const std::string& dir) override {
    // The flush is ours: a checkpoint's own would not be safe (docs/rocksdb.md).
    constexpr uint64_t kNeverFlush = UINT64_MAX;
    if (absl::Status flushed = rocks::flush_and_wait(flusher_); !flushed.ok()) return flushed;
    rocksdb::Checkpoint* made = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &made);
    std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    if (status.ok()) status = checkpoint->CreateCheckpoint(dir, kNeverFlush);
    if (status.ok() && heads_) heads_->link_into(dir);
    return to_status(status, cat("checkpoint to ", dir));
  }
  absl::Status check_blocks(const std::function<bool()>& goes_on) {
    for (const std::string& path : tables()) {
      if (!goes_on()) return absl::CancelledError("a store is not checked to its end");
      rocksdb::Options options;
      options.env = disk_.env.get();
      rocksdb::SstFileReader table(options);
      rocksdb::Status status = table.Open(path);
      if (status.ok()) status = table.VerifyChecksum(rocksdb::ReadOptions());
      // One that has been merged since was read for it, and is gone.
      if (!status.ok() && tables().contains(path)) return to_status(status, cat("checking ", path));
    }
    return absl::OkStatus();
  }

  void set_health_listener(std::function<void(const absl::Status&)> listener) override {
    durability_->set_health_listener(std::move(listener));
  }
  absl::Status health() const override { return durability_->health(); }

 private:
  // Whether it deletes records of the key bucket.
  bool fill(const WriteBatch& batch, Index index, Term term) {
    bool deletes_keys = false;
    writes_.Clear();
    batch.for_each(
        [this](Bucket b, std::string_view k, std::string_view v) {
          writes_.Put(family(b), slice(k), slice(v)).PermitUncheckedError();
        },
        [&](Bucket b, std::string_view k) {
          writes_.Delete(family(b), slice(k)).PermitUncheckedError();
          deletes_keys |= b == Bucket::kKey;
        });
    if (index == Index(0)) return deletes_keys;
    char number[8];
    if (term != Term(0)) {
      store_big64(number, term.value);
      writes_.Put(family(Bucket::kMeta), slice(kTermKey), rocksdb::Slice(number, 8))
          .PermitUncheckedError();
    }
    // Last, so that its sequence number is the batch's largest: Durability relies on it.
    store_big64(number, index.value);
    writes_.Put(family(Bucket::kMeta), slice(kConsistentIndexKey), rocksdb::Slice(number, 8))
        .PermitUncheckedError();
    return deletes_keys;
  }

  rocksdb::ColumnFamilyHandle* family(Bucket bucket) const {
    return families_[static_cast<size_t>(bucket)];
  }

  // Where those of the newest state are.
  std::set<std::string> tables() const {
    std::vector<rocksdb::LiveFileMetaData> live;
    db_->GetLiveFilesMetaData(&live);
    std::set<std::string> paths;
    for (const rocksdb::LiveFileMetaData& table : live) paths.insert(table.db_path + table.name);
    return paths;
  }

  // Asking RocksDB takes its mutex, so that is done once in a megabyte of writes.
  void grow_approximate_size(uint64_t bytes) {
    approximate_size_.fetch_add(bytes, std::memory_order_relaxed);
    unmeasured_ += bytes;
    if (unmeasured_ < (1 << 20)) return;
    unmeasured_ = 0;
    size_on_disk();
    reclaimer_.look_soon();
  }

  Disk disk_;  // outlives the database
  std::unique_ptr<rocksdb::DB> db_;
  Families families_;
  std::shared_ptr<Durability> durability_;
  std::shared_ptr<rocks::HeadKeeper> heads_;  // null: none are kept
  rocks::DbReader reader_;
  SpaceUse space_;
  const bool flush_on_close_;
  const std::function<void(Duration)> committed_;
  const Waits waits_;
  Flusher flusher_;
  Reclaimer reclaimer_;
  std::unique_ptr<Verifier> verifier_;  // null before read_through()
  rocksdb::WriteBatch writes_;          // its memory is used again and again
  std::atomic<uint64_t> index_{0};
  std::atomic<uint64_t> term_{0};
  mutable std::atomic<uint64_t> approximate_size_{0};
  uint64_t unmeasured_ = 1 << 20;  // bytes committed since the size was asked for; starts "due"
};

// Makes `path` and what is missing above it.
rocksdb::IOStatus make_directories(rocksdb::FileSystem& files, const std::string& path) {
  const rocksdb::IOOptions options;
  if (files.FileExists(path, options, nullptr).ok()) return rocksdb::IOStatus::OK();
  const std::string parent = std::filesystem::path(path).parent_path();
  if (!parent.empty() && parent != path) {
    if (rocksdb::IOStatus s = make_directories(files, parent); !s.ok()) return s;
  }
  return files.CreateDirIfMissing(path, options, nullptr);
}

absl::Status make_directory(rocksdb::FileSystem& files, const std::string& path,
                            const RocksOptions& options) {
  if (!options.create_if_missing || options.read_only) {
    rocksdb::IOStatus found = files.FileExists(path + "/CURRENT", rocksdb::IOOptions(), nullptr);
    if (found.ok()) return absl::OkStatus();
    return absl::NotFoundError(cat("backend: no database in ", path));
  }
  std::string directory = path;
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  rocksdb::IOStatus made = rocks::name_no_space(make_directories(files, directory));
  // Names are durable before anything is kept under them: a store that vanished with its directory
  // would look like a new member. Those found, too: whoever made one may have died before it was.
  if (made.ok()) made = rocks::sync_names(files, directory);
  return to_status(made, cat("making ", path));
}

// A manifest without its end is an older state, and whoever opens it to write removes the files
// that it does not name. So it is looked at first: it must hold what was reported as durable, if
// anything was.
absl::Status check_torn(const std::shared_ptr<rocksdb::FileSystem>& files, const std::string& path,
                        RocksOptions options) {
  if (options.read_only) return absl::OkStatus();
  absl::StatusOr<bool> torn = rocks::manifest_is_torn(*files, path);
  if (!torn.ok() || !*torn) return torn.status();
  log::warn("backend: the end of the store's manifest was torn off by a crash", {{"path", path}});
  absl::StatusOr<Index> reported = rocks::HighWater(files, path).load();
  if (!reported.ok() || *reported == Index(0)) return reported.status();
  options.read_only = true;
  absl::Status status = open_rocks_backend(path, options).status();
  // Without one of its families, say.
  return absl::IsInvalidArgument(status) ? absl::DataLossError(status.message()) : status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> open_rocks_backend(const std::string& path,
                                                            const RocksOptions& options) {
  const std::shared_ptr<rocksdb::FileSystem> files =
      options.files ? options.files : rocks::regular_files();
  if (absl::Status s = make_directory(*files, path, options); !s.ok()) return s;
  if (absl::Status s = check_torn(files, path, options); !s.ok()) return s;
  auto durability =
      std::make_shared<Durability>(std::string(bucket_name(Bucket::kMeta)), files, path);
  std::vector<std::shared_ptr<rocksdb::EventListener>> listeners{durability};
  std::shared_ptr<rocks::HeadKeeper> heads;
  if (options.heads.of != nullptr && !options.read_only) {
    heads = std::make_shared<rocks::HeadKeeper>(files, path, options.heads);
    heads->note_what_is_there();
    listeners.push_back(heads);
  }
  rocksdb::DBOptions db_options = rocks::database_options(options, std::move(listeners));
  Disk disk(files, path, options, durability);
  db_options.env = disk.env.get();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status =
      options.read_only
          ? rocksdb::DB::OpenForReadOnly(db_options, path, rocks::families(options, heads),
                                         &handles, &opened)
          : rocksdb::DB::Open(db_options, path, rocks::families(options, heads), &handles, &opened);
  if (!status.ok()) return to_status(status, cat("opening ", path));
  std::unique_ptr<rocksdb::DB> db(opened);
  disk.reserve->opened();
  if (heads) heads->adopt(*db, handles[static_cast<size_t>(Bucket::kKey)]);
  auto backend = std::make_unique<RocksBackend>(std::move(disk), std::move(db), std::move(handles),
                                                std::move(durability), std::move(heads), options);
  if (absl::Status s = backend->load_position(); !s.ok()) return s;
  return absl::StatusOr<std::unique_ptr<Backend>>(std::move(backend));
}

void begin_patience(Backend& store) { static_cast<RocksBackend&>(store).begin_patience(); }

std::string store_form(const RocksOptions& options) {
  // Another number for another set of families, or another sense of what is in them.
  constexpr int kRecords = 1;
  return cat("rocksdb ", ROCKSDB_MAJOR, ".", ROCKSDB_MINOR, ".", ROCKSDB_PATCH, ", records ",
             kRecords, ", heads ", options.heads.of ? options.heads.version : 0);
}

absl::Status check_blocks(Backend& store, const std::function<bool()>& goes_on) {
  return static_cast<RocksBackend&>(store).check_blocks(goes_on);
}

}  // namespace keelson::backend
