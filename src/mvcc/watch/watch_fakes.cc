#include "mvcc/watch/watch_fakes.h"

#include <algorithm>

#include "base/check.h"
#include "base/errors.h"
#include "base/protobuf.h"
#include "base/text.h"

namespace keelson::watch {

namespace {

Bytes encode_kv(const std::string& key, int64_t create, int64_t mod, int64_t version,
                const std::string& value) {
  std::string out;
  pb::append_bytes_field(out, 1, key);
  pb::append_varint_field(out, 2, static_cast<uint64_t>(create));
  pb::append_varint_field(out, 3, static_cast<uint64_t>(mod));
  pb::append_varint_field(out, 4, static_cast<uint64_t>(version));
  if (!value.empty()) pb::append_bytes_field(out, 5, value);
  return Bytes::copy(out);
}

struct Kv {
  std::string key, value;
  int64_t create = 0, mod = 0, version = 0;
};

Kv decode_kv(std::string_view bytes) {
  Kv kv;
  pb::Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    auto number = static_cast<int64_t>(field.value);
    if (field.number == 1) kv.key = field.bytes;
    if (field.number == 2) kv.create = number;
    if (field.number == 3) kv.mod = number;
    if (field.number == 4) kv.version = number;
    if (field.number == 5) kv.value = field.bytes;
  }
  CHECK(reader.ok());
  return kv;
}

Response::Event decode_event(std::string_view bytes) {
  Response::Event event;
  pb::Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    if (field.number == 1) event.put = field.value == 0;
    if (field.number == 2) {
      Kv kv = decode_kv(field.bytes);
      event.key = kv.key;
      event.value = kv.value;
      event.create_revision = kv.create;
      event.mod_revision = kv.mod;
      event.version = kv.version;
    }
    if (field.number == 3) {
      Kv kv = decode_kv(field.bytes);
      CHECK(kv.key == event.key);
      event.has_prev = true;
      event.prev_value = kv.value;
      event.prev_mod_revision = kv.mod;
    }
  }
  CHECK(reader.ok());
  return event;
}

void decode_header(std::string_view bytes, Response& response) {
  pb::Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    if (field.number == 1) response.cluster = field.value;
    if (field.number == 2) response.member = field.value;
    if (field.number == 3) response.revision = static_cast<int64_t>(field.value);
    if (field.number == 4) response.term = field.value;
  }
  CHECK(reader.ok());
}

}  // namespace

bool ManualLane::step() {
  if (next_ == tasks_.size()) {
    tasks_.clear();
    next_ = 0;
    return false;
  }
  Task task = std::move(tasks_[next_++]);
  task();
  return true;
}

void ManualLane::run() {
  while (step()) {
  }
}

void ManualLane::advance(Duration by) {
  const MonotonicTime end = now_ + by;
  run();
  while (!timers_.empty() && timers_.begin()->first <= end) {
    now_ = timers_.begin()->first;
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
    run();
  }
  now_ = end;
}

void FakeStore::apply(const Change& change, Revision at) {
  std::vector<Version>& versions = keys_[change.key];
  const Version* last = versions.empty() ? nullptr : &versions.back();
  bool alive = last && !last->kv.empty();
  mvcc::Event event;
  event.revision = at;
  if (alive && last->revision.main < at.main) {
    event.prev_kv = last->kv;
    event.prev_revision = last->revision;
  }
  Version next{.create_revision = 0, .version = 0, .kv = {}, .revision = at};
  if (change.value) {
    next.create_revision = alive ? last->create_revision : at.main;
    next.version = alive ? last->version + 1 : 1;
    next.kv = encode_kv(change.key, next.create_revision, at.main, next.version, *change.value);
    event.kv = next.kv;
    event.create_revision = next.create_revision;
  } else {
    event.type = mvcc::EventType::kDelete;
    event.kv = encode_kv(change.key, 0, at.main, 0, "");
  }
  event.key = event.kv.view().substr(2, change.key.size());
  CHECK(event.key == change.key);
  versions.push_back(next);
  events_.push_back(event);
}

int64_t FakeStore::commit(const std::vector<Change>& changes) {
  std::lock_guard lock(mutex_);
  Revision at{revision_ + 1, 0};
  for (const Change& change : changes) {
    CHECK(!change.key.empty() && change.key.size() < 128);
    const auto& versions = keys_[change.key];
    if (!change.value && (versions.empty() || versions.back().kv.empty())) continue;
    apply(change, at);
    ++at.sub;
  }
  if (at.sub > 0) revision_ = at.main;
  return revision_;
}

mvcc::EventBatchPtr FakeStore::take_batch(bool forget_prev) {
  std::lock_guard lock(mutex_);
  if (published_ == events_.size()) return nullptr;
  auto batch = std::make_shared<mvcc::EventBatch>();
  batch->events.assign(events_.begin() + static_cast<ptrdiff_t>(published_), events_.end());
  published_ = events_.size();
  batch->first_revision = batch->events.front().revision.main;
  batch->last_revision = batch->events.back().revision.main;
  for (mvcc::Event& event : batch->events) {
    if (forget_prev) event.prev_kv = {};
    batch->bytes += event.kv.size() + event.prev_kv.size();
  }
  return batch;
}

void FakeStore::compact(int64_t revision) {
  std::lock_guard lock(mutex_);
  CHECK(revision > compact_revision_);
  CHECK(revision <= revision_);
  compact_revision_ = revision;
}

void FakeStore::fail_reads(absl::Status status) {
  std::lock_guard lock(mutex_);
  reads_ = std::move(status);
}

