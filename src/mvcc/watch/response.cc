#include "mvcc/watch/response.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/protobuf.h"

namespace keelson::watch {

namespace {

enum HeaderField : uint32_t { kClusterId = 1, kMemberId = 2, kRevision = 3, kRaftTerm = 4 };
enum ResponseField : uint32_t {
  kHeader = 1,
  kWatchId = 2,
  kCreated = 3,
  kCanceled = 4,
  kCompactRevision = 5,
  kCancelReason = 6,
  kFragment = 7,
  kEvents = 11,
};
enum EventField : uint32_t { kType = 1, kKv = 2, kPrevKv = 3 };

uint64_t bits(int64_t v) { return static_cast<uint64_t>(v); }

size_t header_size(const ResponseHead& head) {
  return pb::varint_field_size(kClusterId, head.cluster.value) +
         pb::varint_field_size(kMemberId, head.member.value) +
         pb::varint_field_size(kRevision, bits(head.revision)) +
         pb::varint_field_size(kRaftTerm, head.term.value);
}

// An event that goes out, and the previous value that goes with it (empty: none).
struct Outgoing {
  const mvcc::Event* event;
  Bytes prev_kv;
  size_t size;  // of the mvccpb.Event
};

size_t event_size(const mvcc::Event& event, const Bytes& prev_kv) {
  size_t size = pb::varint_field_size(kType, static_cast<uint64_t>(event.type)) +
                pb::bytes_field_size(kKv, event.kv.size());
  if (!prev_kv.empty()) size += pb::bytes_field_size(kPrevKv, prev_kv.size());
  return size;
}

// What one block may look up; that may be as much work as a read of the block cache for each.
constexpr size_t kMostLookUps = 100;

// Nullopt: it is not in memory.
std::optional<Bytes> find(const mvcc::Event& event, Previous& previous) {
  if (event.is_create() || event.revision.main - 1 < previous.compact_revision) return Bytes();
  if (!event.prev_kv.empty() || previous.source == nullptr) return event.prev_kv;
  if (previous.looked_up >= kMostLookUps) return std::nullopt;
  ++previous.looked_up;
  return previous.source->previous_in_memory(event);
}

// Takes away what there is of one revision.
void drop_revision(int64_t revision, EventBlock* block, std::vector<Outgoing>* outgoing) {
  while (!block->revisions.empty() && block->revisions.back() == revision) {
    block->revisions.pop_back();
    block->ends.pop_back();
    outgoing->pop_back();
  }
}

}  // namespace

size_t encoded_head_size(const ResponseHead& head) {
  size_t size = pb::bytes_field_size(kHeader, header_size(head)) +
                pb::varint_field_size(kWatchId, bits(head.watch_id)) +
                pb::varint_field_size(kCreated, head.created) +
                pb::varint_field_size(kCanceled, head.canceled) +
                pb::varint_field_size(kCompactRevision, bits(head.compact_revision)) +
                pb::varint_field_size(kFragment, head.fragment);
  if (!head.cancel_reason.empty()) {
    size += pb::bytes_field_size(kCancelReason, head.cancel_reason.size());
  }
  return size;
}

Bytes encode_head(const ResponseHead& head) {
  size_t size = encoded_head_size(head);
  return Bytes::build(size, [&](char* out) {
    char* end = out + size;
    out = pb::write_bytes_head(out, kHeader, header_size(head));
    out = pb::write_varint_field(out, kClusterId, head.cluster.value);
    out = pb::write_varint_field(out, kMemberId, head.member.value);
    out = pb::write_varint_field(out, kRevision, bits(head.revision));
    out = pb::write_varint_field(out, kRaftTerm, head.term.value);
    out = pb::write_varint_field(out, kWatchId, bits(head.watch_id));
    out = pb::write_varint_field(out, kCreated, head.created);
    out = pb::write_varint_field(out, kCanceled, head.canceled);
    out = pb::write_varint_field(out, kCompactRevision, bits(head.compact_revision));
    if (!head.cancel_reason.empty()) {
      out = pb::write_bytes_field(out, kCancelReason, head.cancel_reason);
    }
    out = pb::write_varint_field(out, kFragment, head.fragment);
    CHECK(out == end);
  });
}

size_t EventBlock::first_at(int64_t revision) const {
  auto at = std::lower_bound(revisions.begin(), revisions.end(), revision);
  return static_cast<size_t>(at - revisions.begin());
}

EventBlock encode_events(std::span<const mvcc::Event* const> events, const Variant& variant,
                         Previous& previous) {
  EventBlock block;
  std::vector<Outgoing> outgoing;
  outgoing.reserve(events.size());
  block.ends.reserve(events.size());
  block.revisions.reserve(events.size());
  size_t total = 0;
  for (const mvcc::Event* event : events) {
    bool put = event->type == mvcc::EventType::kPut;
    if (put ? variant.no_put : variant.no_delete) continue;
    std::optional<Bytes> prev_kv = variant.prev_kv ? find(*event, previous) : Bytes();
    if (!prev_kv) {
      block.lacking = event->revision.main;
      drop_revision(block.lacking, &block, &outgoing);
      break;
    }
    size_t size = event_size(*event, *prev_kv);
    total += pb::bytes_field_size(kEvents, size);
    outgoing.push_back({event, *std::move(prev_kv), size});
    block.ends.push_back(total);
    block.revisions.push_back(event->revision.main);
  }
  total = block.ends.empty() ? 0 : block.ends.back();
  block.bytes = Bytes::build(total, [&](char* out) {
    char* end = out + total;
    for (const Outgoing& one : outgoing) {
      out = pb::write_bytes_head(out, kEvents, one.size);
      out = pb::write_varint_field(out, kType, static_cast<uint64_t>(one.event->type));
      out = pb::write_bytes_field(out, kKv, one.event->kv);
      if (!one.prev_kv.empty()) out = pb::write_bytes_field(out, kPrevKv, one.prev_kv);
    }
    CHECK(out == end);
  });
  return block;
}

size_t response_end(const EventBlock& block, size_t first, const WatchOptions& options) {
  CHECK(first < block.size());
  size_t revisions = 1;
  for (size_t i = first + 1; i < block.size(); ++i) {
    if (block.revisions[i] == block.revisions[i - 1]) continue;
    // The limits are looked at between revisions only: no revision is ever split.
    if (block.ends[i - 1] - block.begin_of(first) >= options.response_bytes) return i;
    if (++revisions > options.response_revisions) return i;
  }
  return block.size();
}

size_t fragment_end(const EventBlock& block, size_t first, size_t last, size_t head_size,
                    size_t max_bytes) {
  CHECK(first < last);
  size_t end = first + 1;
  while (end < last && head_size + block.ends[end] - block.begin_of(first) < max_bytes) ++end;
  return end;
}

}  // namespace keelson::watch
