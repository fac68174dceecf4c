#include "peer/raft_handlers.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/told.h"
#include "peer/message_stream.h"

namespace keelson::peer {
namespace {

// A line with several fields that who asks has chosen.
constexpr size_t kLongLine = kUsualLine + 4 * kMostTold;

// A member's request is not looked at.
void incompatible(Hub& hub, const PeerHeaders& headers, const Refusal& refusal) {
  hub.incompatible(headers);
  const Context& context = hub.context();
  if (!take_line(&context.lines, kLongLine)) return;
  const LocalMember local = context.local();
  const bool mismatch = refusal.answer.body.starts_with("cluster ID mismatch");
  log::warn(mismatch ? "request cluster ID mismatch" : "failed version compatibility check",
            {{"local-member-id", id_text(local.id.value)},
             {"local-member-cluster-id", id_text(local.cluster.value)},
             {"local-member-server-version", local.version},
             {"local-member-server-minimum-cluster-version", local.min_cluster_version},
             {"remote-peer-server-name", told(headers.server_from)},
             {"remote-peer-server-version", told(headers.server_version)},
             {"remote-peer-server-minimum-cluster-version", told(headers.min_cluster_version)},
             {"remote-peer-cluster-id", told(headers.cluster_id)},
             {"error", told(refusal.reason)}});
}

}  // namespace

PeerHeaders peer_headers(const net::HttpRequest& request) {
  PeerHeaders headers;
  for (const net::HttpField& field : request.fields) take_header(field.name, field.value, &headers);
  return headers;
}

net::HttpResponse to_response(const Answer& answer, std::string_view cluster) {
  net::HttpResponse response;
  response.status = answer.code;
  if (!answer.content_type.empty()) {
    response.fields.push_back({"Content-Type", std::string(answer.content_type)});
  }
  if (answer.content_type == kPlainText) {
    response.fields.push_back({"X-Content-Type-Options", "nosniff"});
  }
  if (!answer.allow.empty()) response.fields.push_back({"Allow", std::string(answer.allow)});
  if (!cluster.empty()) response.fields.push_back({"X-Etcd-Cluster-Id", std::string(cluster)});
  response.body = net::MessageParts::copy(answer.body);
  return response;
}

void respond(const net::HttpReplyRef& reply, const Answer& answer, std::string_view cluster) {
  reply->send(to_response(answer, cluster));
}

void respond_not_running(const net::HttpReplyRef& reply) {
  respond(reply, text_answer(503, "Service Unavailable"), "");
}

// --- streams ---------------------------------------------------------------------------------

void StreamHandler::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  Hub* hub = hub_();
  if (!hub) return respond_not_running(reply);
  const StreamVerdict verdict = judge_stream(
      {.method = request.method, .path = request.path(), .headers = peer_headers(request)},
      hub->context().local(), [hub](MemberId id) { return hub->standing(id); });
  if (verdict.accepted) {
    Remote* remote = hub->find(verdict.accepted->from);
    // Ourselves: the one member without a Remote.
    if (remote) return remote->attach(verdict.accepted->type, std::move(reply));
    return respond(reply, text_answer(404, "error sender not found"), "");
  }
  refuse(*hub, request, verdict);
  net::HttpResponse response =
      to_response(verdict.refusal.answer, id_text(hub->context().identity.cluster.value));
  response.fields.push_back({"X-Server-Version", hub->context().options.version});
  reply->send(std::move(response));
}

void StreamHandler::refuse(Hub& hub, const net::HttpRequest& request,
                           const StreamVerdict& verdict) {
  const Context& context = hub.context();
  if (verdict.introduced) hub.introduce(*verdict.introduced);
  const std::string_view text = verdict.refusal.answer.body;
  const PeerHeaders headers = peer_headers(request);
  if (check_compatibility(headers, context.local())) {
    return incompatible(hub, headers, verdict.refusal);
  }
  std::string_view line = "ignored unexpected streaming request path";
  if (text.starts_with("removed")) {
    line = "rejected stream from remote peer because it was removed";
  } else if (text.starts_with("error sender")) {
    line = "failed to find remote peer in cluster";
  } else if (text.starts_with("to field")) {
    line = "ignored streaming request; ID mismatch";
  } else if (text.starts_with("invalid from")) {
    line = "failed to parse path into ID";
  }
  if (!take_line(&context.lines, kLongLine)) return;
  log::warn(line, {{"local-member-id", id_text(context.self().value)},
                   {"remote-peer-id-stream-handler", id_text(context.self().value)},
                   {"remote-peer-id-from", told(headers.server_from)},
                   {"path", told(request.path())},
                   {"cluster-id", id_text(context.identity.cluster.value)},
                   {"error", told(verdict.refusal.reason)}});
}

// --- messages by POST ------------------------------------------------------------------------

