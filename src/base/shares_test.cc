#include "base/shares.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/test_seeds.h"

namespace keelson {
namespace {

using Verdict = LaneShares::Verdict;

TEST(Shares, NobodyIsLimitedWhileThereIsEnough) {
  LaneShares shares(100, 64);
  const Origin one{1, 1}, other{2, 2};
  EXPECT_EQ(shares.ask(one, 100), Verdict::kYes);
  EXPECT_EQ(shares.ask(one, 101), Verdict::kFull);
  shares.add(one, 20);
  EXPECT_EQ(shares.ask(one, 30), Verdict::kYes);
  EXPECT_EQ(shares.ask(other, 80), Verdict::kYes);
}

TEST(Shares, WhoHasMuchIsRefusedAndWhoHasNothingIsNot) {
  LaneShares shares(100, 64);
  const Origin greedy{1, 1}, modest{2, 2};
  while (shares.ask(greedy, 1) == Verdict::kYes) shares.add(greedy, 1);
  EXPECT_EQ(shares.total(), 58);  // four sevenths
  EXPECT_EQ(shares.ask(greedy, 1), Verdict::kShare);
  EXPECT_EQ(shares.ask(modest, 42), Verdict::kYes);
  EXPECT_EQ(shares.ask({}, 42), Verdict::kYes);  // the member itself
  // Whoever has nothing may take all by more than is left, once.
  EXPECT_EQ(shares.ask(modest, 43), Verdict::kYes);
  EXPECT_EQ(shares.ask({}, 43), Verdict::kYes);
  EXPECT_EQ(shares.ask(modest, 101), Verdict::kFull);
  shares.add(modest, 43);
  EXPECT_EQ(shares.ask({3, 3}, 1), Verdict::kFull);
  EXPECT_EQ(shares.ask({}, 1), Verdict::kFull);
  shares.remove(modest, 43);
  shares.remove(greedy, 58);
  EXPECT_EQ(shares.total(), 0);
  EXPECT_EQ(shares.ask(greedy, 57), Verdict::kYes);
}

TEST(Shares, ManyConnectionsOfAClientAreOneClient) {
  LaneShares shares(10'000, 1024);
  for (bool any = true; any;) {
    any = false;
    for (uint64_t i = 1; i <= 64; ++i) {
      const Origin from{1, i};
      if (shares.ask(from, 1) != Verdict::kYes) continue;
      shares.add(from, 1);
      any = true;
    }
  }
  const int64_t flood = shares.total();
  EXPECT_LE(flood, 6'667);  // two thirds
  EXPECT_GE(flood, 6'400);
  // Another client alone gets about as much as all of them; of theirs a new one gets something.
  EXPECT_EQ(shares.ask({1, 65}, 1), Verdict::kYes);
  EXPECT_EQ(shares.ask({2, 66}, 10'000 - flood), Verdict::kYes);
}

// What many who are greedy leave free is less than a large request, and it gets in all the same.
TEST(Shares, WhatIsLargeIsNotRefusedForEver) {
  constexpr int64_t kMost = int64_t{256} << 20, kLarge = 1'572'864;
  LaneShares shares(kMost, 16 << 10);
  for (bool any = true; any;) {
    any = false;
    for (uint64_t i = 1; i <= 200; ++i) {
      if (shares.ask({i, i}, 4096) != Verdict::kYes) continue;
      shares.add({i, i}, 4096);
      any = true;
    }
  }
  ASSERT_LT(kMost - shares.total(), kLarge);
  EXPECT_EQ(shares.ask({1, 1}, kLarge), Verdict::kFull);
  EXPECT_EQ(shares.ask({1000, 1000}, kLarge), Verdict::kYes);
  shares.add({1000, 1000}, kLarge);
  EXPECT_EQ(shares.ask({1001, 1001}, 1), Verdict::kFull);
  shares.remove({1000, 1000}, kLarge);
  EXPECT_EQ(shares.ask({1001, 1001}, kLarge), Verdict::kYes);
}

TEST(Shares, OfMoreThanThereIsTheRuleIsTheSame) {
  LaneShares shares(100, 64);
  const Origin greedy{1, 1}, modest{2, 2};
  while (shares.ask(greedy, 1) == Verdict::kYes) shares.add(greedy, 1);
  while (shares.ask(greedy, 1, 200) == Verdict::kYes) shares.add(greedy, 1);
  EXPECT_EQ(shares.total(), 115);  // four sevenths
  EXPECT_EQ(shares.ask(modest, 1), Verdict::kFull);
  EXPECT_EQ(shares.ask(modest, 1, 200), Verdict::kYes);
}

TEST(Shares, ThoseWhoWantAllGetEqualParts) {
  for (const uint64_t clients : {2u, 5u, 20u}) {
    LaneShares shares(100'000, 4096);
    std::map<uint64_t, int64_t> held;
    // The later ones come when the first have all that they can have.
    for (int round = 0; round < 200'000; ++round) {
      const uint64_t client = 1 + static_cast<uint64_t>(round) % clients;
      if (client > 1 && round < 100'000) continue;
      const Origin from{client, client};
      if (shares.ask(from, 10) == Verdict::kYes) {
        shares.add(from, 10);
        held[client] += 10;
      } else if (held[client] > 0) {
        shares.remove(from, 10);  // served, and asked again later
        held[client] -= 10;
      }
    }
    const auto [least, most] = std::minmax_element(
        held.begin(), held.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    ASSERT_EQ(held.size(), clients);
    EXPECT_LE(most->second - least->second, most->second / 10) << clients;
  }
}

// What the tables say is never less than what is held; and where they are large enough for nobody
// to meet another, a plain map gives the same verdicts.
TEST(SharesRandom, BehaveLikeAMapOfEverybody) {
  for_each_seed({.count = 100}, [](uint64_t seed) {
    SeededRandom random(seed);
    const auto most = static_cast<int64_t>(1 + random.below(1000));
    const bool roomy = random.below(2) == 0;
    LaneShares shares(most, roomy ? 1 << 18 : 8);
    Holdings<Threads::kOne> sums(8);
    std::map<uint64_t, int64_t> clients, connections;
    std::vector<std::pair<Origin, int64_t>> held;
    int64_t total = 0;
    for (int step = 0; step < 2'000; ++step) {
      const uint64_t client = random.below(6);
      const Origin from{client, client * 100 + random.below(4)};
      const auto more = static_cast<int64_t>(random.below(20));
      const int64_t free = most - total;
      Verdict slow = free <= 0 || more > most ? Verdict::kFull : Verdict::kYes;
      if (slow == Verdict::kYes && client != 0 && clients[client] > 0) {
        const int64_t of_client = clients[client], of_connection = connections[from.connection];
        const int64_t of_client_free = 2 * free - of_client;
        if (of_client + more > 2 * free) slow = Verdict::kShare;
        if (of_connection == 0 && of_client_free <= 0) slow = Verdict::kShare;
        if (of_connection > 0 && of_connection + more > 2 * of_client_free) slow = Verdict::kShare;
        if (of_connection > 0 && more > of_client_free) slow = Verdict::kShare;
        if (more > free) slow = Verdict::kFull;
      }
      const Verdict fast = shares.ask(from, more);
      if (roomy) {
        ASSERT_EQ(fast, slow) << step;
      } else if (fast == Verdict::kYes) {
        ASSERT_EQ(slow, Verdict::kYes) << step;
      }
      if (fast == Verdict::kYes && random.below(4) > 0) {
        shares.add(from, more);
        if (client != 0) sums.add(client, more);
        clients[client] += more;
        connections[from.connection] += more;
        total += more;
        held.emplace_back(from, more);
      } else if (!held.empty()) {
        std::swap(held[random.below(held.size())], held.back());
        const auto [who, amount] = held.back();
        held.pop_back();
        shares.remove(who, amount);
        if (who.client != 0) sums.add(who.client, -amount);
        clients[who.client] -= amount;
        connections[who.connection] -= amount;
        total -= amount;
      }
      ASSERT_EQ(shares.total(), total);
      ASSERT_LT(total, most + 20);
      for (const auto& [who, amount] : clients) {
        if (who != 0) ASSERT_GE(sums.of(who), amount);
      }
    }
  });
}

TEST(Shares, ManyThreadsLoseNothing) {
  SharedShares shares(1'000'000, 64);
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&shares, t] {
      for (int i = 0; i < 20'000; ++i) shares.add({t, t}, 3);
      for (int i = 0; i < 20'000; ++i) shares.remove({t, t}, 3);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shares.total(), 0);
  EXPECT_EQ(shares.ask({1, 1}, 1'000'000), SharedShares::Verdict::kYes);
}

}  // namespace
}  // namespace keelson
