// mvcc/watch/lane_match.h
//
// LaneEngine::match, for the two files that match slices.

#pragma once

#include "mvcc/watch/lane_engine.h"

namespace keelson::watch {

// Notes each event with the groups whose range it falls into and that `wanted` approves of; the
// groups with events are then in touched_, in the order of their first event.
template <typename Wanted>
void LaneEngine::match(const Slice& slice, Wanted&& wanted) {
  for (std::span<const mvcc::Event> run : slice.runs) {
    for (const mvcc::Event& event : run) {
      index_.match(event.key, [&](WatchGroup& group) {
        if (!wanted(group)) return;
        if (group.matched.empty()) touched_.push_back(&group);
        group.matched.push_back(&event);
      });
    }
  }
}

}  // namespace keelson::watch
