#include "ctl/json_text.h"

#include <array>
#include <cstdio>

#include "base/text.h"
#include "ctl/gotext.h"

namespace keelson::ctl {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string unicode_escape(unsigned value) {
  std::array<char, 8> buffer;
  std::snprintf(buffer.data(), buffer.size(), "\\u%04x", value);
  return buffer.data();
}

// The length of the UTF-8 sequence at the front, 0 if it is none.
size_t utf8_length(std::string_view s) {
  auto lead = static_cast<uint8_t>(s[0]);
  size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead > 0xf4 || length == 0 || s.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<uint8_t>(s[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

void append_ascii(std::string& out, char c) {
  const char letter = c == '"' || c == '\\' ? c : escape_letter(c);
  // Go keeps its JSON safe for use inside HTML.
  const bool escape = static_cast<uint8_t>(c) < 0x20 || c == '<' || c == '>' || c == '&';
  if (letter != 0) {
    out += {'\\', letter};
  } else {
    out += escape ? unicode_escape(static_cast<uint8_t>(c)) : std::string(1, c);
  }
}

std::string text_or_bytes(const FieldDescriptor& field, const std::string& value) {
  bool bytes = field.type() == FieldDescriptor::TYPE_BYTES;
  return bytes ? cat("\"", base64(value), "\"") : json_string(value);
}

std::string one_value(const Message& m, const Reflection& r, const FieldDescriptor& f) {
  switch (f.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return cat(r.GetInt32(m, &f));
    case FieldDescriptor::CPPTYPE_UINT32:
      return cat(r.GetUInt32(m, &f));
    case FieldDescriptor::CPPTYPE_INT64:
      return cat(r.GetInt64(m, &f));
    case FieldDescriptor::CPPTYPE_UINT64:
      return cat(r.GetUInt64(m, &f));
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(m, &f) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return cat(r.GetEnumValue(m, &f));
    case FieldDescriptor::CPPTYPE_STRING:
      return text_or_bytes(f, r.GetString(m, &f));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return json_message(r.GetMessage(m, &f));
    default:
      return "null";  // the API has no floating-point fields
  }
}

std::string repeated_value(const Message& m, const Reflection& r, const FieldDescriptor& f) {
  std::vector<std::string> items;
  for (int i = 0; i < r.FieldSize(m, &f); ++i) {
    switch (f.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        items.push_back(json_message(r.GetRepeatedMessage(m, &f, i)));
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        items.push_back(text_or_bytes(f, r.GetRepeatedString(m, &f, i)));
        break;
      default:
        items.push_back("null");  // answers repeat only messages and strings
    }
  }
  return json_array(items);
}

// A oneof has no JSON form in Go; etcdctl wraps ResponseOp's in {"Response":{…}}.
std::string response_op(const pb::ResponseOp& op) {
  JsonObject inner;
  if (op.has_response_range()) inner.raw("response_range", json_message(op.response_range()));
  if (op.has_response_put()) inner.raw("response_put", json_message(op.response_put()));
  if (op.has_response_delete_range()) {
    inner.raw("response_delete_range", json_message(op.response_delete_range()));
  }
  if (op.has_response_txn()) inner.raw("response_txn", json_message(op.response_txn()));
  return JsonObject().raw("Response", inner.str()).str();
}

bool is_default(const Message& m, const Reflection& r, const FieldDescriptor& f) {
  // proto3: a plain field is "present" when it is not zero, a message when it is set.
  return f.is_repeated() ? r.FieldSize(m, &f) == 0 : !r.HasField(m, &f);
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    size_t length = utf8_length(text);
    std::string_view rune = text.substr(0, length);
    if (length == 0) {
      out += "\\ufffd";
    } else if (length == 1) {
      append_ascii(out, text[0]);
    } else if (rune == "\u2028" || rune == "\u2029") {
      out += rune == "\u2028" ? "\\u2028" : "\\u2029";
    } else {
      out += rune;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

std::string json_message(const Message& message) {
  if (message.GetDescriptor() == pb::ResponseOp::descriptor()) {
    return response_op(static_cast<const pb::ResponseOp&>(message));
  }
  const Reflection& reflection = *message.GetReflection();
  JsonObject object;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (is_default(message, reflection, field)) continue;
    object.raw(field.name(), field.is_repeated() ? repeated_value(message, reflection, field)
                                                 : one_value(message, reflection, field));
  }
  return object.str();
}

void JsonObject::separate() {
  if (!members_.empty()) members_ += ',';
}

JsonObject& JsonObject::raw(std::string_view name, std::string_view json) {
  separate();
  members_ += cat(json_string(name), ":", json);
  return *this;
}

JsonObject& JsonObject::embed(std::string_view object) {
  std::string_view inner = object.substr(1, object.size() - 2);
  if (inner.empty()) return *this;
  separate();
  members_ += inner;
  return *this;
}

std::string json_array(const std::vector<std::string>& items) {
  return cat("[", join(items, ","), "]");
}

}  // namespace keelson::ctl
