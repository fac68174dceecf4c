// Any bytes as the body of a request of the JSON gateway. Where its values end does not depend on
// how the bytes come; what is a message of the schema is written as JSON that is the same message
// again, and that protobuf's own writer would write.
//
// The first byte chooses the message's type, the second how the rest comes.
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "http/json_form.h"
#include "http/json_plain.h"
#include "http/json_scanner.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"

namespace keelson::http {
namespace {

using google::protobuf::Descriptor;

const Descriptor* type_of(uint8_t number) {
  static const Descriptor* const types[] = {
      etcdserverpb::PutRequest::descriptor(),
      etcdserverpb::RangeRequest::descriptor(),
      etcdserverpb::TxnRequest::descriptor(),
      etcdserverpb::WatchRequest::descriptor(),
      etcdserverpb::RangeResponse::descriptor(),
      etcdserverpb::TxnResponse::descriptor(),
      etcdserverpb::MemberAddRequest::descriptor(),
      v3electionpb::ProclaimRequest::descriptor(),
      etcdserverpb::CompactionRequest::descriptor(),
      etcdserverpb::AlarmRequest::descriptor(),
      etcdserverpb::DowngradeRequest::descriptor(),
      etcdserverpb::LeaseTimeToLiveRequest::descriptor(),
      etcdserverpb::AuthUserAddRequest::descriptor(),
      etcdserverpb::AuthRoleGrantPermissionRequest::descriptor(),
      v3lockpb::LockRequest::descriptor(),
  };
  return types[number % std::size(types)];
}

// The values, and at the end what is wrong, if something is.
std::vector<std::string> values_of(std::string_view body, size_t piece) {
  std::vector<std::string> values(1);
  JsonScanner scanner;
  while (!body.empty()) {
    size_t used = 0;
    const std::string_view front = body.substr(0, piece);
    const JsonScanner::Step step = scanner.feed(front, &used);
    CHECK(used <= front.size());
    CHECK(used > 0 || step != JsonScanner::Step::kNeedMore);
    values.back() += front.substr(0, used);
    body.remove_prefix(used);
    if (step == JsonScanner::Step::kValue) values.emplace_back();
    if (step != JsonScanner::Step::kBad) continue;
    values.push_back(scanner.error());
    return values;
  }
  if (scanner.end() == JsonScanner::Step::kBad) values.push_back(scanner.error());
  return values;
}

// In pieces of `most`, of a message in parts of `part` bytes.
std::string written(const Descriptor* type, std::string_view wire, size_t part, size_t most) {
  Parts parts;
  for (size_t at = 0; at < wire.size(); at += part) parts.add(Bytes::copy(wire.substr(at, part)));
  JsonWriter writer(type, std::move(parts));
  std::string all;
  while (true) {
    std::string piece;
    const JsonWriter::Step step = writer.write(&piece, most);
    all += piece;
    if (step == JsonWriter::Step::kDone) return all;
    CHECK(step == JsonWriter::Step::kMore);
  }
}

void check_message(const Descriptor* type, const Bytes& wire, size_t piece) {
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!message->ParseFromArray(wire.data(), static_cast<int>(wire.size()))) return;
  // As our own handlers write it: each field once, in order.
  const std::string ordered = message->SerializeAsString();
  const std::string text = written(type, ordered, piece, piece);
  CHECK(text == written(type, ordered, ordered.size() + 1, SIZE_MAX));
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string theirs;
  // The library goes 64 deep.
  if (!google::protobuf::util::MessageToJsonString(*message, &theirs, options).ok()) return;
  CHECK(nlohmann::json::parse(text) == nlohmann::json::parse(theirs));
  absl::StatusOr<Bytes> back = from_json(type, text);
  CHECK(back.ok());
  std::unique_ptr<google::protobuf::Message> again(message->New());
  CHECK(again->ParseFromArray(back->data(), static_cast<int>(back->size())));
  CHECK(again->SerializeAsString() == ordered);
}

// What is taken for plain the library takes, too, and for the same message.
void check_plain(const Descriptor* type, std::string_view text) {
  const std::optional<std::string> plain = plain_from_json(type, text);
  if (!plain) return;
  const absl::StatusOr<Bytes> theirs = any_from_json(type, text);
  CHECK(theirs.ok());
  const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
  std::unique_ptr<google::protobuf::Message> one(prototype->New()), other(prototype->New());
  CHECK(one->ParseFromString(*plain));
  CHECK(other->ParseFromString(theirs->str()));
  CHECK(one->SerializeAsString() == other->SerializeAsString());
}

}  // namespace

void fuzz_json(std::string_view input) {
  if (input.size() < 2) return;
  const Descriptor* type = type_of(static_cast<uint8_t>(input[0]));
  const size_t piece = static_cast<uint8_t>(input[1]) % 32 + 1;
  const std::string_view body = input.substr(2);
  const std::vector<std::string> values = values_of(body, body.size() + 1);
  CHECK(values == values_of(body, piece));
  // A body that is plain is one value, with nothing but blanks around it.
  check_plain(type, body);
  if (const auto plain = plain_from_json(type, body)) {
    CHECK(plain == plain_from_json(type, values.front()));
  }
  for (const std::string& value : values) {
    check_plain(type, value);
    absl::StatusOr<Bytes> wire = from_json(type, value);
    if (wire.ok()) check_message(type, *wire, piece);
  }
  // As an answer it is nonsense, which is found out.
  std::string out;
  JsonWriter nonsense(type, Parts::copy(body));
  while (nonsense.write(&out, out.size() + piece) == JsonWriter::Step::kMore) continue;
}

}  // namespace keelson::http

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::http::fuzz_json({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
