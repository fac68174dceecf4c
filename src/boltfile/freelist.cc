#include "boltfile/freelist.h"

#include <algorithm>
#include <string>

#include "base/endian.h"
#include "base/text.h"

namespace keelson::boltfile {
namespace {

constexpr uint64_t kPiece = 32 << 10;  // numbers
constexpr uint16_t kCountFollows = 0xffff;

}  // namespace

absl::StatusOr<uint64_t> read_freelist(File& file, absl::FunctionRef<void(PageId)> use) {
  const PageId page = file.meta().freelist;
  if (page == kNoFreelist) return uint64_t{0};
  absl::StatusOr<PageHead> head = file.pages().head(page);
  if (!head.ok()) return head.status();
  if (head->kind != kFreelistPage) return damaged(page, "is not the list of free pages");

  const uint64_t run = (uint64_t{head->overflow} + 1) * file.meta().page_size;
  uint64_t at = kPageHead, left = head->count;
  std::string bytes;
  if (head->count == kCountFollows) {
    if (absl::Status s = file.pages().read(page, at, sizeof left, &bytes); !s.ok()) return s;
    left = load_little64(bytes.data());
    at += sizeof left;
  }
  if (left > (run - at) / sizeof left) {
    return damaged(page, cat("has no room for ", left, " free pages"));
  }
  while (left > 0) {
    const uint64_t n = std::min(left, kPiece);
    if (absl::Status s = file.pages().read(page, at, n * sizeof left, &bytes); !s.ok()) return s;
    for (uint64_t i = 0; i < n; ++i) use(PageId(load_little64(bytes.data() + i * sizeof left)));
    left -= n;
    at += n * sizeof left;
  }
  return uint64_t{head->overflow} + 1;
}

}  // namespace keelson::boltfile
