#include "http/json_plain.h"

#include <array>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/protobuf.h"
#include "base/text.h"

namespace keelson::http {
namespace {

using google::protobuf::FieldDescriptor;

constexpr uint8_t kNoDigit = 64;

// Of the standard alphabet; the library takes that for URLs, too.
constexpr std::array<uint8_t, 256> kBase64 = [] {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return digits;
}();

// False: not padded in full, or with bits to spare, or no base64.
bool append_from_base64(std::string_view text, std::string* out) {
  if (text.size() % 4 != 0) return false;
  while (!text.empty()) {
    const size_t padding = text.size() > 4 || text[3] != '=' ? 0 : text[2] == '=' ? 2 : 1;
    uint32_t bits = 0, bad = 0;
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t digit = i + padding < 4 ? kBase64[static_cast<uint8_t>(text[i])] : 0;
      bad |= digit;
      bits = bits << 6 | digit;
    }
    if ((bad & kNoDigit) != 0 || (bits & ((1u << 8 * padding) - 1)) != 0) return false;
    const char bytes[3] = {static_cast<char>(bits >> 16), static_cast<char>(bits >> 8),
                           static_cast<char>(bits)};
    out->append(bytes, 3 - padding);
    text.remove_prefix(4);
  }
  return true;
}

class Reader {
 public:
  explicit Reader(std::string_view json) : left_(json) {}

  void blanks() {
    while (!left_.empty() && std::string_view(" \t\r\n").find(left_[0]) != left_.npos) {
      left_.remove_prefix(1);
    }
  }
  bool take(char c) {
    blanks();
    if (left_.empty() || left_[0] != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool at_end() {
    blanks();
    return left_.empty();
  }
  // What stands between two quotes, if it is all printing ASCII as it stands.
  std::optional<std::string_view> text() {
    if (!take('"')) return std::nullopt;
    for (size_t i = 0; i < left_.size(); ++i) {
      const auto c = static_cast<unsigned char>(left_[i]);
      if (c == '"') {
        const std::string_view all = left_.substr(0, i);
        left_.remove_prefix(i + 1);
        return all;
      }
      if (c < 0x20 || c >= 0x7f || c == '\\') break;
    }
    return std::nullopt;
  }
  // Letters, digits and a minus sign: a number of the simple sort, or a word.
  std::string_view token() {
    blanks();
    size_t size = 0;
    while (size < left_.size() && (absl::ascii_isalnum(static_cast<unsigned char>(left_[size])) ||
                                   left_[size] == '-' || left_[size] == '.')) {
      ++size;
    }
    const std::string_view word = left_.substr(0, size);
    left_.remove_prefix(size);
    return word;
  }
  bool is_text() {
    blanks();
    return left_.starts_with('"');
  }

 private:
  std::string_view left_;
};

// As JSON writes whole numbers; "-0" is left to the library.
bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (text == "0") return false;
  }
  if (text.empty() || (text[0] == '0' && text.size() > 1)) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

template <typename Number>
std::optional<uint64_t> number(Reader& reader) {
  std::string_view word;
  if (reader.is_text()) {
    const std::optional<std::string_view> quoted = reader.text();
    if (!quoted) return std::nullopt;
    word = *quoted;
  } else {
    word = reader.token();
  }
  Number value;
  if (!is_whole_number(word) || !absl::SimpleAtoi(to_absl(word), &value)) return std::nullopt;
  return static_cast<uint64_t>(value);  // the sign goes on to 64 bits
}

std::optional<uint64_t> enumerator(Reader& reader, const FieldDescriptor& field) {
  const std::optional<std::string_view> name = reader.text();
  if (!name) return std::nullopt;
  const auto* value = field.enum_type()->FindValueByName(std::string(*name));
  if (!value) return std::nullopt;
  return static_cast<uint64_t>(static_cast<int64_t>(value->number()));
}

std::optional<uint64_t> varint(Reader& reader, const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_INT64:
      return number<int64_t>(reader);
    case FieldDescriptor::TYPE_UINT64:
      return number<uint64_t>(reader);
    case FieldDescriptor::TYPE_INT32:
      return number<int32_t>(reader);
    case FieldDescriptor::TYPE_UINT32:
      return number<uint32_t>(reader);
    case FieldDescriptor::TYPE_BOOL: {
      const std::string_view word = reader.token();
      if (word != "true" && word != "false") return std::nullopt;
      return word == "true" ? 1 : 0;
    }
    case FieldDescriptor::TYPE_ENUM:
      return enumerator(reader, field);
    default:
      return std::nullopt;
  }
}

// A member's value. False: none of the plain sort.
bool append_value(Reader& reader, const FieldDescriptor& field, std::string* out) {
  if (field.is_repeated() || field.containing_oneof() != nullptr) return false;
  const auto tag = static_cast<uint64_t>(field.number()) << 3;
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    const std::optional<uint64_t> value = varint(reader, field);
    if (!value) return false;
    pb::append_varint(*out, tag | pb::kVarint);
    pb::append_varint(*out, *value);
    return true;
  }
  const std::optional<std::string_view> text = reader.text();
  if (!text) return false;
  pb::append_varint(*out, tag | pb::kBytes);
  if (field.type() == FieldDescriptor::TYPE_STRING) {
    pb::append_varint(*out, text->size());
    out->append(*text);
    return true;
  }
  const size_t padding = text->ends_with("==") ? 2 : text->ends_with('=') ? 1 : 0;
  pb::append_varint(*out, text->size() / 4 * 3 - (text->empty() ? 0 : padding));
  return append_from_base64(*text, out);
}

}  // namespace

std::optional<std::string> plain_from_json(const google::protobuf::Descriptor* type,
                                           std::string_view json) {
  std::string wire;
  wire.reserve(json.size());
  Reader reader(json);
  if (!reader.take('{')) return std::nullopt;
  if (reader.take('}')) return reader.at_end() ? std::optional(wire) : std::nullopt;
  do {
    const std::optional<std::string_view> name = reader.text();
    if (!name || !reader.take(':')) return std::nullopt;
    const FieldDescriptor* field = type->FindFieldByName(std::string(*name));
    if (!field || !append_value(reader, *field, &wire)) return std::nullopt;
  } while (reader.take(','));
  if (!reader.take('}') || !reader.at_end()) return std::nullopt;
  return wire;
}

}  // namespace keelson::http
