#include "peer/handshake.h"

#include <utility>

#include "base/text.h"
#include "membership/version.h"

namespace keelson::peer {

namespace {

constexpr std::string_view kIncompatible = "incompatible version";
constexpr std::string_view kClusterIdMismatch = "cluster ID mismatch";
constexpr std::string_view kRemovedText =
    "the member has been permanently removed from the cluster";
constexpr std::string_view kFromRemoved = "cannot process message from removed member";
constexpr std::string_view kToMismatch = "cannot process message to mismatch member";
// What etcd 2.0 was, which sent no headers.
constexpr std::string_view kUnversioned = "2.0.0";

std::string_view or_unversioned(std::string_view version) {
  return version.empty() ? kUnversioned : version;
}

// Versions are compatible or not by major and minor.
std::optional<membership::Version> release_of(std::string_view text) {
  const std::optional<membership::Version> version = membership::Version::parse(text);
  if (!version) return std::nullopt;
  return version->release();
}

// Why the versions do not go together; empty when they do.
std::string incompatibility(const PeerHeaders& headers, const LocalMember& local) {
  const std::string_view server = or_unversioned(headers.server_version);
  const std::string both =
      cat("remote[", headers.server_from, "]=", server, ", local=", local.version);
  const auto remote = release_of(server);
  const auto remote_least = release_of(or_unversioned(headers.min_cluster_version));
  const auto ours = release_of(local.version);
  const auto our_least = release_of(local.min_cluster_version);
  if (!remote || !remote_least) return cat("remote version is malformed: ", both);
  if (!ours || !our_least) return cat("local version is malformed: ", both);
  if (*remote < *our_least) return cat("remote version is too low: ", both);
  if (*remote_least > *ours) return cat("local version is too low: ", both);
  return {};
}

Refusal refuse(int code, std::string_view text, std::string reason) {
  return {.answer = text_answer(code, text), .reason = std::move(reason)};
}

std::string_view without_newline(std::string_view body) {
  if (body.ends_with('\n')) body.remove_suffix(1);
  return body;
}

}  // namespace

// --- What the listener answers ---------------------------------------------------------------

std::optional<Refusal> check_compatibility(const PeerHeaders& headers, const LocalMember& local) {
  std::string reason = incompatibility(headers, local);
  if (!reason.empty()) return refuse(412, kIncompatible, std::move(reason));
  if (headers.cluster_id != id_text(local.cluster.value)) {
    return refuse(412, kClusterIdMismatch,
                  cat("remote-peer-cluster-id is \"", headers.cluster_id, "\""));
  }
  return std::nullopt;
}

std::optional<Refusal> judge_post(std::string_view method, const PeerHeaders& headers,
                                  const LocalMember& local) {
  if (method != "POST") return Refusal{.answer = method_answer("POST"), .reason = "not a POST"};
  return check_compatibility(headers, local);
}

namespace {

std::optional<StreamType> stream_type(std::string_view name) {
  if (name == "message") return StreamType::kMessage;
  if (name == "msgapp") return StreamType::kAppend;
  return std::nullopt;
}

// What the path names, or the answer to one that names nothing.
StreamVerdict parse_stream_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (!path.starts_with(kStreamPrefix) || slash < kStreamPrefix.size()) {
    return {.refusal = refuse(404, "invalid path", cat("path ", path))};
  }
  const auto type = stream_type(path.substr(kStreamPrefix.size(), slash - kStreamPrefix.size()));
  if (!type) return {.refusal = refuse(404, "invalid path", cat("path ", path))};
  const std::optional<uint64_t> from = parse_id(path.substr(slash + 1));
  if (!from) return {.refusal = refuse(404, "invalid from", cat("path ", path))};
  return {.accepted = AcceptedStream{.type = *type, .from = MemberId(*from)}};
}

}  // namespace

