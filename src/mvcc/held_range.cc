#include "mvcc/held_range.h"

#include <algorithm>

#include "base/check.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/text.h"

namespace keelson::mvcc {
namespace {

// What is made of it before the client has taken what there was, with some room.
constexpr uint64_t kMadeAhead = 512 << 10;

}  // namespace

absl::StatusOr<std::shared_ptr<HeldRange>> HeldRange::begin(const StoreImpl& store,
                                                            int64_t revision, size_t count) {
  const uint64_t bytes = count * sizeof(Entry) + kMadeAhead;
  const uint64_t others = store.held_bytes().fetch_add(bytes, std::memory_order_relaxed);
  std::shared_ptr<HeldRange> held(new HeldRange(store, bytes));  // gives the bytes back
  if (others > 0 && others + bytes > kMostBytes) return errors::RequestTooManyRequests();
  KEELSON_FAILPOINT("mvcc_hold");
  if (!store.pin(held->slot_.get(), revision, &held->pin_)) held.reset();
  return held;
}

HeldRange::~HeldRange() {
  const uint64_t before = store_->held_bytes().fetch_sub(bytes_, std::memory_order_relaxed);
  CHECK(before >= bytes_);
}

void HeldRange::fill(std::vector<Entry> entries, Elsewhere elsewhere) {
  CHECK(entries.size() * sizeof(Entry) <= bytes_);
  entries_ = std::move(entries);
  for (const Entry& entry : entries_) shared_bytes_ += entry.kv.size();
  elsewhere_ = std::move(elsewhere);
}

bool HeldRange::in_memory(size_t from, size_t to) const {
  CHECK(from <= to);
  CHECK(to <= entries_.size());
  return std::all_of(entries_.begin() + static_cast<ptrdiff_t>(from),
                     entries_.begin() + static_cast<ptrdiff_t>(to),
                     [](const Entry& entry) { return !entry.kv.empty(); });
}

absl::StatusOr<std::vector<Bytes>> HeldRange::take(size_t from, size_t to) {
  CHECK(from <= to);
  CHECK(to <= entries_.size());
  std::vector<Revision> missing;
  for (size_t i = from; i < to; ++i) {
    const Entry& entry = entries_[i];
    if (entry.kv.empty() && entry.size > 0) missing.push_back(entry.revision);
  }
  std::vector<Bytes> found;
  if (!missing.empty()) {
    absl::StatusOr<std::vector<Bytes>> read = store_->read_back(missing);
    if (!read.ok()) return read.status();
    found = *std::move(read);
  }
  std::vector<Bytes> out;
  auto next = found.begin();
  for (size_t i = from; i < to; ++i) {
    Entry& entry = entries_[i];
    if (entry.size == 0) {
      out.emplace_back();
      continue;
    }
    out.push_back(entry.kv.empty() ? std::move(*next++) : std::move(entry.kv));
    if (out.back().size() == entry.size) continue;
    return absl::DataLossError(cat("mvcc: the KeyValue of revision ", entry.revision.main, "_",
                                   entry.revision.sub, " has ", out.back().size(),
                                   " bytes in the backend, and ", entry.size, " in the index"));
  }
  return out;
}

}  // namespace keelson::mvcc