void FakeStore::refuse_reads_from(int64_t revision) {
  std::lock_guard lock(mutex_);
  refused_from_ = revision;
}

int64_t FakeStore::revision() const {
  std::lock_guard lock(mutex_);
  return revision_;
}

std::vector<mvcc::Event> FakeStore::events() const {
  std::lock_guard lock(mutex_);
  return events_;
}

int64_t FakeStore::compact_revision() const {
  std::lock_guard lock(mutex_);
  return compact_revision_;
}

void FakeStore::hold_reads(bool hold) {
  {
    std::lock_guard lock(mutex_);
    hold_ = hold;
  }
  while (!hold && finish_read()) {
  }
}

bool FakeStore::finish_read() {
  std::unique_lock lock(mutex_);
  if (held_.empty()) return false;
  auto [request, done] = std::move(held_.front());
  held_.pop_front();
  absl::StatusOr<HistorySlice> slice = answer(request);
  lock.unlock();
  done(std::move(slice));
  return true;
}

void FakeStore::keep_values(bool in_memory) {
  std::lock_guard lock(mutex_);
  in_memory_ = in_memory;
}

void FakeStore::read(HistoryRequest request, Done done) {
  std::unique_lock lock(mutex_);
  CHECK(request.from <= request.to);
  CHECK(request.to <= revision_);
  if (hold_) {
    held_.emplace_back(std::move(request), std::move(done));
    return;
  }
  absl::StatusOr<HistorySlice> slice = answer(request);
  lock.unlock();
  done(std::move(slice));
}

absl::StatusOr<HistorySlice> FakeStore::answer(const HistoryRequest& request) {
  if (!reads_.ok()) return reads_;
  if (request.from == refused_from_) return errors::RequestTooManyRequests();
  if (request.from < compact_revision_) return errors::Compacted();
  HistorySlice slice;
  slice.through = request.to;
  if (request.batches.empty()) gather(request, slice);
  for (const mvcc::EventBatchPtr& batch : request.batches) {
    for (const mvcc::Event& event : batch->events) {
      if (event.revision.main >= request.from) slice.events.push_back(event);
    }
  }
  for (mvcc::Event& event : slice.events) {
    if (request.previous && !event.is_create()) event.prev_kv = previous(event);
  }
  return slice;
}

void FakeStore::gather(const HistoryRequest& request, HistorySlice& slice) const {
  size_t bytes = 0;
  auto at = std::partition_point(events_.begin(), events_.end(), [&](const mvcc::Event& event) {
    return event.revision.main < request.from;
  });
  for (; at != events_.end() && at->revision.main <= request.to; ++at) {
    bool new_revision =
        !slice.events.empty() && slice.events.back().revision.main != at->revision.main;
    if (new_revision && bytes >= request.max_bytes) {
      slice.through = slice.events.back().revision.main;
      break;
    }
    bytes += at->kv.size();
    slice.events.push_back(*at);
    slice.events.back().prev_kv = {};
    slice.events.back().prev_revision = {};
  }
}

Bytes FakeStore::previous(const mvcc::Event& event) const {
  auto versions = keys_.find(std::string(event.key));
  CHECK(versions != keys_.end());
  for (auto it = versions->second.rbegin(); it != versions->second.rend(); ++it) {
    if (it->revision.main < event.revision.main) return it->kv;
  }
  return {};
}

std::optional<Bytes> FakeStore::previous_in_memory(const mvcc::Event& event) {
  std::lock_guard lock(mutex_);
  if (!in_memory_) return std::nullopt;
  return previous(event);
}

Response decode_response(std::string_view bytes) {
  Response response;
  response.size = bytes.size();
  pb::Reader reader(bytes);
  uint32_t last = 0;
  for (pb::Field field; reader.next(&field);) {
    CHECK(field.number >= last);  // as etcd's encoder writes them
    last = field.number;
    auto number = static_cast<int64_t>(field.value);
    if (field.number == 1) decode_header(field.bytes, response);
    if (field.number == 2) response.watch_id = number;
    if (field.number == 3) response.created = number != 0;
    if (field.number == 4) response.canceled = number != 0;
    if (field.number == 5) response.compact_revision = number;
    if (field.number == 6) response.cancel_reason = field.bytes;
    if (field.number == 7) response.fragment = number != 0;
    if (field.number == 11) response.events.push_back(decode_event(field.bytes));
  }
  CHECK(reader.ok());
  return response;
}

std::string print(const Response& response) {
  std::string out = cat("id=", response.watch_id, " rev=", response.revision);
  if (response.created) out += " created";
  if (response.canceled) out += " canceled";
  if (response.compact_revision != 0) out += cat(" compact_revision=", response.compact_revision);
  if (!response.cancel_reason.empty()) out += cat(" reason=\"", response.cancel_reason, "\"");
  if (response.fragment) out += " fragment";
  for (const Response::Event& event : response.events) {
    out += event.put ? cat("  ", event.key, "=", event.value, "@", event.mod_revision, " (create ",
                           event.create_revision, " version ", event.version, ")")
                     : cat("  del ", event.key, "@", event.mod_revision);
    if (event.has_prev) out += cat(" was ", event.prev_value, "@", event.prev_mod_revision);
  }
  return out;
}

std::optional<Response> FakeClient::read() {
  if (pending() == 0) return std::nullopt;
  std::string bytes = std::move(pending_[next_++]);
  pending_bytes_ -= bytes.size();
  if (pending() == 0) {
    pending_.clear();
    next_ = 0;
  }
  return decode_response(bytes);
}

}  // namespace keelson::watch
