#include "proxy/watch_messages.h"

#include "base/protobuf.h"
#include "proto/rpc.pb.h"

namespace keelson::proxy {
namespace {

using pb::kBytes;
using pb::kVarint;

// Of etcdserverpb.WatchResponse, ResponseHeader, mvccpb.Event and KeyValue.
enum : uint32_t {
  kHeader = 1,
  kWatchId = 2,
  kCreated = 3,
  kCancelled = 4,
  kCompactRevision = 5,
  kCancelReason = 6,
  kEvents = 11,
  kHeaderRevision = 3,
  kEventType = 1,
  kEventKv = 2,
  kModRevision = 3,
};

struct Head {
  std::string_view header;
  int64_t id = 0;
  bool created = false, cancelled = false;
  int64_t compact_revision = 0;
  std::string_view reason = {};
};

std::string encode_head(const Head& head) {
  std::string out;
  pb::append_bytes_field(out, kHeader, head.header);
  pb::append_varint_field(out, kWatchId, static_cast<uint64_t>(head.id));
  pb::append_varint_field(out, kCreated, head.created ? 1 : 0);
  pb::append_varint_field(out, kCancelled, head.cancelled ? 1 : 0);
  pb::append_varint_field(out, kCompactRevision, static_cast<uint64_t>(head.compact_revision));
  if (!head.reason.empty()) pb::append_bytes_field(out, kCancelReason, head.reason);
  return out;
}

absl::Status unreadable() {
  return absl::InternalError("the cluster's answer to a watch cannot be read");
}

int64_t number_in(std::string_view message, uint32_t number) {
  int64_t value = 0;
  pb::Reader reader(message);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(number, kVarint)) value = static_cast<int64_t>(field.value);
  }
  return value;
}

}  // namespace

absl::Status WatchMessage::read_event(std::string_view bytes, const KeyPrefix& prefix,
                                      std::string* block) {
  Event event{.revision = 0, .is_delete = false, .begin = block->size(), .end = 0};
  std::string_view kv;
  pb::Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(kEventType, kVarint)) event.is_delete = field.value == mvccpb::Event::DELETE;
    if (field.is(kEventKv, kBytes)) kv = field.bytes;
  }
  if (!reader.ok()) return unreadable();
  event.revision = number_in(kv, kModRevision);
  if (prefix.empty()) {
    pb::append_bytes_field(*block, kEvents, bytes);
  } else {
    mvccpb::Event parsed;
    if (!parsed.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return unreadable();
    prefix.take_from(&parsed);
    pb::append_bytes_field(*block, kEvents, parsed.SerializeAsString());
  }
  event.end = block->size();
  events_.push_back(event);
  return absl::OkStatus();
}

absl::StatusOr<WatchMessage> WatchMessage::read(const Parts& parts, const KeyPrefix& prefix) {
  WatchMessage out;
  const std::string flat = parts.flat();
  std::string block;
  pb::Reader reader(flat);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(kHeader, kBytes)) out.header_ = field.bytes;
    if (field.is(kWatchId, kVarint)) out.id_ = static_cast<int64_t>(field.value);
    if (field.is(kCreated, kVarint)) out.created_ = field.value != 0;
    if (field.is(kCancelled, kVarint)) out.cancelled_ = field.value != 0;
    if (field.is(kCompactRevision, kVarint)) {
      out.compact_revision_ = static_cast<int64_t>(field.value);
    }
    if (field.is(kCancelReason, kBytes)) out.reason_ = field.bytes;
    if (!field.is(kEvents, kBytes)) continue;
    if (absl::Status s = out.read_event(field.bytes, prefix, &block); !s.ok()) return s;
  }
  if (!reader.ok()) return unreadable();
  out.revision_ = number_in(out.header_, kHeaderRevision);
  out.block_ = Bytes::copy(block);
  return out;
}

Parts WatchMessage::control(int64_t id, bool created) const {
  return Parts::copy(encode_head({.header = header_,
                                  .id = id,
                                  .created = created,
                                  .cancelled = cancelled_,
                                  .compact_revision = compact_revision_,
                                  .reason = reason_}));
}

std::optional<Parts> WatchMessage::events(int64_t id, int64_t from, const WatchWish& wish) const {
  Parts parts = Parts::copy(encode_head({.header = header_, .id = id}));
  bool any = false;
  // Neighbours go as one run.
  size_t begin = 0, end = 0;
  const auto flush = [&] {
    if (end > begin) parts.add_shared(block_.slice(begin, end - begin));
  };
  for (const Event& event : events_) {
    if (event.revision < from || (event.is_delete ? wish.no_delete : wish.no_put)) continue;
    any = true;
    if (event.begin != end) {
      flush();
      begin = event.begin;
    }
    end = event.end;
  }
  flush();
  if (!any) return std::nullopt;
  return parts;
}

Parts watch_created(std::string_view header, int64_t id) {
  return Parts::copy(encode_head({.header = header, .id = id, .created = true}));
}
Parts watch_cancelled(std::string_view header, int64_t id) {
  return Parts::copy(encode_head({.header = header, .id = id, .cancelled = true}));
}
Parts watch_refused(std::string_view reason) {
  return Parts::copy(
      encode_head({.header = "", .id = -1, .created = true, .cancelled = true, .reason = reason}));
}

Bytes create_watch(const WatchWish& wish, int64_t id, int64_t start) {
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(wish.key);
  create.set_range_end(wish.end);
  create.set_start_revision(start);
  create.set_progress_notify(true);
  create.set_prev_kv(wish.prev_kv);
  create.set_watch_id(id);
  return Bytes::copy(request.SerializeAsString());
}

Bytes cancel_watch(int64_t id) {
  etcdserverpb::WatchRequest request;
  request.mutable_cancel_request()->set_watch_id(id);
  return Bytes::copy(request.SerializeAsString());
}

Bytes ask_progress() {
  etcdserverpb::WatchRequest request;
  request.mutable_progress_request();
  return Bytes::copy(request.SerializeAsString());
}

}  // namespace keelson::proxy
