#include "peer/remote.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::peer {

namespace {

// A full queue is said once in this time, whatever comes to it.
constexpr Duration kDropLines = std::chrono::seconds(1);

std::string_view name_of(Channel channel) {
  switch (channel) {
    case Channel::kAppendStream:
      return "streamMsgAppV2";
    case Channel::kMessageStream:
      return "streamMsg";
    case Channel::kPipeline:
      return "pipeline";
    case Channel::kSnapshot:
      return "sendMsgSnap";
    case Channel::kNone:
      break;
  }
  return "none";
}

}  // namespace

Remote::Streams::Streams(Remote* remote, Judge judge)
    : message_writer({&remote->context_, remote->id_, &remote->status_}, StreamType::kMessage),
      append_writer({&remote->context_, remote->id_, &remote->status_}, StreamType::kAppend),
      message_reader({&remote->context_, remote->id_, &remote->status_, &remote->picker_,
                      remote->intake_.get(), judge, [remote] { remote->found_nobody(); }},
                     StreamType::kMessage),
      append_reader({&remote->context_, remote->id_, &remote->status_, &remote->picker_,
                     remote->intake_.get(), judge, [remote] { remote->found_nobody(); }},
                    StreamType::kAppend),
      snapshots({&remote->context_, remote->id_, &remote->status_, &remote->picker_}),
      prober(&remote->context_, remote->id_, remote->urls()) {
  append_reader.start();
  message_reader.start();
  prober.start();
}

Remote::Remote(Options options, bool with_streams)
    : context_(*options.context),
      id_(options.id),
      picker_(std::move(options.urls)),
      status_(options.context, options.id, with_streams ? options.id : raft::kNobody),
      intake_(std::make_shared<Intake>(&context_.loop,
                                       [this] {
                                         if (!streams_) return;
                                         streams_->message_reader.resume();
                                         streams_->append_reader.resume();
                                       })),
      pipeline_({options.context, options.id, &status_, &picker_}) {
  if (!with_streams) return;
  log::info("starting remote peer", {{"remote-peer-id", id_text(id_.value)}});
  streams_ = std::make_unique<Streams>(this, std::move(options.judge));
  context_.observer.known(id_, true);
  log::info("started remote peer", {{"remote-peer-id", id_text(id_.value)}});
}

Remote::~Remote() {
  intake_->close();
  if (!streams_) return;
  log::info("stopping remote peer", {{"remote-peer-id", id_text(id_.value)}});
  streams_.reset();
  context_.observer.known(id_, false);
  log::info("stopped remote peer", {{"remote-peer-id", id_text(id_.value)}});
}

void Remote::push(raft::Message message) {
  OpenStreams open;
  if (streams_) open = {streams_->append_writer.open(), streams_->message_writer.open()};
  const Channel channel = channel_for(message, open);
  // Snapshots come with their state, and not by this way.
  CHECK(channel != Channel::kSnapshot);
  // A full queue keeps none of the message but what tells raft of its loss.
  const raft::Message outline{.type = message.type, .to = message.to, .from = message.from};
  bool taken = true;
  switch (channel) {
    case Channel::kAppendStream:
      taken = streams_->append_writer.push(std::move(message));
      break;
    case Channel::kMessageStream:
      taken = streams_->message_writer.push(std::move(message));
      break;
    case Channel::kPipeline:
      taken = pipeline_.push(std::move(message));
      break;
    case Channel::kNone:
    case Channel::kSnapshot:
      break;
  }
  if (!taken) dropped(outline, channel);
}

void Remote::dropped(const raft::Message& message, Channel channel) {
  if (report_loss(message, channel).unreachable) context_.receiver.unreachable(id_);
  context_.observer.send_failed(status_.counted());
  const MonotonicTime now = context_.loop.now();
  if (now < next_drop_line_) return;
  next_drop_line_ = now + kDropLines;
  log::warn("dropped internal Raft message since sending buffer is full",
            {{"message-type", raft::name_of(message.type)},
             {"local-member-id", id_text(context_.self().value)},
             {"from", id_text(message.from.value)},
             {"remote-peer-id", id_text(id_.value)},
             {"remote-peer-name", name_of(channel)},
             {"remote-peer-active", status_.active()}});
}

// By both streams: one of them may have ended while the member lives.
void Remote::found_nobody() {
  const bool gone =
      streams_->message_reader.nobody_there() && streams_->append_reader.nobody_there();
  if (gone && !std::exchange(told_gone_, true)) context_.receiver.gone(id_);
  if (!gone) told_gone_ = false;
}

void Remote::flush() {
  if (streams_) {
    streams_->append_writer.flush();
    streams_->message_writer.flush();
  }
  pipeline_.flush();
}

void Remote::tick() {
  if (!streams_) return;
  streams_->append_writer.tick();
  streams_->message_writer.tick();
  streams_->snapshots.tick();
}

void Remote::send_snapshot(raft::Message message, std::shared_ptr<const backend::Snapshot> state) {
  CHECK(streams_);
  streams_->snapshots.send(std::move(message), std::move(state));
}

void Remote::update(std::vector<std::string> urls) {
  picker_.update(std::move(urls));
  if (streams_) streams_->prober.update(picker_.urls());
}

void Remote::attach(StreamType type, net::HttpReplyRef reply) {
  CHECK(streams_);
  StreamWriter& writer =
      type == StreamType::kAppend ? streams_->append_writer : streams_->message_writer;
  writer.attach(std::move(reply));
}

}  // namespace keelson::peer
