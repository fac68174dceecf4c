// From one segment to the next. At any moment of a cut the log on disk is whole: the old segment is
// complete and synced before the new one gets its name, and the new one's head is synced before
// that too.

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "wal/wal_impl.h"

namespace keelson::wal {

namespace {
// Taken ahead while space is short.
constexpr uint64_t kFrugalSegment = 1 << 20;
}  // namespace

absl::Status Wal::Impl::cut() {
  if (absl::Status status = KEELSON_FAILPOINT_STATUS("wal_cut_begin"); !status.ok()) {
    return absl::IsResourceExhausted(status) ? status : poison(status);
  }
  // Without space for another segment this one grows as long as there is space for its records.
  if (!next_.file) prepare_next();
  if (!next_.file) return absl::OkStatus();

  if (absl::Status status = finish_tail(); !status.ok()) return status;
  KEELSON_FAILPOINT("wal_cut_old_synced");

  const SegmentName name{tail().name.sequence + 1, last_index_ + 1};
  Segment next{name, path_of(to_string(name)), std::move(next_.file)};
  if (absl::Status status = begin_segment(std::move(next)); !status.ok()) return status;
  if (absl::Status status = claim(reserved_); !status.ok()) return status;
  KEELSON_FAILPOINT("wal_cut_end");
  if (!frugal_) prepare_next();
  return absl::OkStatus();
}

// The next segment was prepared when there was space.
void Wal::Impl::be_frugal(bool on) {
  frugal_ = on;
  if (!frugal_ || !usable().ok()) return;
  shrink_next();
  shrink_tail();
  release_to(released_, Index(UINT64_MAX));
}

absl::Status Wal::Impl::give_back() {
  if (absl::Status status = usable(); !status.ok()) return status;
  if (!frugal_ || durable_mark_ < last_index_ || unsynced_bytes() > 0) return absl::OkStatus();
  if (written_ < 2 * size_of_next()) return absl::OkStatus();
  absl::Status status = cut();
  return absl::IsResourceExhausted(status) ? absl::OkStatus() : status;
}

// The tail ends here: all of it durable, and no zeros after it.
absl::Status Wal::Impl::finish_tail() {
  if (absl::Status status = write_out(); !status.ok()) return status;
  if (absl::Status status = claim_at_most(written_); !status.ok()) return status;
  if (absl::Status status = tail().file->truncate(written_); !status.ok()) return poison(status);
  reserved_ = written_;
  if (absl::Status status = timed_sync(*tail().file); !status.ok()) return poison(status);
  settled();
  return absl::OkStatus();
}

// Writes the head of `next` under its temporary name, then names it and appends there.
absl::Status Wal::Impl::begin_segment(Segment next) {
  RecordBuffer head(buffer_.chain());
  add_head(head);

  absl::Status status = timed_write(*next.file, 0, head.view());
  if (absl::IsResourceExhausted(status)) {
    // Nothing happened yet: the old segment is whole and can grow again.
    next_.file = std::move(next.file);
    drop_next();
    return status;
  }
  if (status.ok()) status = timed_sync(*next.file);
  if (!status.ok()) return poison(status);
  KEELSON_FAILPOINT("wal_cut_before_rename");

  status = fs_.rename(next_.path, next.path);
  if (!status.ok()) return poison(status);
  KEELSON_FAILPOINT("wal_cut_after_rename");
  if (!options_.unsafe_no_fsync) status = fs_.sync_dir(dir_);
  if (!status.ok()) return poison(status);

  CHECK(buffer_.empty());
  CHECK(next.name.sequence == tail().name.sequence + 1);
  ends_in_sum_ = false;
  written_ = head.size();
  unsynced_ = 0;
  reserved_ = std::max(next_bytes_, written_);
  buffer_ = RecordBuffer(head.chain());
  log::info("created a new WAL segment", {{"path", next.path}});
  segments_.push_back(std::move(next));
  return absl::OkStatus();
}

// One that gets lost with the power leaves the one before, of an earlier segment or a shorter tail.
// One for which there is no space is done without.
absl::Status Wal::Impl::claim(uint64_t bytes) {
  if (options_.unsafe_no_fsync) return absl::OkStatus();
  const TailClaim::Claim next{tail().name.sequence, bytes};
  if (claimed_ == next) return absl::OkStatus();
  CHECK(!claimed_ || claimed_->sequence <= next.sequence);
  absl::Status status = tail_claim_.write(next);
  if (absl::IsResourceExhausted(status)) return absl::OkStatus();
  if (!status.ok()) return poison(status);
  claimed_ = next;
  return absl::OkStatus();
}

absl::Status Wal::Impl::claim_at_most(uint64_t bytes) {
  if (!claimed_ || claimed_->sequence != tail().name.sequence) return absl::OkStatus();
  if (claimed_->bytes <= bytes) return absl::OkStatus();
  absl::Status status = tail_claim_.write({claimed_->sequence, bytes});
  if (status.ok()) status = tail_claim_.sync();
  if (status.ok()) {
    claimed_->bytes = bytes;
    return absl::OkStatus();
  }
  if (!absl::IsResourceExhausted(status)) return poison(status);
  // Some file systems need space to overwrite.
  status = tail_claim_.withdraw();
  if (status.ok()) claimed_.reset();
  return status;
}

void Wal::Impl::add_head(RecordBuffer& buffer) const {
  buffer.add_crc();
  buffer.add_data(wire::RecordType::kMetadata, metadata_);
  if (!state_.empty()) buffer.add_state(state_);
}

// While space is short a segment gets no more ahead than what its first batches need.
uint64_t Wal::Impl::size_of_next() const {
  return frugal_ ? std::min(kFrugalSegment, options_.segment_bytes) : options_.segment_bytes;
}

// Takes the space of the next segment while there is some, so that a full disk is met one segment
// early. Failing here loses nothing: the tail grows until it succeeds.
void Wal::Impl::prepare_next() {
  CHECK(!next_.file);
  const std::string path = path_of(cat(next_number_ % 2, ".tmp"));
  absl::Status status = KEELSON_FAILPOINT_STATUS("wal_cut_allocate");
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<File>> file = fs_.open(path, OpenMode::kCreateEmpty);
    status = file.status();
    if (status.ok()) {
      next_ = Segment{SegmentName{}, path, *std::move(file)};
      status = next_.file->try_lock();
    }
  }
  if (status.ok()) status = next_.file->allocate(size_of_next());
  if (status.ok()) {
    next_bytes_ = size_of_next();
    ++next_number_;
    warned_no_space_ = false;
    return;
  }
  drop_next();
  if (warned_no_space_) return;
  warned_no_space_ = true;
  log::warn("failed to preallocate space when creating a new WAL",
            {{"size", size_of_next()}, {"error", message_of(status)}});
}

