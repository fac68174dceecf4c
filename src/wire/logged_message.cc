#include "wire/logged_message.h"

#include <google/protobuf/descriptor.h>

#include <string>

#include "base/check.h"
#include "base/protobuf.h"

namespace keelson::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool merge(std::string_view bytes, Message* out);

void set_number(uint64_t value, const FieldDescriptor& field, Message* out) {
  CHECK(!field.is_repeated());
  const Reflection& of = *out->GetReflection();
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return of.SetBool(out, &field, value != 0);
    case FieldDescriptor::TYPE_ENUM:
      return of.SetEnumValue(out, &field, static_cast<int32_t>(value));
    case FieldDescriptor::TYPE_INT32:
      return of.SetInt32(out, &field, static_cast<int32_t>(value));
    case FieldDescriptor::TYPE_INT64:
      return of.SetInt64(out, &field, static_cast<int64_t>(value));
    case FieldDescriptor::TYPE_UINT32:
      return of.SetUInt32(out, &field, static_cast<uint32_t>(value));
    case FieldDescriptor::TYPE_UINT64:
      return of.SetUInt64(out, &field, value);
    default:
      CHECK(false);
  }
}

// Whether the bytes are those of a string is not asked.
bool set_bytes(std::string_view bytes, const FieldDescriptor& field, Message* out) {
  const Reflection& of = *out->GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return merge(bytes,
                 field.is_repeated() ? of.AddMessage(out, &field) : of.MutableMessage(out, &field));
  }
  if (field.is_repeated()) {
    of.AddString(out, &field, std::string(bytes));
  } else {
    of.SetString(out, &field, std::string(bytes));
  }
  return true;
}

bool is_bytes(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

bool merge(std::string_view bytes, Message* out) {
  pb::LoggedReader reader(bytes);
  for (pb::Field field; reader.next(&field);) {
    const FieldDescriptor* known =
        out->GetDescriptor()->FindFieldByNumber(static_cast<int>(field.number));
    if (known == nullptr) continue;
    CHECK(known->containing_oneof() == nullptr);
    if (is_bytes(*known)) {
      if (field.type == pb::kBytes && !set_bytes(field.bytes, *known, out)) return false;
    } else if (field.type == pb::kVarint) {
      set_number(field.value, *known, out);
    }
  }
  return reader.ok();
}

}  // namespace

bool read_logged(std::string_view bytes, Message* out) {
  out->Clear();
  return merge(bytes, out);
}

}  // namespace keelson::wire
