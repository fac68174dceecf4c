#include "raft/tracker/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::raft::tracker {

std::string_view Progress::state_name() const {
  if (is_probe()) return "StateProbe";
  return is_replicate() ? "StateReplicate" : "StateSnapshot";
}

Index Progress::pending_snapshot() const {
  const SnapshotSent* snapshot = std::get_if<SnapshotSent>(&state_);
  return snapshot ? snapshot->pending : Index(0);
}

const Inflights* Progress::inflights() const {
  const Replicate* replicate = std::get_if<Replicate>(&state_);
  return replicate ? &replicate->inflights : nullptr;
}

void Progress::become_probe() {
  // A pending snapshot has arrived, as far as we know: probe from behind it.
  next_ = std::max(match_, pending_snapshot()) + 1;
  state_ = Probe{};
  sent_commit_ = std::min(sent_commit_, next_ - 1);
}

void Progress::become_replicate(const Limits& limits) {
  state_ = Replicate{Inflights(limits.max_inflight_msgs, limits.max_inflight_bytes)};
  next_ = match_ + 1;
}

void Progress::become_snapshot(Index snapshot_index) {
  state_ = SnapshotSent{snapshot_index};
  next_ = snapshot_index + 1;
  sent_commit_ = snapshot_index;
}

void Progress::snapshot_failed() {
  state_ = Probe{};
  become_probe();
}

bool Progress::is_paused() const {
  if (const Probe* probe = std::get_if<Probe>(&state_)) return probe->paused;
  if (const Replicate* replicate = std::get_if<Replicate>(&state_)) return replicate->paused;
  return true;
}

void Progress::set_paused(bool paused) {
  if (Probe* probe = std::get_if<Probe>(&state_)) probe->paused = paused;
  if (Replicate* replicate = std::get_if<Replicate>(&state_)) replicate->paused = paused;
}

bool Progress::has_room() const {
  const Replicate* replicate = std::get_if<Replicate>(&state_);
  return !replicate || !replicate->inflights.full();
}

void Progress::sent_entries(size_t entries, uint64_t bytes) {
  CHECK(!is_snapshot());
  if (Replicate* replicate = std::get_if<Replicate>(&state_)) {
    if (entries > 0) {
      next_ = next_ + entries;
      replicate->inflights.add(next_ - 1, bytes);
    }
    // An append that fills the window, or goes out while it is full, is a probe.
    replicate->paused = replicate->inflights.full();
  } else if (entries > 0) {
    std::get<Probe>(state_).paused = true;
  }
}

bool Progress::maybe_update(Index index) {
  if (index <= match_) return false;
  match_ = index;
  next_ = std::max(next_, index + 1);
  set_paused(false);
  return true;
}

bool Progress::maybe_decrease(Index rejected, Index hint) {
  if (is_replicate()) {
    if (rejected <= match_) return false;  // overtaken by a later acknowledgement
    next_ = match_ + 1;
  } else {
    // One append is out at a time; a rejection of any other is stale.
    if (next_ - 1 != rejected) return false;
    next_ = std::max(std::min(rejected, hint + 1), match_ + 1);
    set_paused(false);
  }
  // What was announced has probably not arrived.
  sent_commit_ = std::min(sent_commit_, next_ - 1);
  return true;
}

void Progress::free_inflights(Index index) {
  if (Replicate* replicate = std::get_if<Replicate>(&state_)) {
    replicate->inflights.free_up_to(index);
  }
}

void Progress::check_invariants() const {
  CHECK(match_ < next_);
  if (const Inflights* window = inflights()) window->check_invariants();
}

std::string to_string(const Progress& progress) {
  std::string text(progress.state_name());
  absl::StrAppend(&text, " match=", progress.match().value, " next=", progress.next().value);
  if (progress.is_learner()) text += " learner";
  if (progress.is_paused()) text += " paused";
  if (progress.pending_snapshot() > Index(0)) {
    absl::StrAppend(&text, " pendingSnap=", progress.pending_snapshot().value);
  }
  if (!progress.recent_active()) text += " inactive";
  const Inflights* inflights = progress.inflights();
  if (inflights && inflights->count() > 0) {
    absl::StrAppend(&text, " inflight=", inflights->count());
    if (inflights->full()) text += "[full]";
  }
  return text;
}

Progress* ProgressMap::find(MemberId id) {
  for (Item& item : items_) {
    if (item.first == id) return &item.second;
  }
  return nullptr;
}

const Progress* ProgressMap::find(MemberId id) const {
  return const_cast<ProgressMap*>(this)->find(id);
}

Progress& ProgressMap::put(MemberId id, Progress progress) {
  auto at = std::lower_bound(items_.begin(), items_.end(), id,
                             [](const Item& item, MemberId other) { return item.first < other; });
  if (at != items_.end() && at->first == id) {
    at->second = std::move(progress);
  } else {
    at = items_.emplace(at, id, std::move(progress));
  }
  return at->second;
}

void ProgressMap::erase(MemberId id) {
  std::erase_if(items_, [id](const Item& item) { return item.first == id; });
}

std::string to_string(const ProgressMap& progress) {
  std::string text;
  for (const auto& [id, one] : progress) {
    absl::StrAppend(&text, id.value, ": ", to_string(one), "\n");
  }
  return text;
}

}  // namespace keelson::raft::tracker
