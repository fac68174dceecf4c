// peer/pipeline.h
//
// Pipeline sends messages to another member by POST, for as long as no stream stands: a few at a
// time, in no certain order.
//
// Bounds: kPipelineOutbox, kPipelineConnections.
// Threads: the peer loop.

#pragma once

#include <set>
#include <string>

#include "peer/channels.h"
#include "peer/context.h"
#include "peer/peer_status.h"
#include "peer/url_picker.h"

namespace keelson::peer {

class Pipeline {
 public:
  struct Parts {
    const Context* context;
    MemberId remote;
    PeerStatus* status;
    UrlPicker* picker;
  };
  explicit Pipeline(const Parts& parts);
  ~Pipeline();

  // False: there is no room.
  bool push(raft::Message message);
  // Sends what waits, as far as connections are free.
  void flush();

 private:
  void post(const raft::Message& message);
  void answered(const std::string& url, size_t size,
                const absl::StatusOr<net::HttpClient::Answer>& answer);
  void failed(const std::string& url, std::string_view why);

  const Context& context_;
  const MemberId remote_;
  PeerStatus& status_;
  UrlPicker& picker_;
  Outbox outbox_{kPipelineOutbox};
  std::set<net::HttpExchangeRef> posts_;  // <= kPipelineConnections
};

// Logs what a POST was refused for, in etcd's words.
struct Verdict;
void log_refusal(const Context& context, MemberId remote, const Verdict& verdict,
                 std::string_view remote_cluster);

}  // namespace keelson::peer
