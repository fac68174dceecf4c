// raft/entries.h
//
// One log entry, and Entries: an immutable, shared run of consecutive entries (a view that keeps
// its block alive, as Bytes does for payloads). One proposal's entries are written once; the
// unstable log, the Ready, the messages to every follower and the storage share that block.
//
// Threads: an Entries is a value; copies of one block may be used from any threads.
// Lifetime: element references are valid while any Entries of the block lives.

#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/ids.h"

namespace keelson::raft {

// etcd's numbers (raftpb.EntryType).
enum class EntryType : uint8_t { kNormal = 0, kConfChange = 1, kConfChangeV2 = 2 };
inline bool is_conf_change(EntryType type) {
  return type == EntryType::kConfChange || type == EntryType::kConfChangeV2;
}

struct Entry {
  EntryType type = EntryType::kNormal;
  // Field presence on the wire. Raft's limits count encoded bytes, and etcd's messages are proto2:
  // `Type` of a normal entry and empty `Data` may each be there or not. Decoders set these from the
  // message, encoders write the field when its value is not the default or the flag is set.
  bool type_set = false;
  bool data_set = false;
  Term term{};
  Index index{};
  Bytes data{};

  friend bool operator==(const Entry&, const Entry&) = default;
};

// A heap block of entries; the writer (EntryBuffer) constructs slots past every reader's end, so
// readers on other threads never see one change.
class EntryBlock {
 public:
  // Starts with one reference.
  static EntryBlock* create(size_t capacity);
  void ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  bool unique() const { return refs_.load(std::memory_order_acquire) == 1; }
  Entry* slots() { return reinterpret_cast<Entry*>(this + 1); }
  size_t capacity() const { return capacity_; }
  size_t size() const { return size_; }
  // Payload bytes of all slots.
  uint64_t payload() const { return payload_; }

  // REQUIRES: size() < capacity().
  void push(Entry entry) {
    CHECK(size_ < capacity_);
    payload_ += entry.data.size();
    new (slots() + size_) Entry(std::move(entry));
    ++size_;
  }
  // Destroys every slot. REQUIRES: unique().
  void clear();

 private:
  explicit EntryBlock(size_t capacity) : capacity_(capacity) {}
  void destroy();

  std::atomic<uint32_t> refs_{1};
  size_t capacity_;
  size_t size_ = 0;  // constructed slots; size_ <= capacity_
  uint64_t payload_ = 0;
};

class Entries {
 public:
  Entries() = default;
  // Takes the elements; one allocation for all of them.
  explicit Entries(std::span<Entry> moved_from);
  explicit Entries(std::vector<Entry> entries) : Entries(std::span<Entry>(entries)) {}
  Entries(std::initializer_list<Entry> entries) : Entries(std::vector<Entry>(entries)) {}
  // A view of part of `block`, which it keeps alive.
  Entries(EntryBlock* block, size_t from, size_t size);

  Entries(const Entries& other) : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_) block_->ref();
  }
  Entries(Entries&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Entries& operator=(Entries other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Entries() {
    if (block_) block_->unref();
  }

  const Entry* begin() const { return data_; }
  const Entry* end() const { return data_ + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const Entry& operator[](size_t i) const { return data_[i]; }
  const Entry& front() const { return data_[0]; }
  const Entry& back() const { return data_[size_ - 1]; }
  operator std::span<const Entry>() const { return {data_, size_}; }

  // The part [from, from + size), sharing the block. REQUIRES: it lies inside.
  Entries slice(size_t from, size_t size) const;

  friend bool operator==(const Entries& a, const Entries& b);

 private:
  EntryBlock* block_ = nullptr;
  const Entry* data_ = nullptr;
  size_t size_ = 0;
};

// Bytes of a protobuf varint: one for each started group of seven bits.
inline uint64_t varint_size(uint64_t value) { return (std::bit_width(value | 1) * 9 + 64) / 64; }

// The bytes of an entry's or entries' protobuf encoding (raftpb.Entry, proto2). Raft's own entries
// always carry term and index.
inline uint64_t encoded_size(const Entry& entry) {
  uint64_t size = 2 + varint_size(entry.term.value) + varint_size(entry.index.value);
  if (entry.type != EntryType::kNormal || entry.type_set) size += 2;
  const size_t data = entry.data.size();
  if (data != 0 || entry.data_set) size += 1 + varint_size(data) + data;
  return size;
}
uint64_t encoded_size(std::span<const Entry> entries);
// The bytes of payload alone; zero for the empty entry of a new leader.
uint64_t payload_size(std::span<const Entry> entries);
// How many entries from the front stay within `max_size` encoded bytes; at least one if any.
size_t count_within(std::span<const Entry> entries, uint64_t max_size);

}  // namespace keelson::raft
