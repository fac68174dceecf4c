// rpc/at_leader.h
//
// What must be asked of whoever leads: here when this member does, else at the leader's peer URLs,
// again and again while there is none or it does not answer, until the request's time is up.
//
// Threads: on the lane's loop.

#pragma once

#include <functional>
#include <memory>

#include "base/errors.h"
#include "rpc/context.h"
#include "rpc/others.h"

namespace keelson::rpc {

template <typename Value>
class AtLeader {
 public:
  using Done = Others::Done<Value>;
  // Calls its argument once, on any thread. NotLeader: this member does not lead any more.
  using Here = std::function<void(Done)>;
  using There = std::function<void(const membership::Member& leader, Duration timeout, Done)>;
  // Whether an error from elsewhere is the leader's answer; with others it is asked again. From
  // here all are but that this member does not lead any more.
  using IsAnswer = bool (*)(const absl::Status&);

  struct Question {
    Here here;
    There there;
    IsAnswer is_answer;
  };

  // `done` is called once, on the lane's loop. Errors of its own: Timeout; NoLeader, when there was
  // none all the time.
  static void ask(Context& context, Lane& lane, Question question, Done done) {
    auto self = std::make_shared<AtLeader>(context, lane, std::move(question), std::move(done));
    attempt(std::move(self));
  }

  AtLeader(Context& context, Lane& lane, Question question, Done done)
      : context_(context),
        lane_(lane),
        question_(std::move(question)),
        done_(std::move(done)),
        until_(context.node().clock().now() + context.request_timeout()) {}

 private:
  using Self = std::shared_ptr<AtLeader>;
  static constexpr Duration kPause = std::chrono::milliseconds(50);

  static void attempt(Self self) {
    AtLeader& ask = *self;
    node::Node& node = ask.context_.node();
    const Duration left = ask.until_ - node.clock().now();
    if (left <= Duration(0)) return ask.done_(ask.gave_up_);
    const bool leads = node.is_leader();
    auto answered = [self, leads](absl::StatusOr<Value> answer) mutable {
      Lane& lane = self->lane_;
      lane.loop.post([self = std::move(self), leads, answer = std::move(answer)]() mutable {
        hear(std::move(self), leads, std::move(answer));
      });
    };
    if (leads) return ask.question_.here(std::move(answered));
    const MemberId id(node.state().leader.load(std::memory_order_acquire));
    const std::shared_ptr<const membership::View> view = node.members().view();
    const membership::Member* leader = view->find(id);
    if (!leader || !ask.context_.others()) return again(std::move(self));
    ask.gave_up_ = errors::Timeout();
    ask.question_.there(*leader, left, std::move(answered));
  }

  static void hear(Self self, bool from_here, absl::StatusOr<Value> answer) {
    const absl::Status& status = answer.status();
    const bool final = from_here
                           ? status != errors::NotLeader() && status != errors::LeaderChanged()
                           : status.ok() || self->question_.is_answer(status);
    if (final) return self->done_(std::move(answer));
    again(std::move(self));
  }

  static void again(Self self) {
    Lane& lane = self->lane_;
    lane.loop.post_after(kPause, [self = std::move(self)]() mutable { attempt(std::move(self)); });
  }

  Context& context_;
  Lane& lane_;
  const Question question_;
  Done done_;
  const MonotonicTime until_;
  absl::Status gave_up_ = errors::NoLeader();
};

}  // namespace keelson::rpc
