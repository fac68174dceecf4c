// wal/wal_impl.h
//
// The inside of Wal: the chain of open segments, the buffer of records not yet written, and where
// in the tail they will go. Split over wal.cc (append, sync, release), wal_cut.cc (from segment to
// segment) and wal_open.cc (create, open, repair).

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/text.h"
#include "wal/log_reader.h"
#include "wal/record_buffer.h"
#include "wal/tail_claim.h"
#include "wal/wal.h"

namespace keelson::wal {

// Where a repair leaves a copy of a segment as it was.
inline std::string broken_copy_of(std::string_view segment_path) {
  return cat(segment_path, ".broken");
}

class Wal::Impl {
 public:
  Impl(std::string dir, Options options);
  ~Impl();

  // --- wal_open.cc
  absl::Status create(std::string_view metadata, SegmentName first);
  absl::StatusOr<Opened> open(SnapshotMark from, const EntryVisitor& visit);

  // --- wal.cc
  absl::Status append(const raft::HardState& state, std::span<const raft::Entry> entries);
  absl::Status save_snapshot(SnapshotMark mark, const raft::ConfState& conf);
  absl::Status sync();
  void release_to(Index index, Index needed_from);
  void be_frugal(bool on);
  absl::Status give_back();
  absl::Status close();

  Index last_index() const { return last_index_; }
  uint64_t unsynced_bytes() const { return unsynced_ + buffer_.size(); }
  const absl::Status& health() const { return health_; }
  const std::string& dir() const { return dir_; }

 private:
  std::string path_of(std::string_view file) const;
  Segment& tail() { return segments_.back(); }

  // Remembers the first failure; everything after answers it.
  absl::Status poison(absl::Status status);
  absl::Status usable() const;

  // Who may use how much of the room that is kept back.
  enum class For { kData, kElection, kMark };
  absl::Status begin_records(uint64_t bytes, For what);
  void settled();
  absl::Status seal();
  size_t segments_before(Index index) const;
  Index first_index() const;
  bool delete_segment(const std::string& path);

  // Takes space for `bytes` more in the tail. ResourceExhausted changes nothing.
  absl::Status reserve(uint64_t bytes, For what);
  uint64_t room_left_by(For what) const;
  uint64_t size_of_next() const;
  // Writes the buffer to the tail. ResourceExhausted keeps it for another try.
  absl::Status write_out();
  absl::Status timed_write(File& file, uint64_t offset, std::string_view bytes);
  absl::Status timed_sync(File& file);

  // --- wal_cut.cc
  // Goes over to the next segment; stays with this one while there is no space for another.
  absl::Status cut();
  absl::Status finish_tail();
  absl::Status begin_segment(Segment next);
  void prepare_next();
  void shrink_next();
  void shrink_tail();
  void drop_next();
  void add_head(RecordBuffer& buffer) const;
  // The tail will never be shorter than that. REQUIRES: this length is durable.
  absl::Status claim(uint64_t bytes);
  // The same, certain before this returns: the tail is about to get so short.
  absl::Status claim_at_most(uint64_t bytes);

  // --- wal_open.cc
  absl::Status build_first_segment(const std::string& dir, SegmentName name);
  absl::Status adopt_directory(const std::string& built);
  absl::Status clear_for_log();
  absl::Status clear_for_building(const std::string& dir, SegmentName first);
  absl::Status lock_segments(const std::vector<SegmentName>& names);
  absl::Status check_claim(const std::optional<TailClaim::Claim>& claim);
  absl::Status make_found_durable();
  absl::Status repair_tail(uint64_t end);
  absl::Status settle_tail(uint64_t end, bool rubbish);

  const std::string dir_;
  const Options options_;
  FileSystem& fs_;
  const Clock& clock_;

  std::string metadata_;   // stands at the head of every segment
  raft::HardState state_;  // the last one appended; repeated at the head of every segment
  Index last_index_;
  // durable_mark_ <= newest_mark_ <= state_.commit: of the marks appended, and of those synced.
  Index newest_mark_;
  Index durable_mark_;
  Index released_;  // <= durable_mark_: what the caller will not open below

  // Locked, oldest first, sequences consecutive, the last is the tail. First indexes may fall,
  // where a new leader's entries replaced some of the segment before. Older files that open() did
  // not need are in `older_`, unlocked, waiting for release_to().
  std::vector<Segment> segments_;
  std::vector<SegmentName> older_;

  // The last thing claimed of the tail: claimed_.bytes <= its durable length. Its sequence is the
  // tail's or an earlier one's, or there is none.
  TailClaim tail_claim_;
  std::optional<TailClaim::Claim> claimed_;

  // Whether the last record, in buffer_ or before it, is a sum that follows a sync.
  bool ends_in_sum_ = false;
  RecordBuffer buffer_;
  // In the tail: [0, written_) is written, of which the last `unsynced_` bytes are not synced;
  // buffer_ goes to written_. Space is there up to reserved_.
  // unsynced_ <= written_; written_ + buffer_.size() <= reserved_.
  uint64_t written_ = 0;
  uint64_t unsynced_ = 0;
  uint64_t reserved_ = 0;

  // The next segment, allocated ahead under a temporary name; no file while there is no space.
  Segment next_;
  uint64_t next_bytes_ = 0;   // its space, <= size_of_next() while frugal_
  uint64_t next_number_ = 0;  // temporary names alternate, as etcd's
  bool frugal_ = false;
  bool warned_no_space_ = false;  // while there is no space for a next segment
  bool warned_release_ = false;   // once per obstacle
  bool warned_held_ = false;      // while somebody else's need is passed over

  absl::Status health_;
  bool closed_ = false;
};

}  // namespace keelson::wal
