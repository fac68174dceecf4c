// net/held_bytes.h
//
// What clients make the member hold: requests that come in and are not served yet, and answers that
// they do not take. HeldBudget is one for each of the two sorts, over all listeners of one pool of
// loops: it counts by their numbers, so what listens on another pool (that for members) has a
// budget of its own. HeldBytes is one connection's part of it, counted from the first byte.
//
// Who is refused: a connection that would hold more than is allowed to one; then, as the budget
//   fills, those who ask for much before those who ask for little, and never those who hold next to
//   nothing: the number of connections bounds what these come to.
// Who gives up: from five eighths of the budget on, those whose clients have not gone on for a
//   second let go of what they hold, down to a half. The connection goes first whose bytes have
//   waited most, all together; of its parts the same. Whoever goes on loses nothing.
//
// Threads: an account is its loop's; each loop counts for itself, and looks what the others have
//   counted when it has added a step or is about to refuse. So the sum is exact but for a step per
//   loop, and counting costs no more than an addition.
// Lifetime: the budget outlives its accounts, who share it.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/check.h"
#include "base/clock.h"
#include "net/loop.h"

namespace keelson::net {

class HeldBytes;

enum class HeldSort { kIncoming, kOutgoing };

// Something that a connection could give up.
struct HeldItem {
  // All of the connection; others are the protocol's own.
  static constexpr int64_t kConnection = -1;

  int64_t id;
  size_t bytes;
  MonotonicTime since;  // the client has not gone on
};

// Who holds it.
class Holder {
 public:
  virtual void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const = 0;
  // Lets go of it; its client may be told.
  virtual void give_up(HeldSort sort, int64_t id) = 0;

 protected:
  ~Holder() = default;
};

// How far a client goes on with one thing: `since` moves when it has taken, or sent, a bit that is
// worth it. A byte now and then is not.
struct HeldPace {
  static constexpr size_t kBit = 64 << 10;

  void begin(MonotonicTime now) {
    since = now;
    moved = 0;
  }
  void move(size_t bytes, MonotonicTime now) {
    moved += bytes;
    if (moved >= kBit) begin(now);
  }

  MonotonicTime since{};
  size_t moved = 0;  // < kBit
};

class HeldBudget : public std::enable_shared_from_this<HeldBudget> {
 public:
  // For accounts on loops with numbers below `loops`.
  HeldBudget(HeldSort sort, size_t most, int loops);
  ~HeldBudget();
  HeldBudget(const HeldBudget&) = delete;
  HeldBudget& operator=(const HeldBudget&) = delete;

  // What all connections hold. Any thread.
  size_t total() const;
  size_t most() const { return most_; }
  // How much has been given up so far. Any thread.
  uint64_t times_given_up() const { return given_up_.load(std::memory_order_relaxed); }
  // How often something was not admitted, for what its connection or all of them hold. Any thread.
  uint64_t times_refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  friend class HeldBytes;
  struct Stalled;

  // What one loop counts. The atomics are anybody's, the rest is the loop's.
  struct alignas(64) Lane {
    std::atomic<size_t> bytes{0};      // written by its loop only
    std::atomic<Loop*> loop{nullptr};  // from its first account on
    std::atomic<bool> asked{false};    // relieve() is on its way
    std::atomic<size_t> wanted{0};     // the most that was refused since it ran last
    size_t others = 0;                 // bytes of the other lanes, when it looked last …
    size_t added = 0;                  // … and what it has added since
    HeldBytes* first = nullptr;        // accounts that hold something, and some that did
    MonotonicTime relieved{};          // when relieve() ran last
  };

  Lane& lane_of(Loop* loop);
  bool refuse() {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  bool admits(Lane& lane, size_t own, size_t more);
  void look(Lane& lane);
  void ask_for_relief(size_t wanted);
  void relieve(Lane& lane);
  // How much this lane is to let go of.
  size_t share(Lane& lane) const;
  std::vector<Stalled> stalled(Lane& lane, MonotonicTime now) const;
  struct GivenUp {
    size_t times = 0;
    size_t bytes = 0;
  };
  GivenUp give_up(HeldBytes& account, size_t bytes, MonotonicTime now) const;

  const HeldSort sort_;
  const size_t most_;
  std::atomic<uint64_t> given_up_{0};
  std::atomic<uint64_t> refused_{0};
  std::vector<Lane> lanes_;
};

// The two of a member, or of whoever else listens.
struct HeldBudgets {
  static constexpr size_t kIncoming = size_t{512} << 20;
  static constexpr size_t kOutgoing = size_t{1} << 30;

  explicit HeldBudgets(int loops, size_t most_incoming = kIncoming,
                       size_t most_outgoing = kOutgoing)
      : incoming(std::make_shared<HeldBudget>(HeldSort::kIncoming, most_incoming, loops)),
        outgoing(std::make_shared<HeldBudget>(HeldSort::kOutgoing, most_outgoing, loops)) {}

  std::shared_ptr<HeldBudget> incoming, outgoing;
};

class HeldBytes {
 public:
  // `most`: of this connection. `holder` outlives it.
  HeldBytes(std::shared_ptr<HeldBudget> budget, Loop* loop, size_t most, Holder* holder);
  ~HeldBytes();
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  size_t bytes() const { return bytes_; }

  // Whether `more` may be held. A connection that holds nothing may hold one thing of any size, as
  // far as it goes.
  bool admits(size_t more) {
    if (bytes_ > 0 && bytes_ + more > most_) return budget_->refuse();
    return budget_->admits(lane_, bytes_, more);
  }

  // What was `before` is `after` now. False: that is more than before, and too much.
  bool change(size_t before, size_t after) {
    CHECK(bytes_ >= before);
    bytes_ = bytes_ - before + after;
    lane_.bytes.store(lane_.bytes.load(std::memory_order_relaxed) - before + after,
                      std::memory_order_relaxed);
    if (after <= before) return true;
    if (!listed_) list();
    lane_.added += after - before;
    if (lane_.added >= kStep) budget_->look(lane_);
    return bytes_ <= most_ ? budget_->admits(lane_, bytes_, 0) : budget_->refuse();
  }

 private:
  friend class HeldBudget;
  static constexpr size_t kStep = 64 << 10;

  void list();
  void unlist();

  const std::shared_ptr<HeldBudget> budget_;
  HeldBudget::Lane& lane_;
  const size_t most_;
  Holder& holder_;
  size_t bytes_ = 0;
  bool listed_ = false;  // among the lane's; always while bytes_ > 0
  HeldBytes* prev_ = nullptr;
  HeldBytes* next_ = nullptr;
};

}  // namespace keelson::net
