#include "node/fair_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson::node {
namespace {

TEST(FairQueue, ClientsTakeTurns) {
  FairQueue<int> queue;
  for (int i = 0; i < 4; ++i) queue.push(1, 10, 10 + i);
  queue.push(2, 10, 20);
  queue.push(3, 10, 30);
  queue.push(3, 10, 31);
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop());
  EXPECT_EQ(order, (std::vector<int>{10, 20, 30, 11, 31, 12, 13}));
  EXPECT_EQ(queue.clients(), 0u);
}

TEST(FairQueue, WhoAsksForMuchHasItsTurnLessOften) {
  FairQueue<int> queue;
  for (int i = 0; i < 3; ++i) queue.push(1, 30, 10 + i);
  for (int i = 0; i < 7; ++i) queue.push(2, 10, 20 + i);
  std::vector<int> order;
  while (!queue.empty()) order.push_back(queue.pop());
  EXPECT_EQ(order, (std::vector<int>{10, 20, 21, 22, 11, 23, 24, 25, 12, 26}));
}

TEST(FairQueue, WhoComesLaterIsNotBehindThoseWhoWaitedBefore) {
  FairQueue<int> queue;
  for (int i = 0; i < 1000; ++i) queue.push(1, 10, 1);
  for (int i = 0; i < 500; ++i) queue.pop();
  queue.push(2, 10, 2);
  EXPECT_EQ(queue.pop() + queue.pop(), 3);
}

// They are served, go, and come back at once: each time as new ones they would be next for ever.
TEST(FairQueue, ManyWithOneItemEachKeepNobodyOut) {
  FairQueue<int> queue;
  for (int i = 0; i < 10; ++i) queue.push(1000, 10, 1000);
  for (int client = 0; client < 100; ++client) {
    queue.push(static_cast<uint64_t>(client), 10, client);
  }
  int served = 0;
  for (int i = 0; i < 5 * 101; ++i) {
    const int client = queue.pop();
    served += client == 1000;
    if (client != 1000) queue.push(static_cast<uint64_t>(client), 10, client);
  }
  EXPECT_EQ(served, 5);
}

// The same by looking at everything each time.
struct SlowQueue {
  struct One {
    uint64_t client, cost;
    int item;
  };
  struct Client {
    uint64_t time, order;
  };
  std::vector<One> items;                 // in the order of their coming
  std::map<uint64_t, Client> clients;     // who has some
  std::map<uint64_t, uint64_t> finished;  // of whom something was given, until none is left
  uint64_t now = 0, order = 0;

  void push(uint64_t client, uint64_t cost, int item) {
    items.push_back({client, cost, item});
    if (!clients.contains(client)) clients[client] = {std::max(now, finished[client]), order++};
  }
  bool has_items(uint64_t client) const {
    return std::any_of(items.begin(), items.end(),
                       [client](const One& one) { return one.client == client; });
  }
  int pop() {
    auto next = std::min_element(clients.begin(), clients.end(), [](const auto& a, const auto& b) {
      return std::pair(a.second.time, a.second.order) < std::pair(b.second.time, b.second.order);
    });
    const uint64_t client = next->first;
    now = next->second.time;
    const auto one = std::find_if(items.begin(), items.end(),
                                  [client](const One& one) { return one.client == client; });
    const int item = one->item;
    const uint64_t cost = one->cost;
    items.erase(one);
    clients.erase(client);
    finished[client] = now + cost;
    if (has_items(client)) clients[client] = {now + cost, order++};
    if (items.empty()) finished.clear();
    return item;
  }
};

TEST(FairQueueRandom, BehavesLikeOneThatLooksAtEverything) {
  for_each_seed({.count = 100}, [](uint64_t seed) {
    SeededRandom random(seed);
    FairQueue<std::unique_ptr<int>> queue;
    SlowQueue slow;
    const uint64_t most_clients = 1 + random.below(8);
    int next = 0;
    for (int step = 0; step < 1'000; ++step) {
      const uint64_t what = random.below(20);
      if (what < 10) {
        const uint64_t client = random.below(most_clients), cost = 1 + random.below(100);
        queue.push(client, cost, std::make_unique<int>(next));
        slow.push(client, cost, next++);
      } else if (what < 19) {
        if (queue.empty()) continue;
        const int front = *queue.front();
        ASSERT_EQ(*queue.pop(), front);
        ASSERT_EQ(slow.pop(), front);
      } else {
        const auto third = static_cast<int>(random.below(3));
        std::vector<std::unique_ptr<int>> out;
        queue.take_if([third](const auto& item) { return *item % 3 == third; }, &out);
        const auto gone = std::erase_if(
            slow.items, [third](const SlowQueue::One& one) { return one.item % 3 == third; });
        std::erase_if(slow.clients, [&](const auto& row) { return !slow.has_items(row.first); });
        if (slow.items.empty()) slow.finished.clear();
        ASSERT_EQ(out.size(), gone);
      }
      ASSERT_EQ(queue.size(), slow.items.size());
      ASSERT_EQ(queue.clients(), slow.clients.size());
    }
  });
}

// Nobody who always has something waiting is given less than another, but for one item.
TEST(FairQueueRandom, SharesAreMaxMin) {
  for_each_seed({.count = 50}, [](uint64_t seed) {
    SeededRandom random(seed);
    FairQueue<uint64_t> queue;  // items are their client's number
    const uint64_t clients = 2 + random.below(6);
    constexpr uint64_t kMostCost = 100;
    std::map<uint64_t, uint64_t> given, waiting;
    std::vector<std::vector<uint64_t>> costs(clients);
    for (int step = 0; step < 2'000; ++step) {
      for (uint64_t client = 0; client < clients; ++client) {
        // The first always has one waiting, the last has hundreds.
        while (waiting[client] <= client * 50) {
          const uint64_t cost = 1 + random.below(kMostCost);
          queue.push(client, cost, client);
          costs[client].push_back(cost);
          ++waiting[client];
        }
      }
      const uint64_t client = queue.pop();
      given[client] += costs[client].front();
      costs[client].erase(costs[client].begin());
      --waiting[client];
      uint64_t least = UINT64_MAX, most = 0;
      for (uint64_t other = 0; other < clients; ++other) {
        least = std::min(least, given[other]);
        most = std::max(most, given[other]);
      }
      if (step > 100) ASSERT_LE(most - least, 2 * kMostCost);
    }
  });
}

}  // namespace
}  // namespace keelson::node
