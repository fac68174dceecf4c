#include "peer/question_handlers.h"

#include <charconv>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "peer/questions.h"

namespace keelson::peer {

namespace {

std::string cluster_text(const Hub& hub) { return id_text(hub.context().identity.cluster.value); }

// A Done for `Value` that answers `reply` on its loop with what `make` makes of the result.
template <typename Value, typename Make>
Done<Value> answer_with(const Hub& hub, net::HttpReplyRef reply, Make make) {
  return [reply = std::move(reply), cluster = cluster_text(hub),
          make = std::move(make)](absl::StatusOr<Value> result) mutable {
    net::Loop& loop = reply->loop();
    loop.post([reply = std::move(reply), cluster = std::move(cluster), make = std::move(make),
               result = std::move(result)] { respond(reply, make(result), cluster); });
  };
}

void members(Hub& hub, const net::HttpRequest&, net::HttpReplyRef reply) {
  respond(reply, {.code = 200, .body = members_json(hub.members().members), .content_type = kJson},
          cluster_text(hub));
}

void version(Hub& hub, const net::HttpRequest&, net::HttpReplyRef reply) {
  const Versions versions{.server = hub.context().options.version,
                          .cluster = hub.answers().cluster_version(),
                          .storage = hub.answers().storage_version()};
  respond(reply, {.code = 200, .body = versions_json(versions), .content_type = kJson}, "");
}

void promote(Hub& hub, const net::HttpRequest& request, net::HttpReplyRef reply) {
  const std::string_view text = request.path().substr(kPromotePrefix.size());
  uint64_t id = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id);
  if (text.empty() || error != std::errc() || stop != end) {
    return respond(reply, text_answer(404, cat("member ", text, " not found in cluster")),
                   cluster_text(hub));
  }
  hub.answers().promote(
      MemberId(id), std::string(request.field("Authorization")),
      answer_with<std::vector<membership::Member>>(
          hub, std::move(reply),
          [id, tells = take_line(&hub.context().lines, kUsualLine)](
              const absl::StatusOr<std::vector<membership::Member>>& r) {
            if (!r.ok() && tells) {
              log::warn("failed to promote a member",
                        {{"member-id", id_text(id)}, {"error", message_of(r.status())}});
            }
            return answer_to_promote(r);
          }));
}

void renew(Hub& hub, const net::HttpRequest& request, net::HttpReplyRef reply) {
  absl::StatusOr<LeaseId> lease = parse_renewal(request.body);
  if (!lease.ok()) return respond(reply, text_answer(400, "error unmarshalling request"), "");
  hub.answers().renew_lease(
      *lease, answer_with<int64_t>(hub, std::move(reply), [id = *lease](const auto& result) {
        return answer_to_renewal(id, result);
      }));
}

void lease_times(Hub& hub, const net::HttpRequest& request, net::HttpReplyRef reply) {
  absl::StatusOr<LeaseQuestion> question = parse_times_question(request.body);
  if (!question.ok()) return respond(reply, text_answer(400, "error unmarshalling request"), "");
  hub.answers().lease_times(
      question->lease, question->keys,
      answer_with<LeaseTimes>(hub, std::move(reply), [id = question->lease](const auto& result) {
        return answer_to_times(id, result);
      }));
}

void hash_kv(Hub& hub, const net::HttpRequest& request, net::HttpReplyRef reply) {
  const std::string_view cluster = request.field("X-Etcd-Cluster-ID");
  if (!cluster.empty() && cluster != cluster_text(hub)) {
    return respond(reply, text_answer(412, "cluster ID mismatch"), "");
  }
  absl::StatusOr<int64_t> revision = parse_hash_question(request.body);
  if (!revision.ok()) return respond(reply, text_answer(400, "error unmarshalling request"), "");
  hub.answers().hash_kv(*revision,
                        answer_with<HashAnswer>(hub, std::move(reply), [](const auto& result) {
                          return answer_to_hash(result);
                        }));
}

void downgrade_enabled(Hub& hub, const net::HttpRequest&, net::HttpReplyRef reply) {
  hub.answers().downgrade_enabled(answer_with<bool>(
      hub, std::move(reply), [](const auto& result) { return answer_to_downgrade(result); }));
}

}  // namespace

class QuestionHandlers::Question final : public net::HttpHandler {
 public:
  Question(const RunningHub& hub, std::string_view method, Handle handle)
      : hub_(hub), method_(method), handle_(std::move(handle)) {}

  void handle(net::HttpRequest request, net::HttpReplyRef reply) override {
    Hub* hub = hub_();
    if (!hub) return respond_not_running(reply);
    if (request.method != method_) return respond(reply, method_answer(method_), "");
    handle_(*hub, request, std::move(reply));
  }

 private:
  const RunningHub& hub_;
  const std::string_view method_;  // a constant
  const Handle handle_;
};

net::HttpHandler* QuestionHandlers::add(std::string_view method, Handle handle) {
  handlers_.push_back(std::make_unique<Question>(hub_, method, std::move(handle)));
  return handlers_.back().get();
}

void QuestionHandlers::serve_on(net::Router& router) {
  const net::HttpOptions none{.ignores_body = true}, small{.max_body_bytes = kMaxQuestion};
  router.http(kMembersPath, add("GET", members), none);
  router.http(kVersionPath, add("GET", version), none);
  router.http_prefix(kPromotePrefix, add("POST", promote), none);
  router.http(kLeasePath, add("POST", renew), small);
  router.http(kLeaseInternalPath, add("POST", lease_times), small);
  router.http(kHashPath, add("GET", hash_kv), small);
  router.http(kDowngradePath, add("GET", downgrade_enabled), none);
}

}  // namespace keelson::peer
