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

// The KeyValue before an event.
struct Before {
  Bytes kv;  // empty: none, or late
  size_t size = 0;
  size_t number = 0;

  Before(Bytes known) : kv(std::move(known)), size(kv.size()) {}
  Before(LatePrevious::Place place) : size(place.size), number(place.number) {}
  bool is_late() const { return kv.size() < size; }
};

// An event that goes out, and what goes with it.
struct Outgoing {
  const mvcc::Event* event;
  Before before;
  size_t size;  // of the mvccpb.Event

  bool is_long() const { return before.is_late() || before.size >= kLong; }
  // From this size on a value is not copied.
  static constexpr size_t kLong = 4096;
};

size_t event_size(const mvcc::Event& event, size_t before) {
  size_t size = pb::varint_field_size(kType, static_cast<uint64_t>(event.type)) +
                pb::bytes_field_size(kKv, event.kv.size());
  if (before > 0) size += pb::bytes_field_size(kPrevKv, before);
  return size;
}

// What one block may look up; that may be as much work as a read of the block cache for each, and
// as much memory.
constexpr size_t kMostLookUps = 100;
constexpr size_t kMostLookedUp = size_t{8} << 20;

// Nullopt: it is not in memory.
std::optional<Before> find(const mvcc::Event& event, Previous& previous) {
  if (event.is_create() || event.revision.main - 1 < previous.compact_revision) {
    return Before(Bytes());
  }
  if (!event.prev_kv.empty()) return Before(event.prev_kv);
  if (previous.late && previous.late->revision() == event.revision.main) {
    return Before(previous.late->place_of(event));
  }
  if (previous.source == nullptr) return Before(Bytes());
  if (previous.looked_up >= kMostLookUps || previous.looked_up_bytes >= kMostLookedUp) {
    return std::nullopt;
  }
  ++previous.looked_up;
  std::optional<Bytes> found = previous.source->previous_in_memory(event);
  if (!found) return std::nullopt;
  previous.looked_up_bytes += found->size();
  return Before(*std::move(found));
}

// Events of a message whose previous values are read when their turn to be sent has come, some at a
// time.
class LateEvents final : public PartMaker {
 public:
  // As much as a client's window, about.
  static constexpr size_t kChunk = 64 << 10;

  explicit LateEvents(const EventBlock& block) : bytes_(block.bytes), late_(block.late) {}

  // One event: what stands before its value, and the value.
  void add(size_t begin, size_t end, const EventBlock::Long& value) {
    CHECK(begin <= end);
    if (chunks_.size() == placed_ || chunks_.back().size >= kChunk) chunks_.emplace_back();
    Chunk& chunk = chunks_.back();
    chunk.numbers.push_back(value.number);
    chunk.sizes.push_back(value.size);
    chunk.texts.push_back(bytes_.slice(begin, end - begin));
    chunk.size += end - begin + value.size;
    ++events_;
  }

  // What has been added since the last call, at the end of `parts`.
  void put_into(Parts* parts, const std::shared_ptr<LateEvents>& self) {
    for (; placed_ < chunks_.size(); ++placed_) {
      parts->add_late(chunks_[placed_].size, self, placed_);
    }
  }

  // What it takes beside what it makes, about.
  size_t bytes() const { return events_ * (2 * sizeof(size_t) + sizeof(Bytes)); }

  void make(size_t number, absl::AnyInvocable<void(absl::StatusOr<Bytes>)> done) override {
    CHECK(number < chunks_.size());
    late_->take(chunks_[number].numbers, [this, number, done = std::move(done)](auto kvs) mutable {
      done(kvs.ok() ? absl::StatusOr<Bytes>(build(chunks_[number], *kvs)) : kvs.status());
    });
  }

 private:
  struct Chunk {
    size_t size = 0;
    // For each event.
    std::vector<size_t> numbers;
    std::vector<size_t> sizes;
    std::vector<Bytes> texts;
  };

  static Bytes build(const Chunk& chunk, const std::vector<Bytes>& kvs) {
    CHECK(kvs.size() == chunk.texts.size());
    return Bytes::build(chunk.size, [&](char* to) {
      const char* const end = to + chunk.size;
      for (size_t i = 0; i < kvs.size(); ++i) {
        CHECK(kvs[i].size() == chunk.sizes[i]);
        for (const Bytes* piece : {&chunk.texts[i], &kvs[i]}) {
          to = std::copy_n(piece->data(), piece->size(), to);
        }
      }
      CHECK(to == end);
    });
  }

  const Bytes bytes_;
  const std::shared_ptr<LatePrevious> late_;
  std::vector<Chunk> chunks_;
  size_t events_ = 0;
  size_t placed_ = 0;  // chunks that are in the message; they stay as they are
};

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

Parts EventBlock::part(size_t first, size_t last) const {
  CHECK(first < last);
  CHECK(last <= size());
  auto next = std::partition_point(longs.begin(), longs.end(),
                                   [&](const Long& one) { return one.event < first; });
  size_t beside = next == longs.begin() ? 0 : std::prev(next)->until;
  size_t from = begin_of(first) - beside;  // in bytes
  Parts parts;
  std::shared_ptr<LateEvents> maker;
  for (; next != longs.end() && next->event < last; ++next) {
    const size_t to = ends[next->event] - next->until;
    beside = next->until;
    if (next->value.empty()) {
      if (!maker) maker = std::make_shared<LateEvents>(*this);
      maker->add(from, to, *next);
    } else {
      if (maker) maker->put_into(&parts, maker);
      parts.add(bytes.slice(from, to - from));
      parts.add(next->value);
    }
    from = to;
  }
  if (maker) {
    maker->put_into(&parts, maker);
    parts.holds(maker->bytes(), 0);
  }
  parts.add(bytes.slice(from, ends[last - 1] - beside - from));
  return parts;
}

size_t EventBlock::held() const {
  size_t held = bytes.size();
  for (const Long& one : longs) held += one.value.size() + sizeof one;
  return held;
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
    std::optional<Before> before = variant.prev_kv ? find(*event, previous) : Before(Bytes());
    if (!before) {
      block.lacking = event->revision.main;
      drop_revision(block.lacking, &block, &outgoing);
      break;
    }
    size_t size = event_size(*event, before->size);
    total += pb::bytes_field_size(kEvents, size);
    outgoing.push_back({event, *std::move(before), size});
    block.ends.push_back(total);
    block.revisions.push_back(event->revision.main);
  }
  size_t beside = 0;
  for (size_t i = 0; i < outgoing.size(); ++i) {
    Outgoing& one = outgoing[i];
    if (!one.is_long()) continue;
    beside += one.before.size;
    block.longs.push_back({i, one.before.size, beside, one.before.kv, one.before.number});
    if (one.before.is_late()) block.late = previous.late;
  }
  total = (block.ends.empty() ? 0 : block.ends.back()) - beside;
  block.bytes = Bytes::build(total, [&](char* out) {
    char* end = out + total;
    for (const Outgoing& one : outgoing) {
      out = pb::write_bytes_head(out, kEvents, one.size);
      out = pb::write_varint_field(out, kType, static_cast<uint64_t>(one.event->type));
      out = pb::write_bytes_field(out, kKv, one.event->kv);
      if (one.is_long()) {
        out = pb::write_bytes_head(out, kPrevKv, one.before.size);
      } else if (one.before.size > 0) {
        out = pb::write_bytes_field(out, kPrevKv, one.before.kv);
      }
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
