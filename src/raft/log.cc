#include "raft/log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/plant.h"

namespace keelson::raft {

bool LogSlice::well_formed(Term leader_term) const {
  EntryId before = prev;
  for (const Entry& entry : entries) {
    if (entry.index != before.index + 1 || entry.term < before.term) return false;
    before = {entry.term, entry.index};
  }
  return before.term <= leader_term;
}

absl::StatusOr<std::unique_ptr<Log>> Log::open(Storage* storage, Lines lines,
                                               uint64_t max_applying_size) {
  absl::StatusOr<Index> first = storage->first_index();
  if (!first.ok()) return first.status();
  absl::StatusOr<Index> last = storage->last_index();
  if (!last.ok()) return last.status();
  return std::unique_ptr<Log>(new Log(storage, lines, max_applying_size, *first, *last));
}

// Everything up to the last compaction was committed and applied.
Log::Log(Storage* storage, Lines lines, uint64_t max_applying_size, Index first, Index last)
    : storage_(storage),
      lines_(lines),
      unstable_(last + 1, lines),
      committed_(first - 1),
      applying_(first - 1),
      applied_(first - 1),
      max_applying_size_(max_applying_size) {}

Index Log::first_index() const {
  if (unstable_.snapshot()) return unstable_.snapshot()->metadata.index + 1;
  absl::StatusOr<Index> first = storage_->first_index();
  if (first.ok()) return *first;
  lines_.panic(message_of(first.status()));
  return last_index() + 1;
}

std::optional<Term> Log::term(Index index) const {
  if (index >= unstable_.offset() || unstable_.snapshot()) return unstable_.term(index);
  absl::StatusOr<Term> term = storage_->term(index);
  if (term.ok()) return *term;
  if (!absl::IsOutOfRange(term.status()) && !absl::IsNotFound(term.status())) {
    lines_.panic(message_of(term.status()));
  }
  return std::nullopt;
}

EntryId Log::last_id() const {
  const Index last = last_index();
  std::optional<Term> at = term(last);
  if (!at) lines_.panic("unexpected error when getting the last term at ", last);
  return {at.value_or(Term(0)), last};
}

bool Log::is_up_to_date(EntryId theirs) const {
  const EntryId ours = last_id();
  return theirs.term > ours.term || (theirs.term == ours.term && theirs.index >= ours.index);
}

absl::StatusOr<Entries> Log::slice(Index lo, Index hi, uint64_t max_size) const {
  if (lo > hi || hi > last_index() + 1) {
    lines_.panic("slice[", lo, ",", hi, ") out of bound [", first_index(), ",", last_index(), "]");
    return compacted_error();
  }
  if (lo == hi) return Entries();
  if (lo >= unstable_.offset()) {
    const Entries all = unstable_.slice(lo, hi);
    return all.slice(0, count_within(all, max_size));
  }
  // A pending snapshot hides what storage still holds.
  if (lo < first_index()) return absl::Status(absl::StatusCode::kOutOfRange, "");
  return across(lo, hi, max_size);
}

// From storage, and on into the unstable tail if the size allows.
absl::StatusOr<Entries> Log::across(Index lo, Index hi, uint64_t max_size) const {
  const Index cut = std::min(hi, unstable_.offset());
  absl::StatusOr<Entries> stable = storage_->entries(lo, cut, max_size);
  if (!stable.ok()) {
    if (!absl::IsOutOfRange(stable.status())) {
      lines_.panic("entries[", lo, ":", cut, ") is unavailable from storage");
    }
    return stable.status();
  }
  // Shorter than asked for: the next entry would not have fitted.
  if (cut == hi || stable->size() < cut - lo) return stable;
  const uint64_t size = encoded_size(*stable);
  if (size >= max_size) return stable;

  const std::span<const Entry> tail = unstable_.view(cut, hi);
  const size_t count = count_within(tail, max_size - size);
  // The one entry that is always granted does not count here: there is something before it.
  if (count == 1 && size + encoded_size(tail[0]) > max_size) return stable;
  EntryBuffer joined;
  joined.reserve(stable->size() + count);
  joined.append(*stable);
  joined.append(tail.first(count));
  return joined.slice(0, joined.size());
}

absl::StatusOr<Entries> Log::entries_from(Index lo, uint64_t max_size) const {
  if (lo > last_index()) return Entries();
  return slice(lo, last_index() + 1, max_size);
}

absl::StatusOr<SnapshotPtr> Log::snapshot() const {
  if (unstable_.snapshot()) return unstable_.snapshot();
  return storage_->snapshot();
}

bool Log::any(Index lo, Index hi, const std::function<bool(const Entry&)>& wanted) const {
  while (lo < hi) {
    absl::StatusOr<Entries> page = slice(lo, hi, max_applying_size_);
    if (!page.ok() || page->empty()) {
      lines_.panic("error scanning unapplied entries [", lo, ", ", hi, "): got 0 entries");
      return false;
    }
    if (std::any_of(page->begin(), page->end(), wanted)) return true;
    lo = lo + page->size();
  }
  return false;
}

void Log::push(Entry entry) {
  CHECK(entry.index == last_index() + 1);
  unstable_.push(std::move(entry));
}

void Log::append(std::span<const Entry> entries) {
  if (entries.empty()) return;
  if (entries.front().index <= committed_ && !planted(Plant::kTruncatePastCommit)) {
    lines_.panic("after(", entries.front().index - 1, ") is out of range [committed(", committed_,
                 ")]");
    return;
  }
  unstable_.truncate_and_append(entries);
}

std::optional<Index> Log::maybe_append(const LogSlice& slice, Index committed) {
  if (!matches(slice.prev) && !planted(Plant::kAppendUnmatched)) return std::nullopt;
  Index conflict = find_conflict(slice.entries);
  const bool cuts = planted(Plant::kTruncatePastCommit) && !slice.entries.empty();
  if (cuts) conflict = slice.prev.index + 1;
  if (conflict != Index(0)) {
    if (conflict <= committed_ && !cuts) {
      lines_.panic("entry ", conflict, " conflict with committed entry [committed(", committed_,
                   ")]");
      return std::nullopt;
    }
    append(slice.entries.subspan(conflict - slice.prev.index - 1));
  }
  commit_to(std::min(committed, slice.last_index()));
  return slice.last_index();
}

// The index of the first entry that we do not hold as given, 0 if we hold them all.
Index Log::find_conflict(std::span<const Entry> entries) const {
  for (const Entry& entry : entries) {
    // Past our end there is nothing to compare; the usual case of an append.
    if (entry.index > last_index()) return entry.index;
    const std::optional<Term> ours = term(entry.index);
    if (ours == entry.term) continue;
    lines_.info("found conflict at index ", entry.index,
                " [existing term: ", ours.value_or(Term(0)), ", conflicting term: ", entry.term,
                "]");
    return entry.index;
  }
  return Index(0);
}

EntryId Log::find_conflict_by_term(Index index, Term term_there) const {
  for (; index > Index(0); index = index - 1) {
    const std::optional<Term> ours = term(index);
    if (!ours) return {Term(0), index};
    if (*ours <= term_there) return {*ours, index};
  }
  return {};
}

void Log::commit_to(Index index) {
  if (index <= committed_) return;
  // The leader announces only what it knows we stored: entries that we acknowledged are gone.
  if (index > last_index()) {
    lines_.panic("tocommit(", index, ") is out of range [lastIndex(", last_index(),
                 ")]. Was the raft log corrupted, truncated, or lost?");
    return;
  }
  committed_ = index;
}

bool Log::maybe_commit(EntryId id) {
  if (id.term == Term(0) || id.index <= committed_ || !matches(id)) return false;
  commit_to(id.index);
  return true;
}

void Log::restore(SnapshotPtr snapshot) {
  const SnapshotMetadata& meta = snapshot->metadata;
  lines_.info(
      "log [", [this] { return describe(); }, "] starts to restore snapshot [index: ", meta.index,
      ", term: ", meta.term, "]");
  committed_ = meta.index;
  unstable_.restore(std::move(snapshot));
}

Index Log::max_appliable(bool allow_unstable) const {
  return allow_unstable ? committed_ : std::min(committed_, unstable_.offset() - 1);
}

bool Log::has_next_committed(bool allow_unstable) const {
  // A snapshot goes first; entries beside it would leave open what to apply first.
  if (applying_paused_ || unstable_.snapshot()) return false;
  return applying_ < max_appliable(allow_unstable);
}

Entries Log::next_committed(bool allow_unstable) const {
  if (!has_next_committed(allow_unstable)) return {};
  CHECK(applying_size_ < max_applying_size_);
  absl::StatusOr<Entries> entries =
      slice(applying_ + 1, max_appliable(allow_unstable) + 1, max_applying_size_ - applying_size_);
  if (entries.ok()) return *std::move(entries);
  lines_.panic("unexpected error when getting unapplied entries (", message_of(entries.status()),
               ")");
  return {};
}

void Log::accept_applying(Index last, uint64_t size, bool allow_unstable) {
  CHECK(last <= committed_);
  applying_ = last;
  applying_size_ += size;
  applying_paused_ = applying_size_ >= max_applying_size_ || last < max_appliable(allow_unstable);
}

void Log::applied_to(Index index, uint64_t size) {
  if (committed_ < index || index < applied_) {
    lines_.panic("applied(", index, ") is out of range [prevApplied(", applied_, "), committed(",
                 committed_, ")]");
    return;
  }
  applied_ = index;
  applying_ = std::max(applying_, index);
  applying_size_ -= std::min(applying_size_, size);
  applying_paused_ = applying_size_ >= max_applying_size_;
}

std::string Log::describe() const {
  return cat("committed=", committed_.value, ", applied=", applied_.value,
             ", applying=", applying_.value, ", unstable.offset=", unstable_.offset().value,
             ", unstable.offsetInProgress=", unstable_.in_progress().value,
             ", len(unstable.Entries)=", unstable_.size());
}

void Log::check_invariants() const {
  CHECK(applied_ <= applying_);
  CHECK(applying_ <= committed_);
  CHECK(committed_ <= last_index());
  unstable_.check_invariants();
}

}  // namespace keelson::raft
