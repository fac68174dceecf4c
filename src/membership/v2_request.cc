#include "membership/v2_request.h"

#include "base/protobuf.h"
#include "base/text.h"

namespace keelson::membership {
namespace {

constexpr std::string_view kMembers = "/0/members/";
constexpr std::string_view kAttributes = "/attributes";
constexpr std::string_view kVersion = "/0/version";

// The member that "/0/members/<id>/attributes" names.
bool names_member(std::string_view path, MemberId* id) {
  if (!path.starts_with(kMembers) || !path.ends_with(kAttributes)) return false;
  if (path.size() <= kMembers.size() + kAttributes.size()) return false;
  path.remove_prefix(kMembers.size());
  path.remove_suffix(kAttributes.size());
  if (path.size() > 16) return false;
  return absl::SimpleHexAtoi(to_absl(path), &id->value);
}

}  // namespace

std::optional<V2Request> read_v2_request(std::string_view bytes) {
  enum { kMethodField = 2, kPathField = 3, kValueField = 4 };
  V2Request request;
  pb::LoggedReader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    if (field.is(kMethodField, pb::kBytes)) request.method = field.bytes;
    if (field.is(kPathField, pb::kBytes)) request.path = field.bytes;
    if (field.is(kValueField, pb::kBytes)) request.value = field.bytes;
  }
  if (!reader.ok()) return std::nullopt;
  if (request.method != "PUT") return request;
  if (request.path == kVersion) request.about = V2Request::About::kVersion;
  if (names_member(request.path, &request.member)) request.about = V2Request::About::kAttributes;
  return request;
}

}  // namespace keelson::membership
