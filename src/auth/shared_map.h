// auth/shared_map.h
//
// SharedMap is a map from names to small values that is changed by one thread while others look
// into copies of it. A copy costs a fixed number of reference counts, however many entries there
// are, and the first change of an entry after it copies one part in kParts of them.
//
// Threads: each copy is one thread's to change, or nobody's and read by all. What is shared never
//   changes; the values must allow that.

#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::auth {

template <typename Value, size_t kParts>
class SharedMap {
 public:
  // This map has been copied: from here on it copies the parts that it changes.
  void share() { own_.reset(); }

  size_t size() const { return size_; }

  // Null if there is none; valid until this copy changes.
  const Value* find(std::string_view name) const {
    const std::shared_ptr<Part>& part = parts_[place(name)];
    if (!part) return nullptr;
    auto found = part->find(to_absl(name));
    return found == part->end() ? nullptr : &found->second;
  }

  void set(std::string_view name, Value value) {
    auto [at, is_new] = own(place(name)).insert_or_assign(to_absl(name), std::move(value));
    if (is_new) ++size_;
  }

  void erase(std::string_view name) {
    if (find(name) == nullptr) return;
    own(place(name)).erase(to_absl(name));
    CHECK(size_ > 0);
    --size_;
  }

  // Erases what `unwanted` says, of all, or of the part in which `name` is or would be.
  template <typename Unwanted>
  void erase_if(Unwanted&& unwanted) {
    for (size_t i = 0; i < kParts; ++i) erase_in(i, unwanted);
  }
  template <typename Unwanted>
  void erase_around(std::string_view name, Unwanted&& unwanted) {
    erase_in(place(name), unwanted);
  }

 private:
  using Part = absl::flat_hash_map<std::string, Value>;

  static size_t place(std::string_view name) {
    return absl::Hash<absl::string_view>()(to_absl(name)) % kParts;
  }

  Part& own(size_t i) {
    if (!own_[i]) {
      parts_[i] = parts_[i] ? std::make_shared<Part>(*parts_[i]) : std::make_shared<Part>();
      own_[i] = true;
    }
    return *parts_[i];
  }

  template <typename Unwanted>
  void erase_in(size_t i, Unwanted&& unwanted) {
    if (!parts_[i]) return;
    bool any = false;
    for (const auto& [name, value] : *parts_[i]) any |= unwanted(value);
    if (!any) return;
    size_ -= absl::erase_if(own(i), [&](const auto& entry) { return unwanted(entry.second); });
  }

  std::array<std::shared_ptr<Part>, kParts> parts_;  // null: empty
  std::bitset<kParts> own_;                          // no other copy has these
  size_t size_ = 0;                                  // of all parts together
};

}  // namespace keelson::auth
