// Events read back from the backend, and the values before them.

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "mvcc/held_range.h"
#include "mvcc/key_tree_view.h"
#include "mvcc/revision_key.h"
#include "mvcc/store_impl.h"

namespace keelson::mvcc {
namespace {

absl::Status malformed(std::string_view what) {
  return absl::DataLossError(cat("mvcc: ", what,
                                 " in the key bucket does not parse; restore this member from a "
                                 "snapshot or add it anew"));
}

absl::StatusOr<Event> make_event(const ParsedRevision& at, std::string_view value) {
  KeyValueView kv;
  if (!decode_key_value(value, &kv)) return malformed("a KeyValue");
  Event event;
  event.revision = at.revision;
  if (at.tombstone) {
    event.type = EventType::kDelete;
    event.kv = encode_key_value({.key = kv.key, .mod_revision = at.revision.main});
    decode_key_value(event.kv, &kv);
  } else {
    event.kv = Bytes::copy(value);
    decode_key_value(event.kv, &kv);
    event.create_revision = kv.create_revision;
  }
  event.key = kv.key;
  return event;
}

}  // namespace

absl::StatusOr<History> StoreImpl::history(Epochs::Slot* slot, int64_t from, int64_t to,
                                           size_t max_bytes) const {
  auto published = [&] {
    EpochSection section(epochs_, slot);
    return *root();
  };
  // In this order: what is published is committed, so the iterator has all up to `newest`; what the
  // iterator misses because of a compaction shows in the compact revision loaded after it.
  int64_t newest = published().revision;
  to = std::min(to, newest);
  KEELSON_FAILPOINT("mvcc_history");
  RevisionKey lower({std::max<int64_t>(from, 0), 0}), upper({to + 1, 0});
  std::unique_ptr<backend::Iterator> it =
      backend_->iterate(backend::Bucket::kKey, {.lower = lower.view(), .upper = upper.view()});
  if (from < published().compact_revision) return errors::Compacted();

  History history;
  history.next_revision = std::max(to + 1, from);
  for (it->seek_to_first(); it->valid(); it->next()) {
    ParsedRevision at;
    if (!parse_revision_key(it->key(), &at)) return malformed("a revision");
    bool new_txn =
        !history.events.empty() && history.events.back().revision.main != at.revision.main;
    if (new_txn && history.bytes >= max_bytes) {
      history.next_revision = at.revision.main;
      return history;
    }
    if (it->value().empty() && !at.tombstone) continue;  // a raised revision is nobody's event
    absl::StatusOr<Event> event = make_event(at, it->value());
    if (!event.ok()) return event.status();
    history.bytes += event->kv.size();
    history.events.push_back(*std::move(event));
  }
  if (!it->status().ok()) return it->status();
  return history;
}

absl::StatusOr<Bytes> StoreImpl::previous_kv(Epochs::Slot* slot, const Event& event) const {
  if (!event.prev_kv.empty()) return event.prev_kv;
  if (event.is_create()) return Bytes();
  int64_t at = event.revision.main - 1;
  RevisionPin held;
  if (!pin(slot, at, &held)) return Bytes();
  absl::StatusOr<std::optional<Bytes>> found = get(slot, at, event.key);
  if (!found.ok()) return found.status();
  return *found ? **std::move(found) : Bytes();
}

absl::StatusOr<std::shared_ptr<HeldRange>> StoreImpl::hold_previous(
    Epochs::Slot* slot, std::span<const Event> events) const {
  CHECK(!events.empty());
  const int64_t at = events.front().revision.main - 1;
  RevisionPin pinned;
  if (!pin(slot, at, &pinned)) return nullptr;
  absl::StatusOr<std::shared_ptr<HeldRange>> held = HeldRange::begin(*this, at, events.size());
  if (!held.ok() || !*held) return held;
  std::vector<HeldRange::Entry> entries;
  entries.reserve(events.size());
  for (const Event& event : events) {
    CHECK(event.revision.main == at + 1);
    HeldRange::Entry& entry = entries.emplace_back();
    const Found found = event.is_create() ? Found() : find(slot, at, event.key);
    if (found.exists) entry = {.kv = {}, .revision = found.revision, .size = found.size};
  }
  (*held)->fill(std::move(entries), nullptr);
  return held;
}

std::optional<Bytes> StoreImpl::previous_kv_in_memory(Epochs::Slot* slot,
                                                      const Event& event) const {
  if (!event.prev_kv.empty()) return event.prev_kv;
  if (event.is_create()) return Bytes();
  const int64_t at = event.revision.main - 1;
  RevisionPin held;
  if (!pin(slot, at, &held)) return Bytes();
  Found found = find(slot, at, event.key);
  if (!found.exists) return Bytes();
  if (!found.value.empty()) return std::move(found.value);
  std::vector<Bytes> values;
  absl::StatusOr<bool> all = read_back_in_memory(std::span(&found.revision, 1), &values);
  // What is wrong with it shows where it is read in earnest.
  if (!all.ok() || !*all) return std::nullopt;
  return std::move(values.front());
}

}  // namespace keelson::mvcc
