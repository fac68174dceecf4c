// mvcc/watch/watcher.h
//
// One watcher: a range (through its group), what it wants to see of it, and where it stands.
//
// Threads: one lane. Owned by its StreamState; moved between states by the LaneEngine only.

#pragma once

#include <cstdint>

#include "mvcc/watch/range_index.h"

namespace keelson::watch {

class StreamState;

struct Watcher {
  enum class State : uint8_t {
    // Has been offered every event up to the engine's position; is in its group's `synced` list.
    kSynced,
    // Needs events from `cursor` on, cursor <= position. In the line of its cursor, in its stream's
    // LagQueue of its way.
    kLagging,
    // Wants nothing before `cursor`, cursor > position + 1. In the engine's `future` set.
    kFuture,
    // What it wanted next was compacted (or cannot be read), and it has been told. Only its id is
    // still taken, until the client cancels it (as in etcd).
    kGone,
  };

  // What a lagging watcher is served from. One in the window's queue may have to go over to the
  // store's, since the window moves on; never the other way, but when it is served.
  enum class Way : uint8_t { kWindow, kStore };

  StreamState* stream = nullptr;
  WatchGroup* group = nullptr;  // null when kGone
  int64_t id = 0;
  uint64_t serial = 0;  // in order of creation on the lane; breaks ties where order matters

  Variant variant;
  bool fragment = false;
  bool progress_notify = false;
  // No event has been sent since the last tick of the progress timer.
  bool progress_due = true;

  State state = State::kSynced;
  Way way = Way::kWindow;      // of kLagging
  int64_t start_revision = 0;  // as the client gave it
  int64_t cursor = 0;          // of kLagging and kFuture; > 0
  uint32_t slot = 0;           // of kSynced: place in the group's list
  // Of kLagging: its neighbours in line.
  Watcher* ahead = nullptr;
  Watcher* behind = nullptr;
};

}  // namespace keelson::watch
