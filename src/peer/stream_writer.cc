#include "peer/stream_writer.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

// Nothing is encoded while the connection has so much that it did not take: the reply tells when
// there is less.
constexpr size_t kUnsent = 64 << 10;
// What goes into one piece, about.
constexpr size_t kPiece = 256 << 10;

}  // namespace

std::string_view log_name(StreamType type) {
  return type == StreamType::kMessage ? "stream Message" : "stream MsgApp v2";
}

StreamWriter::StreamWriter(const Parts& parts, StreamType type)
    : context_(*parts.context), remote_(parts.remote), status_(*parts.status), type_(type) {}

StreamWriter::~StreamWriter() {
  if (open()) {
    drop();
    log::warn(
        "closed TCP streaming connection with remote peer",
        {{"stream-writer-type", log_name(type_)}, {"remote-peer-id", id_text(remote_.value)}});
  }
  log::info("stopped TCP streaming connection with remote peer",
            {{"stream-writer-type", log_name(type_)}, {"remote-peer-id", id_text(remote_.value)}});
}

// Whether anything waited.
bool StreamWriter::drop() {
  alive_.reset();
  encoder_.reset();
  // The last chunk says that it ends in good order, if it gets there.
  if (reply_->pending_bytes() == 0) {
    reply_->end();
  } else {
    reply_->abort();
  }
  reply_.reset();
  return outbox_.clear();
}

void StreamWriter::attach(net::HttpReplyRef reply) {
  if (open()) {
    if (drop()) context_.receiver.unreachable(remote_);
    tell(log::Level::kWarn, "closed TCP streaming connection with remote peer");
  }
  reply_ = std::move(reply);
  begin();
  status_.activate();
  tell(log::Level::kInfo, "established TCP streaming connection with remote peer");
}

void StreamWriter::tell(log::Level level, std::string_view line) const {
  if (!take_line(&context_.lines, kUsualLine)) return;
  log::write(level, line,
             {{"stream-writer-type", log_name(type_)},
              {"local-member-id", id_text(context_.self().value)},
              {"remote-peer-id", id_text(remote_.value)}});
}

void StreamWriter::begin() {
  auto alive = std::make_shared<const bool>(true);
  alive_ = alive;
  if (type_ == StreamType::kAppend) encoder_.emplace();
  written_ = gone_ = 0;
  progress_ = context_.loop.now();
  next_heartbeat_ = progress_ + context_.options.read_timeout / 3;
  reply_->on_gone([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) broken("write", "connection reset by peer");
  });
  reply_->on_writable([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) flush();
  });
  net::HttpResponse response;
  response.fields = {{"X-Server-Version", context_.options.version},
                     {"X-Etcd-Cluster-Id", id_text(context_.identity.cluster.value)}};
  reply_->begin(std::move(response));
}

// What was on its way may be lost, so raft is told whether anything waited here or not.
void StreamWriter::broken(std::string_view action, std::string_view reason) {
  status_.deactivate({action, log_name(type_), reason});
  context_.observer.send_failed(remote_);
  drop();
  tell(log::Level::kWarn, "lost TCP streaming connection with remote peer");
  context_.receiver.unreachable(remote_);
}

Bytes StreamWriter::encode(const raft::Message& message) {
  return encoder_ ? encoder_->encode(message) : encode_message(message);
}

void StreamWriter::flush() {
  while (open() && !outbox_.empty() && reply_->pending_bytes() < kUnsent) {
    net::MessageParts piece;
    uint64_t size = 0;
    while (!outbox_.empty() && piece.size() < kPiece) {
      const raft::Message message = *outbox_.pop();
      size += wire::wire_size(message);
      piece.add(encode(message));
    }
    written_ += piece.size();
    context_.observer.sent(remote_, size);
    reply_->write(std::move(piece));
  }
}

void StreamWriter::tick() {
  if (!open()) return;
  const MonotonicTime now = context_.loop.now();
  const uint64_t pending = reply_->pending_bytes();
  // The chunks' heads count among what is pending, so the difference may be a little below zero.
  const uint64_t gone = written_ - std::min<uint64_t>(written_, pending);
  if (pending == 0 || gone > gone_) {
    gone_ = gone;
    progress_ = now;
  } else if (now - progress_ > context_.options.write_timeout) {
    return broken("write", "i/o timeout");
  }
  if (now < next_heartbeat_) return;
  next_heartbeat_ = now + context_.options.read_timeout / 3;
  // It would wait behind what says as much.
  if (pending >= kUnsent) return;
  const raft::Message heartbeat = link_heartbeat();
  Bytes bytes = encode(heartbeat);
  written_ += bytes.size();
  context_.observer.sent(remote_, wire::wire_size(heartbeat));
  reply_->write(std::move(bytes));
}

}  // namespace keelson::peer
