#include "peer/ask.h"

#include <functional>
#include <utility>

#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "peer/headers.h"
#include "peer/questions.h"

namespace keelson::peer {

namespace {

using Response = net::HttpClient::Answer;

QuestionAnswer answer_of(const Response& response) {
  return {.code = response.head.status, .body = response.body};
}

// One question on its way from URL to URL.
template <typename Value>
class Question : public std::enable_shared_from_this<Question<Value>> {
 public:
  struct Parts {
    net::HttpClientRequest request;  // but for its place
    Urls urls;
    Duration timeout;
    bool timeout_for_all = false;
    size_t max_answer = kMaxAnswer;
    // What a response says.
    std::function<absl::StatusOr<Value>(const Response& response)> judge;
    // Whether an error is the answer.
    std::function<bool(const absl::Status& error)> is_answer = [](const absl::Status&) {
      return false;
    };
    // Of a URL that has none.
    std::function<void(std::string_view address, const absl::Status& error)> log =
        [](std::string_view, const absl::Status&) {};
    Done<Value> done;
  };

  Question(net::Loop* loop, std::weak_ptr<net::HttpClient> client, Parts parts)
      : loop_(*loop), client_(std::move(client)), parts_(std::move(parts)) {}

  void start() {
    due_ = loop_.now() + parts_.timeout;
    next();
  }

 private:
  void next() {
    std::shared_ptr<net::HttpClient> client = client_.lock();
    if (!client) return;  // the network has stopped
    if (at_ >= parts_.urls.size()) return parts_.done(std::move(last_));
    const std::string& url = parts_.urls[at_++];
    absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(url);
    if (!place.ok()) return failed(url, place.status());
    const Duration left = parts_.timeout_for_all ? due_ - loop_.now() : parts_.timeout;
    if (left <= Duration(0)) {
      return failed(url, absl::DeadlineExceededError("context deadline exceeded"));
    }
    net::HttpClientRequest request = parts_.request;
    request.place = *std::move(place);
    request.deadlines = {.whole = left};
    client->fetch(std::move(request), parts_.max_answer,
                  [self = this->shared_from_this(), url](absl::StatusOr<Response> response) {
                    self->answered(url, response);
                  });
  }

  void answered(const std::string& url, const absl::StatusOr<Response>& response) {
    if (!response.ok()) return failed(url, response.status());
    absl::StatusOr<Value> value = parts_.judge(*response);
    if (value.ok() || parts_.is_answer(value.status())) return parts_.done(std::move(value));
    failed(url, value.status());
  }

  void failed(const std::string& url, absl::Status why) {
    parts_.log(cat(url, parts_.request.target), why);
    last_ = std::move(why);
    next();
  }

