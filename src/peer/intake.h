// peer/intake.h
//
// Intake counts what one member has sent and the receiver has not taken yet, so that its streams
// are not read from while that is too much.
//
// Threads: the loop, but for the tasks that hand_over() makes, which run anywhere.
// Lifetime: shared with those tasks.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "net/loop.h"
#include "peer/receiver.h"

namespace keelson::peer {

class Intake : public std::enable_shared_from_this<Intake> {
 public:
  // `resume` is called on the loop when what waits has become less, after full() had said true.
  Intake(net::Loop* loop, std::function<void()> resume)
      : loop_(*loop), resume_(std::move(resume)) {}

  void hand_over(std::vector<raft::Message> messages, size_t bytes, Receiver& receiver);
  // Too much waits; resume() follows if true.
  bool full();
  // resume() is not called any more. On the loop.
  void close() { resume_ = nullptr; }

 private:
  bool is_over() const { return messages_.load() >= kMessages || bytes_.load() >= kBytes; }
  void taken(size_t messages, size_t bytes);

  static constexpr size_t kMessages = 4096;  // etcd's number
  static constexpr size_t kBytes = 64 << 20;

  net::Loop& loop_;
  std::function<void()> resume_;  // on the loop only
  std::atomic<size_t> messages_{0};
  std::atomic<size_t> bytes_{0};
  std::atomic<bool> waited_for_{false};  // resume() is owed
};

}  // namespace keelson::peer