StreamVerdict judge_stream(const StreamRequest& request, const LocalMember& local,
                           StandingOf standing) {
  if (request.method != "GET") {
    return {.refusal = {.answer = method_answer("GET"), .reason = "not a GET"}};
  }
  if (auto refusal = check_compatibility(request.headers, local)) {
    return {.refusal = *std::move(refusal)};
  }
  StreamVerdict named = parse_stream_path(request.path);
  if (!named.accepted) return named;
  const MemberId from = named.accepted->from;
  switch (standing(from)) {
    case Standing::kRemoved:
      return {.refusal = refuse(410, "removed member", "the sender was removed")};
    case Standing::kUnknown: {
      // The path says who it is, whatever X-Server-From says.
      PeerHeaders headers = request.headers;
      const std::string sender = id_text(from.value);
      headers.server_from = sender;
      return {.refusal = refuse(404, "error sender not found", "the sender is not known here"),
              .introduced = introduced_by(headers)};
    }
    case Standing::kMember:
      break;
  }
  if (request.headers.raft_to != id_text(local.id.value)) {
    return {.refusal =
                refuse(412, "to field mismatch", cat("meant for ", request.headers.raft_to))};
  }
  return named;
}

std::optional<Refusal> judge_message(const raft::Message& message, MemberId local,
                                     StandingOf standing) {
  if (standing(message.from) == Standing::kRemoved) {
    return Refusal{.answer = json_answer(403, kFromRemoved),
                   .reason = cat("removed-member-id is ", id_text(message.from.value))};
  }
  if (message.to != local) {
    return Refusal{.answer = json_answer(403, kToMismatch),
                   .reason = cat("mismatch-member-id is ", id_text(message.to.value))};
  }
  return std::nullopt;
}

// --- What the answers mean to who asked ------------------------------------------------------

namespace {

// 412, of streams and of POSTs.
Verdict judge_precondition(std::string_view body) {
  const std::string_view text = without_newline(body);
  if (text == kIncompatible) return {Outcome::kIncompatibleVersion, std::string(text)};
  if (text == kClusterIdMismatch) return {Outcome::kClusterMismatch, std::string(text)};
  return {Outcome::kRefused, cat("unhandled error \"", text, "\" when precondition failed")};
}

// The versions from which on there are streams as we speak them. Newer ones than ours are trusted.
bool streams_supported(std::string_view server_version, const LocalMember& local) {
  const auto remote = release_of(or_unversioned(server_version));
  const auto ours = release_of(local.version);
  if (!remote || !ours) return false;
  if (*remote >= *ours) return true;
  if (remote->major == 2) return remote->minor >= 1 && remote->minor <= 3;
  return remote->major == 3;
}

std::string_view phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

}  // namespace

Verdict judge_stream_answer(const PeerAnswer& answer, const LocalMember& local, MemberId remote) {
  if (!streams_supported(answer.server_version, local)) {
    return {Outcome::kUnsupportedStream, "unsupported stream type"};
  }
  switch (answer.code) {
    case 200:
      return {Outcome::kAccepted, ""};
    case 404:
      return {Outcome::kRefused, cat("peer ", id_text(remote.value), " failed to find local node ",
                                     id_text(local.id.value))};
    case 410:
      return {Outcome::kMemberRemoved, std::string(kRemovedText)};
    case 412:
      return judge_precondition(answer.body);
    default:
      return {Outcome::kRefused, cat("unhandled http status ", answer.code)};
  }
}

Verdict judge_post_answer(const PeerAnswer& answer, std::string_view url) {
  switch (answer.code) {
    case 204:
      return {Outcome::kAccepted, ""};
    case 403:
      // etcd takes this one for its own removal too. It says that somebody else, a member whose
      // disk was replaced perhaps, answers at that address: nothing that we should stop for.
      if (answer.body.find(kToMismatch) != std::string_view::npos) {
        return {Outcome::kRefused, std::string(kToMismatch)};
      }
      return {Outcome::kMemberRemoved, std::string(kRemovedText)};
    case 412:
      return judge_precondition(answer.body);
    default:
      return {Outcome::kRefused, cat("unexpected http status ", phrase(answer.code),
                                     " while posting to \"", url, "\"")};
  }
}

}  // namespace keelson::peer
