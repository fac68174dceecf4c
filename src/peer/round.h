// peer/round.h
//
// Round is what several members were asked, until the last one has answered.
//
// Threads: the peer loop.

#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/check.h"

namespace keelson::peer {

template <typename Answer>
class Round {
 public:
  using Done = absl::AnyInvocable<void(std::vector<Answer>)>;
  // REQUIRES: members > 0.
  Round(size_t members, Done done) : answers_(members), missing_(members), done_(std::move(done)) {
    CHECK(missing_ > 0);
  }
  // Once for each member.
  void answered(size_t member, Answer answer) {
    CHECK(missing_ > 0);
    answers_.at(member) = std::move(answer);
    if (--missing_ == 0) done_(std::move(answers_));
  }

 private:
  std::vector<Answer> answers_;
  size_t missing_;  // <= answers_.size()
  Done done_;
};

}  // namespace keelson::peer
