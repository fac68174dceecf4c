// peer/stream_reader.h
//
// StreamReader opens a stream to another member and hands on the messages that come down it; when
// it ends, or cannot be had, it opens another after a pause, at the next URL if that one failed.
//
// Bounds: a message under way (kMaxMessageSize), and what Intake allows to wait.
// Threads: the peer loop.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "peer/append_stream.h"
#include "peer/context.h"
#include "peer/handshake.h"
#include "peer/intake.h"
#include "peer/message_stream.h"
#include "peer/peer_status.h"
#include "peer/url_picker.h"

namespace keelson::peer {

class StreamReader {
 public:
  struct Parts {
    const Context* context;
    MemberId remote;
    PeerStatus* status;
    UrlPicker* picker;
    Intake* intake;
    // What a message is refused for; null for one that may pass.
    std::function<std::optional<Refusal>(const raft::Message&)> judge;
    // nobody_there() is true. Perhaps again and again.
    std::function<void()> found_nobody;
  };
  StreamReader(Parts parts, StreamType type);
  ~StreamReader();

  void start();
  // Intake has room again.
  void resume();
  // No stream stands, and at each of the member's URLs nobody listened when it was last tried.
  bool nobody_there() const { return refusals_ > 0 && refusals_ >= parts_.picker->urls().size(); }

 private:
  class Answer;
  using Decoder = std::variant<MessageDecoder, AppendDecoder>;

  void dial();
  void dial_later();
  void on_head(const net::HttpResponseHead& head);
  void on_body(std::string_view piece);
  void on_end(const absl::Status& status);
  void refused();
  void tell(const Verdict& verdict) const;
  void lost(const absl::Status& why);
  bool decode(std::string_view piece);
  void take(raft::Message message, std::vector<raft::Message>* batch, size_t* bytes);

  const Parts parts_;
  const Context& context_;
  const StreamType type_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);

  size_t refusals_ = 0;  // in a row; 0 while a stream stands
  // Of the attempt under way.
  std::string url_;
  net::HttpExchangeRef exchange_;  // null: waiting to dial
  std::optional<PeerAnswer> answer_;
  std::string server_version_, cluster_id_, refusal_;  // of answer_
  std::optional<Decoder> decoder_;                     // the stream stands
};

}  // namespace keelson::peer
