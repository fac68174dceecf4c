// wire/logged_message.h
//
// Messages of libprotobuf's classes out of bytes that another member, or its files, may have passed
// on: as the code reads them that gogo/protobuf 1.3.2 generates, which is etcd's up to 3.6. That
// takes strings that are no UTF-8, and writes unknown fields out again as they came, which
// libprotobuf refuses in many forms, or, of a tag of more than 32 bits, takes for another field.
//
// Threads: pure functions.
// Stack: as deep as the message's own sort nests, whatever the bytes say.

#pragma once

#include <google/protobuf/message.h>

#include <string_view>

namespace keelson::wire {

// False: malformed, and `out` holds some of it. Unknown fields are left out, and so is a field of
// another type than the schema's, which etcd 3.7 takes for unknown, too. Singular messages that are
// met twice are merged.
// REQUIRES: the sort has no oneof and no map, of numbers only varints that are no zigzags, and none
// of these repeated; nor does it hold itself.
bool read_logged(std::string_view bytes, google::protobuf::Message* out);

}  // namespace keelson::wire
