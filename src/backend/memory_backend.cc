#include "backend/memory_backend.h"

#include "base/check.h"
#include "base/endian.h"
#include "base/text.h"

namespace keelson::backend {
namespace {

using State = MemoryBackend::State;
using StatePtr = std::shared_ptr<const State>;
using Map = std::map<std::string, Bytes, std::less<>>;

class MapIterator final : public Iterator {
 public:
  MapIterator(StatePtr state, Bucket bucket, IterateOptions options)
      : state_(std::move(state)), map_(state_->buckets[static_cast<size_t>(bucket)]) {
    first_ = map_.lower_bound(options.lower);
    last_ = options.upper.empty() ? map_.end() : map_.lower_bound(options.upper);
    if (!options.upper.empty() && options.upper <= options.lower) last_ = first_;
    at_ = last_;
  }

  bool valid() const override { return at_ != last_; }
  void seek_to_first() override { at_ = first_; }
  void seek_to_last() override { at_ = first_ == last_ ? last_ : std::prev(last_); }
  void seek(std::string_view key) override { at_ = clamp(map_.lower_bound(key)); }
  void seek_for_prev(std::string_view key) override {
    auto after = clamp(map_.upper_bound(key));
    at_ = after == first_ ? last_ : std::prev(after);
  }
  void next() override {
    CHECK(valid());
    ++at_;
  }
  void prev() override {
    CHECK(valid());
    at_ = at_ == first_ ? last_ : std::prev(at_);
  }
  std::string_view key() const override { return at_->first; }
  std::string_view value() const override { return at_->second; }
  absl::Status status() const override { return absl::OkStatus(); }

 private:
  Map::const_iterator clamp(Map::const_iterator it) const {
    if (first_ == last_) return last_;
    if (it == map_.end() || (last_ != map_.end() && it->first >= last_->first)) return last_;
    return it->first < first_->first ? first_ : it;
  }

  StatePtr state_;
  const Map& map_;
  Map::const_iterator first_, last_, at_;
};

std::optional<Bytes> find(const State& state, Bucket bucket, std::string_view key) {
  const Map& map = state.buckets[static_cast<size_t>(bucket)];
  auto it = map.find(key);
  if (it == map.end()) return std::nullopt;
  return it->second;
}

class MemorySnapshot final : public Snapshot {
 public:
  explicit MemorySnapshot(StatePtr state) : state_(std::move(state)) {}
  absl::StatusOr<std::optional<Bytes>> get(Bucket bucket, std::string_view key) const override {
    return find(*state_, bucket, key);
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      Bucket bucket, std::span<const std::string_view> keys) const override {
    std::vector<std::optional<Bytes>> out;
    for (std::string_view key : keys) out.push_back(find(*state_, bucket, key));
    return out;
  }
  std::unique_ptr<Iterator> iterate(Bucket bucket, IterateOptions options) const override {
    return std::make_unique<MapIterator>(state_, bucket, options);
  }
  Index consistent_index() const override { return state_->index; }
  Term consistent_term() const override { return state_->term; }

