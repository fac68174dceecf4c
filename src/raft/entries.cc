#include "raft/entries.h"

#include <algorithm>
#include <limits>
#include <new>

namespace keelson::raft {
EntryBlock* EntryBlock::create(size_t capacity) {
  void* memory = ::operator new(sizeof(EntryBlock) + capacity * sizeof(Entry));
  return new (memory) EntryBlock(capacity);
}

void EntryBlock::clear() {
  for (size_t i = 0; i < size_; ++i) slots()[i].~Entry();
  size_ = 0;
  payload_ = 0;
}

void EntryBlock::destroy() {
  clear();
  this->~EntryBlock();
  ::operator delete(this);
}

Entries::Entries(std::span<Entry> moved_from) {
  if (moved_from.empty()) return;
  block_ = EntryBlock::create(moved_from.size());
  for (Entry& entry : moved_from) block_->push(std::move(entry));
  data_ = block_->slots();
  size_ = moved_from.size();
}

Entries::Entries(EntryBlock* block, size_t from, size_t size) {
  if (size == 0) return;  // an empty view keeps nothing alive
  block_ = block;
  block_->ref();
  data_ = block_->slots() + from;
  size_ = size;
}

Entries Entries::slice(size_t from, size_t size) const {
  CHECK(from <= size_);
  CHECK(size <= size_ - from);
  Entries part;
  if (size == 0) return part;
  block_->ref();
  part.block_ = block_;
  part.data_ = data_ + from;
  part.size_ = size;
  return part;
}

bool operator==(const Entries& a, const Entries& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

uint64_t encoded_size(std::span<const Entry> entries) {
  uint64_t size = 0;
  for (const Entry& entry : entries) size += encoded_size(entry);
  return size;
}

uint64_t payload_size(std::span<const Entry> entries) {
  uint64_t size = 0;
  for (const Entry& entry : entries) size += entry.data.size();
  return size;
}

size_t count_within(std::span<const Entry> entries, uint64_t max_size) {
  if (entries.empty()) return 0;
  if (max_size == std::numeric_limits<uint64_t>::max()) return entries.size();
  uint64_t size = encoded_size(entries[0]);
  size_t count = 1;
  while (count < entries.size()) {
    size += encoded_size(entries[count]);
    if (size > max_size) break;
    ++count;
  }
  return count;
}

}  // namespace keelson::raft
