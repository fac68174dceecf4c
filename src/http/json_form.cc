#include "http/json_form.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "base/check.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "http/json_plain.h"

namespace keelson::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
namespace util = google::protobuf::util;

constexpr char kTypeUrl[] = "type";
// Of what is wrong, who sent it needs no more.
constexpr size_t kLongestError = 512;

util::TypeResolver* resolver() {
  // Shared by all threads and never freed.
  static util::TypeResolver* const all = util::NewTypeResolverForDescriptorPool(
      kTypeUrl, google::protobuf::DescriptorPool::generated_pool());
  return all;
}

// The library's, without the piece of the input that it shows on lines of their own.
std::string first_line(std::string_view text) {
  std::string line(text.substr(0, text.find('\n')));
  if (line.size() <= kLongestError) return line;
  return line.substr(0, kLongestError) + "...";
}

void append_number(std::string* out, const FieldDescriptor& field, uint64_t value) {
  const bool is_signed = field.cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                         field.cpp_type() == FieldDescriptor::CPPTYPE_INT32 ||
                         field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM;
  if (is_signed) {
    absl::StrAppend(out, static_cast<int64_t>(value));
  } else {
    absl::StrAppend(out, value);
  }
}

void append_varint_value(std::string* out, const FieldDescriptor& field, uint64_t value) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append(value != 0 ? "true" : "false");
      return;
    case FieldDescriptor::CPPTYPE_INT32:
      return append_number(out, field, static_cast<uint64_t>(static_cast<int32_t>(value)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return append_number(out, field, static_cast<uint32_t>(value));
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto number = static_cast<int32_t>(value);
      const auto* named = field.enum_type()->FindValueByNumber(number);
      if (!named) return append_number(out, field, static_cast<uint64_t>(number));
      out->push_back('"');
      out->append(named->name());
      out->push_back('"');
      return;
    }
    default:  // 64 bits
      out->push_back('"');
      append_number(out, field, value);
      out->push_back('"');
  }
}

// The wire type of a single value. Of the schema's kinds; it has no floating points or groups.
uint32_t wire_type_of(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return pb::kBytes;
    default:
      return pb::kVarint;
  }
}

}  // namespace

absl::StatusOr<Bytes> from_json(const Descriptor* type, std::string_view json) {
  if (const auto plain = plain_from_json(type, json)) return Bytes::copy(*plain);
  return any_from_json(type, json);
}

absl::StatusOr<Bytes> any_from_json(const Descriptor* type, std::string_view json) {
  std::string wire;
  util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const util::Status status = util::JsonToBinaryString(
      resolver(), cat(kTypeUrl, "/", type->full_name()),
      google::protobuf::StringPiece(json.data(), json.size()), &wire, options);
  if (status.ok()) return Bytes::copy(wire);
  const auto text = status.message();
  return absl::InvalidArgumentError(first_line({text.data(), text.size()}));
}

