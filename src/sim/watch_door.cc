#include "sim/watch_door.h"

#include <algorithm>
#include <utility>

namespace keelson::sim {
namespace {

watch::WatchOptions small_options(const node::Node& node) {
  return {.cluster = node.cluster(),
          .member = node.member(),
          .fragment_bytes = 600,
          .stream_pending = 800,
          .window_bytes = 4 << 10,
          .window_batches = 4,
          .slice_bytes = 600,
          .response_bytes = 1 << 10,
          .response_revisions = 5};
}

}  // namespace

WatchDoor::WatchDoor(node::Node& node, Executor& lane, Random& random)
    : node_(node),
      slot_(node.store().register_reader()),
      feed_(node.store().revision(), {.inbox_batches = 4, .inbox_bytes = 4 << 10}),
      watches_(lane, feed_, *this, random, small_options(node)) {}

int64_t WatchDoor::compact_revision() const {
  return std::max<int64_t>(node_.store().compact_revision(), 0);
}

absl::StatusOr<watch::HistorySlice> WatchDoor::history(int64_t from, int64_t to, size_t max_bytes) {
  absl::StatusOr<mvcc::History> read = node_.store().history(*slot_, from, to, max_bytes);
  if (!read.ok()) return read.status();
  return watch::HistorySlice{std::move(read->events), read->next_revision - 1};
}

absl::StatusOr<Bytes> WatchDoor::previous_kv(const mvcc::Event& event) {
  return node_.store().previous_kv(*slot_, event);
}

}  // namespace keelson::sim
