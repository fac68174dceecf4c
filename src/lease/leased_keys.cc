#include "lease/leased_keys.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"

namespace keelson::lease {

namespace {

// Bytes [skip, skip + 8) of the key as a big-endian number, zeros behind its end.
uint64_t head(std::string_view key, size_t skip) {
  char bytes[8] = {};
  std::memcpy(bytes, key.data() + skip, std::min<size_t>(8, key.size() - skip));
  return load_big64(bytes);
}

size_t shared_bytes(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

// Keys of one lease mostly begin alike: what they share is left out, and nearly every comparison is
// one of the 8 bytes behind it, without touching a key.
template <typename Pieces>
std::vector<std::pair<uint64_t, LeasedKey*>> in_order(const Pieces& pieces, size_t size) {
  std::vector<std::pair<uint64_t, LeasedKey*>> order;
  if (size == 0) return order;
  order.reserve(size);
  const std::string_view first = pieces.front()->keys.front()->key;
  size_t shared = first.size();
  for (const Shared<KeyPiece>& piece : pieces) {
    for (const Shared<LeasedKey>& key : piece->keys) {
      shared = std::min(shared, shared_bytes(first, key->key));
      order.emplace_back(0, key.get());
    }
  }
  CHECK(order.size() == size);
  for (auto& [bytes, key] : order) bytes = head(key->key, shared);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->key < b.second->key;
  });
  return order;
}

}  // namespace

KeyListing KeyListing::of(const std::vector<std::string>& keys) {
  LeasedKeys all;
  uint64_t copies = 0;
  for (const std::string& key : keys) all.add(Shared<LeasedKey>(new LeasedKey(key)), &copies);
  CHECK(copies == 0);
  return all.list();
}

bool KeyListing::every(absl::FunctionRef<bool(std::string_view)> visit) const {
  for (const Shared<KeyPiece>& piece : pieces_) {
    for (const Shared<LeasedKey>& key : piece->keys) {
      if (!visit(key->key)) return false;
    }
  }
  return true;
}

std::vector<std::string> KeyListing::sorted() const {
  std::vector<std::string> keys;
  keys.reserve(size_);
  for (const auto& [bytes, key] : in_order(pieces_, size_)) keys.push_back(key->key);
  return keys;
}

KeyPiece& LeasedKeys::writable(size_t piece, uint64_t* copies) {
  CHECK(piece < pieces_.size());
  Shared<KeyPiece>& there = pieces_[piece];
  if (!there.alone()) {
    auto copy = Shared<KeyPiece>(new KeyPiece);
    copy->keys = there->keys;
    there = std::move(copy);
    ++*copies;
  }
  return *there;
}

void LeasedKeys::add(Shared<LeasedKey> key, uint64_t* copies) {
  CHECK(size_ < UINT32_MAX);
  key->slot = static_cast<uint32_t>(size_);
  if (size_ == pieces_.size() * KeyPiece::kKeys) pieces_.emplace_back(new KeyPiece);
  writable(pieces_.size() - 1, copies).keys.push_back(std::move(key));
  ++size_;
}

Shared<LeasedKey> LeasedKeys::remove(uint32_t slot, uint64_t* copies) {
  CHECK(slot < size_);
  std::vector<Shared<LeasedKey>>& last = writable(pieces_.size() - 1, copies).keys;
  Shared<LeasedKey> moved = std::move(last.back());
  last.pop_back();
  if (last.empty()) pieces_.pop_back();
  --size_;
  doubt(slot);
  if (slot == size_) return moved;
  moved->slot = slot;
  KeyPiece& piece = writable(slot / KeyPiece::kKeys, copies);
  return std::exchange(piece.keys[slot % KeyPiece::kKeys], std::move(moved));
}

std::vector<std::string> LeasedKeys::take_sorted() {
  bool alone = true;
  for (const Shared<KeyPiece>& piece : pieces_) alone = alone && piece.alone();
  std::vector<std::string> keys;
  keys.reserve(size_);
  for (const auto& [bytes, key] : in_order(pieces_, size_)) {
    // A piece that was copied shares its keys with the one that a listing has.
    const bool ours = alone && key->refs.load(std::memory_order_acquire) == 1;
    keys.push_back(ours ? std::move(key->key) : key->key);
  }
  pieces_.clear();
  size_ = 0;
  vetted_.reset();
  return keys;
}

bool LeasedKeys::all_have(uint64_t property, absl::FunctionRef<bool(std::string_view)> has) {
  return size_ == 0 || vet(remembered(property), has);
}

LeasedKeys::Vetted& LeasedKeys::remembered(uint64_t property) {
  CHECK(property != 0);
  if (!vetted_) vetted_ = std::make_unique<std::array<Vetted, kRemembered>>();
  auto found = std::find_if(vetted_->begin(), vetted_->end(),
                            [&](const Vetted& known) { return known.property == property; });
  if (found == vetted_->end()) {
    --found;
    *found = {.property = property};
  }
  std::rotate(vetted_->begin(), found, found + 1);
  return vetted_->front();
}

// One that has it not is the next to be asked about, and mostly has it not then either.
bool LeasedKeys::vet(Vetted& known, absl::FunctionRef<bool(std::string_view)> has) const {
  CHECK(known.upto <= size_);
  for (; !known.doubtful.empty(); known.doubtful.pop_back()) {
    const size_t slot = known.doubtful.back();
    if (slot < known.upto && !has(at(slot).key)) return false;
  }
  for (; known.upto < size_; ++known.upto) {
    if (!has(at(known.upto).key)) return false;
  }
  return true;
}

// Doubts are not more than a few for each key that has gone, so asking costs as much as changing;
// and take no more memory than an eighth of the keys' slots.
void LeasedKeys::doubt(uint32_t slot) {
  constexpr size_t kAlwaysKept = 64;
  if (!vetted_) return;
  for (Vetted& known : *vetted_) {
    known.upto = std::min(known.upto, size_);
    if (slot >= known.upto) continue;
    known.doubtful.push_back(slot);
    if (known.doubtful.size() <= std::max(kAlwaysKept, size_ / 8)) continue;
    known.doubtful = {};
    known.upto = 0;
  }
}

KeyListing LeasedKeys::list() const {
  KeyListing listing;
  listing.pieces_ = pieces_;
  listing.size_ = size_;
  return listing;
}

}  // namespace keelson::lease
