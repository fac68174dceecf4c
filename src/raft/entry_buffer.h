// raft/entry_buffer.h
//
// EntryBuffer: a growing run of entries whose parts can be handed out as shared, immutable Entries
// without copying. Appending never disturbs what was handed out: a slot once visible is not written
// again, so truncation followed by an append moves to a new block (as a Go slice with limited
// capacity would).
//
// Threads: one writer; slices may be read anywhere.

#pragma once

#include <span>

#include "raft/entries.h"

namespace keelson::raft {

class EntryBuffer {
 public:
  EntryBuffer() = default;
  EntryBuffer(EntryBuffer&& other) noexcept;
  EntryBuffer& operator=(EntryBuffer&& other) noexcept;
  EntryBuffer(const EntryBuffer&) = delete;
  EntryBuffer& operator=(const EntryBuffer&) = delete;
  ~EntryBuffer();

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  const Entry& operator[](size_t i) const { return block_->slots()[begin_ + i]; }
  const Entry& back() const { return block_->slots()[end_ - 1]; }
  std::span<const Entry> view() const;

  // Makes room for `more` push() calls without another allocation.
  void reserve(size_t more);
  void push(Entry entry);
  void append(std::span<const Entry> entries);

  // Shares [from, from + count). REQUIRES: it lies inside.
  Entries slice(size_t from, size_t count) const;

  // Keeps only the first `count`. REQUIRES: count <= size().
  void truncate(size_t count);
  // Forgets the first `count`. REQUIRES: count <= size().
  void drop_front(size_t count);
  void clear();

 private:
  void release();
  void grow(size_t more);
  EntryBlock* block_for(size_t capacity);
  void retire(EntryBlock* block);

  // begin_ <= end_ <= block_->size(); slots past end_ (after a truncation) may still be seen
  // through slices, so pushing needs end_ == block_->size().
  EntryBlock* block_ = nullptr;
  size_t begin_ = 0;
  size_t end_ = 0;
  // The block before this one, to be written again once its readers are gone: two blocks in turn
  // serve a buffer that fills and drains without ever allocating. Only small ones are kept.
  EntryBlock* spare_ = nullptr;
};

}  // namespace keelson::raft
