// What a range does with its items once it has them: filters, order, limit.

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "mvcc/range_read.h"

namespace keelson::mvcc {
namespace {

// How many items are decoded or sorted between two looks at whether the read is still wanted.
constexpr size_t kLookEvery = 4096;

// A stable merge sort that asks `go_on` every few thousand steps, so that it can be given up; the
// library's cannot. False: it was.
template <typename Less, typename GoOn>
bool sort_in_pieces(std::vector<uint32_t>* order, Less less, GoOn go_on) {
  const size_t size = order->size();
  auto at = [order](size_t i) { return order->begin() + static_cast<ptrdiff_t>(i); };
  for (size_t from = 0; from < size; from += kLookEvery) {
    if (!go_on()) return false;
    std::stable_sort(at(from), at(std::min(from + kLookEvery, size)), less);
  }
  std::vector<uint32_t> merged(size > kLookEvery ? size : 0);
  for (size_t width = kLookEvery; width < size; width *= 2) {
    for (size_t from = 0; from < size; from += 2 * width) {
      size_t left = from, middle = std::min(from + width, size), right = middle;
      const size_t end = std::min(from + 2 * width, size);
      for (size_t to = from; to < end; ++to) {
        if (to % kLookEvery == 0 && !go_on()) return false;
        bool take_right = left == middle || (right < end && less((*order)[right], (*order)[left]));
        merged[to] = (*order)[take_right ? right++ : left++];
      }
    }
    order->swap(merged);
  }
  return true;
}

}  // namespace

absl::Status RangeRead::finish(RangeResult* result) {
  bool by_create = options_.min_create_revision != 0 || options_.max_create_revision != 0;
  bool sorted = is_sorted();
  bool strip_value = options_.keys_only && !index_only_;
  if (by_create || sorted || strip_value) {
    std::vector<KeyValueView> views(items_.size());
    for (size_t i = 0; i < items_.size(); ++i) {
      if (i % kLookEvery == 0 && unwanted()) return gave_up();
      CHECK(decode_key_value(items_[i].kv, &views[i]));  // encoded here, or read back and looked at
    }
    if (by_create) filter_by_create(&views);
    if (sorted && !sort(&views)) return gave_up();
    if (strip_value) {
      for (size_t i = 0; i < items_.size(); ++i) {
        if (i % kLookEvery == 0 && unwanted()) return gave_up();
        views[i].value = {};
        items_[i].kv = encode_key_value(views[i]);
      }
    }
  }
  limit(result);
  result->kvs.reserve(items_.size());
  for (Item& item : items_) result->kvs.push_back(std::move(item.kv));
  return absl::OkStatus();
}

void RangeRead::filter_by_create(std::vector<KeyValueView>* views) {
  size_t kept = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    int64_t create = (*views)[i].create_revision;
    if (options_.max_create_revision != 0 && create > options_.max_create_revision) continue;
    if (options_.min_create_revision != 0 && create < options_.min_create_revision) continue;
    if (kept != i) {
      items_[kept] = std::move(items_[i]);
      (*views)[kept] = (*views)[i];
    }
    ++kept;
  }
  items_.resize(kept);
  views->resize(kept);
}

bool RangeRead::is_sorted() const {
  if (options_.sort_order == SortOrder::kNone) return options_.sort_target != SortTarget::kKey;
  return !default_order();
}

// Rising; equals stay in the order of keys, also when the order is turned around.
bool RangeRead::sort(std::vector<KeyValueView>* views) {
  auto less = [this](const KeyValueView& a, const KeyValueView& b) {
    switch (options_.sort_target) {
      case SortTarget::kKey:
        return a.key < b.key;
      case SortTarget::kVersion:
        return a.version < b.version;
      case SortTarget::kCreate:
        return a.create_revision < b.create_revision;
      case SortTarget::kMod:
        return a.mod_revision < b.mod_revision;
      case SortTarget::kValue:
        return a.value < b.value;
    }
    return false;
  };
  const bool descending = options_.sort_order == SortOrder::kDescend;
  std::vector<uint32_t> order(items_.size());
  std::iota(order.begin(), order.end(), 0);
  bool sorted = sort_in_pieces(
      &order,
      [&](uint32_t a, uint32_t b) {
        return descending ? less((*views)[b], (*views)[a]) : less((*views)[a], (*views)[b]);
      },
      [this] { return !unwanted(); });
  if (!sorted) return false;
  std::vector<Item> items(items_.size());
  std::vector<KeyValueView> moved(items_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    items[i] = std::move(items_[order[i]]);
    moved[i] = (*views)[order[i]];
  }
  items_ = std::move(items);
  *views = std::move(moved);
  return true;
}

}  // namespace keelson::mvcc
