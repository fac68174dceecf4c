// Members as etcd writes them in JSON: in records and in the contexts of membership changes.

#include "membership/member_json.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace keelson::membership {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Member& member) {
  Json json;
  json["id"] = member.id.value;
  json["peerURLs"] = member.peer_urls;
  if (member.is_learner) json["isLearner"] = true;
  if (!member.name.empty()) json["name"] = member.name;
  if (!member.client_urls.empty()) json["clientURLs"] = member.client_urls;
  return json;
}

bool strings(const Json& json, const char* name, std::vector<std::string>* out) {
  auto it = json.find(name);
  if (it == json.end() || it->is_null()) return true;
  if (!it->is_array()) return false;
  for (const Json& item : *it) {
    if (!item.is_string()) return false;
    out->push_back(item.get<std::string>());
  }
  return true;
}

bool flag(const Json& json, const char* name, bool* out) {
  auto it = json.find(name);
  if (it == json.end()) return true;
  if (!it->is_boolean()) return false;
  *out = it->get<bool>();
  return true;
}

bool from_json(const Json& json, Member* member) {
  if (!json.is_object()) return false;
  if (auto id = json.find("id"); id != json.end()) {
    if (!id->is_number_unsigned()) return false;
    member->id = MemberId(id->get<uint64_t>());
  }
  if (auto name = json.find("name"); name != json.end()) {
    if (!name->is_string()) return false;
    member->name = name->get<std::string>();
  }
  return strings(json, "peerURLs", &member->peer_urls) &&
         strings(json, "clientURLs", &member->client_urls) &&
         flag(json, "isLearner", &member->is_learner);
}

absl::Status malformed(std::string_view text) {
  return absl::DataLossError(cat("not a record of the membership in JSON: ", text));
}

// Numbers as JSON strings never occur; text that is not UTF-8 is replaced rather than thrown at.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string member_json(const Member& member) { return dump(to_json(member)); }

absl::StatusOr<Member> parse_member(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  Member member;
  if (json.is_discarded() || !from_json(json, &member)) return malformed(text);
  return member;
}

std::string downgrade_json(const Downgrade& downgrade) {
  Json json;
  json["target-version"] = downgrade.target;
  json["enabled"] = downgrade.enabled;
  return dump(json);
}

absl::StatusOr<Downgrade> parse_downgrade(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  Downgrade out;
  if (!json.is_object() || !flag(json, "enabled", &out.enabled)) return malformed(text);
  if (auto target = json.find("target-version"); target != json.end()) {
    if (!target->is_string()) return malformed(text);
    out.target = target->get<std::string>();
  }
  return out;
}

std::string conf_state_json(const std::vector<MemberId>& voters,
                            const std::vector<MemberId>& learners) {
  Json json = Json::object();
  for (MemberId id : voters) json["voters"].push_back(id.value);
  for (MemberId id : learners) json["learners"].push_back(id.value);
  json["auto_leave"] = false;
  return dump(json);
}

Bytes encode_context(const Member& member) { return Bytes::copy(member_json(member)); }

Bytes encode_promotion(MemberId member) {
  Json json;
  json["id"] = member.value;
  json["peerURLs"] = nullptr;
  json["isPromote"] = true;
  return Bytes::copy(dump(json));
}

absl::StatusOr<ChangeContext> decode_context(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  ChangeContext context;
  if (json.is_discarded() || !from_json(json, &context.member) ||
      !flag(json, "isPromote", &context.is_promote)) {
    return malformed(text);
  }
  return context;
}

}  // namespace keelson::membership
