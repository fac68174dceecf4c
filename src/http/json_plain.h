// http/json_plain.h
//
// Most requests in JSON are plain: an object whose members are single values, with no escapes in
// them, under the schema's own names. Those are made into messages here, at a fifth of what
// protobuf's library takes, which builds its picture of the type anew for each; everything else,
// and all that is wrong, is the library's, so that there is one place that says what is taken. What
// is made is what the library would make: a test compares the two on random texts.
//
// Threads: a pure function.

#pragma once

#include <google/protobuf/descriptor.h>

#include <optional>
#include <string>
#include <string_view>

namespace keelson::http {

// In the wire format. Nothing: ask the library.
std::optional<std::string> plain_from_json(const google::protobuf::Descriptor* type,
                                           std::string_view json);

}  // namespace keelson::http
