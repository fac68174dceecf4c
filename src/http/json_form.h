// http/json_form.h
//
// Messages of the schema from JSON and to JSON, by protobuf's mapping as etcd's gateway has it:
// names as in the schema, bytes in base64, 64-bit numbers as strings, enums by name, nothing that
// has its default value.
//
// In: what is plain by json_plain.h, the rest by protobuf's own library, which takes both
//   spellings of a name, and passes over names it does not know. Out: JsonWriter, from the wire
//   format, piece by piece, so that an answer of any length is never one piece of memory, and its
//   values need not be in memory when it is begun; the library needs all of it at once, and goes 64
//   deep. A test compares the two.
// Threads: pure functions; a JsonWriter is one thread's at a time.
// Source: protobuf's JSON mapping; grpc-gateway v2.29's marshaler options in etcd v3.7.1.

#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/parts.h"

namespace keelson::http {

// `json` is one value (JsonScanner). InvalidArgument for what is no message of this type.
absl::StatusOr<Bytes> from_json(const google::protobuf::Descriptor* type, std::string_view json);
// The same by the library alone.
absl::StatusOr<Bytes> any_from_json(const google::protobuf::Descriptor* type,
                                    std::string_view json);

// Quoted.
void append_json_string(std::string* out, std::string_view text);

// {"code":3,"message":"…"}
std::string json_of(const absl::Status& status);

class JsonWriter {
 public:
  enum class Step : uint8_t {
    kMore,
    kDone,
    kLate,  // the part late() has to be made, and given to made()
    kBad,   // no message of this type
  };

  JsonWriter(const google::protobuf::Descriptor* type, Parts message);

  // Appends JSON until `out` is `most` long, or a value longer than that.
  Step write(std::string* out, size_t most);

  const Parts::Late* late() const { return parts_.first_late(); }
  void made(Bytes part) { parts_.made(std::move(part)); }

  // Bytes of the message that are not written yet.
  size_t left() const { return parts_.size() - at_; }

 private:
  // A message that is open.
  struct Frame {
    const google::protobuf::Descriptor* type;
    size_t end;            // where it ends; <= the end of what is around it
    int list = 0;          // number of the repeated field whose values are being written; 0: none
    bool has_any = false;  // a member is written
  };
  // Reads fail with kLate or kBad and are begun again then, from the field's beginning.
  Step field(std::string* out);
  Step read_varint(uint64_t* value);
  Step read_bytes(size_t size, std::string_view* bytes);
  Step skip(uint32_t wire_type);
  void name(std::string* out, const google::protobuf::FieldDescriptor& field);
  Step value(std::string* out, const google::protobuf::FieldDescriptor& field, uint32_t wire_type);
  Step message(std::string* out, const google::protobuf::FieldDescriptor& field);
  Step packed(std::string* out, const google::protobuf::FieldDescriptor& field);
  void close(std::string* out);
  void advance(size_t bytes);
  // Of the message, what is in memory behind at_.
  size_t ready() const;

  Parts parts_;
  size_t at_ = 0;        // of the message; <= parts_.size()
  size_t part_ = 0;      // the part at_ lies in …
  size_t in_part_ = 0;   // … and where
  size_t released_ = 0;  // parts before it are let go of; <= part_
  std::vector<Frame> open_;
  std::string scratch_;
  bool begun_ = false;
};

}  // namespace keelson::http
