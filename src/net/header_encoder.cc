#include "net/header_encoder.h"

#include <cstring>

#include "base/check.h"
#include "net/hpack_table.h"

namespace keelson::net {
namespace {

constexpr uint32_t kUsualTable = 4096;  // RFC 9113, 6.5.2
constexpr uint8_t kFirstEntry = HpackTable::kStatic + 1;
constexpr char kStatus200 = static_cast<char>(0x88);
constexpr char kIndexed = static_cast<char>(0x80);
constexpr char kNoTable = 0x20;  // dynamic table size update: 0

// Literals whose names or values are spelled out; the first byte says what the client does with
// them: 0x40 and the name's index to keep, 0x00 and the same to forget. 31 is content-type's.
constexpr std::string_view kContentType(
    "\x5f\x10"
    "application/grpc",
    18);
constexpr std::string_view kGrpcStatus(
    "\x40\x0b"
    "grpc-status"
    "\x01"
    "0",
    15);
constexpr std::string_view kContentTypeForgotten(
    "\x0f\x10\x10"
    "application/grpc",
    19);
constexpr std::string_view kGrpcStatusForgotten(
    "\x00\x0b"
    "grpc-status"
    "\x01"
    "0",
    15);

// As a number that has so many bits of the first byte (RFC 7541, 5.1).
void put_number(std::string* out, int bits, size_t value) {
  const size_t most = (size_t{1} << bits) - 1;
  if (value < most) return out->push_back(static_cast<char>(value));
  out->push_back(static_cast<char>(most));
  for (value -= most; value >= 0x80; value >>= 7) {
    out->push_back(static_cast<char>(value | 0x80));
  }
  out->push_back(static_cast<char>(value));
}

void put_text(std::string* out, std::string_view text) {
  put_number(out, 7, text.size());
  out->append(text);
}

}  // namespace

std::string encode_fields(std::span<const HeaderField> fields) {
  std::string out;
  for (const HeaderField& field : fields) {
    if (field.name == ":status" && field.value == "200") {
      out.push_back(kStatus200);
      continue;
    }
    const uint32_t name = HpackTable::find_static(field.name);
    put_number(&out, 4, name);
    if (name == 0) put_text(&out, field.name);
    put_text(&out, field.value);
  }
  return out;
}

void UsualBlocks::limit_table(uint32_t bytes) {
  if (bytes >= kUsualTable) return;
  no_table_ = true;
  told_ = false;
}

std::string_view UsualBlocks::begin() {
  if (told_) return {};
  told_ = true;
  return {&kNoTable, 1};
}

std::string_view UsualBlocks::field(uint8_t* place, std::string_view with_indexing,
                                    bool after_status) {
  size_t size = 0;
  if (after_status) out_[size++] = kStatus200;
  if (*place != kNotThere) {
    // The newest entry comes first.
    out_[size++] = static_cast<char>(kIndexed | (kFirstEntry + (count_ - 1 - *place)));
  } else {
    *place = count_++;
    std::memcpy(out_ + size, with_indexing.data(), with_indexing.size());
    size += with_indexing.size();
  }
  CHECK(size <= kMost && count_ <= 2);
  return {out_, size};
}

std::string_view UsualBlocks::head() {
  if (!no_table_) return field(&head_at_, kContentType, true);
  out_[0] = kStatus200;
  std::memcpy(out_ + 1, kContentTypeForgotten.data(), kContentTypeForgotten.size());
  return {out_, 1 + kContentTypeForgotten.size()};
}

std::string_view UsualBlocks::trailers() {
  return no_table_ ? kGrpcStatusForgotten : field(&trailers_at_, kGrpcStatus, false);
}

}  // namespace keelson::net
