#include "mvcc/watch/served_slice.h"

#include "base/check.h"

namespace keelson::watch {

ServedSlice::ServedSlice(Slice slice) : slice_(std::move(slice)), events_(slice_) {
  CHECK(slice_.from <= slice_.through);
}

namespace {

constexpr size_t kLookUpCost = 1024;

}  // namespace

const EventBlock& ServedSlice::block_for(const Watcher& watcher, WatchSource& source,
                                         size_t* cost) {
  CHECK(covers(watcher.cursor));
  const Variant& variant = watcher.variant;
  const unsigned bits =
      (variant.no_put ? 1u : 0u) | (variant.no_delete ? 2u : 0u) | (variant.prev_kv ? 4u : 0u);
  const Key key(watcher.group->serial, bits);
  auto it = blocks_.find(key);
  if (it != blocks_.end() && it->second.good_for(watcher.cursor)) return it->second.block;
  // Those with lower cursors mostly come first; one that does not makes the block good for all.
  const bool lower = it != blocks_.end() && watcher.cursor < it->second.from;
  Previous previous{.source = with_previous() ? nullptr : &source,
                    .compact_revision = source.compact_revision(),
                    .late = slice_.late};
  Encoded made;
  made.from = lower && with_previous() ? from() : watcher.cursor;
  made.block = encode_events(events_.find(watcher.group->range, made.from), variant, previous);
  const size_t held = made.block.held();
  *cost += held + previous.looked_up * kLookUpCost;
  bytes_ += held;
  if (bytes_ > kBlockBytes) {
    blocks_.clear();
    bytes_ = held;
  }
  return (blocks_[key] = std::move(made)).block;
}

}  // namespace keelson::watch