void Wal::Impl::shrink_next() {
  if (!next_.file || next_bytes_ <= size_of_next()) return;
  if (absl::Status status = next_.file->truncate(size_of_next()); !status.ok()) {
    log::warn("cannot give back what a WAL segment had taken ahead",
              {{"path", next_.path}, {"error", message_of(status)}});
    return drop_next();
  }
  next_bytes_ = size_of_next();
  CHECK(next_bytes_ <= options_.segment_bytes);
}

// What the tail had taken ahead, most of it. What it has is claimed first, for good.
void Wal::Impl::shrink_tail() {
  const uint64_t wanted = written_ + buffer_.size() + kFrugalSegment;
  if (reserved_ <= wanted) return;
  // Without space for that it stays as it is.
  if (absl::Status status = claim_at_most(wanted); !status.ok()) {
    if (!absl::IsResourceExhausted(status)) poison(status).IgnoreError();
    return;
  }
  if (absl::Status status = tail().file->truncate(wanted); !status.ok()) {
    log::warn("cannot give back what a WAL segment had taken ahead",
              {{"path", tail().path}, {"error", message_of(status)}});
    return;
  }
  reserved_ = wanted;
  CHECK(written_ + buffer_.size() <= reserved_);
}

void Wal::Impl::drop_next() {
  if (!next_.file) return;
  next_.file.reset();
  fs_.unlink(next_.path).IgnoreError();
}

}  // namespace keelson::wal
