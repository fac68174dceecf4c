// wal/record_buffer.h
//
// RecordBuffer gathers framed records, encoded in place, until they are written in one piece. It
// carries the running sum. No allocation per record: the memory is kept from batch to batch.
//
// Place: owned by Wal, one per open segment chain. Threads: one caller at a time.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "wal/framing.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::wal {

// The most that a record of `data_size` bytes takes in the file.
inline constexpr size_t framed_bound(size_t data_size) {
  return kLengthFieldSize + wire::kMaxRecordOverhead + data_size + 7;
}

class RecordBuffer {
 public:
  explicit RecordBuffer(uint32_t chain = 0) : chain_(chain) {}

  uint32_t chain() const { return chain_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {memory_.get(), size_}; }

  // Forgets what was gathered (it is written now); the sum goes on. A batch that was much larger
  // than usual does not keep its memory.
  void clear() {
    size_ = 0;
    if (capacity_ > kKeptCapacity) {
      memory_.reset();
      capacity_ = 0;
    }
  }

  void add_entry(const raft::Entry& entry) {
    add(wire::RecordType::kEntry, wire::wire_size(entry),
        [&](char* out) { wire::write(out, entry); });
  }
  void add_state(const raft::HardState& state) {
    add(wire::RecordType::kState, wire::wire_size(state),
        [&](char* out) { wire::write(out, state); });
  }
  void add_data(wire::RecordType type, std::string_view data) {
    add(type, data.size(), [&](char* out) {
      if (!data.empty()) std::memcpy(out, data.data(), data.size());
    });
  }
  // The sum so far: the first record of a segment.
  void add_crc() {
    char* start = reserve(framed_bound(0));
    finish(start, wire::write_crc_record(start + kLengthFieldSize, chain_));
  }

 private:
  static constexpr size_t kKeptCapacity = 4 << 20;

  template <typename WriteData>
  void add(wire::RecordType type, size_t data_size, WriteData&& write_data) {
    char* start = reserve(framed_bound(data_size));
    finish(start, wire::write_record(start + kLengthFieldSize, type, &chain_, data_size,
                                     std::forward<WriteData>(write_data)));
  }

  // Room for `bytes` after what is gathered.
  char* reserve(size_t bytes) {
    if (capacity_ - size_ < bytes) grow(bytes);
    return memory_.get() + size_;
  }

  void grow(size_t bytes) {
    size_t wanted = capacity_ == 0 ? 64 << 10 : 2 * capacity_;
    while (wanted - size_ < bytes) wanted *= 2;
    std::unique_ptr<char[]> larger(new char[wanted]);
    if (size_ != 0) std::memcpy(larger.get(), memory_.get(), size_);
    memory_ = std::move(larger);
    capacity_ = wanted;
  }

  // Writes the length field before the record [start + 8, end) and the zeros after it.
  void finish(char* start, char* end) {
    const uint64_t record_size = static_cast<uint64_t>(end - start) - kLengthFieldSize;
    const uint64_t field = encode_length_field(record_size);
    std::memcpy(start, &field, sizeof(field));
    const size_t padding = padding_of(record_size);
    std::memset(end, 0, padding);
    size_ = static_cast<size_t>(end + padding - memory_.get());
    DCHECK(size_ <= capacity_);
  }

  uint32_t chain_;
  std::unique_ptr<char[]> memory_;
  size_t capacity_ = 0;
  size_t size_ = 0;  // <= capacity_; a multiple of 8
};

}  // namespace keelson::wal
