#include "rpc/deletion_watches.h"

#include <string>
#include <utility>

#include "base/errors.h"
#include "proto/rpc.pb.h"

namespace keelson::rpc {

int64_t DeletionWatches::wait(std::string_view key, int64_t after, Done done) {
  const int64_t id = next_id_++;
  waiting_.emplace(id, std::move(done));
  if (closed_) {
    note(id, errors::Stopped());
    return id;
  }
  if (!stream_) stream_ = watches_.open(*this);
  stream_->create({.key = key, .start_revision = after + 1, .no_put = true, .watch_id = id});
  return id;
}

void DeletionWatches::forget(int64_t id) {
  if (waiting_.erase(id) == 0) return;
  if (stream_) stream_->cancel(id);
  if (waiting_.empty()) stream_.reset();
}

void DeletionWatches::close() {
  closed_ = true;
  for (const auto& [id, done] : waiting_) note(id, errors::Stopped());
}

// Puts are filtered out, so any event is a deletion. Called from inside the stream: what follows
// from it waits.
void DeletionWatches::send(Parts encoded) {
  etcdserverpb::WatchResponse response;
  if (!response.ParseFromString(encoded.flat())) return;
  if (response.events_size() > 0 || response.compact_revision() > 0) {
    return note(response.watch_id(), absl::OkStatus());
  }
  if (response.canceled()) {
    note(response.watch_id(), absl::UnknownError(response.cancel_reason()));
  }
}

void DeletionWatches::note(int64_t id, absl::Status status) {
  if (!waiting_.contains(id)) return;
  if (told_.empty()) loop_.post([this] { tell(); });
  told_.push_back({id, std::move(status)});
}

void DeletionWatches::tell() {
  for (Told& told : std::exchange(told_, {})) {
    auto found = waiting_.find(told.id);
    if (found == waiting_.end()) continue;
    Done done = std::move(found->second);
    waiting_.erase(found);
    if (stream_) stream_->cancel(told.id);
    done(std::move(told.status));
  }
  if (waiting_.empty()) stream_.reset();
}

}  // namespace keelson::rpc
