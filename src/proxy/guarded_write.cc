#include "proxy/guarded_write.h"

#include "base/check.h"
#include "base/text.h"
#include "proxy/messages.h"

namespace keelson::proxy {

namespace api = etcdserverpb;

namespace {

constexpr char kTxn[] = "/etcdserverpb.KV/Txn";
// After so many tries that nobody was waited for there is a pause before the next.
constexpr int kMostHurried = 2;
constexpr Duration kShortPause = std::chrono::milliseconds(20);

// Answers by which a server says that it has done nothing.
bool is_refusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return true;
    default:
      return false;
  }
}

}  // namespace

template <typename Then>
void GuardedWrite::ask(api::TxnRequest request, Then then) {
  if (!deps_.prefix.empty()) {
    if (absl::Status s = deps_.prefix.add_to(&request); !s.ok()) {
      return deps_.lane.post([self = shared_from_this(), then, s] { then(s); });
    }
  }
  call_->ask(kTxn, Bytes::copy(request.SerializeAsString()), std::move(then));
}

void GuardedWrite::start() {
  deps_.holdings.begin_writing(form_.spans());
  for (const KeySpan& span : form_.overwritten()) deps_.holdings.give_up(span);
  deps_.host.give_up_soon();
  ours_.assign(form_.spans().size(), 0);
  attempt();
}

void GuardedWrite::attempt() {
  ++attempts_;
  waiting_ = false;
  while (!awaited_.empty()) forget(std::string(*awaited_.begin()));
  const std::vector<KeySpan>& spans = form_.spans();
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].is_one()) ours_[i] = deps_.holdings.created(spans[i].begin);
  }
  values_ = deps_.holdings.held_in(spans, form_.most_values());
  ask(form_.request(deps_.keys, ours_, values_),
      [self = shared_from_this()](absl::StatusOr<Parts> answered) {
        self->answered(std::move(answered));
      });
}

void GuardedWrite::answered(absl::StatusOr<Parts> answered) {
  api::TxnResponse response;
  absl::Status status = answered.status();
  if (status.ok()) status = parse_answer(*answered, &response);
  if (!status.ok()) {
    const bool nothing = is_refusal(status);
    return finish({nothing ? Holdings::Outcome::kNone : Holdings::Outcome::kUnknown}, status);
  }
  if (!deps_.prefix.empty()) deps_.prefix.take_from(&response);
  form_.refused(response) ? refused(response) : done(std::move(response));
}

void GuardedWrite::done(api::TxnResponse response) {
  Holdings::Written written{.outcome = Holdings::Outcome::kDone,
                            .revision = response.header().revision(),
                            .values = form_.values_in(response, values_)};
  absl::StatusOr<Parts> answer = form_.answer(std::move(response));
  if (!answer.ok()) written = {Holdings::Outcome::kUnknown};
  finish(std::move(written), std::move(answer));
}

void GuardedWrite::finish(Holdings::Written written, absl::StatusOr<Parts> answer) {
  CHECK(!over_);
  over_ = true;
  while (!awaited_.empty()) forget(std::string(*awaited_.begin()));
  to_ask_.clear();
  deps_.holdings.end_writing(form_.spans(), written);
  deps_.host.give_up_soon();
  done_(std::move(answer));
}

// ---- whoever is in the way

void GuardedWrite::refused(const api::TxnResponse& response) {
  CHECK(to_ask_.empty());
  if (response.responses_size() != static_cast<int>(form_.spans().size())) {
    return finish({}, absl::InternalError("the cluster's answer cannot be read"));
  }
  for (size_t i = 0; i < form_.spans().size(); ++i) {
    const api::RangeResponse& named = response.responses(static_cast<int>(i)).response_range();
    if (absl::Status s = look_at(named, i); !s.ok()) return finish({}, s);
  }
  deps_.host.give_up_soon();
  if (awaited_.empty()) {
    return hurried_++ < kMostHurried ? attempt() : attempt_later(kShortPause);
  }
  hurried_ = 0;
  waiting_ = true;
  attempt_later(kPatience);
  ask_next();
}

