#include "load/works.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "load/messages.h"

namespace keelson::bench {
namespace {

// Values differ from each other at their head and look random throughout. Small ones that stand
// together in a store have parts in common, which one that compresses may gain by; fresh ones
// don't.
class Values {
 public:
  explicit Values(const WorkOptions& options)
      : size_(options.value_size), fresh_(options.fresh), random_(options.seed) {
    pool_.resize(size_ + kTurns);
    fill(pool_.size());
  }
  std::string_view next() {
    if (fresh_) {
      fill(size_);
      return std::string_view(pool_).substr(0, size_);
    }
    at_ = (at_ + 61) % kTurns;
    return std::string_view(pool_).substr(at_, size_);
  }

 private:
  static constexpr size_t kTurns = 4093;

  void fill(size_t bytes) {
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
      const uint64_t number = random_();
      std::memcpy(pool_.data() + at, &number, std::min(sizeof number, bytes - at));
    }
  }

  const size_t size_;
  const bool fresh_;
  std::mt19937_64 random_;
  std::string pool_;
  size_t at_ = 0;
};

class Keys {
 public:
  explicit Keys(const WorkOptions& options)
      : choice_(options.keys), space_(options.space), random_(options.seed) {
    key_ = key_of(options, 0);
    digits_ = key_.size() - kDigits;
  }
  std::string_view next() {
    uint64_t n = number();
    for (size_t i = key_.size(); i > digits_; n /= 10) key_[--i] = static_cast<char>('0' + n % 10);
    return key_;
  }

 private:
  static constexpr size_t kDigits = 10;
  uint64_t number() {
    switch (choice_) {
      case KeyChoice::kSame:
        return 0;
      case KeyChoice::kDistinct:
        return counter_++;
      case KeyChoice::kCycle:
        return counter_++ % space_;
      case KeyChoice::kRandom:
        return random_() % space_;
    }
    return 0;
  }
  KeyChoice choice_;
  uint64_t space_;
  std::mt19937_64 random_;
  uint64_t counter_ = 0;
  std::string key_;
  size_t digits_ = 0;
};

class Put final : public Work {
 public:
  explicit Put(const WorkOptions& options) : keys_(options), values_(options) {}
  const char* path() const override { return kPutPath; }
  void next(size_t, std::string& frame) override { add_put(frame, keys_.next(), values_.next()); }

 private:
  Keys keys_;
  Values values_;
};

class Get final : public Work {
 public:
  explicit Get(const WorkOptions& options)
      : keys_(options), serializable_(options.serializable), at_least_(options.value_size) {}
  const char* path() const override { return kRangePath; }
  void next(size_t, std::string& frame) override {
    add_range(frame, {.key = keys_.next(), .serializable = serializable_});
  }
  bool done(const Call& call) override { return call.ok() && call.received >= at_least_; }

 private:
  Keys keys_;
  bool serializable_;
  size_t at_least_;
};

class List final : public Work {
 public:
  explicit List(const WorkOptions& options) : at_least_(options.expected * options.value_size) {
    add_range(frame_, {.key = options.prefix,
                       .range_end = prefix_end(options.prefix),
                       .serializable = options.serializable});
  }
  const char* path() const override { return kRangePath; }
  void next(size_t, std::string& frame) override { frame = frame_; }
  bool done(const Call& call) override { return call.ok() && call.received >= at_least_; }

 private:
  std::string frame_;
  uint64_t at_least_;
};

class Page final : public Work {
 public:
  explicit Page(const WorkOptions& options)
      : prefix_(options.prefix),
        end_(prefix_end(options.prefix)),
        limit_(options.limit),
        expected_(static_cast<int64_t>(options.expected)),
        walks_(options.slots) {}
  const char* path() const override { return kRangePath; }
  bool reads_answer() const override { return true; }
  void next(size_t slot, std::string& frame) override {
    const Walk& walk = walks_[slot];
    add_range(frame, {.key = walk.from.empty() ? std::string_view(prefix_) : walk.from,
                      .range_end = end_,
                      .limit = limit_});
  }
  bool done(const Call& call) override {
    Walk& walk = walks_[call.slot];
    RangeAnswer answer;
    if (!call.ok() || !read_range_answer(message_of_frame(call.answer), &answer)) return false;
    int64_t wanted = walk.from.empty() ? expected_ : walk.left;
    walk.left = answer.count - static_cast<int64_t>(answer.keys);
    if (answer.more) {
      walk.from.assign(answer.last_key).push_back('\0');
    } else {
      walk.from.clear();
    }
    return wanted == 0 || wanted == answer.count;
  }

 private:
  struct Walk {
    std::string from;  // empty: at the prefix's beginning
    int64_t left = 0;  // what the next page must count
  };
  std::string prefix_, end_;
  int64_t limit_;
  int64_t expected_;
  std::vector<Walk> walks_;
};

class Transactions final : public Work {
 public:
  explicit Transactions(const WorkOptions& options)
      : options_(options), values_(options), objects_(options.slots) {}
  const char* path() const override { return kTxnPath; }
  bool reads_answer() const override { return true; }
  void next(size_t slot, std::string& frame) override {
    Object& object = objects_[slot];
    if (object.key.empty()) object.key = key_of(options_, created_++);
    add_guarded_put(frame, object.key, values_.next(), object.revision);
  }
  bool done(const Call& call) override {
    Object& object = objects_[call.slot];
    TxnAnswer answer;
    bool good = call.ok() && read_txn_answer(message_of_frame(call.answer), &answer);
    if (!good || !answer.succeeded) {
      object = Object();
      return false;
    }
    object.revision = answer.revision;
    if (++object.writes == kWritesPerObject) object = Object();
    return true;
  }

 private:
  // A pod is written about this often from its creation to running.
  static constexpr int kWritesPerObject = 6;
  struct Object {
    std::string key;
    int64_t revision = 0;
    int writes = 0;
  };
  WorkOptions options_;
  Values values_;
  std::vector<Object> objects_;
  uint64_t created_ = 0;
};

class Fill final : public Work {
 public:
  explicit Fill(const WorkOptions& options) : options_(options), values_(options) {}
  const char* path() const override { return kTxnPath; }
  void next(size_t, std::string& frame) override {
    operations_.clear();
    uint64_t end = std::min(next_ + options_.batch, options_.space);
    for (; next_ < end; ++next_) {
      add_put_operation(operations_, key_of(options_, next_), values_.next());
    }
    if (next_ == options_.space) next_ = 0;
    add_transaction(frame, operations_);
  }

 private:
  WorkOptions options_;
  Values values_;
  uint64_t next_ = 0;
  std::string operations_;
};

}  // namespace

std::string key_of(const WorkOptions& options, uint64_t n) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%010llu", static_cast<unsigned long long>(n));
  return options.prefix + digits;
}

std::unique_ptr<Work> make_put(const WorkOptions& o) { return std::make_unique<Put>(o); }
std::unique_ptr<Work> make_get(const WorkOptions& o) { return std::make_unique<Get>(o); }
std::unique_ptr<Work> make_list(const WorkOptions& o) { return std::make_unique<List>(o); }
std::unique_ptr<Work> make_page(const WorkOptions& o) { return std::make_unique<Page>(o); }
std::unique_ptr<Work> make_txn(const WorkOptions& o) { return std::make_unique<Transactions>(o); }
std::unique_ptr<Work> make_fill(const WorkOptions& o) { return std::make_unique<Fill>(o); }

}  // namespace keelson::bench