 private:
  StatePtr state_;
};

void put(State& state, Bucket bucket, std::string_view key, std::string_view value) {
  Map& map = state.buckets[static_cast<size_t>(bucket)];
  auto [it, fresh] = map.try_emplace(std::string(key));
  state.bytes += fresh ? key.size() + value.size() : value.size() - it->second.size();
  it->second = Bytes::copy(value);
}

void del(State& state, Bucket bucket, std::string_view key) {
  Map& map = state.buckets[static_cast<size_t>(bucket)];
  auto it = map.find(key);
  if (it == map.end()) return;
  state.bytes -= it->first.size() + it->second.size();
  map.erase(it);
}

}  // namespace

MemoryBackend::MemoryBackend()
    : state_(std::make_shared<State>()), durable_(std::make_shared<State>()) {}

MemoryBackend::StatePtr MemoryBackend::current() const {
  std::lock_guard lock(mutex_);
  return state_;
}

State& MemoryBackend::writable_locked() {
  // use_count() orders nothing; dropping a reference does, so that whoever read this state last has
  // done so before it is changed.
  StatePtr(state_).reset();
  if (state_.use_count() > 1) state_ = std::make_shared<State>(*state_);
  return *state_;
}

absl::Status MemoryBackend::read_locked() const {
  if (read_failure_.ok() || good_reads_-- > 0) return absl::OkStatus();
  good_reads_ = 0;
  return read_failure_;
}

void MemoryBackend::fail_reads(absl::Status status, int good) {
  std::lock_guard lock(mutex_);
  read_failure_ = std::move(status);
  good_reads_ = good;
}

absl::StatusOr<std::optional<Bytes>> MemoryBackend::get(Bucket bucket, std::string_view key) const {
  std::lock_guard lock(mutex_);
  if (absl::Status s = read_locked(); !s.ok()) return s;
  return find(*state_, bucket, key);
}

absl::StatusOr<bool> MemoryBackend::multi_get_in_memory(
    Bucket bucket, std::span<const std::string_view> keys,
    std::vector<std::optional<Bytes>>* found) const {
  if (cold_) return false;
  return Backend::multi_get_in_memory(bucket, keys, found);
}

absl::StatusOr<std::vector<std::optional<Bytes>>> MemoryBackend::multi_get(
    Bucket bucket, std::span<const std::string_view> keys) const {
  std::lock_guard lock(mutex_);
  if (absl::Status s = read_locked(); !s.ok()) return s;
  std::vector<std::optional<Bytes>> out;
  for (std::string_view key : keys) out.push_back(find(*state_, bucket, key));
  return out;
}

std::unique_ptr<Iterator> MemoryBackend::iterate(Bucket bucket, IterateOptions options) const {
  return std::make_unique<MapIterator>(current(), bucket, options);
}

absl::Status MemoryBackend::commit(const WriteBatch& batch, Index index, Term term) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  State& state = writable_locked();
  batch.for_each([&](Bucket b, std::string_view k, std::string_view v) { put(state, b, k, v); },
                 [&](Bucket b, std::string_view k) { del(state, b, k); });
  if (index == Index(0)) return absl::OkStatus();
  CHECK(index >= state.index);
  state.index = index;
  put(state, Bucket::kMeta, kConsistentIndexKey, big64(index.value));
  if (term == Term(0)) return absl::OkStatus();
  state.term = term;
  put(state, Bucket::kMeta, kTermKey, big64(term.value));
  return absl::OkStatus();
}

Index MemoryBackend::consistent_index() const { return current()->index; }
Term MemoryBackend::consistent_term() const { return current()->term; }

std::shared_ptr<const Snapshot> MemoryBackend::snapshot() const {
  return std::make_shared<MemorySnapshot>(current());
}

void MemoryBackend::flush(absl::AnyInvocable<void(absl::Status)> done) {
  StatePtr flushed;
  absl::Status failure;
  {
    std::lock_guard lock(mutex_);
    failure = failure_;
    flushed = state_;
    if (failure.ok() && hold_) {
      held_.emplace_back(std::move(flushed), std::move(done));
      return;
    }
  }
  if (failure.ok()) complete_flush(std::move(flushed));
  done(failure);
}

void MemoryBackend::complete_flush(StatePtr flushed) {
  std::function<void(Index)> listener;
  Index index = flushed->index;
  {
    std::lock_guard lock(mutex_);
    if (index > durable_->index) listener = listener_;
    durable_ = std::move(flushed);
  }
  if (listener) listener(index);
}

Index MemoryBackend::durable_index() const {
  std::lock_guard lock(mutex_);
  return durable_->index;
}

void MemoryBackend::set_durable_listener(std::function<void(Index)> listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

uint64_t MemoryBackend::size_on_disk() const { return current()->bytes; }
uint64_t MemoryBackend::size_in_use() const { return current()->bytes; }

absl::Status MemoryBackend::checkpoint(const std::string& dir) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (!checkpoints_.try_emplace(dir, state_).second) {
    return absl::AlreadyExistsError(cat(dir, " exists"));
  }
  return absl::OkStatus();
}

absl::Status MemoryBackend::health() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

void MemoryBackend::crash() {
  std::lock_guard lock(mutex_);
  held_.clear();
  state_ = std::make_shared<State>(*durable_);
}

void MemoryBackend::hold_flushes() {
  std::lock_guard lock(mutex_);
  hold_ = true;
}

void MemoryBackend::release_flushes() {
  decltype(held_) held;
  {
    std::lock_guard lock(mutex_);
    hold_ = false;
    held.swap(held_);
  }
  if (held.empty()) return;
  // The newest has what the others have. Whoever is told may flush more, which is newer still.
  complete_flush(std::move(held.back().first));
  for (auto& [state, done] : held) done(absl::OkStatus());
}

void MemoryBackend::fail_writes(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

std::unique_ptr<MemoryBackend> MemoryBackend::open_checkpoint(const std::string& dir) const {
  std::lock_guard lock(mutex_);
  auto it = checkpoints_.find(dir);
  CHECK(it != checkpoints_.end());
  auto copy = std::make_unique<MemoryBackend>();
  copy->state_ = std::make_shared<State>(*it->second);
  copy->durable_ = it->second;
  return copy;
}

}  // namespace keelson::backend
