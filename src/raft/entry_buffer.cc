#include "raft/entry_buffer.h"

#include <algorithm>
#include <utility>

namespace keelson::raft {
namespace {

constexpr size_t kSmallestBlock = 16;
// A drained block may stay, with the payloads of entries that nobody needs any more, up to here.
constexpr size_t kLargestKeptBlock = 256;
constexpr uint64_t kLargestKeptPayload = 64 << 10;

bool worth_keeping(const EntryBlock& block) {
  return block.capacity() <= kLargestKeptBlock && block.payload() <= kLargestKeptPayload;
}

}  // namespace

EntryBuffer::EntryBuffer(EntryBuffer&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)),
      spare_(std::exchange(other.spare_, nullptr)) {}

EntryBuffer::~EntryBuffer() {
  release();
  if (spare_) spare_->unref();
}

EntryBuffer& EntryBuffer::operator=(EntryBuffer&& other) noexcept {
  std::swap(block_, other.block_);
  std::swap(begin_, other.begin_);
  std::swap(end_, other.end_);
  std::swap(spare_, other.spare_);
  return *this;
}

std::span<const Entry> EntryBuffer::view() const {
  if (empty()) return {};
  return {block_->slots() + begin_, size()};
}

void EntryBuffer::reserve(size_t more) {
  if (more == 0) return;
  if (block_ && end_ == block_->size() && block_->capacity() - end_ >= more) return;
  grow(more);
}

void EntryBuffer::push(Entry entry) {
  reserve(1);
  block_->push(std::move(entry));
  ++end_;
}

void EntryBuffer::append(std::span<const Entry> entries) {
  reserve(entries.size());
  for (const Entry& entry : entries) block_->push(entry);
  end_ += entries.size();
}

Entries EntryBuffer::slice(size_t from, size_t count) const {
  CHECK(from <= size());
  CHECK(count <= size() - from);
  return Entries(block_, begin_ + from, count);
}

void EntryBuffer::truncate(size_t count) {
  CHECK(count <= size());
  end_ = begin_ + count;
}

void EntryBuffer::drop_front(size_t count) {
  CHECK(count <= size());
  begin_ += count;
  if (empty()) clear();
}

// Payloads can be large: what nobody reads any more must not stay in memory for long.
void EntryBuffer::clear() {
  if (block_ && block_->unique() && worth_keeping(*block_)) {
    block_->clear();
    begin_ = end_ = 0;
  } else if (block_ && end_ == block_->size() && worth_keeping(*block_)) {
    begin_ = end_;  // someone still reads it; go on behind
  } else {
    release();
  }
}

void EntryBuffer::release() {
  if (block_) block_->unref();
  block_ = nullptr;
  begin_ = end_ = 0;
}

// Moves to a block with room for `more`. Doubling keeps the copies amortized.
void EntryBuffer::grow(size_t more) {
  const size_t kept = size();
  EntryBlock* block = block_for(std::max(kSmallestBlock, std::max(2 * kept, kept + more)));
  const bool sole_reader = block_ && block_->unique();
  for (size_t i = begin_; i < end_; ++i) {
    Entry& entry = block_->slots()[i];
    block->push(sole_reader ? std::move(entry) : Entry(entry));
  }
  if (block_) retire(block_);
  block_ = block;
  begin_ = 0;
  end_ = kept;
}

EntryBlock* EntryBuffer::block_for(size_t capacity) {
  if (!spare_ || !spare_->unique() || spare_->capacity() < capacity) {
    return EntryBlock::create(capacity);
  }
  spare_->clear();
  return std::exchange(spare_, nullptr);
}

void EntryBuffer::retire(EntryBlock* block) {
  if (!worth_keeping(*block)) {
    block->unref();
    return;
  }
  if (spare_) spare_->unref();
  spare_ = block;
}

}  // namespace keelson::raft
