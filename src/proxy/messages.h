// proxy/messages.h
//
// Requests and answers that the gRPC proxy must understand, out of their bytes and back.
//
// Threads: pure functions.
// Errors: Internal for a client's bytes, in grpc-go's words; Internal for the cluster's.

#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/parts.h"
#include "base/protobuf.h"

namespace keelson::proxy {

template <typename Message>
absl::Status parse(const Bytes& bytes, Message* message) {
  if (message->ParseFromArray(bytes.view().data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::InternalError("grpc: error unmarshalling request: proto: cannot parse");
}

template <typename Message>
absl::Status parse_answer(const Parts& parts, Message* message) {
  return message->ParseFromString(parts.flat())
             ? absl::OkStatus()
             : absl::InternalError("the cluster's answer cannot be read");
}

template <typename Message>
Parts encoded(const Message& message) {
  return Parts::copy(message.SerializeAsString());
}

// A second reference to the same bytes.
inline Parts shared(const Parts& parts) {
  Parts other;
  for (const Bytes& part : parts.parts()) other.add_shared(part);
  return other;
}

// Of the header of an answer, which stands first. 0: there is none.
inline int64_t revision_of(const Parts& parts) {
  if (parts.empty()) return 0;
  pb::Reader answer(parts.parts().front().view());
  pb::Field header;
  if (!answer.next(&header) || !header.is(1, pb::kBytes)) return 0;
  int64_t revision = 0;
  pb::Reader fields(header.bytes);
  for (pb::Field field; fields.next(&field);) {
    if (field.is(3, pb::kVarint)) revision = static_cast<int64_t>(field.value);
  }
  return fields.ok() ? revision : 0;
}

}  // namespace keelson::proxy
