#include "apply/go_text.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/text.h"

namespace keelson::apply {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The length of the character that `text` begins with, if it is one in UTF-8; else 0.
size_t character(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  size_t length = 0;
  unsigned char low = 0x80, high = 0xbf;  // what the second byte may be
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  if (first >= 0xe0 && first <= 0xef) length = 3;
  if (first >= 0xf0 && first <= 0xf4) length = 4;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  if (length == 0 || text.size() < length || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// Both forms have a letter for these.
char letter_for(char c) {
  switch (c) {
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '"':
    case '\\':
      return c;
    default:
      return 0;
  }
}

bool printable(char c) { return c >= 0x20 && c < 0x7f; }

std::string escape(const char* format, char c) {
  std::array<char, 8> out;
  std::snprintf(out.data(), out.size(), format, static_cast<unsigned char>(c));
  return out.data();
}

}  // namespace

void GoText::raw(std::string_view text) { out_ += text.substr(0, limit_ - out_.size()); }

void GoText::quoted(std::string_view bytes) {
  raw("\"");
  while (!bytes.empty() && !full()) {
    const char c = bytes.front();
    const size_t length = character(bytes);
    if (const char letter = letter_for(c)) {
      raw(std::string{'\\', letter});
    } else if (length == 0 || (length == 1 && !printable(c))) {
      raw(escape("\\x%02x", c));
    } else if (length == 2 && c == '\xc2' && static_cast<unsigned char>(bytes[1]) <= 0x9f) {
      raw(escape("\\u00%02x", bytes[1]));  // control characters
    } else {
      raw(bytes.substr(0, length));
    }
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  raw("\"");
}

void GoText::octal(std::string_view bytes) {
  raw("\"");
  for (const char c : bytes) {
    if (full()) return;
    if (const char letter = letter_for(c)) {
      raw(std::string{'\\', letter});
    } else if (printable(c)) {
      raw({&c, 1});
    } else {
      raw(escape("\\%03o", c));
    }
  }
  raw("\"");
}

void GoText::field(const Message& message, const Field& field, int index) {
  const Reflection& of = *message.GetReflection();
  const bool one = !field.is_repeated();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_INT32:
      return raw(
          cat(one ? of.GetInt32(message, &field) : of.GetRepeatedInt32(message, &field, index)));
    case Field::CPPTYPE_INT64:
      return raw(
          cat(one ? of.GetInt64(message, &field) : of.GetRepeatedInt64(message, &field, index)));
    case Field::CPPTYPE_UINT32:
      return raw(
          cat(one ? of.GetUInt32(message, &field) : of.GetRepeatedUInt32(message, &field, index)));
    case Field::CPPTYPE_UINT64:
      return raw(
          cat(one ? of.GetUInt64(message, &field) : of.GetRepeatedUInt64(message, &field, index)));
    case Field::CPPTYPE_BOOL:
      return raw((one ? of.GetBool(message, &field) : of.GetRepeatedBool(message, &field, index))
                     ? "true"
                     : "false");
    case Field::CPPTYPE_ENUM: {
      const int number =
          one ? of.GetEnumValue(message, &field) : of.GetRepeatedEnumValue(message, &field, index);
      const auto* known = field.enum_type()->FindValueByNumber(number);
      return raw(known ? known->name() : cat(number));
    }
    case Field::CPPTYPE_STRING:
      return quoted(one ? of.GetString(message, &field)
                        : of.GetRepeatedString(message, &field, index));
    case Field::CPPTYPE_MESSAGE:
      raw("{");
      this->message(one ? of.GetMessage(message, &field)
                        : of.GetRepeatedMessage(message, &field, index));
      return raw("}");
    case Field::CPPTYPE_FLOAT:
    case Field::CPPTYPE_DOUBLE:
      return;  // no request of etcd has one
  }
}

// In the order of declaration, which is not that of the numbers.
void GoText::message(const Message& message) {
  const Reflection& of = *message.GetReflection();
  const auto& type = *message.GetDescriptor();
  bool first = true;
  for (int i = 0; i < type.field_count() && !full(); ++i) {
    const Field& field = *type.field(i);
    const int count = field.is_repeated() ? of.FieldSize(message, &field)
                                          : static_cast<int>(of.HasField(message, &field));
    for (int at = 0; at < count && !full(); ++at) {
      raw(cat(std::exchange(first, false) ? "" : " ", field.name(), ":"));
      this->field(message, field, at);
    }
  }
}

void GoText::old_bytes(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  raw(cat(name, ":"));
  octal(value);
  raw(" ");
}

void GoText::old_number(std::string_view name, int64_t value) {
  if (value != 0) raw(cat(name, ":", value, " "));
}

void GoText::old_word(std::string_view name, std::string_view value) {
  if (!value.empty()) raw(cat(name, ":", value, " "));
}

void GoText::old_true(std::string_view name, bool value) {
  if (value) raw(cat(name, ":true "));
}

}  // namespace keelson::apply