// Our own keys in a range are not in the way once it is known that all others have gone: what was
// taken since is younger than the youngest of them.
absl::Status GuardedWrite::look_at(const api::RangeResponse& named, size_t span) {
  const size_t others = awaited_.size();
  const bool is_bounded = !form_.spans()[span].is_one() && !named.more();
  int64_t ours = 0;
  for (const mvccpb::KeyValue& kv : named.kvs()) {
    if (absl::Status s = look_at(kv, is_bounded, &ours); !s.ok()) return s;
  }
  ours_[span] = awaited_.size() == others ? ours : 0;
  return absl::OkStatus();
}

absl::Status GuardedWrite::look_at(const mvccpb::KeyValue& kv, bool is_bounded, int64_t* ours) {
  const std::optional<std::string> key = deps_.keys.key_of(kv.key());
  if (!key) return absl::InternalError("the cluster's answer cannot be read");
  if (kv.lease() == 0) {
    return absl::FailedPreconditionError(
        cat("leasing: \"", kv.key(), "\" stands where leasing keys do, and has no lease"));
  }
  if (kv.lease() != deps_.host.lease()) {
    // One that has been asked, by whomever, is only waited for.
    const bool is_asked = kv.value() == LeasingKeys::kRevoke;
    const bool is_abandoned = deps_.host.has_ended(kv.lease());
    if (!is_asked || is_abandoned) {
      to_ask_.push_back({kv.key(), *key, kv.create_revision(), is_abandoned});
    }
    await(*key);
    return absl::OkStatus();
  }
  if (is_bounded) {
    *ours = std::max(*ours, kv.create_revision());
    return absl::OkStatus();
  }
  // Taken meanwhile, then it is no more in the way; or without our knowing it.
  if (deps_.holdings.created(*key) == kv.create_revision()) return absl::OkStatus();
  if (!deps_.holdings.revoked(*key, kv.create_revision() + 1)) {
    return absl::ResourceExhaustedError("leasing: too many keys are being given up");
  }
  await(*key);
  return absl::OkStatus();
}

void GuardedWrite::await(const std::string& key) {
  if (awaited_.insert(key).second) deps_.host.wait_for(key, shared_from_this());
}

void GuardedWrite::forget(const std::string& key) {
  awaited_.erase(key);
  deps_.host.wait_no_more(key, this);
}

void GuardedWrite::ask_next() {
  while (!to_ask_.empty() && asking_ < kMostAsked) {
    const InTheWay holder = std::move(to_ask_.front());
    to_ask_.pop_front();
    ++asking_;
    if (!holder.is_abandoned) deps_.host.revoked_another();
    ask(holder.is_abandoned ? deps_.keys.release(holder.key, holder.created + 1)
                            : deps_.keys.revoke(holder.leasing_key, holder.created),
        [self = shared_from_this(), holder](absl::StatusOr<Parts> answered) {
          self->asked(holder, std::move(answered));
        });
  }
}

void GuardedWrite::asked(const InTheWay& holder, absl::StatusOr<Parts> answered) {
  --asking_;
  if (over_) return;
  api::TxnResponse response;
  absl::Status status = answered.status();
  if (status.ok()) status = parse_answer(*answered, &response);
  if (!status.ok()) return finish({}, status);
  // Nobody else tells of those that are taken away; another is gone if it could not be asked.
  if (holder.is_abandoned || !response.succeeded()) gone(holder.key);
  if (over_) return;
  ask_next();
  go_on();
}

void GuardedWrite::gone(const std::string& key) {
  if (awaited_.contains(key)) forget(key);
  go_on();
}

void GuardedWrite::go_on() {
  if (waiting_ && awaited_.empty() && to_ask_.empty() && asking_ == 0) attempt();
}

void GuardedWrite::attempt_later(Duration pause) {
  deps_.lane.post_after(pause, [self = shared_from_this(), number = attempts_] {
    if (self->over_ || self->attempts_ != number) return;
    // Those that are yet to be asked are named again.
    self->to_ask_.clear();
    if (self->asking_ > 0) return self->attempt_later(kShortPause);
    self->attempt();
  });
}

}  // namespace keelson::proxy
