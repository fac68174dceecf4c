// Any bytes as a request, and as what a line of the access log says of its client. Every line is
// one object in JSON and nothing else; and of what stands in a request where no name, key or role
// does, or beside what the schema knows, nothing is in it.
//
// The first byte chooses the method, the second what is wanted; the rest is the request, and all of
// it the client.
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "base/check.h"
#include "base/text.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"
#include "server/access_line.h"

namespace keelson::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct Method {
  std::string_view path;
  const Descriptor* request;
};

const Method& method_of(uint8_t number) {
  static const Method methods[] = {
      {"/etcdserverpb.KV/Range", etcdserverpb::RangeRequest::descriptor()},
      {"/etcdserverpb.KV/Put", etcdserverpb::PutRequest::descriptor()},
      {"/etcdserverpb.KV/DeleteRange", etcdserverpb::DeleteRangeRequest::descriptor()},
      {"/etcdserverpb.KV/Txn", etcdserverpb::TxnRequest::descriptor()},
      {"/etcdserverpb.Watch/Watch", etcdserverpb::WatchRequest::descriptor()},
      {"/etcdserverpb.Lease/LeaseGrant", etcdserverpb::LeaseGrantRequest::descriptor()},
      {"/etcdserverpb.Lease/LeaseRevoke", etcdserverpb::LeaseRevokeRequest::descriptor()},
      {"/etcdserverpb.Auth/Authenticate", etcdserverpb::AuthenticateRequest::descriptor()},
      {"/etcdserverpb.Auth/UserAdd", etcdserverpb::AuthUserAddRequest::descriptor()},
      {"/etcdserverpb.Auth/UserChangePassword",
       etcdserverpb::AuthUserChangePasswordRequest::descriptor()},
      {"/etcdserverpb.Auth/UserGrantRole", etcdserverpb::AuthUserGrantRoleRequest::descriptor()},
      {"/etcdserverpb.Auth/RoleGrantPermission",
       etcdserverpb::AuthRoleGrantPermissionRequest::descriptor()},
      {"/etcdserverpb.Auth/RoleRevokePermission",
       etcdserverpb::AuthRoleRevokePermissionRequest::descriptor()},
      {"/etcdserverpb.Cluster/MemberAdd", etcdserverpb::MemberAddRequest::descriptor()},
      {"/v3lockpb.Lock/Lock", v3lockpb::LockRequest::descriptor()},
      {"/v3electionpb.Election/Campaign", v3electionpb::CampaignRequest::descriptor()},
      {"/v3electionpb.Election/Proclaim", v3electionpb::ProclaimRequest::descriptor()},
  };
  return methods[number % std::size(methods)];
}

// Nobody has it by chance, and each of its three forms in base64 shows.
constexpr std::string_view kSecret = "sEcReT#sEcReT#sEcReT";

bool shows_secret(std::string_view text) {
  // What the characters in the middle come to, however many bytes stand before them.
  static const std::string forms[] = {
      absl::Base64Escape(to_absl(kSecret.substr(0, 18))),
      absl::Base64Escape(to_absl(kSecret.substr(1, 18))),
      absl::Base64Escape(to_absl(kSecret.substr(2, 18))),
  };
  return text.find(kSecret) != text.npos ||
         std::any_of(std::begin(forms), std::end(forms),
                     [text](const std::string& form) { return text.find(form) != text.npos; });
}

bool may_be_told(const FieldDescriptor& field, bool keys) {
  const std::string_view name = field.name();
  if (name == "user" || name == "role") return true;
  if (name == "name") return keys || field.containing_type()->name().starts_with("Auth");
  return keys && (name == "key" || name == "range_end");
}

// Puts the secret wherever a text may stand that is not to be told.
void hide_secrets(Message& message, bool keys) {
  const google::protobuf::Reflection& is = *message.GetReflection();
  is.MutableUnknownFields(&message)->AddLengthDelimited(99, std::string(kSecret));
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field.is_repeated()) {
        for (int at = 0; at < is.FieldSize(message, &field); ++at) {
          hide_secrets(*is.MutableRepeatedMessage(&message, &field, at), keys);
        }
      } else if (is.HasField(message, &field)) {
        hide_secrets(*is.MutableMessage(&message, &field), keys);
      }
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !may_be_told(field, keys)) {
      if (field.is_repeated()) {
        is.AddString(&message, &field, std::string(kSecret));
      } else if (!field.containing_oneof() || is.HasField(message, &field)) {
        is.SetString(&message, &field, std::string(kSecret));
      }
    }
  }
}

// One line, of which a program can take the fields and which a terminal only shows.
void check_line(std::string_view line) {
  // Texts are of kMostOfText bytes, each of which is six at most; operations come to kMostOfKeys.
  constexpr size_t kMost = 6 * (6 * kMostOfText) + kMostOfKeys + 2 * 6 * kMostOfText + 1024;
  CHECK(line.size() <= kMost);
  CHECK(line.ends_with('\n'));
  for (const char c : line.substr(0, line.size() - 1)) {
    CHECK(static_cast<unsigned char>(c) >= 0x20);
    CHECK(c != 0x7f);
  }
  const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
  CHECK(parsed.is_object());
}

std::string line_of(const Method& method, uint8_t flags, std::string_view client,
                    std::string_view request) {
  const bool keys = (flags & 1) != 0;
  const RequestForm form = request_form(method.path);
  std::string members;
  append_request(members, form, request, keys);
  if (form == RequestForm::kWatch) {
    CHECK(members.empty());
    const bool told = append_watch(members, request, keys);
    CHECK(keys || !told);
    CHECK(told || members.empty());
  }
  AccessLine line{.time = "2026-11-22T22:39:15.934732Z",
                  .remote = client,
                  .through_gateway = (flags & 2) != 0,
                  .user = client.substr(client.size() / 2),
                  .common_name = client.substr(client.size() / 3),
                  .method = method.path,
                  .request = members,
                  .ended = (flags & 4) != 0,
                  .code = static_cast<absl::StatusCode>(flags >> 4)};
  std::string out;
  append_line(out, line);
  check_line(out);
  return out;
}

}  // namespace

void fuzz_access_line(std::string_view input) {
  if (input.size() < 2) return;
  const Method& method = method_of(static_cast<uint8_t>(input[0]));
  const auto flags = static_cast<uint8_t>(input[1]);
  const std::string_view raw = input.substr(2);
  line_of(method, flags, raw, raw);
  if (shows_secret(raw)) return;
  const std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.request)->New());
  const google::protobuf::LogSilencer quiet;  // about texts that are no UTF-8
  if (!message->ParseFromArray(raw.data(), static_cast<int>(raw.size()))) return;
  hide_secrets(*message, (flags & 1) != 0);
  const std::string secret = message->SerializeAsString();
  for (const std::string& request : {secret, cat(raw, secret), cat(secret, raw)}) {
    CHECK(!shows_secret(line_of(method, flags, "127.0.0.1:5", request)));
  }
}

}  // namespace keelson::server

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::server::fuzz_access_line({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
