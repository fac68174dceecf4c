#include "tests/crash/watcher.h"

#include "tests/harness/client.h"

namespace keelson::crash {

Watcher::Watcher(const std::string& address, int64_t from)
    : thread_([this, address, from] { run(address, from); }) {}

Watcher::~Watcher() { finish(); }

std::vector<mvccpb::Event> Watcher::finish() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  return std::move(events_);
}

void Watcher::run(const std::string& address, int64_t from) {
  harness::Client client(address);
  auto stream =
      client.stream("/etcdserverpb.Watch/Watch", {harness::Milliseconds(120000), {}, false});
  etcdserverpb::WatchRequest request;
  auto* create = request.mutable_create_request();
  create->set_key(std::string(1, '\0'));
  create->set_range_end(std::string(1, '\0'));
  create->set_start_revision(from);
  stream->send(request.SerializeAsString());
  // What arrived before the end is still in the inbox, so the stream is read to its end.
  while (true) {
    const auto body = stream->receive(harness::Milliseconds(200));
    if (!body.has_value()) {
      if (stream->ended() || stopping_) return;
      continue;
    }
    etcdserverpb::WatchResponse response;
    if (!response.ParseFromString(*body) || response.canceled()) return;
    events_.insert(events_.end(), response.events().begin(), response.events().end());
  }
}

}  // namespace keelson::crash
