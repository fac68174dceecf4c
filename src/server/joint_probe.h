// server/joint_probe.h
//
// JointProbe makes one probe for all who ask: those who ask while one is under way get the result
// of the next, which begins when that one is over. So nobody hears of what was before he asked, and
// however many ask, the member asks itself one thing at a time.
//
// Threads: one lane. Lifetime: outlives the probe's answer.

#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/check.h"

namespace keelson::server {

class JointProbe {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // `probe` calls what it is given once, at once or later.
  explicit JointProbe(std::function<void(Done)> probe) : probe_(std::move(probe)) {}

  void ask(Done done) {
    waiting_.push_back(std::move(done));
    go_on();
  }

 private:
  void go_on() {
    while (!waiting_.empty() && asked_.empty() && !answering_) {
      asked_ = std::exchange(waiting_, {});
      probe_([this](absl::Status status) { answer(status); });
    }
  }
  void answer(const absl::Status& status) {
    CHECK(!asked_.empty());
    // Who asks again from here waits, too.
    CHECK(!std::exchange(answering_, true));
    for (Done& done : std::exchange(asked_, {})) done(status);
    answering_ = false;
    go_on();
  }

  const std::function<void(Done)> probe_;
  std::vector<Done> waiting_;
  std::vector<Done> asked_;  // who wait for the probe under way; none: there is none
  bool answering_ = false;   // then none is under way
};

}  // namespace keelson::server
