#include "peer/stream_reader.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"
#include "net/dial.h"
#include "peer/stream_writer.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

// Of a refusal's text, what is kept.
constexpr size_t kRefusalSize = 1024;

}  // namespace

class StreamReader::Answer final : public net::HttpReceiver {
 public:
  explicit Answer(StreamReader* reader) : reader_(*reader) {}
  void on_head(net::HttpResponseHead head) override { reader_.on_head(head); }
  void on_body(std::string_view piece) override { reader_.on_body(piece); }
  void on_end(absl::Status status) override { reader_.on_end(status); }

 private:
  StreamReader& reader_;
};

StreamReader::StreamReader(Parts parts, StreamType type)
    : parts_(std::move(parts)), context_(*parts_.context), type_(type) {}

StreamReader::~StreamReader() {
  if (exchange_) exchange_->cancel();
  log::info("stopped stream reader with remote peer",
            {{"stream-reader-type", log_name(type_)},
             {"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(parts_.remote.value)}});
}

void StreamReader::start() {
  log::info("started stream reader with remote peer",
            {{"stream-reader-type", log_name(type_)},
             {"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(parts_.remote.value)}});
  dial();
}

void StreamReader::dial_later() {
  exchange_.reset();
  decoder_.reset();
  context_.loop.post_after(context_.options.redial_pause, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) dial();
  });
}

void StreamReader::dial() {
  CHECK(!exchange_);
  url_ = parts_.picker->pick();
  answer_.reset();
  refusal_.clear();
  absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(url_);
  if (!place.ok()) {
    parts_.picker->unreachable(url_);
    parts_.status->deactivate({"dial", log_name(type_), message_of(place.status())});
    return dial_later();
  }
  net::HttpClientRequest request;
  request.place = *std::move(place);
  request.target = stream_path(type_, context_.self());
  request.fields = context_.fields(parts_.remote);
  request.deadlines = {.head = context_.options.read_timeout,
                       .stall = context_.options.read_timeout};
  exchange_ = context_.client.start(std::move(request), std::make_unique<Answer>(this));
}

void StreamReader::on_head(const net::HttpResponseHead& head) {
  refusals_ = 0;
  server_version_ = head.field("X-Server-Version");
  cluster_id_ = head.field("X-Etcd-Cluster-Id");
  answer_ = {.code = head.status, .server_version = server_version_};
  if (head.status != 200) return;  // the body says why
  if (judge_stream_answer(*answer_, context_.local(), parts_.remote).outcome != Outcome::kAccepted)
    return;
  if (type_ == StreamType::kMessage) {
    decoder_.emplace(std::in_place_type<MessageDecoder>);
  } else {
    decoder_.emplace(std::in_place_type<AppendDecoder>,
                     AppendLink{.local = context_.self(), .remote = parts_.remote});
  }
  parts_.status->activate();
  log::info("established TCP streaming connection with remote peer",
            {{"stream-reader-type", log_name(type_)},
             {"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(parts_.remote.value)}});
}

void StreamReader::on_body(std::string_view piece) {
  if (!decoder_) {
    refusal_.append(piece.substr(0, kRefusalSize - std::min(kRefusalSize, refusal_.size())));
    return;
  }
  if (!decode(piece)) return;
  if (parts_.intake->full()) exchange_->pause();
}

void StreamReader::resume() {
  if (exchange_) exchange_->resume();
}

// False: the stream was no good and has ended.
bool StreamReader::decode(std::string_view piece) {
  std::vector<raft::Message> batch;
  size_t bytes = 0;
  absl::Status error;
  for (bool more = true; more;) {
    absl::StatusOr<std::optional<raft::Message>> next =
        std::visit([&](auto& decoder) { return decoder.next(&piece); }, *decoder_);
    if (!next.ok()) error = next.status();
    more = next.ok() && next->has_value();
    if (more) take(**std::move(next), &batch, &bytes);
  }
  if (!batch.empty()) parts_.intake->hand_over(std::move(batch), bytes, context_.receiver);
  if (error.ok()) return true;
  exchange_->cancel();
  lost(error);
  return false;
}

void StreamReader::take(raft::Message message, std::vector<raft::Message>* batch, size_t* bytes) {
  const size_t size = wire::wire_size(message);
  context_.observer.received(parts_.remote, size);
  if (is_link_heartbeat(message)) return;
  std::optional<Refusal> refusal = parts_.judge(message);
  if (refusal) {
    if (take_line(&context_.lines, kUsualLine)) {
      log::warn("failed to process Raft message", {{"error", refusal->reason}});
    }
    return;
  }
  *bytes += size;
  batch->push_back(std::move(message));
}

void StreamReader::on_end(const absl::Status& status) {
  if (decoder_) return lost(status.ok() ? absl::UnavailableError("EOF") : status);
  if (status.ok() && answer_) return refused();
  parts_.picker->unreachable(url_);
  parts_.status->deactivate({"dial", log_name(type_), message_of(status)});
  refusals_ = net::is_refused(status) ? refusals_ + 1 : 0;
  dial_later();
  if (nobody_there()) parts_.found_nobody();
}

void StreamReader::lost(const absl::Status& why) {
  log::warn("lost TCP streaming connection with remote peer",
            {{"stream-reader-type", log_name(type_)},
             {"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(parts_.remote.value)},
             {"error", message_of(why)}});
  // The other end has closed it, which it does when it is asked for another.
  if (message_of(why) != "EOF") {
    parts_.status->deactivate({"read", log_name(type_), message_of(why)});
  }
  dial_later();
}

// It may go on like this for as long as the other end lives.
void StreamReader::tell(const Verdict& verdict) const {
  const bool version = verdict.outcome == Outcome::kIncompatibleVersion;
  if (!version && verdict.outcome != Outcome::kClusterMismatch) return;
  if (!take_line(&context_.lines, kUsualLine)) return;
  if (version) {
    return log::warn(
        "request sent was ignored by remote peer due to server version incompatibility",
        {{"local-member-id", id_text(context_.self().value)},
         {"remote-peer-id", id_text(parts_.remote.value)},
         {"error", verdict.text}});
  }
  log::warn("request sent was ignored by remote peer due to cluster ID mismatch",
            {{"remote-peer-id", id_text(parts_.remote.value)},
             {"remote-peer-cluster-id", told(cluster_id_)},
             {"local-member-id", id_text(context_.self().value)},
             {"local-member-cluster-id", id_text(context_.identity.cluster.value)},
             {"error", verdict.text}});
}

void StreamReader::refused() {
  answer_->body = refusal_;
  const Verdict verdict = judge_stream_answer(*answer_, context_.local(), parts_.remote);
  parts_.picker->unreachable(url_);
  tell(verdict);
  if (verdict.outcome != Outcome::kUnsupportedStream) {
    parts_.status->deactivate({"dial", log_name(type_), verdict.text});
  }
  // Last: this may be the end of us.
  dial_later();
  if (verdict.outcome == Outcome::kMemberRemoved) context_.removed();
}

}  // namespace keelson::peer
