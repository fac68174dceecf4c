#include "peer/questions.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "membership/member_json.h"
#include "proto/lease.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::peer {

namespace {

using Json = nlohmann::ordered_json;

// Of errors that are not for clients, and so not in base/errors.h.
constexpr std::string_view kLeaseNotFound = "lease not found";
constexpr std::string_view kNotPrimary = "not a primary lessor";
constexpr std::string_view kCatchUpTimeout =
    "waiting for node to catch up its applied index has timed out";
constexpr std::string_view kIdNotFound = "membership: ID not found";
constexpr std::string_view kNotLearner = "membership: can only promote a learner member";
constexpr std::string_view kCompacted = "mvcc: required revision has been compacted";
constexpr std::string_view kFutureRevision = "mvcc: required revision is a future revision";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json parse_object(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? json : Json();
}

absl::Status malformed(std::string_view what) {
  return absl::InvalidArgumentError(cat("malformed ", what));
}

// Text and numbers of an object; what is absent or of another kind is none.
std::string text_at(const Json& json, const char* name) {
  auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}
int64_t number_at(const Json& json, const char* name) {
  auto it = json.find(name);
  return it != json.end() && it->is_number_integer() ? it->get<int64_t>() : 0;
}

Answer protobuf_answer(std::string body) {
  return {.code = 200, .body = std::move(body), .content_type = kProtobuf};
}

absl::Status unknown_error(std::string_view what, std::string_view body) {
  return absl::UnavailableError(cat(what, ": unknown error(", body, ")"));
}

}  // namespace

// --- members, versions -----------------------------------------------------------------------

std::string members_json(const std::vector<membership::Member>& members) {
  std::string out = "[";
  for (const membership::Member& member : members) {
    if (out.size() > 1) out += ',';
    out += membership::member_json(member);
  }
  return out + "]\n";
}

absl::StatusOr<std::vector<membership::Member>> parse_members(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array()) return malformed("list of members");
  std::vector<membership::Member> members;
  for (const Json& item : json) {
    absl::StatusOr<membership::Member> member = membership::parse_member(dump(item));
    if (!member.ok()) return malformed("list of members");
    members.push_back(*std::move(member));
  }
  return members;
}

std::string versions_json(const Versions& versions) {
  Json json;
  json["etcdserver"] = versions.server;
  json["etcdcluster"] = versions.cluster.empty() ? "not_decided" : versions.cluster;
  json["storage"] = versions.storage.empty() ? "unknown" : versions.storage;
  return dump(json);
}

absl::StatusOr<Versions> parse_versions(std::string_view text) {
  const Json json = parse_object(text);
  if (json.is_null()) return malformed("versions");
  return Versions{.server = text_at(json, "etcdserver"),
                  .cluster = text_at(json, "etcdcluster"),
                  .storage = text_at(json, "storage")};
}

// --- promotion -------------------------------------------------------------------------------

std::string promote_path(MemberId member) { return cat(kPromotePrefix, member.value); }

Answer answer_to_promote(const absl::StatusOr<std::vector<membership::Member>>& result) {
  if (result.ok()) {
    return {.code = 200, .body = members_json(*result), .content_type = kJson};
  }
  if (result.status() == errors::MemberNotFound()) return text_answer(404, kIdNotFound);
  if (result.status() == errors::MemberNotLearner()) return text_answer(412, kNotLearner);
  if (result.status() == errors::LearnerNotReady()) {
    return text_answer(412, message_of(result.status()));
  }
  return json_answer(500, "Internal Server Error");
}

absl::StatusOr<std::vector<membership::Member>> judge_promote(const QuestionAnswer& answer) {
  if (answer.code == 408) return errors::Timeout();
  if (answer.code == 404) return errors::MemberNotFound();
  if (answer.code == 412) {
    if (has(answer.body, message_of(errors::LearnerNotReady()))) return errors::LearnerNotReady();
    if (has(answer.body, kNotLearner)) return errors::MemberNotLearner();
  }
  if (answer.code != 200) return unknown_error("member promote", answer.body);
  return parse_members(answer.body);
}

// --- leases ----------------------------------------------------------------------------------

std::string encode_renewal(LeaseId lease) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease.value);
  return request.SerializeAsString();
}

absl::StatusOr<LeaseId> parse_renewal(std::string_view text) {
  etcdserverpb::LeaseKeepAliveRequest request;
  if (!request.ParseFromArray(text.data(), static_cast<int>(text.size()))) {
    return malformed("request");
  }
  return LeaseId(request.id());
}

namespace {

Answer lease_failure(const absl::Status& status, int other) {
  if (status == errors::TimeoutWaitAppliedIndex()) return text_answer(408, kCatchUpTimeout);
  if (status == errors::LeaseNotFound()) return text_answer(404, kLeaseNotFound);
  if (status == errors::NotLeader()) return text_answer(other, kNotPrimary);
  return text_answer(other, message_of(status));
}

// What both questions have in common; ok if there is an answer to be read.
absl::Status judge_lease_code(const QuestionAnswer& answer) {
  if (answer.code == 408) return errors::TimeoutWaitAppliedIndex();
  if (answer.code == 404) return errors::LeaseNotFound();
  if (answer.code != 200) return unknown_error("lease", answer.body);
  return absl::OkStatus();
}

}  // namespace

Answer answer_to_renewal(LeaseId lease, const absl::StatusOr<int64_t>& result) {
  if (!result.ok()) return lease_failure(result.status(), 400);
  etcdserverpb::LeaseKeepAliveResponse response;
  response.set_id(lease.value);
  response.set_ttl(*result);
  return protobuf_answer(response.SerializeAsString());
}

