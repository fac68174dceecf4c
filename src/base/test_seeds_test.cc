#include "base/test_seeds.h"

#include <map>
#include <new>
#include <string>

#include "base/check.h"

namespace keelson {
namespace {

using Variables = std::map<std::string, std::string>;

// The three names, as the test wants them while it lives, and as they were afterwards.
class Environment {
 public:
  explicit Environment(const Variables& wanted) {
    for (const char* name : kNames) {
      const char* old = std::getenv(name);
      saved_[name] = old ? old : "";
      ::unsetenv(name);
    }
    for (const auto& [name, value] : wanted) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : saved_) {
      value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;

 private:
  static constexpr const char* kNames[] = {"KEELSON_SEED", "KEELSON_SEEDS", "KEELSON_FIRST_SEED"};
  Variables saved_;
};

std::vector<uint64_t> ran(const Seeds& wanted) {
  std::vector<uint64_t> seeds;
  for_each_seed(wanted, [&](uint64_t seed) { seeds.push_back(seed); });
  return seeds;
}

TEST(TestSeeds, TheSameOnesEveryTimeUnlessTold) {
  Environment plain(Variables{});
  EXPECT_EQ(ran({.count = 3}), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(ran({.count = 3, .also = {2, 958}}), (std::vector<uint64_t>{1, 2, 3, 958}));
}

TEST(TestSeeds, TheEnvironmentChooses) {
  const Seeds wanted{.count = 3, .also = {958}};
  {
    Environment one(Variables{{"KEELSON_SEED", "0"}, {"KEELSON_SEEDS", "9"}});
    EXPECT_EQ(ran(wanted), std::vector<uint64_t>{0});
  }
  {
    Environment more(Variables{{"KEELSON_SEEDS", "4"}});
    EXPECT_EQ(ran(wanted), (std::vector<uint64_t>{1, 2, 3, 4}));
  }
  Environment elsewhere(
      Variables{{"KEELSON_SEEDS", "2"}, {"KEELSON_FIRST_SEED", "18446744073709551614"}});
  EXPECT_EQ(ran(wanted), (std::vector<uint64_t>{UINT64_MAX - 1, UINT64_MAX}));
}

TEST(TestSeeds, TheReplayCommandIsPrintedForAnException) {
  Environment elsewhere(Variables{});
  auto body = [](uint64_t seed) {
    if (seed == 2) throw std::bad_alloc();
  };
  testing::internal::CaptureStdout();
  EXPECT_THROW(for_each_seed(3, body), std::bad_alloc);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("replay: KEELSON_SEED=2 "), std::string::npos) << said;
}

// What replays a seed is said however the process ends.
TEST(TestSeedsDeathTest, TheReplayCommandIsPrinted) {
  Environment elsewhere(Variables{{"KEELSON_FIRST_SEED", "5"}});
  const char* const command =
      "replay: KEELSON_SEED=6 .*test_seeds_test "
      "--gtest_filter=TestSeedsDeathTest.TheReplayCommandIsPrinted\n";
  auto dies_at_six = [](auto&& die) {
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    for_each_seed(3, [&](uint64_t seed) {
      if (seed == 6) die();
    });
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  };
  EXPECT_DEATH(dies_at_six([] { CHECK(1 + 1 == 3); }), command);
  EXPECT_DEATH(dies_at_six([] { ::raise(SIGTERM); }), command);
  EXPECT_DEATH(dies_at_six([] { ADD_FAILURE() << "a comparison"; }), command);
}

}  // namespace
}  // namespace keelson
