// How lagging watchers are brought up to the position. Part of LaneEngine.
//
// They are served in two sweeps over the revisions, one through the window and one through the
// store, each from low to high and then from the lowest again. A slice serves everyone whose cursor
// it meets, so watchers that lag together are read for once. The two sweeps take turns: a client
// that is a million revisions behind does not keep one that is ten behind from its events.

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "mvcc/watch/lane_engine.h"
#include "mvcc/watch/lane_match.h"
#include "mvcc/watch/stream_state.h"

namespace keelson::watch {

void LaneEngine::schedule_catch_up() {
  if (catch_up_posted_ || lagging_.empty()) return;
  catch_up_posted_ = true;
  lane_.post([alive = std::weak_ptr(alive_)] {
    if (auto engine = alive.lock()) (*engine)->catch_up();
  });
}

void LaneEngine::catch_up() {
  catch_up_posted_ = false;
  cancel_compacted();
  if (const Watcher* first = next_in_window()) {
    metrics_.window_slices.add(1);
    Slice slice = window_.slice(first->cursor, options_.slice_bytes);
    serve(slice);
    window_sweep_ = slice.through + 1;
  }
  catch_up_from_disk();
  schedule_catch_up();
}

// etcd: a watcher may still start at the compact revision itself.
void LaneEngine::cancel_compacted() {
  const int64_t compact_revision = source_.compact_revision();
  while (!lagging_.empty() && (*lagging_.begin())->cursor < compact_revision) {
    Watcher& watcher = **lagging_.begin();
    retire(watcher);
    watcher.stream->send_compacted(watcher, compact_revision);
  }
}

Watcher* LaneEngine::next_in_window() const {
  if (window_.empty()) return nullptr;
  auto at = lagging_.lower_bound(std::max(window_sweep_, window_.first_revision()));
  if (at == lagging_.end()) at = lagging_.lower_bound(window_.first_revision());
  return at == lagging_.end() ? nullptr : *at;
}

// The next one with a cursor below `limit`.
Watcher* LaneEngine::next_on_disk(int64_t limit) const {
  auto at = lagging_.lower_bound(disk_sweep_);
  if (at == lagging_.end() || (*at)->cursor >= limit) at = lagging_.begin();
  if (at == lagging_.end() || (*at)->cursor >= limit) return nullptr;
  return *at;
}

void LaneEngine::catch_up_from_disk() {
  const int64_t limit = window_.empty() ? position_ + 1 : window_.first_revision();
  Watcher* first = next_on_disk(limit);
  if (first == nullptr) return;
  metrics_.disk_slices.add(1);
  const int64_t from = first->cursor;
  auto history = source_.history(from, limit - 1, options_.slice_bytes);
  if (!history.ok()) {
    // A compaction that passed meanwhile is met by cancel_compacted() in the next round.
    if (from < source_.compact_revision()) return;
    log::error("cannot read the history for a watcher",
               {{"revision", from}, {"error", message_of(history.status())}});
    retire(*first);
    first->stream->send_failed(*first, message_of(history.status()));
    return;
  }
  CHECK(history->through >= from);
  Slice slice;
  slice.from = from;
  slice.through = std::min(history->through, limit - 1);
  slice.events = std::move(history->events);
  slice.runs.emplace_back(slice.events);
  serve(slice);
  disk_sweep_ = slice.through + 1;
}

// Gives the slice to every lagging watcher whose cursor lies in it.
void LaneEngine::serve(const Slice& slice) {
  auto begin = lagging_.lower_bound(slice.from);
  auto end = lagging_.upper_bound(slice.through);
  std::vector<Watcher*> served(begin, end);
  lagging_.erase(begin, end);
  for (Watcher* watcher : served) {
    watcher->next_cursor = slice.through + 1;
    watcher->group->members_of(watcher->variant).targets.push_back(watcher);
    ++watcher->group->target_count;
  }

  match(slice, [](const WatchGroup& group) { return group.target_count > 0; });
  for (WatchGroup* group : touched_) {
    for (WatchGroup::Members& members : group->members) {
      if (!members.targets.empty()) serve_targets(*group, members, slice);
    }
  }
  forget_matches();

  for (Watcher* watcher : served) {
    watcher->group->members_of(watcher->variant).targets.clear();
    --watcher->group->target_count;
    displace(*watcher);
    watcher->cursor = watcher->next_cursor;
    place(*watcher);
  }
}

void LaneEngine::serve_targets(WatchGroup& group, WatchGroup::Members& members,
                               const Slice& slice) {
  int64_t lowest = members.targets.front()->cursor;
  for (const Watcher* watcher : members.targets) lowest = std::min(lowest, watcher->cursor);
  auto from =
      std::partition_point(group.matched.begin(), group.matched.end(),
                           [&](const mvcc::Event* event) { return event->revision.main < lowest; });
  EventBlock block = encode_events({from, group.matched.end()}, members.variant, source_,
                                   source_.compact_revision());
  if (block.size() == 0) return;
  for (Watcher* watcher : members.targets) {
    size_t sent = send(*watcher, block, block.first_at(watcher->cursor), slice.through);
    if (sent < block.size()) watcher->next_cursor = block.revisions[sent];
  }
}

}  // namespace keelson::watch
