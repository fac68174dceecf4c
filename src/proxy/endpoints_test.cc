// Which server is next: by priority, in turn, by weight; and what is an endpoint.

#include "proxy/endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::proxy {
namespace {

using testing::ElementsAre;
using Tried = Endpoints::Tried;

std::string parsed(std::string_view text) {
  absl::StatusOr<Endpoint> endpoint = parse_endpoint(text);
  return endpoint.ok() ? endpoint->address() : std::string(message_of(endpoint.status()));
}

TEST(Endpoint, IsAPlaceOrAUrl) {
  EXPECT_EQ(parsed("127.0.0.1:2379"), "127.0.0.1:2379");
  EXPECT_EQ(parsed("[::1]:2379"), "[::1]:2379");
  EXPECT_EQ(parsed("http://a.example:1"), "a.example:1");
  EXPECT_EQ(parsed("https://user:word@a.example:1/path?x=y//"), "a.example:1");
  EXPECT_EQ(parsed("//a:1"), "a:1");
  for (std::string_view bad : {"bad", "a:", "a:0", "a:65536", "a:1x", "a:-1", "::1:2379",
                               "http://a", "unix:///tmp/socket", ""}) {
    EXPECT_EQ(parsed(bad), cat("error parsing endpoint \"", bad, "\""));
  }
}

std::vector<Endpoint> numbered(std::vector<Endpoint> endpoints) {
  for (size_t i = 0; i < endpoints.size(); ++i) {
    endpoints[i].host = "h";
    endpoints[i].port = static_cast<uint16_t>(i + 1);
  }
  return endpoints;
}

std::vector<int> picks(Endpoints& endpoints, int count) {
  std::vector<int> all;
  for (int i = 0; i < count; ++i) {
    const std::optional<size_t> one = endpoints.pick(Tried(endpoints.size()));
    all.push_back(one ? static_cast<int>(*one) : -1);
  }
  return all;
}

TEST(Endpoints, TakeTurns) {
  SeededRandom random(1);
  Endpoints endpoints(numbered({{}, {}, {}}), &random);
  EXPECT_THAT(picks(endpoints, 5), ElementsAre(0, 1, 2, 0, 1));
  EXPECT_TRUE(endpoints.set_active(2, false));
  EXPECT_FALSE(endpoints.set_active(2, false));
  EXPECT_THAT(picks(endpoints, 3), ElementsAre(0, 1, 0));
  endpoints.set_active(2, true);
  EXPECT_THAT(picks(endpoints, 3), ElementsAre(1, 2, 0));
  // Where a client was already it is not sent again.
  EXPECT_EQ(endpoints.pick({false, true, true}), 0u);
  EXPECT_EQ(endpoints.pick({true, true, true}), std::nullopt);
  for (size_t i = 0; i < 3; ++i) endpoints.set_active(i, false);
  EXPECT_THAT(picks(endpoints, 1), ElementsAre(-1));
}

TEST(Endpoints, TheBestPriorityOfThoseThatAnswer) {
  SeededRandom random(1);
  Endpoints endpoints(numbered({{.priority = 20}, {.priority = 10}, {.priority = 10}}), &random);
  EXPECT_THAT(picks(endpoints, 4), ElementsAre(1, 2, 1, 2));
  endpoints.set_active(1, false);
  EXPECT_THAT(picks(endpoints, 2), ElementsAre(2, 2));
  endpoints.set_active(2, false);
  EXPECT_THAT(picks(endpoints, 2), ElementsAre(0, 0));
  endpoints.set_active(1, true);
  EXPECT_THAT(picks(endpoints, 2), ElementsAre(1, 1));
}

// Equal weights are equal chances; etcd's first would have all of them.
TEST(Endpoints, WeightsAreProportions) {
  SeededRandom random(7);
  Endpoints endpoints(numbered({{.weight = 1}, {.weight = 1}, {.weight = 2}, {.weight = 0}}),
                      &random);
  std::map<int, int> counts;
  for (int pick : picks(endpoints, 100000)) ++counts[pick];
  EXPECT_NEAR(counts[0], 24750, 1000);
  EXPECT_NEAR(counts[1], 24750, 1000);
  EXPECT_NEAR(counts[2], 49500, 1000);
  EXPECT_NEAR(counts[3], 1000, 200);
}

// Whatever is active: who is picked is one of those that the rules allow, and each of them is.
TEST(Endpoints, NobodyElseAndNobodyLess) {
  for_each_seed(200, [](uint64_t seed) {
    SeededRandom choice(seed), random(seed + 1);
    std::vector<Endpoint> all(1 + choice.below(6));
    for (Endpoint& one : all) {
      one.priority = static_cast<uint16_t>(choice.below(3));
      one.weight = static_cast<uint16_t>(choice.below(2) * choice.below(4));
    }
    Endpoints endpoints(numbered(all), &random);
    for (int round = 0; round < 10; ++round) {
      endpoints.set_active(choice.below(all.size()), choice.below(2) == 0);
      Tried tried(all.size());
      if (choice.below(2) == 0) tried[choice.below(all.size())] = true;
      int best = 1 << 16;
      std::map<size_t, bool> allowed;
      for (size_t i = 0; i < all.size(); ++i) {
        if (!endpoints.is_active(i) || tried[i]) continue;
        if (all[i].priority < best) allowed.clear();
        best = std::min<int>(best, all[i].priority);
        if (all[i].priority == best) allowed[i] = false;
      }
      for (int i = 0; i < 2000; ++i) {
        const std::optional<size_t> pick = endpoints.pick(tried);
        ASSERT_EQ(pick.has_value(), !allowed.empty());
        if (!pick) break;
        ASSERT_TRUE(allowed.contains(*pick));
        allowed[*pick] = true;
      }
      for (const auto& [number, seen] : allowed) EXPECT_TRUE(seen) << number;
    }
  });
}

}  // namespace
}  // namespace keelson::proxy
