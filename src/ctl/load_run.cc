#include "ctl/load_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "ctl/client.h"

namespace keelson::ctl {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kProgressEvery{200};

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// When the next put may go: what a rate leaves unused is not made up for later, so a slow server
// shows in what it was given.
class Pace {
 public:
  Pace(const LoadPlan& plan, Clock::time_point start)
      : interval_(plan.rate == 0 ? 0 : 1 / plan.rate), count_(plan.count), next_(start) {
    end_ = plan.seconds == 0 ? Clock::time_point::max()
                             : start + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(plan.seconds));
  }
  // False when it is over.
  bool wait() {
    Clock::time_point at;
    {
      std::lock_guard lock(mutex_);
      if (count_ != 0 && taken_ >= count_) return false;
      ++taken_;
      const auto now = Clock::now();
      at = std::max(next_, now);
      next_ = at +
              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval_));
    }
    if (stopped_ || at >= end_) return false;
    std::this_thread::sleep_until(at);
    return !stopped_;
  }
  void stop() { stopped_ = true; }

 private:
  const double interval_;
  const int64_t count_;
  Clock::time_point end_;
  std::mutex mutex_;
  Clock::time_point next_;
  int64_t taken_ = 0;
  std::atomic<bool> stopped_ = false;
};

struct Tally {
  std::map<std::string, int64_t> errors;
  std::vector<float> latencies;  // seconds
};

void put_keys(Client& client, const LoadPlan& plan, uint64_t seed, Pace& pace,
              std::atomic<int64_t>& made, Tally& tally) {
  std::mt19937_64 random(seed);
  pb::PutRequest request;
  request.set_value(std::string(plan.value_bytes, '\0'));
  std::string key = plan.prefix + std::string(plan.key_bytes, '\0');
  while (pace.wait()) {
    for (size_t i = 0; i < 8; ++i) {
      key[plan.prefix.size() + i] = static_cast<char>(random());
    }
    request.set_key(key);
    const auto start = Clock::now();
    auto response = client.call(request, std::nullopt);
    if (response.ok()) {
      tally.latencies.push_back(static_cast<float>(seconds_between(start, Clock::now())));
    } else {
      ++tally.errors[std::string(response.status().message())];
    }
    ++made;
  }
}

LoadResult sum_up(const std::vector<Tally>& tallies, double seconds) {
  LoadResult result;
  double sum = 0, squares = 0;
  int64_t puts = 0;
  for (const Tally& tally : tallies) {
    for (const auto& [text, times] : tally.errors) result.errors[text] += times;
    for (float latency : tally.latencies) {
      sum += latency;
      squares += static_cast<double>(latency) * latency;
      result.slowest = std::max<double>(result.slowest, latency);
    }
    puts += static_cast<int64_t>(tally.latencies.size());
  }
  if (puts == 0) return result;
  const auto n = static_cast<double>(puts);
  result.per_second = n / seconds;
  result.stddev = std::sqrt(std::max(0.0, squares / n - (sum / n) * (sum / n)));
  return result;
}

}  // namespace

absl::StatusOr<LoadResult> run_load(const Options& options, const LoadPlan& plan,
                                    const std::function<bool(int64_t)>& progress) {
  std::vector<std::unique_ptr<Client>> clients;
  Options quiet = options;
  quiet.warn = nullptr;  // there are many, each with a thread of its own
  for (int i = 0; i < plan.clients; ++i) {
    auto client = Client::connect(quiet);
    if (!client.ok()) return client.status();
    clients.push_back(*std::move(client));
  }
  std::vector<Tally> tallies(clients.size());
  std::atomic<int64_t> made = 0;
  std::atomic<int> running = plan.clients;
  std::random_device device;
  const auto start = Clock::now();
  Pace pace(plan, start);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < clients.size(); ++i) {
    threads.emplace_back([&, i, seed = device()] {
      put_keys(*clients[i], plan, seed, pace, made, tallies[i]);
      --running;
    });
  }
  while (running > 0) {
    if (!progress(made)) pace.stop();
    std::this_thread::sleep_for(kProgressEvery);
  }
  const double took = seconds_between(start, Clock::now());
  for (std::thread& thread : threads) thread.join();
  return sum_up(tallies, took);
}

}  // namespace keelson::ctl
