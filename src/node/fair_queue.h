// node/fair_queue.h
//
// FairQueue is a queue in which clients take turns by what their items cost: next is the client to
// whom least has been given since he came to have something here. Of one client's items the oldest
// is next.
//
// So of two clients that always have something waiting, or that come back as soon as they are
// served, neither gets more than the other but by one item, whoever has more waiting; and who comes
// with one item waits for one of each other client at most (start-time fair queueing).
// Threads: one caller at a time. Bounds: those of whoever pushes, and kMostIdle. Cost: a search
//   among those who have items, or had some until their turn would be over.

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"

namespace keelson::node {

template <typename Item>
class FairQueue {
 public:
  // REQUIRES: cost > 0.
  void push(uint64_t client, uint64_t cost, Item item) {
    CHECK(cost > 0);
    std::unique_ptr<Row>& row = rows_[client];
    if (!row) row = std::make_unique<Row>(Row{.client = client});
    if (row->items.empty()) {
      if (row->idle) idle_.erase(Turn{row->finish, *std::exchange(row->idle, std::nullopt)});
      enlist(*row, std::max(now_, row->finish));
    }
    row->items.push_back({cost, std::move(item)});
    ++size_;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  // That have items.
  size_t clients() const { return turns_.size(); }

  // REQUIRES: not empty.
  const Item& front() const {
    CHECK(!empty());
    return turns_.begin()->second->items.front().item;
  }

  // REQUIRES: not empty.
  Item pop() {
    CHECK(!empty());
    auto first = turns_.begin();
    Row& row = *first->second;
    CHECK(first->first.time >= now_);
    now_ = first->first.time;
    turns_.erase(first);
    Priced priced = std::move(row.items.front());
    row.items.pop_front();
    --size_;
    row.finish = now_ + priced.cost;
    if (row.items.empty()) {
      rest(row);
    } else {
      enlist(row, row.finish);
    }
    forget();
    return std::move(priced.item);
  }

  // Takes out those that `wanted` says, in no order.
  template <typename Wanted>
  void take_if(const Wanted& wanted, std::vector<Item>* out) {
    for (auto turn = turns_.begin(); turn != turns_.end();) {
      Row& row = *turn->second;
      const auto is_wanted = [&](const Priced& priced) { return wanted(priced.item); };
      if (std::none_of(row.items.begin(), row.items.end(), is_wanted)) {
        ++turn;
        continue;
      }
      std::deque<Priced> kept;
      for (Priced& priced : row.items) {
        if (wanted(priced.item)) {
          out->push_back(std::move(priced.item));
        } else {
          kept.push_back(std::move(priced));
        }
      }
      size_ -= row.items.size() - kept.size();
      row.items = std::move(kept);
      if (!row.items.empty()) {
        ++turn;
        continue;
      }
      turn = turns_.erase(turn);
      rest(row);
    }
    forget();
  }

 private:
  struct Priced {
    uint64_t cost;
    Item item;
  };
  struct Row {
    uint64_t client = 0;
    std::deque<Priced> items;
    uint64_t finish = 0;           // of the item that was given last
    std::optional<uint64_t> idle;  // the order in idle_; then it has no items
  };
  // What had been given to somebody who was always here when its client's turn comes; of equals
  // who came first.
  struct Turn {
    uint64_t time;
    uint64_t order;
    friend auto operator<=>(const Turn&, const Turn&) = default;
  };

  // More have been served and have gone at one time than that only if that many were let in.
  static constexpr size_t kMostIdle = 64 << 10;

  void enlist(Row& row, uint64_t time) { turns_.emplace(Turn{time, next_order_++}, &row); }
  // Who has been served and comes back before his turn would be over has it behind the others.
  void rest(Row& row) {
    row.idle = next_order_++;
    idle_.emplace(Turn{row.finish, *row.idle}, &row);
  }
  void forget() {
    while (!idle_.empty() &&
           (idle_.begin()->first.time <= now_ || turns_.empty() || idle_.size() > kMostIdle)) {
      const uint64_t client = idle_.begin()->second->client;
      idle_.erase(idle_.begin());
      rows_.erase(client);
    }
    CHECK(turns_.size() + idle_.size() == rows_.size());
  }

  absl::flat_hash_map<uint64_t, std::unique_ptr<Row>> rows_;
  std::map<Turn, Row*> turns_;  // who has items; none is before now_
  std::map<Turn, Row*> idle_;   // who has none, by its finish > now_
  uint64_t now_ = 0;            // the time of the turn taken last
  uint64_t next_order_ = 0;
  size_t size_ = 0;
};

}  // namespace keelson::node
