// mvcc/watch/lag_queue.h
//
// Who is behind, and whose turn it is. A LagQueue holds those watchers of one stream that are
// behind and go the same way (Watcher::Way): one line for each revision that is needed next. A
// StreamOrder holds the streams that can be served, each at one place, by the revision that its
// next watcher needs. So a stream that stalls or resumes is one entry less or more, however many
// watchers it has, and a watcher that moves on leaves the front of one line for the end of another.
//
// Threads: one lane.

#pragma once

#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "mvcc/watch/watcher.h"

namespace keelson::watch {

class LagQueue {
 public:
  // At the end of the line of its cursor.
  void insert(Watcher& watcher);
  // REQUIRES: the watcher is in this queue, and its cursor is still that of its line.
  void erase(Watcher& watcher);

  bool empty() const { return lines_.empty(); }
  // REQUIRES: !empty().
  Watcher& first() const { return *lines_.begin()->second.first; }
  // The first in the lowest line of [from, through]; null if there is none.
  Watcher* first_in(int64_t from, int64_t through) const;

  // Where the stream's turn is next: the lowest cursor that has not been passed, and then the
  // lowest of all. So nobody waits for ever behind those who come anew far back. REQUIRES:
  // !empty().
  int64_t next() const;
  void pass(int64_t revision) { passed_ = revision; }

  void check_invariants() const;

 private:
  struct Line {
    Watcher* first = nullptr;
    Watcher* last = nullptr;
  };
  absl::btree_map<int64_t, Line> lines_;  // by cursor; none is empty
  int64_t passed_ = 0;                    // everything below has had its turn
};

class StreamOrder {
 public:
  // A cursor, and what tells streams with the same one apart.
  using Place = std::pair<int64_t, uint64_t>;

  // Moves the stream from the place that `cursor` names to `to`; 0 is no place.
  void move(StreamState& stream, uint64_t serial, int64_t* cursor, int64_t to);

  bool empty() const { return streams_.empty(); }
  size_t size() const { return streams_.size(); }
  bool has(Place place) const { return streams_.contains(place); }
  // The first; null if there is none.
  StreamState* first() const { return empty() ? nullptr : streams_.begin()->second; }
  // The first at or after `place`, or the very first; null if there is none.
  StreamState* next(Place place) const;
  // The same among those with cursors in [from, through].
  StreamState* next_in(int64_t from, int64_t through, Place place) const;

 private:
  absl::btree_map<Place, StreamState*> streams_;
};

}  // namespace keelson::watch