  net::Loop& loop_;
  const std::weak_ptr<net::HttpClient> client_;
  Parts parts_;
  MonotonicTime due_{};
  size_t at_ = 0;  // the next URL
  absl::Status last_ = absl::UnavailableError("no URL to ask");
};

template <typename Value>
void ask(net::Loop& loop, std::weak_ptr<net::HttpClient> client,
         typename Question<Value>::Parts parts) {
  auto question = std::make_shared<Question<Value>>(&loop, std::move(client), std::move(parts));
  loop.post([question = std::move(question)] { question->start(); });
}

net::HttpClientRequest get(std::string_view path) {
  net::HttpClientRequest request;
  request.target = path;
  return request;
}

net::HttpClientRequest post(std::string_view path, std::string_view type, std::string_view body) {
  net::HttpClientRequest request;
  request.method = "POST";
  request.target = path;
  if (!type.empty()) request.fields.push_back({"Content-Type", std::string(type)});
  request.body = net::MessageParts::copy(body);
  return request;
}

// etcd's line for a member that could not be asked.
auto log_unreached(MemberId member) {
  return [member](std::string_view address, const absl::Status& error) {
    log::warn("failed to reach the peer URL", {{"address", address},
                                               {"remote-member-id", id_text(member.value)},
                                               {"error", message_of(error)}});
  };
}

absl::StatusOr<RemoteCluster> judge_members(const Response& response) {
  absl::StatusOr<std::vector<membership::Member>> members = parse_members(response.body);
  if (!members.ok()) return members.status();
  const std::optional<uint64_t> id = parse_id(response.head.field("X-Etcd-Cluster-ID"));
  if (!id) return absl::InvalidArgumentError("failed to parse cluster ID");
  if (members->empty()) {
    return absl::NotFoundError("failed to get raft cluster member(s) from the given URLs");
  }
  return RemoteCluster{.id = ClusterId(*id), .members = *std::move(members)};
}

}  // namespace

void Ask::members(Urls urls, Duration timeout, Done<RemoteCluster> done) {
  ask<RemoteCluster>(loop_, client_,
                     {.request = get(kMembersPath),
                      .urls = std::move(urls),
                      .timeout = timeout,
                      .judge = judge_members,
                      .is_answer = [](const absl::Status& e) { return absl::IsNotFound(e); },
                      .log =
                          [](std::string_view address, const absl::Status& error) {
                            log::warn("failed to get cluster response",
                                      {{"address", address}, {"error", message_of(error)}});
                          },
                      .done = std::move(done)});
}

void Ask::version(MemberId member, Urls urls, Duration timeout, Done<Versions> done) {
  ask<Versions>(loop_, client_,
                {.request = get(kVersionPath),
                 .urls = std::move(urls),
                 .timeout = timeout,
                 .judge = [](const Response& r) { return parse_versions(r.body); },
                 .log = log_unreached(member),
                 .done = std::move(done)});
}

void Ask::downgrade_enabled(MemberId member, Urls urls, Duration timeout, Done<bool> done) {
  ask<bool>(loop_, client_,
            {.request = get(kDowngradePath),
             .urls = std::move(urls),
             .timeout = timeout,
             .judge = [](const Response& r) { return judge_downgrade(answer_of(r)); },
             .log = log_unreached(member),
             .done = std::move(done)});
}

void Ask::hash_kv(ClusterId cluster, Urls urls, int64_t revision, Duration timeout,
                  Done<HashAnswer> done) {
  net::HttpClientRequest request = post(kHashPath, kJson, hash_question_json(revision));
  request.method = "GET";
  request.fields.push_back({"X-Etcd-Cluster-ID", id_text(cluster.value)});
  ask<HashAnswer>(loop_, client_,
                  {.request = std::move(request),
                   .urls = std::move(urls),
                   .timeout = timeout,
                   .judge = [](const Response& r) { return judge_hash(answer_of(r)); },
                   .is_answer =
                       [](const absl::Status& e) {
                         return e == errors::Compacted() || e == errors::FutureRev() ||
                                e == errors::ClusterIDMismatch();
                       },
                   .log =
                       [revision](std::string_view address, const absl::Status& error) {
                         log::warn("failed hash kv request", {{"requested-revision", revision},
                                                              {"remote-peer-endpoint", address},
                                                              {"error", message_of(error)}});
                       },
                   .done = std::move(done)});
}

void Ask::promote(MemberId member, std::string token, Urls urls, Duration timeout,
                  Done<std::vector<membership::Member>> done) {
  net::HttpClientRequest request = post(promote_path(member), "", "");
  if (!token.empty()) request.fields.push_back({"Authorization", std::move(token)});
  ask<std::vector<membership::Member>>(
      loop_, client_,
      {.request = std::move(request),
       .urls = std::move(urls),
       .timeout = timeout,
       .timeout_for_all = true,
       .judge = [](const Response& r) { return judge_promote(answer_of(r)); },
       .is_answer =
           [](const absl::Status& e) {
             return e == errors::MemberNotFound() || e == errors::MemberNotLearner() ||
                    e == errors::LearnerNotReady() || e == errors::Timeout();
           },
       .done = std::move(done)});
}

void Ask::renew_lease(LeaseId lease, Urls urls, Duration timeout, Done<int64_t> done) {
  ask<int64_t>(loop_, client_,
               {.request = post(kLeasePath, kProtobuf, encode_renewal(lease)),
                .urls = std::move(urls),
                .timeout = timeout,
                .timeout_for_all = true,
                .judge = [lease](const Response& r) { return judge_renewal(lease, answer_of(r)); },
                .is_answer = [](const absl::Status& e) { return e == errors::LeaseNotFound(); },
                .done = std::move(done)});
}

void Ask::lease_times(LeaseId lease, bool keys, Urls urls, Duration timeout,
                      Done<LeaseTimes> done) {
  const std::string question = encode_times_question({.lease = lease, .keys = keys});
  ask<LeaseTimes>(loop_, client_,
                  {.request = post(kLeaseInternalPath, kProtobuf, question),
                   .urls = std::move(urls),
                   .timeout = timeout,
                   .timeout_for_all = true,
                   .max_answer = kMaxLeaseAnswer,
                   .judge = [lease](const Response& r) { return judge_times(lease, answer_of(r)); },
                   .is_answer = [](const absl::Status& e) { return e == errors::LeaseNotFound(); },
                   .done = std::move(done)});
}

}  // namespace keelson::peer
