#include "boltfile/format.h"

#include <bit>

#include "base/endian.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

constexpr uint32_t kMagic = 0xed0cdaed;
constexpr uint32_t kVersion = 2;
constexpr size_t kSumAt = 56;

// FNV-1a over the meta's bytes before the sum.
uint64_t meta_sum(const char* meta) {
  uint64_t sum = 14695981039346656037u;
  for (size_t i = 0; i < kSumAt; ++i) {
    sum ^= static_cast<uint8_t>(meta[i]);
    sum *= 1099511628211u;
  }
  return sum;
}

// Two numbers of four bytes, one after the other.
uint64_t pair(uint32_t first, uint32_t second) { return uint64_t{second} << 32 | first; }

}  // namespace

PageHead load_page_head(const char* in) {
  const uint32_t kind_and_count = load_little32(in + 8);
  return {.id = PageId(load_little64(in)),
          .kind = static_cast<uint16_t>(kind_and_count & 0xffff),
          .count = static_cast<uint16_t>(kind_and_count >> 16),
          .overflow = load_little32(in + 12)};
}

void store_page_head(char* out, const PageHead& head) {
  store_little64(out, head.id.value);
  store_little64(out + 8, pair(uint32_t{head.count} << 16 | head.kind, head.overflow));
}

std::optional<Meta> load_meta(const char* in) {
  if (load_little32(in) != kMagic) return std::nullopt;
  if (load_little32(in + 4) != kVersion) return std::nullopt;
  if (load_little64(in + kSumAt) != meta_sum(in)) return std::nullopt;
  return Meta{.page_size = load_little32(in + 8),
              .root = PageId(load_little64(in + 16)),
              .sequence = load_little64(in + 24),
              .freelist = PageId(load_little64(in + 32)),
              .high_water = PageId(load_little64(in + 40)),
              .transaction = load_little64(in + 48)};
}

void store_meta(char* out, const Meta& meta) {
  store_little64(out, pair(kMagic, kVersion));
  store_little64(out + 8, pair(meta.page_size, 0));
  store_little64(out + 16, meta.root.value);
  store_little64(out + 24, meta.sequence);
  store_little64(out + 32, meta.freelist.value);
  store_little64(out + 40, meta.high_water.value);
  store_little64(out + 48, meta.transaction);
  store_little64(out + kSumAt, meta_sum(out));
}

void store_leaf_element(char* out, const LeafElement& element) {
  store_little64(out, pair(element.flags, element.offset));
  store_little64(out + 8, pair(element.key_size, element.value_size));
}

LeafElement load_leaf_element(const char* in) {
  return {.flags = load_little32(in),
          .offset = load_little32(in + 4),
          .key_size = load_little32(in + 8),
          .value_size = load_little32(in + 12)};
}

void store_branch_element(char* out, const BranchElement& element) {
  store_little64(out, pair(element.offset, element.key_size));
  store_little64(out + 8, element.child.value);
}

BranchElement load_branch_element(const char* in) {
  return {.offset = load_little32(in),
          .key_size = load_little32(in + 4),
          .child = PageId(load_little64(in + 8))};
}

BucketHead load_bucket_head(const char* in) {
  return {.root = PageId(load_little64(in)), .sequence = load_little64(in + 8)};
}

void store_bucket_head(char* out, const BucketHead& head) {
  store_little64(out, head.root.value);
  store_little64(out + 8, head.sequence);
}

absl::Status damaged(PageId page, std::string_view what) {
  return absl::DataLossError(cat("boltfile: page ", page.value, ": ", what));
}

}  // namespace keelson::boltfile
