// mvcc/event.h
//
// What changed: one Event per change, one EventBatch per apply batch. The store makes each batch
// once; every watcher of every lane shares it.
//
// Threads: an EventBatch is immutable once published and may be read from any thread.
// Lifetime: shared; an Event's bytes live as long as its `kv` (or the batch) does.
// Memory: a batch holds the encoded KeyValues it names (and the previous ones where they were in
//   memory). Whoever keeps batches for long bounds them; anything older can be had again from
//   Store::history().
// Source: etcd v3.7.1, api/mvccpb/kv.proto; watch semantics of server/storage/mvcc.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace keelson::mvcc {

// The numbers are mvccpb.Event.EventType's.
enum class EventType : uint8_t { kPut = 0, kDelete = 1 };

struct Event {
  EventType type = EventType::kPut;

  // The change's own revision; `revision.main` is the KeyValue's mod_revision.
  Revision revision;

  // The encoded mvccpb.KeyValue of the event: whole for a put; for a delete only `key` and
  // `mod_revision`, as etcd sends it. Ready to be placed behind an Event.kv tag unchanged.
  Bytes kv;

  // Points into `kv`.
  std::string_view key;

  // Of the put; 0 in a delete.
  int64_t create_revision = 0;

  // The encoded KeyValue that a reader at revision.main - 1 saw under this key. May be empty for
  // two reasons, told apart by previous_kv() of mvcc/store.h, which reads it where it must: the key
  // did not exist then, or its value was not in memory when the batch was made.
  Bytes prev_kv;

  // The revision of `prev_kv`; {0, 0} means "not known here": no previous, or an event read back
  // from disk. Only a hint for previous_kv().
  Revision prev_revision;

  // etcd's IsCreate(): a watcher that asked for prev_kv gets none for such an event.
  bool is_create() const { return type == EventType::kPut && create_revision == revision.main; }
};

// All changes of consecutive revisions, in order of (main, sub). A transaction is never split over
// two batches. Revisions first..last are all covered: each of them changed something.
struct EventBatch {
  int64_t first_revision = 0;  // main of the first event
  int64_t last_revision = 0;   // main of the last event; == the store's revision when published
  size_t bytes = 0;            // sum of the sizes of kv and prev_kv: what keeping the batch costs
  std::vector<Event> events;   // never empty
};

using EventBatchPtr = std::shared_ptr<const EventBatch>;

}  // namespace keelson::mvcc
