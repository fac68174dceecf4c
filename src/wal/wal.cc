#include "wal/wal.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "wal/wal_impl.h"
#include "wire/raft_codec.h"

namespace keelson::wal {

namespace {

// A batch that grows past this is written (not synced) before its sync, so that memory stays
// bounded. Whole records only, as everything written.
constexpr size_t kWriteOutBytes = 4 << 20;
// Beyond a segment's size, space is taken in these steps.
constexpr uint64_t kReserveStep = 64 << 10;
// Kept in the tail for marks and elections: this, or that share of a smaller segment.
constexpr uint64_t kMostRoom = 256 << 10;
constexpr uint64_t kRoomShare = 16;
// etcd's threshold.
constexpr Duration kSlowSync = std::chrono::seconds(1);

const Clock& system_clock() {
  static const SystemClock* const instance = new SystemClock;
  return *instance;
}

}  // namespace

EntryVisitor collect_into(std::vector<raft::Entry>* entries) {
  return [entries](raft::Entry entry) {
    entries->push_back(std::move(entry));
    return absl::OkStatus();
  };
}

// --- Wal -------------------------------------------------------------------------------------

Wal::Wal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Wal::~Wal() = default;

absl::StatusOr<std::unique_ptr<Wal>> Wal::create(const std::string& dir, std::string_view metadata,
                                                 Options options, SegmentName first) {
  auto impl = std::make_unique<Impl>(dir, options);
  absl::Status status = impl->create(metadata, first);
  if (!status.ok()) return status;
  return std::unique_ptr<Wal>(new Wal(std::move(impl)));
}

absl::StatusOr<Opened> Wal::open(const std::string& dir, SnapshotMark from, Options options,
                                 const EntryVisitor& visit) {
  auto impl = std::make_unique<Impl>(dir, options);
  absl::StatusOr<Opened> opened = impl->open(from, visit);
  if (opened.ok()) opened->wal.reset(new Wal(std::move(impl)));
  return opened;
}

absl::Status Wal::append(const raft::HardState& state, std::span<const raft::Entry> entries) {
  return impl_->append(state, entries);
}
absl::Status Wal::save_snapshot(SnapshotMark mark, const raft::ConfState& conf) {
  return impl_->save_snapshot(mark, conf);
}
absl::Status Wal::sync() { return impl_->sync(); }
void Wal::release_to(Index index, Index needed_from) { impl_->release_to(index, needed_from); }
void Wal::be_frugal(bool on) { impl_->be_frugal(on); }
absl::Status Wal::give_back() { return impl_->give_back(); }
absl::Status Wal::close() { return impl_->close(); }
Index Wal::last_index() const { return impl_->last_index(); }
uint64_t Wal::unsynced_bytes() const { return impl_->unsynced_bytes(); }
absl::Status Wal::health() const { return impl_->health(); }
const std::string& Wal::dir() const { return impl_->dir(); }

// --- Impl ------------------------------------------------------------------------------------

Wal::Impl::Impl(std::string dir, Options options)
    : dir_(std::move(dir)),
      options_(options),
      fs_(options.fs ? *options.fs : *posix_file_system()),
      clock_(options.clock ? *options.clock : system_clock()),
      tail_claim_(fs_, dir_) {}

Wal::Impl::~Impl() = default;

std::string Wal::Impl::path_of(std::string_view file) const { return cat(dir_, "/", file); }

absl::Status Wal::Impl::poison(absl::Status status) {
  if (health_.ok()) {
    health_ = status;
    log::error("the write-ahead log failed; nothing more is written to it",
               {{"dir", dir_}, {"error", message_of(status)}});
  }
  return status;
}

absl::Status Wal::Impl::usable() const {
  if (closed_) return absl::FailedPreconditionError("wal: closed");
  return health_;
}

absl::Status Wal::Impl::append(const raft::HardState& state, std::span<const raft::Entry> entries) {
  if (absl::Status status = usable(); !status.ok()) return status;
  if (absl::Status status = KEELSON_FAILPOINT_STATUS("wal_before_append"); !status.ok()) {
    return status;
  }
  uint64_t bound = state.empty() ? 0 : framed_bound(wire::kMaxHardStateSize);
  uint64_t data = 0;
  for (const raft::Entry& entry : entries) {
    bound += framed_bound(wire::wire_size(entry));
    data += entry.data.size();
  }
  if (bound == 0) return absl::OkStatus();
  const For what = data == 0 ? For::kElection : For::kData;
  if (absl::Status status = begin_records(bound, what); !status.ok()) return status;

  if (!entries.empty()) CHECK(entries.front().index <= last_index_ + 1);
  for (const raft::Entry& entry : entries) {
    CHECK(&entry == &entries.front() || entry.index == last_index_ + 1);
    buffer_.add_entry(entry);
    last_index_ = entry.index;
  }
  if (!state.empty()) {
    // A mark may have brought a commit that raft's own states, on their way here, do not have yet.
    state_ = {state.term, state.vote, std::max(state.commit, state_.commit)};
    buffer_.add_state(state_);
  }
  KEELSON_FAILPOINT("wal_after_append");

  // What is appended stays buffered when there is no space to write it to: sync() will say so.
  absl::Status status = absl::OkStatus();
  if (buffer_.size() >= kWriteOutBytes) status = write_out();
  if (status.ok() && written_ + buffer_.size() >= options_.segment_bytes) status = cut();
  return absl::IsResourceExhausted(status) ? absl::OkStatus() : status;
}

// A mark is of use only with a commit that covers it, so the two go out together, the mark first:
// of what a crash leaves, open() cuts off one that lacks its commit. The other way around the
// commit could be left alone, and say of a log that ends before a received state that it was
// committed.
absl::Status Wal::Impl::save_snapshot(SnapshotMark mark, const raft::ConfState& conf) {
  if (absl::Status status = usable(); !status.ok()) return status;
  wire::WalSnapshot record{mark.index, mark.term, std::nullopt};
  if (mark.index != Index(0)) record.conf_state = conf;
  Bytes data = wire::encode(record);
  KEELSON_FAILPOINT("wal_before_mark");
  const uint64_t bound = framed_bound(wire::kMaxHardStateSize) + framed_bound(data.size());
  if (absl::Status status = begin_records(bound, For::kMark); !status.ok()) return status;
  buffer_.add_data(wire::RecordType::kSnapshot, data);
  if (state_.commit < mark.index) {
    if (state_.term < mark.term) state_ = {mark.term, raft::kNobody, state_.commit};
    state_.commit = mark.index;
    buffer_.add_state(state_);
  }
  last_index_ = std::max(last_index_, mark.index);
  newest_mark_ = std::max(newest_mark_, mark.index);
  CHECK(newest_mark_ <= state_.commit);
  KEELSON_FAILPOINT("wal_after_mark");
  return absl::OkStatus();
}

absl::Status Wal::Impl::sync() {
  if (absl::Status status = usable(); !status.ok()) return status;
  if (unsynced_bytes() == 0) return absl::OkStatus();
  if (absl::Status status = KEELSON_FAILPOINT_STATUS("wal_before_sync"); !status.ok()) {
    return absl::IsResourceExhausted(status) ? status : poison(status);
  }
  if (absl::Status status = write_out(); !status.ok()) return status;
  if (absl::Status status = timed_sync(*tail().file); !status.ok()) return poison(status);
  settled();
  KEELSON_FAILPOINT("wal_after_sync");
  return absl::OkStatus();
}

// Everything appended is durable now.
void Wal::Impl::settled() {
  CHECK(buffer_.empty());
  CHECK(newest_mark_ <= state_.commit);
  unsynced_ = 0;
  durable_mark_ = newest_mark_;
}

// Takes space for `bytes` of records. The first ones after a sync are preceded by a sum: that tells
// a reader that everything before it was durable, whatever it looks like then.
absl::Status Wal::Impl::begin_records(uint64_t bytes, For what) {
  if (absl::Status status = reserve(framed_bound(0) + bytes, what); !status.ok()) return status;
  if (unsynced_bytes() == 0 && !ends_in_sum_ && !options_.unsafe_no_fsync) buffer_.add_crc();
  ends_in_sum_ = false;
  return absl::OkStatus();
}

// Says of the last batch, too, that it was synced. Costs a second sync: for an orderly end only.
absl::Status Wal::Impl::seal() {
  if (ends_in_sum_ || options_.unsafe_no_fsync) return absl::OkStatus();
  CHECK(unsynced_bytes() == 0);
  if (absl::Status status = reserve(framed_bound(0), For::kMark); !status.ok()) return status;
  buffer_.add_crc();
  ends_in_sum_ = true;
  return sync();
}

uint64_t Wal::Impl::room_left_by(For what) const {
  const uint64_t room = std::min(kMostRoom, options_.segment_bytes / kRoomShare);
  if (what == For::kMark) return 0;
  return what == For::kElection ? room / 2 : room;
}

absl::Status Wal::Impl::reserve(uint64_t bytes, For what) {
  const uint64_t needed = written_ + buffer_.size() + bytes;
  if (needed + room_left_by(what) <= reserved_) return absl::OkStatus();
  // The room stays what it was, or is made anew, whoever asks.
  const uint64_t whole = needed + room_left_by(For::kData);
  const uint64_t wanted = (whole + kReserveStep - 1) / kReserveStep * kReserveStep;
  absl::Status status = tail().file->allocate(wanted);
  if (status.ok()) {
    reserved_ = wanted;
    CHECK(written_ + buffer_.size() + bytes <= reserved_);
    return status;
  }
  return absl::IsResourceExhausted(status) ? status : poison(status);
}

absl::Status Wal::Impl::write_out() {
  if (buffer_.empty()) return absl::OkStatus();
  absl::Status status = timed_write(*tail().file, written_, buffer_.view());
  if (absl::IsResourceExhausted(status)) return status;
  if (!status.ok()) return poison(status);
  written_ += buffer_.size();
  unsynced_ += buffer_.size();
  buffer_.clear();
  CHECK(written_ <= reserved_);
  CHECK(unsynced_ <= written_);
  return absl::OkStatus();
}

absl::Status Wal::Impl::timed_write(File& file, uint64_t offset, std::string_view bytes) {
  const MonotonicTime start = clock_.now();
  absl::Status status = file.pwrite(offset, bytes);
  if (options_.observer && status.ok()) {
    options_.observer->wrote(bytes.size(), clock_.now() - start);
  }
  return status;
}

absl::Status Wal::Impl::timed_sync(File& file) {
  if (options_.unsafe_no_fsync) return absl::OkStatus();
  const MonotonicTime start = clock_.now();
  absl::Status status = file.fdatasync();
  const Duration took = clock_.now() - start;
  if (took > kSlowSync) {
    const double seconds = std::chrono::duration<double>(took).count();
    log::warn("slow fdatasync", {{"took", cat(seconds, "s")}, {"expected-duration", "1s"}});
  }
  if (options_.observer && status.ok()) options_.observer->synced(took);
  return status;
}

// How many of the files, from the oldest on, a reader that starts at `index` can do without. Not
// the one in which `index` lies, nor the one before when it is the first there: he looks for the
// mark.
size_t Wal::Impl::segments_before(Index index) const {
  size_t count = 0;
  const size_t files = older_.size() + segments_.size();
  for (; count + 1 < files; ++count) {
    const size_t next = count + 1;
    const SegmentName name =
        next < older_.size() ? older_[next] : segments_[next - older_.size()].name;
    if (name.first_index >= index) break;
  }
  return count;
}

// Of the oldest file.
Index Wal::Impl::first_index() const {
  return older_.empty() ? segments_.front().name.first_index : older_.front().first_index;
}

void Wal::Impl::release_to(Index index, Index needed_from) {
  if (!usable().ok()) return;
  index = std::min(index, durable_mark_);
  released_ = std::max(released_, index);
  CHECK(released_ <= durable_mark_);
  // Who needs what has gone cannot go on with what is left.
  if (needed_from > Index(0) && needed_from < first_index()) needed_from = Index(UINT64_MAX);
  // What the newest mark does not need is not worth a full disk.
  const bool is_short = frugal_ || warned_no_space_;
  size_t files = older_.size() + segments_.size();
  const size_t wanted = options_.max_segments == 0 ? files : options_.max_segments;
  const size_t keep = is_short ? 1 : wanted;
  size_t to_go = segments_before(index);
  if (const size_t others = segments_before(needed_from); others < to_go) {
    const bool held = !is_short && to_go - others <= options_.max_held;
    if (!held && !std::exchange(warned_held_, true)) {
      log::warn("the write-ahead log lets go of what the archive has not read yet",
                {{"needed-from", needed_from.value}, {"segments", to_go - others}});
    }
    if (held) to_go = others;
  } else {
    warned_held_ = false;
  }

  // The oldest first, and none past one that stays: the segments left have no gap.
  for (; to_go > 0 && files > keep; --to_go, --files) {
    KEELSON_FAILPOINT("wal_before_release");
    if (!older_.empty()) {
      if (!delete_segment(path_of(to_string(older_.front())))) return;
      older_.erase(older_.begin());
    } else {
      if (!delete_segment(segments_.front().path)) return;
      segments_.erase(segments_.begin());
    }
    KEELSON_FAILPOINT("wal_after_release");
  }
}

// Deletes a segment and the copy that a repair may have left of it. False: it stays for now.
bool Wal::Impl::delete_segment(const std::string& path) {
  absl::Status status = fs_.unlink(path);
  if (status.ok() || absl::IsNotFound(status)) {
    warned_release_ = false;
    log::info("released a write-ahead log segment", {{"path", path}});
    absl::Status copy = fs_.unlink(broken_copy_of(path));
    if (!copy.ok() && !absl::IsNotFound(copy)) {
      log::warn("cannot delete the copy of a broken segment", {{"error", message_of(copy)}});
    }
    return true;
  }
  if (!std::exchange(warned_release_, true)) {
    log::warn("cannot delete a write-ahead log segment; it takes space until it can be deleted",
              {{"path", path}, {"error", message_of(status)}});
  }
  return false;
}

absl::Status Wal::Impl::close() {
  if (closed_) return absl::OkStatus();
  absl::Status status = health_;
  if (status.ok()) status = sync();
  if (status.ok()) {
    // What was promised is durable without it.
    if (absl::Status sealed = seal(); !sealed.ok()) {
      log::warn("the write-ahead log ends without a mark of its last sync",
                {{"error", message_of(sealed)}});
    }
  }
  drop_next();
  segments_.clear();
  closed_ = true;
  return status;
}

}  // namespace keelson::wal
