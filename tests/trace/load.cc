#include "tests/trace/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>

#include "tests/harness/client.h"
#include "tests/trace/serial.h"

namespace keelson::trace {
namespace {

using std::chrono::steady_clock;

constexpr int kShownErrors = 10;

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// A method's answer in a history other than the recorded one.
bool explained_by_history(const grpc::Status& status) {
  const std::string& text = status.error_message();
  return text.find("required revision") != std::string::npos ||
         text.find("lease already exists") != std::string::npos ||
         text.find("lease not found") != std::string::npos;
}

class Load {
 public:
  Load(const Trace& trace, const LoadPlan& load)
      : load_(load),
        planned_(plan(trace)),
        end_(planned_.size() * static_cast<size_t>(load.rounds)) {}

  // One client: takes the next call that nobody has taken until there is none.
  void work(size_t place) {
    auto client = std::make_unique<harness::Client>(address(place));
    LoadResult mine;
    for (size_t i = next_++; i < end_ && !enough(); i = next_++) {
      if (take(*client, planned_[i % planned_.size()], &mine)) continue;
      client = std::make_unique<harness::Client>(address(++place));
    }
    const std::lock_guard lock(mutex_);
    merge(mine);
  }

  LoadResult result() { return std::move(result_); }

 private:
  const std::string& address(size_t place) const {
    return load_.addresses[place % load_.addresses.size()];
  }
  bool enough() const { return load_.enough != nullptr && load_.enough->load(); }

  // False: there is nothing to be had of this member for now.
  bool take(harness::Client& client, const Planned& planned, LoadResult* mine) {
    const bool changing = load_.members_come_and_go;
    const auto start = steady_clock::now();
    const harness::Reply reply =
        client.unary(planned.call->path, planned.request,
                     {harness::Milliseconds(changing ? 10000 : 30000), planned.call->metadata,
                      /*wait_for_ready=*/!changing});
    mine->latencies[planned.call->path].push_back(seconds_since(start));
    ++mine->calls;
    if (reply.status.ok()) return true;
    const grpc::StatusCode code = reply.status.error_code();
    if (changing &&
        (code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::DEADLINE_EXCEEDED)) {
      ++mine->unavailable;
      return false;
    }
    if (code == grpc::StatusCode::UNIMPLEMENTED) {
      ++mine->unimplemented;
    } else if (explained_by_history(reply.status)) {
      ++mine->other_history;
    } else {
      ++mine->unexpected;
      const std::lock_guard lock(mutex_);
      if (++shown_ > kShownErrors) return true;
      std::cout << planned.call->path << ": " << reply.status.error_message() << std::endl;
    }
    return true;
  }

  void merge(LoadResult& mine) {
    result_.calls += mine.calls;
    result_.unexpected += mine.unexpected;
    result_.other_history += mine.other_history;
    result_.unavailable += mine.unavailable;
    result_.unimplemented += mine.unimplemented;
    for (auto& [path, times] : mine.latencies) {
      auto& all = result_.latencies[path];
      all.insert(all.end(), times.begin(), times.end());
    }
  }

  const LoadPlan load_;
  const std::vector<Planned> planned_;
  const size_t end_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  int shown_ = 0;      // under mutex_
  LoadResult result_;  // under mutex_
};

}  // namespace

LoadResult replay_concurrently(const Trace& trace, const LoadPlan& plan) {
  Load load(trace, plan);
  const auto start = steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < plan.clients; ++i) {
    threads.emplace_back([&, i] { load.work(static_cast<size_t>(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  LoadResult result = load.result();
  result.seconds = seconds_since(start);
  for (auto& [path, times] : result.latencies) std::sort(times.begin(), times.end());
  return result;
}

void print_percentiles(const LoadResult& result) {
  std::cout << std::fixed << std::setprecision(0) << result.calls / result.seconds << " calls/s\n";
  for (const auto& [path, times] : result.latencies) {
    std::cout << "  " << std::left << std::setw(36) << path << std::right << std::setw(7)
              << times.size() << " calls; ms:" << std::setprecision(2);
    for (const double part : {0.5, 0.9, 0.99, 0.999}) {
      const auto at = static_cast<size_t>(part * static_cast<double>(times.size() - 1));
      std::cout << "  p" << part * 100 << " " << times[at] * 1000;
    }
    std::cout << "\n";
  }
}

}  // namespace keelson::trace
