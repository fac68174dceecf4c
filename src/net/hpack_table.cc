#include "net/hpack_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace keelson::net {
namespace {

constexpr uint32_t kFirstRoom = 512;

// RFC 7541, appendix A.
constexpr std::string_view kStaticFields[][2] = {
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
};
static_assert(std::size(kStaticFields) == HpackTable::kStatic);

constexpr size_t kStaticBytes = [] {
  size_t bytes = 0;
  for (const auto& [name, value] : kStaticFields) bytes += name.size() + value.size();
  return bytes;
}();

constexpr auto kStaticText = [] {
  std::array<char, kStaticBytes> out{};
  char* at = out.data();
  for (const auto& [name, value] : kStaticFields) {
    at = std::copy(name.begin(), name.end(), at);
    at = std::copy(value.begin(), value.end(), at);
  }
  return out;
}();

}  // namespace

const char* const HpackTable::kKnownText = kStaticText.data();

constexpr std::array<HpackTable::Entry, HpackTable::kStatic> HpackTable::kKnown = [] {
  std::array<Entry, kStatic> out{};
  uint16_t at = 0;
  for (size_t i = 0; i < kStatic; ++i) {
    const auto& [name, value] = kStaticFields[i];
    out[i] = {at, static_cast<uint16_t>(name.size()), static_cast<uint16_t>(value.size()),
              RequestField::sort_of_name(name)};
    at = static_cast<uint16_t>(at + name.size() + value.size());
  }
  return out;
}();

uint32_t HpackTable::find_static(std::string_view name) {
  for (uint32_t i = 0; i < kStatic; ++i) {
    if (name == std::string_view(kKnownText + kKnown[i].at, kKnown[i].name)) return i + 1;
  }
  return 0;
}

void HpackTable::set_limit(uint32_t limit) {
  CHECK(limit <= kMost);
  limit_ = limit;
  evict(limit);
}

void HpackTable::clear() { evict(0); }

// Until what is kept counts for no more than that. The bytes stay where they are.
void HpackTable::evict(size_t most) {
  while (size_ > most) {
    CHECK(count_ > 0);
    size_ -= kFieldCost + oldest().name + oldest().value;
    --count_;
  }
}

void HpackTable::add(std::string_view name, std::string_view value, int8_t sort) {
  const size_t bytes = name.size() + value.size();
  if (bytes + kFieldCost > limit_) return clear();
  evict(limit_ - bytes - kFieldCost);
  // The name may lie there.
  const bool has_room = room_ > 0 && used_ + bytes <= room_;
  const std::unique_ptr<char[]> old = has_room ? nullptr : make_room(bytes);
  char* const text = text_.get() + used_;
  std::memcpy(text, name.data(), name.size());
  std::memcpy(text + name.size(), value.data(), value.size());
  entries_[next_] = {static_cast<uint16_t>(used_), static_cast<uint16_t>(name.size()),
                     static_cast<uint16_t>(value.size()), sort};
  next_ = (next_ + 1) & (kEntries - 1);
  ++count_;
  size_ += static_cast<uint32_t>(bytes) + kFieldCost;
  used_ += static_cast<uint32_t>(bytes);
  CHECK(count_ <= kEntries);
  CHECK(size_ <= limit_);
  CHECK(used_ <= room_);
}

// Moves the texts that count to where there is room for more, so much that this is seldom done.
// Returns where they were.
std::unique_ptr<char[]> HpackTable::make_room(size_t bytes) {
  const uint32_t first = count_ > 0 ? oldest().at : used_;
  const uint32_t live = used_ - first;
  if (room_ == 0) room_ = kFirstRoom;
  while (2 * (live + bytes) > room_) room_ *= 2;
  CHECK(room_ <= 2 * kMost);
  auto text = std::make_unique_for_overwrite<char[]>(room_);
  if (live > 0) std::memcpy(text.get(), text_.get() + first, live);
  for (uint32_t i = 1; i <= count_; ++i) {
    Entry& entry = entries_[(next_ - i) & (kEntries - 1)];
    entry.at = static_cast<uint16_t>(entry.at - first);
  }
  used_ = live;
  return std::exchange(text_, std::move(text));
}

}  // namespace keelson::net
