#include "proxy/holdings.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::proxy {
namespace {

// Of entries that cannot be let go at once, how many are looked at.
constexpr size_t kMostLooks = 16;

}  // namespace

// ---- entries

Holdings::Place Holdings::touch(const std::string& key) {
  const auto [place, is_new] = entries_.try_emplace(key);
  if (is_new) {
    order_.push_front(place);
    place->second.order = order_.begin();
    bytes_ += cost_of(key);
  } else {
    order_.splice(order_.begin(), order_, place->second.order);
  }
  return place;
}

void Holdings::set_state(Entry& entry, State state) {
  if (entry.state == State::kHeld) --held_;
  entry.state = state;
  if (entry.state == State::kHeld) ++held_;
}

void Holdings::forget(Entry& entry) {
  CHECK(bytes_ >= entry.value.size());
  bytes_ -= entry.value.size();
  entry.known = false;
  entry.value = KnownKey();
}

void Holdings::rest(Place place, Duration rest) {
  Entry& entry = place->second;
  forget(entry);
  set_state(entry, State::kIdle);
  entry.created = 0;
  entry.rest_until = clock_.now() + rest;
}

void Holdings::give(Place place, int64_t before, Duration rest) {
  Entry& entry = place->second;
  forget(entry);
  entry.before = std::max(entry.before, before);
  entry.rest = std::max(entry.rest, rest);
  if (entry.state == State::kGiving) return;
  set_state(entry, State::kGiving);
  to_give_.push_back(place->first);
}

void Holdings::erase(Place place) {
  CHECK(place->second.state == State::kIdle && !place->second.acquiring);
  bytes_ -= cost_of(place->first);
  order_.erase(place->second.order);
  entries_.erase(place);
}

bool Holdings::has_room(const std::string& key) const {
  return entries_.size() < limits_.keys && bytes_ + cost_of(key) <= limits_.bytes;
}

// Whether that one may be remembered, too.
bool Holdings::make_room(const std::string& key) {
  if (has_room(key)) return true;
  auto last = order_.end();
  for (size_t i = 0; i < kMostLooks && last != order_.begin(); ++i) {
    const Place place = *--last;
    if (place->second.acquiring || place->second.state == State::kGiving) continue;
    if (place->second.state == State::kHeld) {
      give(place, place->second.created + 1, Duration(0));
      return has_room(key);  // if not, once it is given up
    }
    ++last;
    erase(place);
    if (has_room(key)) return true;
  }
  return false;
}

void Holdings::keep_bounds() {
  for (auto last = order_.end(); bytes_ > limits_.bytes && last != order_.begin();) {
    const Place place = *--last;
    if (place->second.state == State::kIdle && !place->second.acquiring) {
      ++last;
      erase(place);
      continue;
    }
    if (place->second.known) give(place, place->second.created + 1, Duration(0));
  }
}

template <typename Visit>
void Holdings::each_in(const KeySpan& keys, const Visit& visit) {
  for (Place place = entries_.lower_bound(keys.begin);
       place != entries_.end() && keys.contains(place->first); ++place) {
    visit(place);
  }
}

bool Holdings::is_written(const std::string& key) const {
  if (written_ranges_.size() > kMostRanges) return true;
  if (written_ones_.contains(key)) return true;
  return std::any_of(written_ranges_.begin(), written_ranges_.end(),
                     [&](const KeySpan& range) { return range.contains(key); });
}

void Holdings::learn(Place place, int64_t revision, const std::optional<mvccpb::KeyValue>& value) {
  Entry& entry = place->second;
  CHECK(entry.state == State::kHeld);
  forget(entry);
  entry.as_of = revision;
  KnownKey known = value ? Bytes::copy(value->SerializeAsString()) : KnownKey();
  const bool goes_away = value && value->lease() != 0;
  if (goes_away || known.size() > limits_.one) return give(place, entry.created + 1, kLongRest);
  entry.known = true;
  entry.value = std::move(known);
  bytes_ += entry.value.size();
  keep_bounds();
}

// ---- reading

const KnownKey* Holdings::find(const std::string& key) {
  const Place place = entries_.find(key);
  if (place == entries_.end() || !place->second.known || is_written(key)) return nullptr;
  order_.splice(order_.begin(), order_, place->second.order);
  return &place->second.value;
}

bool Holdings::begin_acquiring(const std::string& key) {
  if (key.size() > kLongestKey || is_written(key)) return false;
  const Place known = entries_.find(key);
  if (known == entries_.end()) {
    if (!make_room(key)) return false;
  } else {
    const Entry& entry = known->second;
    if (entry.acquiring || entry.state == State::kGiving || entry.known) return false;
    if (entry.state == State::kIdle && clock_.now() < entry.rest_until) return false;
  }
  Entry& entry = touch(key)->second;
  entry.acquiring = true;
  entry.doomed = false;
  return true;
}

void Holdings::end_acquiring(const std::string& key, const std::optional<Acquired>& acquired) {
  const Place place = entries_.find(key);
  CHECK(place != entries_.end());
  Entry& entry = place->second;
  CHECK(entry.acquiring);
  entry.acquiring = false;
  if (entry.state == State::kGiving) return;
  const int64_t created = acquired ? acquired->created : 0;
  if (created == 0 || created < entry.lost_at) {
    // A failure says nothing of what is held already.
    if (acquired || entry.state == State::kIdle) rest(place, kRest);
    return;
  }
  set_state(entry, State::kHeld);
  entry.created = created;
  if (entry.doomed) return give(place, created + 1, Duration(0));
  // Not what a write has overtaken; one that is under way says later what stands there.
  if (acquired->revision >= entry.as_of) learn(place, acquired->revision, acquired->value);
}

