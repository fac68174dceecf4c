// base/shares.h
//
// Shares divide a bounded thing (places in a queue, bytes in memory) among clients, so that who
// wants much is refused first and who wants little is not. Docs: decisions/0016.
//
// The rule: as long as it is free, who has nothing may have what he asks for, and who has something
//   may come to have up to kGreed times what is free. So nobody is limited while there is enough; n
//   clients that want all they can get end up with equal parts (max-min), and 1 / (kGreed * n + 1)
//   stays free for those who come. What a client may have, its connections share by the same rule.
// Beyond all: with many who are greedy what stays free may be less than one thing that is asked
// for.
//   So whoever has nothing gets what he asks for as long as anything is free. By that thing, and no
//   more, all together may be above what there is (and by one for each thread that asks just then);
//   nobody gets anything until they are not.
// Bookkeeping: no row for each client, but two tables of sums in which everybody has a place by a
//   hash of his number (a count-min sketch): it never grows, nothing is looked up, allocated or
//   removed, and a sum is never less than what is held. It is more for him whose places in both
//   tables are taken by others, too: with n others one in (rows / n)² clients.
// Threads: SharedShares any, LaneShares one. Sums are exact but for what others add meanwhile.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/origin.h"

namespace keelson {

// How much more than what is free anybody may have.
inline constexpr int64_t kGreed = 2;

// The rule for one who has `own`. REQUIRES: nothing is negative but `free`.
constexpr bool may_have_more(int64_t own, int64_t more, int64_t free) {
  if (own == 0) return free > 0;
  return more <= free && own + more <= kGreed * free;
}

// The rule for a connection that has `connection` of what its client has.
constexpr bool may_have_more(int64_t client, int64_t connection, int64_t more, int64_t free) {
  if (!may_have_more(client, more, free)) return false;
  return client == 0 || may_have_more(connection, more, kGreed * free - client);
}

enum class Threads : uint8_t { kOne, kMany };

// How much each of many holds, in a fixed amount of memory.
template <Threads threads>
class Holdings {
 public:
  // REQUIRES: `rows` is a power of two.
  explicit Holdings(size_t rows) : rows_(rows), sums_(2 * rows) {
    CHECK(rows > 0);
    CHECK((rows & (rows - 1)) == 0);
  }

  // Never less than it is.
  int64_t of(uint64_t who) const {
    const Places at = places(who);
    return std::min(sums_[at.first].load(std::memory_order_relaxed),
                    sums_[at.second].load(std::memory_order_relaxed));
  }

  void add(uint64_t who, int64_t amount) {
    const Places at = places(who);
    add_to(sums_[at.first], amount);
    add_to(sums_[at.second], amount);
  }

 private:
  struct Places {
    size_t first, second;
  };
  using Sum = std::atomic<int64_t>;  // >= 0

  // Two halves of a number in which each bit depends on all of `who`'s.
  Places places(uint64_t who) const {
    uint64_t mixed = (who ^ (who >> 32)) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9;
    mixed ^= mixed >> 32;
    return {mixed & (rows_ - 1), rows_ + ((mixed >> 32) & (rows_ - 1))};
  }

  static void add_to(Sum& sum, int64_t amount) {
    if constexpr (threads == Threads::kMany) {
      [[maybe_unused]] const int64_t before = sum.fetch_add(amount, std::memory_order_relaxed);
      CHECK(before + amount >= 0);
    } else {
      const int64_t after = sum.load(std::memory_order_relaxed) + amount;
      CHECK(after >= 0);
      sum.store(after, std::memory_order_relaxed);
    }
  }

  const size_t rows_;
  std::vector<Sum> sums_;  // of the first table, then of the second
};

template <Threads threads>
class Shares {
 public:
  enum class Verdict : uint8_t {
    kYes,
    kFull,   // there is not so much left
    kShare,  // there is, for others
  };

  // `most`: of all together, but for one thing. REQUIRES: as Holdings.
  Shares(int64_t most, size_t rows) : most_(most), clients_(rows), connections_(rows) {
    CHECK(most > 0);
  }

  Verdict ask(const Origin& from, int64_t more) const { return ask(from, more, most_); }
  // As if there were `most` of it.
  Verdict ask(const Origin& from, int64_t more, int64_t most) const {
    const int64_t free = most - total();
    if (free <= 0 || more > most) return Verdict::kFull;
    const int64_t client = from.is_own() ? 0 : clients_.of(from.client);
    if (client == 0) return Verdict::kYes;
    if (more > free) return Verdict::kFull;
    const int64_t connection = connections_.of(from.connection);
    return may_have_more(client, connection, more, free) ? Verdict::kYes : Verdict::kShare;
  }

  void add(const Origin& from, int64_t amount) {
    if constexpr (threads == Threads::kMany) {
      total_.fetch_add(amount, std::memory_order_relaxed);
    } else {
      total_.store(total_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    if (from.is_own()) return;
    clients_.add(from.client, amount);
    connections_.add(from.connection, amount);
  }

  // What was added, by the same.
  void remove(const Origin& from, int64_t amount) {
    CHECK(total() >= amount);
    add(from, -amount);
  }

  int64_t total() const { return total_.load(std::memory_order_relaxed); }
  int64_t most() const { return most_; }

 private:
  const int64_t most_;
  std::atomic<int64_t> total_{0};  // >= what anybody holds
  Holdings<threads> clients_, connections_;
};

using SharedShares = Shares<Threads::kMany>;
using LaneShares = Shares<Threads::kOne>;

}  // namespace keelson
