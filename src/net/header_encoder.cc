#include "net/header_encoder.h"

#include <nghttp2/nghttp2.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"

namespace keelson::net {
namespace {

constexpr uint32_t kUsualTable = 4096;  // RFC 9113, 6.5.2
constexpr uint8_t kFirstEntry = 62;     // RFC 7541, 2.3.3: behind the static table
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

struct Deflater {
  Deflater() { CHECK(nghttp2_hd_deflate_new(&hpack, kUsualTable) == 0); }
  ~Deflater() { nghttp2_hd_deflate_del(hpack); }
  nghttp2_hd_deflater* hpack = nullptr;
};

uint8_t* mutable_bytes(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

}  // namespace

std::string encode_fields(std::span<const HeaderField> fields) {
  // Without indexing nothing is ever in its table, so all blocks can share it.
  static thread_local Deflater deflater;
  std::vector<nghttp2_nv> nv;
  nv.reserve(fields.size());
  for (const HeaderField& field : fields) {
    nv.push_back({mutable_bytes(field.name), mutable_bytes(field.value), field.name.size(),
                  field.value.size(), NGHTTP2_NV_FLAG_NO_INDEX});
  }
  std::string out(nghttp2_hd_deflate_bound(deflater.hpack, nv.data(), nv.size()), '\0');
  const ssize_t size =
      nghttp2_hd_deflate_hd(deflater.hpack, mutable_bytes(out), out.size(), nv.data(), nv.size());
  CHECK(size >= 0);
  out.resize(static_cast<size_t>(size));
  CHECK(nghttp2_hd_deflate_get_num_table_entries(deflater.hpack) < kFirstEntry);
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