// ---- writing

int64_t Holdings::created(const std::string& key) const {
  const auto place = entries_.find(key);
  return place == entries_.end() ? 0 : place->second.created;
}

std::vector<std::string> Holdings::held_in(const std::vector<KeySpan>& keys, size_t most) const {
  std::vector<std::string> held;
  for (const KeySpan& span : keys) {
    for (auto place = entries_.lower_bound(span.begin);
         place != entries_.end() && span.contains(place->first); ++place) {
      if (place->second.state != State::kHeld) continue;
      if (held.size() == most) return held;
      held.push_back(place->first);
    }
  }
  return held;
}

void Holdings::begin_writing(const std::vector<KeySpan>& keys) {
  for (const KeySpan& span : keys) {
    if (span.is_one()) {
      ++written_ones_[span.begin];
    } else {
      written_ranges_.push_back(span);
    }
  }
}

void Holdings::end_writing(const std::vector<KeySpan>& keys, const Written& written) {
  for (const KeySpan& span : keys) {
    if (span.is_one()) {
      const auto found = written_ones_.find(span.begin);
      CHECK(found != written_ones_.end());
      if (--found->second == 0) written_ones_.erase(found);
    } else {
      const auto found = std::find_if(
          written_ranges_.begin(), written_ranges_.end(),
          [&](const KeySpan& range) { return range.begin == span.begin && range.end == span.end; });
      CHECK(found != written_ranges_.end());
      written_ranges_.erase(found);
    }
    if (written.outcome == Outcome::kUnknown) give_up(span);
    if (written.outcome != Outcome::kDone) continue;
    each_in(span, [&](Place place) {
      Entry& entry = place->second;
      if (entry.as_of >= written.revision) return;
      forget(entry);
      entry.as_of = written.revision;
    });
  }
  if (written.outcome != Outcome::kDone) return;
  for (const auto& [key, value] : written.values) {
    const Place place = entries_.find(key);
    if (place == entries_.end() || place->second.state != State::kHeld) continue;
    const bool newest = place->second.as_of == written.revision;
    if (newest && place->second.created < written.revision) learn(place, written.revision, value);
  }
}

// ---- giving up

bool Holdings::revoked(const std::string& key, int64_t revision) {
  const bool fits =
      entries_.size() < 2 * limits_.keys && bytes_ + cost_of(key) <= 2 * limits_.bytes;
  if (!fits && !entries_.contains(key)) return false;
  const Place place = touch(key);
  Entry& entry = place->second;
  if (entry.state == State::kHeld && entry.created >= revision) return true;
  entry.lost_at = std::max(entry.lost_at, revision);
  give(place, revision, kRest);
  return true;
}

void Holdings::lost(const std::string& key, int64_t revision) {
  const Place place = entries_.find(key);
  if (place == entries_.end()) return;
  Entry& entry = place->second;
  entry.lost_at = std::max(entry.lost_at, revision);
  if (entry.state == State::kHeld && entry.created < revision) rest(place, kRest);
}

void Holdings::give_up(const KeySpan& keys) {
  each_in(keys, [this](Place place) {
    Entry& entry = place->second;
    entry.doomed = true;
    if (entry.state == State::kHeld) give(place, entry.created + 1, Duration(0));
  });
}

std::optional<Holdings::ToGive> Holdings::next_to_give() {
  while (!to_give_.empty()) {
    const Place place = entries_.find(to_give_.front());
    to_give_.pop_front();
    if (place == entries_.end() || place->second.state != State::kGiving) continue;
    return ToGive{place->first, place->second.before};
  }
  return std::nullopt;
}

void Holdings::given(const std::string& key) {
  const Place place = entries_.find(key);
  if (place == entries_.end() || place->second.state != State::kGiving) return;
  Entry& entry = place->second;
  entry.before = 0;
  rest(place, std::exchange(entry.rest, Duration(0)));
}

void Holdings::try_again(const std::string& key) {
  const auto place = entries_.find(key);
  if (place == entries_.end() || place->second.state != State::kGiving) return;
  to_give_.push_back(key);
}

void Holdings::clear() {
  entries_.clear();
  order_.clear();
  to_give_.clear();
  held_ = bytes_ = 0;
}

void Holdings::check_invariants() const {
  size_t held = 0, bytes = 0;
  for (const auto& [key, entry] : entries_) {
    held += entry.state == State::kHeld ? 1 : 0;
    bytes += cost_of(key) + entry.value.size();
    if (!entry.known) CHECK(entry.value.empty());
    if (entry.known) CHECK(entry.state == State::kHeld);
    if (entry.state == State::kHeld) CHECK(entry.created > 0);
  }
  CHECK(held == held_);
  CHECK(bytes == bytes_);
  CHECK(bytes_ <= 2 * limits_.bytes);
  CHECK(entries_.size() <= 2 * limits_.keys);
  CHECK(order_.size() == entries_.size());
}

}  // namespace keelson::proxy
