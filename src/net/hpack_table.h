// net/hpack_table.h
//
// HpackTable is what a client's header blocks point into by number (RFC 7541, 2.3): the fields that
// all know, and behind them those that the client has had kept, the newest first. With each stands
// what it is as a field of a request, so that this is found out once.
//
// Bounds: what is kept counts with its bytes and 32 for each field, kMost at most; it takes twice
//   that in memory, and an unused table nothing.
// Threads: one.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "net/request_field.h"

namespace keelson::net {

class HpackTable {
 public:
  // As SETTINGS_HEADER_TABLE_SIZE says if nothing is said of it.
  static constexpr uint32_t kMost = 4096;
  static constexpr uint32_t kFieldCost = 32;
  static constexpr uint32_t kStatic = 61;

  struct Field {
    std::string_view name;  // both until the next add() …
    std::string_view value;
    int8_t sort;  // … as RequestField has it, perhaps kUnseen
  };

  // The first of the fields that all know with this name; 0: there is none.
  static uint32_t find_static(std::string_view name);

  uint32_t last() const { return kStatic + count_; }
  // REQUIRES: 1 <= index <= last().
  Field at(uint32_t index) const {
    const bool known = index <= kStatic;
    const Entry& entry = known ? kKnown[index - 1] : entries_[place(index)];
    const char* const text = (known ? kKnownText : text_.get()) + entry.at;
    return {{text, entry.name}, {text + entry.name, entry.value}, entry.sort};
  }
  void set_sort(uint32_t index, int8_t sort) { entries_[place(index)].sort = sort; }

  size_t limit() const { return limit_; }
  // REQUIRES: limit <= kMost.
  void set_limit(uint32_t limit);
  // As the newest; the oldest go for it. One that is longer than the limit empties the table.
  // `name` may be of this table.
  void add(std::string_view name, std::string_view value, int8_t sort);
  void clear();

 private:
  struct Entry {
    uint16_t at;  // in text_ or kKnownText: the name, and behind it the value
    uint16_t name;
    uint16_t value;  // their lengths
    int8_t sort;
  };
  static constexpr uint32_t kEntries = kMost / kFieldCost;
  static_assert((kEntries & (kEntries - 1)) == 0, "places go round");

  static const char* const kKnownText;
  static const std::array<Entry, kStatic> kKnown;

  uint32_t place(uint32_t index) const { return (next_ - (index - kStatic)) & (kEntries - 1); }
  const Entry& oldest() const { return entries_[(next_ - count_) & (kEntries - 1)]; }
  void evict(size_t most);
  std::unique_ptr<char[]> make_room(size_t bytes);

  std::array<Entry, kEntries> entries_;  // in a ring; those of them that count:
  uint32_t next_ = 0;                    // the place of the next one
  uint32_t count_ = 0;                   // before it; <= kEntries
  uint32_t size_ = 0;                    // what they count for; <= limit_
  uint32_t limit_ = kMost;               // <= kMost
  // Their texts, oldest first, without gaps from the oldest one's on.
  std::unique_ptr<char[]> text_;
  uint32_t room_ = 0;
  uint32_t used_ = 0;  // <= room_ <= 2 * kMost
};

}  // namespace keelson::net
