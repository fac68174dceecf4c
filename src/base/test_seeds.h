// base/test_seeds.h
//
// The seeds of random tests, for tests only. A random test hands its body to for_each_seed(); the
// environment decides which seeds that means:
//
//   KEELSON_SEED=n        only this one
//   KEELSON_SEEDS=n       so many, instead of the test's own number
//   KEELSON_FIRST_SEED=n  beginning there, instead of at the test's own first
//
// Without any of them a test runs the same seeds every time: its first `count`, and the ones that
// once found a fault (`also`). Fresh ones are for scripts/soak, which finds random tests by what is
// printed here, runs ranges of them and counts them.
//
// Failure: the first seed that fails ends the test. Its replay command is printed, also when the
// process dies on the way (CHECK, signal, sanitizer, a time limit's SIGTERM).
// Threads: one test at a time, from the main thread. The body may have threads of its own.

#pragma once

#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

namespace keelson {

struct Seeds {
  uint64_t count = 1;
  std::vector<uint64_t> also = {};  // run too, unless the environment chooses
  uint64_t first = 1;
};

namespace test_seeds {

// The command that runs this one seed again; empty while none runs. Written by the main thread,
// read by handlers of signals in it.
inline char replay[4096];

inline void print_replay() {
  const size_t size = std::strlen(replay);
  if (size == 0) return;
  [[maybe_unused]] ssize_t written = ::write(STDOUT_FILENO, replay, size);
}

// The handler is reset on entry: raising the signal again ends the process as it would have.
inline void on_fatal_signal(int number) {
  print_replay();
  ::raise(number);
}

inline void watch_for_the_end() {
  static const bool once = [] {
    for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTERM}) {
      struct sigaction old = {};
      ::sigaction(number, nullptr, &old);
      // A sanitizer's handler stays; it calls back below.
      if (old.sa_handler != SIG_DFL) continue;
      struct sigaction action = {};
      action.sa_handler = &on_fatal_signal;
      action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
      ::sigaction(number, &action, nullptr);
    }
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(&print_replay);
    return true;
  }();
  static_cast<void>(once);
}

inline bool from_environment(const char* name, uint64_t* value) {
  const char* text = std::getenv(name);
  if (text == nullptr) return false;
  char* end = nullptr;
  errno = 0;
  *value = std::strtoull(text, &end, 0);
  if (errno != 0 || end == text || *end != '\0') {
    ADD_FAILURE() << name << "=" << text << " is not a number";
  }
  return true;
}

inline std::vector<uint64_t> chosen(const Seeds& wanted) {
  uint64_t only = 0, first = wanted.first, count = wanted.count;
  if (from_environment("KEELSON_SEED", &only)) return {only};
  const bool given = from_environment("KEELSON_SEEDS", &count);
  const bool placed = from_environment("KEELSON_FIRST_SEED", &first);
  std::vector<uint64_t> seeds;
  for (uint64_t n = 0; n < count; ++n) seeds.push_back(first + n);
  if (given || placed) return seeds;
  for (uint64_t seed : wanted.also) {
    if (seed < first || seed - first >= count) seeds.push_back(seed);
  }
  return seeds;
}

inline std::string current_test() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  return std::string(test->test_suite_name()) + "." + test->name();
}

}  // namespace test_seeds

// True when the environment leaves the choice to the test: what a test expects of all its seeds
// together it may expect only then.
inline bool seeds_are_the_usual() {
  return !std::getenv("KEELSON_SEED") && !std::getenv("KEELSON_SEEDS") &&
         !std::getenv("KEELSON_FIRST_SEED");
}

// Calls body(seed) for each seed that is to be run, until one fails.
template <typename Body>
void for_each_seed(const Seeds& wanted, Body&& body) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const std::string test = test_seeds::current_test();
  uint64_t ran = 0;
  test_seeds::watch_for_the_end();
  for (uint64_t seed : test_seeds::chosen(wanted)) {
    std::snprintf(test_seeds::replay, sizeof test_seeds::replay,
                  "replay: KEELSON_SEED=%llu %s --gtest_filter=%s\n",
                  static_cast<unsigned long long>(seed), program_invocation_name, test.c_str());
    try {
      body(seed);
    } catch (...) {  // which GoogleTest reports
      test_seeds::print_replay();
      throw;
    }
    if (testing::Test::HasFailure()) {
      std::fflush(stdout);
      test_seeds::print_replay();
      break;
    }
    ++ran;
  }
  test_seeds::replay[0] = '\0';
  std::printf("seeds: %s %llu in %.3f s\n", test.c_str(), static_cast<unsigned long long>(ran),
              std::chrono::duration<double>(Clock::now() - start).count());
}

template <typename Body>
void for_each_seed(uint64_t count, Body&& body) {
  for_each_seed(Seeds{.count = count}, std::forward<Body>(body));
}

}  // namespace keelson
