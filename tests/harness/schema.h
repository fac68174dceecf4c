// tests/harness/schema.h
//
// The API as data: methods and message types looked up by name in the descriptors that
// keelson_proto compiled in, so that a script or a recording can name any RPC.
//
// Threads: any, after the first call. Lifetime: descriptors and prototypes live as long as the
// program.

#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>

namespace keelson::harness {

struct Method {
  std::string path;                                           // "/etcdserverpb.KV/Put"
  const google::protobuf::MethodDescriptor* about = nullptr;  // null: nothing we know

  bool client_streams() const { return about != nullptr && about->client_streaming(); }
  bool server_streams() const { return about != nullptr && about->server_streaming(); }
};

// `name` is "KV/Put", "Lock/Unlock", "Health/Check", or a full path without its first slash for
// methods that do not exist. A service's package is found, not spelled.
Method find_method(std::string_view name);
// The same by full path ("/etcdserverpb.KV/Put").
Method method_of_path(std::string_view path);

// An empty message of that type, owned by the caller.
std::unique_ptr<google::protobuf::Message> new_message(const google::protobuf::Descriptor* type);

// Parses messages nested as deep as Go's library reads them, where protobuf's own limit is 100.
bool parse(std::string_view bytes, google::protobuf::Message* message);

// One line of protobuf text; bytes that are not text are escaped.
std::string to_text(const google::protobuf::Message& message);

}  // namespace keelson::harness
