#include "peer/pipeline.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"
#include "peer/handshake.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

namespace {

constexpr size_t kAnswerSize = 4 << 10;

}  // namespace

void log_refusal(const Context& context, MemberId remote, const Verdict& verdict,
                 std::string_view remote_cluster) {
  const bool version = verdict.outcome == Outcome::kIncompatibleVersion;
  if (!version && verdict.outcome != Outcome::kClusterMismatch) return;
  if (!take_line(&context.lines, kUsualLine)) return;
  if (version) {
    return log::error("request sent was ignored by peer",
                      {{"remote-peer-id", id_text(remote.value)}});
  }
  log::error("request sent was ignored due to cluster ID mismatch",
             {{"remote-peer-id", id_text(remote.value)},
              {"remote-peer-cluster-id", told(remote_cluster)},
              {"local-member-cluster-id", id_text(context.identity.cluster.value)}});
}

Pipeline::Pipeline(const Parts& parts)
    : context_(*parts.context),
      remote_(parts.remote),
      status_(*parts.status),
      picker_(*parts.picker) {
  if (!take_line(&context_.lines, kUsualLine)) return;
  log::info("started HTTP pipelining with remote peer",
            {{"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(remote_.value)}});
}

Pipeline::~Pipeline() {
  for (const net::HttpExchangeRef& post : std::exchange(posts_, {})) post->cancel();
  if (!take_line(&context_.lines, kUsualLine)) return;
  log::info("stopped HTTP pipelining with remote peer",
            {{"local-member-id", id_text(context_.self().value)},
             {"remote-peer-id", id_text(remote_.value)}});
}

bool Pipeline::push(raft::Message message) { return outbox_.push(std::move(message)); }

void Pipeline::flush() {
  while (!outbox_.empty() && posts_.size() < kPipelineConnections) post(*outbox_.pop());
}

void Pipeline::post(const raft::Message& message) {
  const std::string url = picker_.pick();
  absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(url);
  if (!place.ok()) return failed(url, message_of(place.status()));
  net::HttpClientRequest request;
  request.place = *std::move(place);
  request.method = "POST";
  request.target = std::string(kPipelinePath);
  request.fields = context_.fields(std::nullopt);
  request.fields.push_back({"Content-Type", "application/protobuf"});
  request.body = net::MessageParts(wire::encode(message));
  // etcd waits without an end; but a member that is stuck must not hold all four for ever.
  request.deadlines = {.head = context_.options.read_timeout,
                       .stall = context_.options.write_timeout};
  const size_t size = request.body.size();
  // The exchange is known only once it has been made, which is before anything comes of it.
  auto self = std::make_shared<net::HttpExchangeRef>();
  *self = context_.client.fetch(
      std::move(request), kAnswerSize,
      [this, self, url, size](absl::StatusOr<net::HttpClient::Answer> answer) {
        posts_.erase(std::exchange(*self, nullptr));
        answered(url, size, answer);
      });
  posts_.insert(*self);
}

void Pipeline::answered(const std::string& url, size_t size,
                        const absl::StatusOr<net::HttpClient::Answer>& answer) {
  if (!answer.ok()) {
    failed(url, message_of(answer.status()));
    return flush();
  }
  const Verdict verdict = judge_post_answer({.code = answer->head.status, .body = answer->body},
                                            cat(url, kPipelinePath));
  if (verdict.outcome == Outcome::kAccepted) {
    status_.activate();
    context_.observer.sent(status_.counted(), size);
    return flush();
  }
  log_refusal(context_, remote_, verdict, answer->head.field("X-Etcd-Cluster-Id"));
  failed(url, verdict.text);
  flush();
  // Last: this may be the end of us.
  if (verdict.outcome == Outcome::kMemberRemoved) context_.removed();
}

void Pipeline::failed(const std::string& url, std::string_view why) {
  picker_.unreachable(url);
  status_.deactivate({"write", "pipeline", why});
  context_.observer.send_failed(status_.counted());
  context_.receiver.unreachable(remote_);
}

}  // namespace keelson::peer
