// node/fair_queue.h
//
// FairQueue is a queue in which clients take turns by what their items cost: next is the client to
// whom least has been given since he came to have something here. Of one client's items the oldest
// is next.
//
// So of two clients that always have something waiting neither gets more than the other but by one
// item, whoever has more waiting; and who comes with one item waits for one of each other client
// at most (start-time fair queueing).
// Threads: one caller at a time. Bounds: those of whoever pushes. Cost: a search among those who
//   have items; a client without any costs nothing.

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
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
    if (!row) {
      row = std::make_unique<Row>(Row{.client = client});
      enlist(*row, now_);
    }
    row->items.push_back({cost, std::move(item)});
    ++size_;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t clients() const { return rows_.size(); }

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
    if (row.items.empty()) {
      rows_.erase(row.client);
    } else {
      enlist(row, now_ + priced.cost);
    }
    CHECK(turns_.size() == rows_.size());
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
      rows_.erase(row.client);
    }
    CHECK(turns_.size() == rows_.size());
  }

 private:
  struct Priced {
    uint64_t cost;
    Item item;
  };
  struct Row {
    uint64_t client = 0;
    std::deque<Priced> items;  // none only while a method runs
  };
  // What had been given to somebody who was always here when its client's turn comes; of equals
  // who came first.
  struct Turn {
    uint64_t time;
    uint64_t order;
    friend auto operator<=>(const Turn&, const Turn&) = default;
  };

  void enlist(Row& row, uint64_t time) { turns_.emplace(Turn{time, next_order_++}, &row); }

  absl::flat_hash_map<uint64_t, std::unique_ptr<Row>> rows_;  // who has items
  std::map<Turn, Row*> turns_;                                // the same; none is before now_
  uint64_t now_ = 0;                                          // the time of the turn taken last
  uint64_t next_order_ = 0;
  size_t size_ = 0;
};

}  // namespace keelson::node
