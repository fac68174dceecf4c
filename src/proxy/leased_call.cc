#include "proxy/leased_call.h"

namespace keelson::proxy {

void LeasedCall::ask(std::string path, Bytes message, Done done) {
  if (cancelled_) {
    return lane_.post(
        [done = std::move(done)]() mutable { done(absl::CancelledError("the client has gone")); });
  }
  outbound::RpcRequest request{.path = std::move(path),
                               .metadata = metadata_,
                               .message = std::move(message),
                               .deadline = deadline_};
  const uint64_t number = ++last_;
  auto asked =
      client_.unary(std::move(request), [self = shared_from_this(), number, done = std::move(done)](
                                            absl::StatusOr<Parts> answered) mutable {
        Executor& lane = self->lane_;
        lane.post([self = std::move(self), number, done = std::move(done),
                   answered = std::move(answered)]() mutable {
          self->asked_.erase(number);
          done(std::move(answered));
        });
      });
  if (asked) asked_.emplace(number, std::move(asked));
}

void LeasedCall::cancel() {
  cancelled_ = true;
  for (const auto& [number, asked] : asked_) asked->cancel();
}

}  // namespace keelson::proxy
