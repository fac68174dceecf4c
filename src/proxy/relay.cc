#include "proxy/relay.h"

#include <utility>

#include "base/check.h"

namespace keelson::proxy {

Relay::Relay(net::Loop* loop, Line client, Line server, Over over)
    : loop_(*loop), over_(std::move(over)) {
  client_.transport = client(loop, &client_);
  server_.transport = server(loop, &server_);
}

void Relay::start() {
  read_more(client_);
  read_more(server_);
}

void Relay::read_more(Side& from) {
  if (ended_ || from.reading || from.input_over) return;
  if (!finishing_ && !other(from).unsent.empty()) return;
  from.reading = true;
  from.transport->read(loop_.impl().read_buffer(), shared_from_this());
}

void Relay::received(Side& from, size_t bytes) {
  auto keep = shared_from_this();
  from.reading = false;
  Side& to = other(from);
  if (bytes == 0) {
    from.input_over = true;
    if (to.unsent.empty()) shut(to);
    return settle();
  }
  if (!finishing_) pass(from, to, bytes);
  read_more(from);
}

void Relay::pass(Side& from, Side& to, size_t bytes) {
  CHECK(to.unsent.empty());
  CHECK(!to.shut);
  char* const data = loop_.impl().read_buffer().data();
  const iovec piece{data, bytes};
  const size_t written = to.transport->write({&piece, 1}, shared_from_this());
  if (written < bytes) to.unsent.assign(data + written, bytes - written);
}

void Relay::writable(Side& to) {
  auto keep = shared_from_this();
  if (to.unsent.empty()) return;
  const iovec piece{to.unsent.data() + to.sent, to.unsent.size() - to.sent};
  to.sent += to.transport->write({&piece, 1}, keep);
  if (to.sent < to.unsent.size()) return;
  to.unsent = std::string();  // gives the memory back
  to.sent = 0;
  Side& from = other(to);
  if (from.input_over || finishing_) shut(to);
  read_more(from);
  settle();
}

void Relay::shut(Side& side) {
  CHECK(side.unsent.empty());
  if (std::exchange(side.shut, true)) return;
  side.transport->shutdown_write();
}

void Relay::finish() {
  if (ended_ || std::exchange(finishing_, true)) return;
  for (Side* side : {&client_, &server_}) {
    if (side->unsent.empty()) shut(*side);
    read_more(*side);
  }
  settle();
}

void Relay::broken(Side& side) {
  auto keep = shared_from_this();
  if (ended_) return;
  other(side).transport->abort();
  end();
}

// Neither heard nor hearing. What it said before it went may be unread: then the next read finds
// out. It is also so when both have told each other their last, which is as it should be.
void Relay::gone(Side& side) {
  if (side.input_over && !side.shut) broken(side);
}

void Relay::settle() {
  if (ended_) return;
  if (client_.input_over && client_.shut && server_.input_over && server_.shut) end();
}

void Relay::cut() {
  auto keep = shared_from_this();
  if (!ended_) end();
}

void Relay::end() {
  CHECK(!ended_);
  ended_ = true;
  client_.transport->close();
  server_.transport->close();
  std::exchange(over_, nullptr)(this);
}

}  // namespace keelson::proxy