absl::StatusOr<int64_t> judge_renewal(LeaseId lease, const QuestionAnswer& answer) {
  if (absl::Status code = judge_lease_code(answer); !code.ok()) return code;
  etcdserverpb::LeaseKeepAliveResponse response;
  if (!response.ParseFromArray(answer.body.data(), static_cast<int>(answer.body.size()))) {
    return malformed("answer to a lease's renewal");
  }
  if (response.id() != lease.value) return malformed("lease: renew id mismatch");
  return response.ttl();
}

std::string encode_times_question(const LeaseQuestion& question) {
  leasepb::LeaseInternalRequest request;
  request.mutable_leasetimetoliverequest()->set_id(question.lease.value);
  request.mutable_leasetimetoliverequest()->set_keys(question.keys);
  return request.SerializeAsString();
}

absl::StatusOr<LeaseQuestion> parse_times_question(std::string_view text) {
  leasepb::LeaseInternalRequest request;
  if (!request.ParseFromArray(text.data(), static_cast<int>(text.size()))) {
    return malformed("request");
  }
  return LeaseQuestion{.lease = LeaseId(request.leasetimetoliverequest().id()),
                       .keys = request.leasetimetoliverequest().keys()};
}

Answer answer_to_times(LeaseId lease, const absl::StatusOr<LeaseTimes>& result) {
  if (!result.ok()) return lease_failure(result.status(), 500);
  leasepb::LeaseInternalResponse response;
  etcdserverpb::LeaseTimeToLiveResponse& times = *response.mutable_leasetimetoliveresponse();
  times.mutable_header();
  times.set_id(lease.value);
  times.set_ttl(result->remaining);
  times.set_grantedttl(result->granted);
  for (const std::string& key : result->keys) times.add_keys(key);
  return protobuf_answer(response.SerializeAsString());
}

absl::StatusOr<LeaseTimes> judge_times(LeaseId lease, const QuestionAnswer& answer) {
  if (absl::Status code = judge_lease_code(answer); !code.ok()) return code;
  leasepb::LeaseInternalResponse response;
  if (!response.ParseFromArray(answer.body.data(), static_cast<int>(answer.body.size()))) {
    return malformed("answer about a lease");
  }
  const etcdserverpb::LeaseTimeToLiveResponse& times = response.leasetimetoliveresponse();
  if (times.id() != lease.value) return malformed("lease: TTL id mismatch");
  LeaseTimes result{.remaining = times.ttl(), .granted = times.grantedttl()};
  result.keys.assign(times.keys().begin(), times.keys().end());
  return result;
}

// --- hashes ----------------------------------------------------------------------------------

// Go leaves out what is zero.
std::string hash_question_json(int64_t revision) {
  return revision == 0 ? "{}" : cat("{\"revision\":", revision, "}");
}

absl::StatusOr<int64_t> parse_hash_question(std::string_view text) {
  const Json json = parse_object(text);
  if (json.is_null()) return malformed("request");
  if (auto it = json.find("revision"); it != json.end() && !it->is_number_integer()) {
    return malformed("request");
  }
  return number_at(json, "revision");
}

Answer answer_to_hash(const absl::StatusOr<HashAnswer>& result) {
  if (!result.ok()) {
    if (result.status() == errors::Compacted()) return text_answer(400, kCompacted);
    if (result.status() == errors::FutureRev()) return text_answer(400, kFutureRevision);
    return text_answer(400, message_of(result.status()));
  }
  Json json;
  json["header"] = Json::object();
  if (result->revision != 0) json["header"]["revision"] = result->revision;
  if (result->hash != 0) json["hash"] = result->hash;
  if (result->compact_revision != 0) json["compact_revision"] = result->compact_revision;
  if (result->hash_revision != 0) json["hash_revision"] = result->hash_revision;
  return {.code = 200, .body = dump(json), .content_type = kJson};
}

absl::StatusOr<HashAnswer> judge_hash(const QuestionAnswer& answer) {
  if (answer.code == 400 && has(answer.body, kCompacted)) return errors::Compacted();
  if (answer.code == 400 && has(answer.body, kFutureRevision)) return errors::FutureRev();
  if (answer.code == 412 && has(answer.body, "cluster ID mismatch")) {
    return errors::ClusterIDMismatch();
  }
  if (answer.code != 200) return absl::UnavailableError(cat("unknown error: ", answer.body));
  const Json json = parse_object(answer.body);
  if (json.is_null()) return malformed("answer with a hash");
  HashAnswer hash{.hash = static_cast<uint32_t>(number_at(json, "hash")),
                  .compact_revision = number_at(json, "compact_revision"),
                  .hash_revision = number_at(json, "hash_revision")};
  if (auto header = json.find("header"); header != json.end() && header->is_object()) {
    hash.revision = number_at(*header, "revision");
  }
  return hash;
}

// --- downgrade -------------------------------------------------------------------------------

Answer answer_to_downgrade(const absl::StatusOr<bool>& result) {
  if (!result.ok()) {
    return text_answer(500, cat("failed linearized read: ", message_of(result.status())));
  }
  return {.code = 200, .body = *result ? "true" : "false", .content_type = "text/plain"};
}

absl::StatusOr<bool> judge_downgrade(const QuestionAnswer& answer) {
  // As etcd, whatever the code is.
  if (answer.body == "true") return true;
  if (answer.body == "false") return false;
  return malformed(cat("answer about a downgrade: ", answer.body));
}

}  // namespace keelson::peer