void append_json_string(std::string* out, std::string_view text) {
  out->append(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string json_of(const absl::Status& status) {
  std::string out = cat("{\"code\":", static_cast<int>(status.code()));
  if (!status.message().empty()) {
    out += ",\"message\":";
    append_json_string(&out, message_of(status));
  }
  return out + "}";
}

JsonWriter::JsonWriter(const Descriptor* type, Parts message) : parts_(std::move(message)) {
  open_.push_back({.type = type, .end = parts_.size()});
}

JsonWriter::Step JsonWriter::write(std::string* out, size_t most) {
  if (!std::exchange(begun_, true)) out->push_back('{');
  while (!open_.empty()) {
    if (out->size() >= most) return Step::kMore;
    if (at_ == open_.back().end) {
      close(out);
      continue;
    }
    const size_t at = at_, part = part_, in_part = in_part_, written = out->size();
    const Frame frame = open_.back();
    const Step step = field(out);
    if (step == Step::kMore) {
      while (released_ < part_) parts_.release(released_++);
      continue;
    }
    if (step == Step::kLate) {
      at_ = at;
      part_ = part;
      in_part_ = in_part;
      out->resize(written);
      open_.back() = frame;
    }
    return step;
  }
  return Step::kDone;
}

void JsonWriter::close(std::string* out) {
  if (open_.back().list != 0) out->push_back(']');
  out->push_back('}');
  open_.pop_back();
}

// kMore: done.
JsonWriter::Step JsonWriter::field(std::string* out) {
  uint64_t tag = 0;
  if (Step step = read_varint(&tag); step != Step::kMore) return step;
  const auto wire_type = static_cast<uint32_t>(tag & 7);
  const FieldDescriptor* field =
      tag >> 3 <= FieldDescriptor::kMaxNumber
          ? open_.back().type->FindFieldByNumber(static_cast<int>(tag >> 3))
          : nullptr;
  if (!field) return skip(wire_type);
  if (wire_type == wire_type_of(*field)) {
    name(out, *field);
    return value(out, *field, wire_type);
  }
  if (wire_type == pb::kBytes && field->is_repeated()) return packed(out, *field);
  return skip(wire_type);
}

void JsonWriter::name(std::string* out, const FieldDescriptor& field) {
  Frame& frame = open_.back();
  if (frame.list == field.number()) {
    out->push_back(',');
    return;
  }
  if (frame.list != 0) out->push_back(']');
  if (std::exchange(frame.has_any, true)) out->push_back(',');
  out->push_back('"');
  out->append(field.name());
  out->append("\":");
  frame.list = field.is_repeated() ? field.number() : 0;
  if (frame.list != 0) out->push_back('[');
}

JsonWriter::Step JsonWriter::value(std::string* out, const FieldDescriptor& field,
                                   uint32_t wire_type) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return message(out, field);
  uint64_t number = 0;
  if (Step step = read_varint(&number); step != Step::kMore) return step;
  if (wire_type == pb::kVarint) {
    append_varint_value(out, field, number);
    return Step::kMore;
  }
  std::string_view bytes;
  if (number > open_.back().end - at_) return Step::kBad;
  if (Step step = read_bytes(number, &bytes); step != Step::kMore) return step;
  if (field.type() == FieldDescriptor::TYPE_BYTES) {
    out->push_back('"');
    out->append(absl::Base64Escape(to_absl(bytes)));
    out->push_back('"');
  } else {
    append_json_string(out, bytes);
  }
  return Step::kMore;
}

JsonWriter::Step JsonWriter::message(std::string* out, const FieldDescriptor& field) {
  uint64_t size = 0;
  if (Step step = read_varint(&size); step != Step::kMore) return step;
  if (size > open_.back().end - at_) return Step::kBad;
  out->push_back('{');
  open_.push_back({.type = field.message_type(), .end = at_ + size});
  return Step::kMore;
}

JsonWriter::Step JsonWriter::packed(std::string* out, const FieldDescriptor& field) {
  uint64_t size = 0;
  if (Step step = read_varint(&size); step != Step::kMore) return step;
  if (size > open_.back().end - at_) return Step::kBad;
  if (size > ready()) return Step::kLate;
  const size_t end = at_ + size;
  while (at_ < end) {
    uint64_t number = 0;
    if (Step step = read_varint(&number); step != Step::kMore) return step;
    name(out, field);
    append_varint_value(out, field, number);
  }
  return at_ == end ? Step::kMore : Step::kBad;
}

JsonWriter::Step JsonWriter::skip(uint32_t wire_type) {
  uint64_t size = wire_type == pb::kFixed64 ? 8 : 4;
  if (wire_type == pb::kVarint) return read_varint(&size);
  if (wire_type == pb::kBytes) {
    if (Step step = read_varint(&size); step != Step::kMore) return step;
  } else if (wire_type != pb::kFixed64 && wire_type != pb::kFixed32) {
    return Step::kBad;
  }
  if (size > open_.back().end - at_) return Step::kBad;
  if (size > ready()) return Step::kLate;
  advance(size);
  return Step::kMore;
}

// ---- the parts as one run of bytes

size_t JsonWriter::ready() const {
  const Parts::Late* late = parts_.first_late();
  const size_t end = late ? late->offset : parts_.size();
  CHECK(end >= at_);
  return end - at_;
}

void JsonWriter::advance(size_t bytes) {
  at_ += bytes;
  CHECK(at_ <= parts_.size());
  while (bytes > 0) {
    const size_t here = parts_.parts()[part_].size() - in_part_;
    const size_t n = std::min(bytes, here);
    bytes -= n;
    in_part_ += n;
    if (n < here) return;
    ++part_;
    in_part_ = 0;
  }
}

JsonWriter::Step JsonWriter::read_varint(uint64_t* value) {
  uint64_t out = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == open_.back().end) return Step::kBad;
    if (ready() == 0) return Step::kLate;
    const auto byte = static_cast<uint8_t>(parts_.parts()[part_].data()[in_part_]);
    advance(1);
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = out;
      return Step::kMore;
    }
  }
  return Step::kBad;
}

// Where they lie, or gathered in scratch_ if they do not lie together.
JsonWriter::Step JsonWriter::read_bytes(size_t size, std::string_view* bytes) {
  if (size > ready()) return Step::kLate;
  if (size == 0) {
    *bytes = {};
    return Step::kMore;
  }
  const Bytes& first = parts_.parts()[part_];
  if (size <= first.size() - in_part_) {
    *bytes = first.view().substr(in_part_, size);
    advance(size);
    return Step::kMore;
  }
  scratch_.clear();
  while (scratch_.size() < size) {
    const std::string_view here = parts_.parts()[part_].view().substr(in_part_);
    const size_t n = std::min(here.size(), size - scratch_.size());
    scratch_.append(here.substr(0, n));
    advance(n);
  }
  *bytes = scratch_;
  return Step::kMore;
}

}  // namespace keelson::http
