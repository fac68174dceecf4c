#include "tests/compat/mask.h"

#include <set>

#include "absl/strings/str_format.h"
#include "base/text.h"

namespace keelson::compat {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr uint64_t kClusterName = 1;
constexpr uint64_t kMemberName = 2;
constexpr int64_t kFirstLeaseName = -1001;
constexpr size_t kLongestMaskedText = 4096;  // values of that size hold no URLs of ours

// Numbers that only have to be there.
const std::set<std::string>& presence_only() {
  static const std::set<std::string> fields = {
      "etcdserverpb.ResponseHeader.raft_term",   "etcdserverpb.StatusResponse.dbSize",
      "etcdserverpb.StatusResponse.dbSizeInUse", "etcdserverpb.StatusResponse.raftIndex",
      "etcdserverpb.StatusResponse.raftTerm",    "etcdserverpb.StatusResponse.raftAppliedIndex",
      "etcdserverpb.HashResponse.hash",          "etcdserverpb.SnapshotResponse.remaining_bytes",
      "etcdserverpb.SnapshotResponse.blob",      "etcdserverpb.AuthenticateResponse.token"};
  return fields;
}

void mark_present(Message* message, const FieldDescriptor* field) {
  const Reflection* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->SetUInt64(message, field, 1);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->SetInt64(message, field, 1);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->SetUInt32(message, field, 1);
    default:
      return reflection->SetString(message, field, "(something)");
  }
}

}  // namespace

void Mask::learn_server(uint64_t cluster, uint64_t member, const std::string& client_url,
                        const std::string& peer_url) {
  cluster_ = cluster;
  member_ = member;
  texts_.emplace_back(client_url, "CLIENT-URL");
  texts_.emplace_back(peer_url, "PEER-URL");
  texts_.emplace_back(absl::StrFormat("%x", member), "MEMBER");
  texts_.emplace_back(cat(member), "MEMBER");
  texts_.emplace_back(cat(cluster), "CLUSTER");
}

void Mask::learn_lease(int64_t id) {
  const int64_t name = kFirstLeaseName - static_cast<int64_t>(leases_.size());
  if (!leases_.emplace(id, name).second) return;
  texts_.emplace_back(absl::StrFormat("%x", id), cat("LEASE", -name));
}

uint64_t Mask::masked(uint64_t id) const {
  if (id == cluster_) return kClusterName;
  if (id == member_) return kMemberName;
  return id;
}

int64_t Mask::masked(int64_t id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? id : found->second;
}

std::string Mask::apply(std::string text) const {
  if (text.size() > kLongestMaskedText) return text;
  for (const auto& [what, name] : texts_) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
      text.replace(at, what.size(), name);
      at += name.size();
    }
  }
  return text;
}

void Mask::apply(Message* message) const {
  std::vector<const FieldDescriptor*> fields;
  message->GetReflection()->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) apply_field(message, field);
}

void Mask::apply_field(Message* message, const FieldDescriptor* field) const {
  const Reflection* reflection = message->GetReflection();
  if (presence_only().contains(field->full_name())) return mark_present(message, field);
  const int count = field->is_repeated() ? reflection->FieldSize(*message, field) : 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!field->is_repeated()) return apply(reflection->MutableMessage(message, field));
      for (int i = 0; i < count; ++i) apply(reflection->MutableRepeatedMessage(message, field, i));
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      if (!field->is_repeated()) {
        return reflection->SetString(message, field, apply(reflection->GetString(*message, field)));
      }
      for (int i = 0; i < count; ++i) {
        reflection->SetRepeatedString(message, field, i,
                                      apply(reflection->GetRepeatedString(*message, field, i)));
      }
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      if (field->is_repeated()) return;
      return reflection->SetUInt64(message, field, masked(reflection->GetUInt64(*message, field)));
    case FieldDescriptor::CPPTYPE_INT64:
      if (field->is_repeated()) return;
      return reflection->SetInt64(message, field, masked(reflection->GetInt64(*message, field)));
    default:
      return;
  }
}

}  // namespace keelson::compat
