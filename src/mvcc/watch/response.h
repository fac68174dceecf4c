// mvcc/watch/response.h
//
// etcdserverpb.WatchResponse, written by hand: a head of a few bytes for one watcher, and the
// events, encoded once in an EventBlock and shared by all watchers that see the same. Fields in
// order of number, zero values left out, as etcd's encoder does.
//
// Threads: values; the functions are pure.
// Source: etcd v3.7.1, api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto, and sendFragments() of
//   server/etcdserver/api/v3rpc/watch.go.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/parts.h"
#include "mvcc/event.h"
#include "mvcc/watch/range_index.h"
#include "mvcc/watch/types.h"

namespace keelson::watch {

// Stands for "no watcher" or "all watchers of the stream".
inline constexpr int64_t kNoWatchId = -1;

// All of a WatchResponse but its events.
struct ResponseHead {
  ClusterId cluster = {};
  MemberId member = {};
  Term term = {};
  int64_t revision = 0;

  int64_t watch_id = 0;
  bool created = false;
  bool canceled = false;
  int64_t compact_revision = 0;
  std::string_view cancel_reason = {};
  bool fragment = false;

  friend bool operator==(const ResponseHead&, const ResponseHead&) = default;
};

Bytes encode_head(const ResponseHead& head);
size_t encoded_head_size(const ResponseHead& head);

// Events as they stand in a WatchResponse: repeated field 11. `ends[i]` is where event i ends. A
// long previous value, the last thing of its event, stands beside: as it is in memory, or late.
struct EventBlock {
  struct Long {
    size_t event;       // rising
    size_t size;        // > 0
    size_t until;       // the sizes up to this one together
    Bytes value;        // empty: late
    size_t number = 0;  // then, its place there
  };

  Bytes bytes;  // all but `longs`
  std::vector<size_t> ends;
  std::vector<int64_t> revisions;
  std::vector<Long> longs;
  std::shared_ptr<LatePrevious> late;
  // What this revision and later ones have is not here: a previous value is not in memory. 0: all.
  int64_t lacking = 0;

  size_t size() const { return ends.size(); }
  size_t begin_of(size_t i) const { return i == 0 ? 0 : ends[i - 1]; }
  // Events [first, last). REQUIRES: first < last.
  Parts part(size_t first, size_t last) const;
  // Bytes in memory.
  size_t held() const;
  // The first event at `revision` or later.
  size_t first_at(int64_t revision) const;
};

// Where previous values come from that an event does not carry.
struct Previous {
  // Null: events carry all there are. Else a hundred at most are looked up there, which is counted.
  WatchSource* source = nullptr;
  // Values that only a reader below would see are left out, as etcd's watchers get none there.
  int64_t compact_revision = 0;
  size_t looked_up = 0;
  size_t looked_up_bytes = 0;
  std::shared_ptr<LatePrevious> late = nullptr;
};

// Those of `events` that the variant lets through, as far as their previous values can be had.
EventBlock encode_events(std::span<const mvcc::Event* const> events, const Variant& variant,
                         Previous& previous);

// How far a response that begins with event `first` goes: the end of the first revision that takes
// it past one of the options' limits. REQUIRES: first < block.size().
size_t response_end(const EventBlock& block, size_t first, const WatchOptions& options);

// How far a fragment that begins with event `first` goes, its head taking `head_size` bytes: as
// many events as stay below `max_bytes`, but at least one.
size_t fragment_end(const EventBlock& block, size_t first, size_t last, size_t head_size,
                    size_t max_bytes);

}  // namespace keelson::watch
