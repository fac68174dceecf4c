#include "tests/harness/schema.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/text_format.h>

#include "base/text.h"
#include "proto/health.pb.h"
#include "proto/rpc.pb.h"
#include "proto/v3election.pb.h"
#include "proto/v3lock.pb.h"

namespace keelson::harness {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

// A static library's descriptors register themselves only if something refers to them.
void link_descriptors() {
  static const void* const kept[] = {etcdserverpb::RangeRequest::descriptor(),
                                     v3lockpb::LockRequest::descriptor(),
                                     v3electionpb::LeaderRequest::descriptor(),
                                     grpc::health::v1::HealthCheckRequest::descriptor()};
  (void)kept;
}

constexpr std::string_view kPackages[] = {"etcdserverpb.", "v3lockpb.", "v3electionpb.",
                                          "grpc.health.v1.", ""};

}  // namespace

Method find_method(std::string_view name) {
  link_descriptors();
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return {cat("/", name), nullptr};
  for (std::string_view package : kPackages) {
    const std::string service = cat(package, name.substr(0, slash));
    const auto* about = DescriptorPool::generated_pool()->FindServiceByName(service);
    if (about == nullptr) continue;
    return {cat("/", service, name.substr(slash)),
            about->FindMethodByName(std::string(name.substr(slash + 1)))};
  }
  return {cat("/", name), nullptr};
}

Method method_of_path(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  return find_method(path);
}

std::unique_ptr<google::protobuf::Message> new_message(const google::protobuf::Descriptor* type) {
  return std::unique_ptr<google::protobuf::Message>(
      MessageFactory::generated_factory()->GetPrototype(type)->New());
}

bool parse(std::string_view bytes, google::protobuf::Message* message) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  in.SetRecursionLimit(10'000);
  return message->ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

std::string to_text(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetUseShortRepeatedPrimitives(true);
  printer.SetTruncateStringFieldLongerThan(400);
  std::string out;
  printer.PrintToString(message, &out);
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

}  // namespace keelson::harness