// Gathers a message and hands it on.
class PipelineHandler::Body final : public net::HttpBodyReceiver {
 public:
  Body(RunningHub hub, net::HttpReplyRef reply, std::shared_ptr<size_t> held)
      : hub_(std::move(hub)), reply_(std::move(reply)), held_(std::move(held)) {}
  ~Body() override { let_go(); }

  void on_body(Bytes piece) override {
    if (!reply_) return;  // refused; the rest is thrown away
    if (body_.size() + piece.size() > kMaxMessageSize) {
      return refuse(text_answer(400, "error reading raft message"));
    }
    if (*held_ + piece.size() > kBodies) return refuse(text_answer(503, "Service Unavailable"));
    *held_ += piece.size();
    body_.append(piece.view());
  }
  void on_end() override;
  void on_abort() override { let_go(); }

 private:
  void refuse(const Answer& answer) {
    Hub* hub = hub_();
    let_go();
    if (!hub) return respond_not_running(std::exchange(reply_, nullptr));
    hub->context().observer.receive_failed(raft::kNobody);
    respond(std::exchange(reply_, nullptr), answer, id_text(hub->context().identity.cluster.value));
  }
  void let_go() {
    CHECK(body_.size() <= *held_);
    *held_ -= body_.size();
    std::string().swap(body_);
  }
  void hand_over(Hub& hub, raft::Message message);

  const RunningHub hub_;
  net::HttpReplyRef reply_;  // null once answered
  const std::shared_ptr<size_t> held_;
  std::string body_;  // counted in *held_
};

Hub* accept_post(const RunningHub& running, const net::HttpRequest& head,
                 const net::HttpReplyRef& reply) {
  Hub* hub = running();
  if (!hub) {
    respond_not_running(reply);
    return nullptr;
  }
  const Context& context = hub->context();
  const PeerHeaders headers = peer_headers(head);
  if (std::optional<Refusal> refusal = judge_post(head.method, headers, context.local())) {
    if (refusal->answer.code != 405) incompatible(*hub, headers, *refusal);
    respond(reply, refusal->answer, id_text(context.identity.cluster.value));
    return nullptr;
  }
  if (std::optional<IntroducedMember> member = introduced_by(headers)) {
    hub->introduce(*std::move(member));
  }
  return hub;
}

std::unique_ptr<net::HttpBodyReceiver> PipelineHandler::on_open(net::HttpRequest head,
                                                                net::HttpReplyRef reply) {
  if (!accept_post(hub_, head, reply)) return nullptr;
  return std::make_unique<Body>(hub_, std::move(reply), held_);
}

void PipelineHandler::Body::on_end() {
  if (!reply_) return;
  Hub* hub = hub_();
  if (!hub) return refuse({});
  absl::StatusOr<raft::Message> message = decode_peer_message(body_, kMaxMessageSize);
  if (!message.ok()) {
    if (take_line(&hub->context().lines, kUsualLine)) {
      log::warn("failed to unmarshal Raft message",
                {{"local-member-id", id_text(hub->context().self().value)},
                 {"error", told(message_of(message.status()))}});
    }
    return refuse(text_answer(400, "error unmarshalling raft message"));
  }
  hub->context().observer.received(hub->counted(message->from), body_.size());
  if (std::optional<Refusal> refusal = hub->judge(*message)) {
    const bool removed = hub->standing(message->from) == Standing::kRemoved;
    if (take_line(&hub->context().lines, kUsualLine)) {
      log::warn(
          removed ? "rejected Raft message from removed member"
                  : "rejected Raft message to mismatch member",
          {{"local-member-id", id_text(hub->context().self().value)}, {"error", refusal->reason}});
    }
    return refuse(refusal->answer);
  }
  if (message->type == raft::MessageType::kMsgSnap) {
    return refuse(text_answer(500, "error processing raft message"));
  }
  hand_over(*hub, *std::move(message));
}

// 204 means that raft has it.
void PipelineHandler::Body::hand_over(Hub& hub, raft::Message message) {
  std::vector<raft::Message> batch;
  batch.push_back(std::move(message));
  const Answer done{.code = 204};
  auto reply = std::exchange(reply_, nullptr);
  const std::string cluster = id_text(hub.context().identity.cluster.value);
  // Its size counts until raft has it, which is what keeps many of them bounded.
  const size_t size = body_.size();
  std::string().swap(body_);
  net::Loop& loop = hub.context().loop;
  hub.context().receiver.receive(std::move(batch), [&loop, reply = std::move(reply), cluster, done,
                                                    size, held = held_]() mutable {
    loop.post([reply = std::move(reply), cluster, done, size, held = std::move(held)] {
      *held -= size;
      respond(reply, done, cluster);
    });
  });
}

// --- probes ----------------------------------------------------------------------------------

void ProbingHandler::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  net::HttpResponse response;
  response.fields = {{"Content-Type", "text/plain; charset=utf-8"}};
  response.body = net::MessageParts::copy(probe_answer(clock_.unix_time()));
  reply->send(std::move(response));
}

}  // namespace keelson::peer
