// proxy/guarded_write.h
//
// GuardedWrite makes a client's write in the way of leasing: it is tried on the condition that
// nobody else holds what it writes; whoever does is asked to give it up and waited for, and it is
// tried again.
//
// At most once: each try is one transaction, and one that may have taken place is not followed by
//   another. If it is not known whether it did, the client hears so, and what is held of its keys
//   is given up (proxy/holdings.h).
// Ours of a session that has ended are taken away: the proxy itself may not be able to, there being
//   users now.
// Waiting: until the leasing keys are seen to go, and at the longest kPatience, behind which they
//   are looked at again. It ends with the call.
// Bounds: kMostAsked holders are asked at a time.
// Threads: the lane's. Lifetime: it keeps itself until it is done; deps outlive it.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "proxy/guarded_form.h"
#include "proxy/holdings.h"
#include "proxy/key_prefix.h"
#include "proxy/leased_call.h"

namespace keelson::proxy {

class GuardedWrite : public std::enable_shared_from_this<GuardedWrite> {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(1);
  static constexpr size_t kMostAsked = 32;

  // Who leases.
  class Host {
   public:
    virtual ~Host() = default;
    virtual int64_t lease() const = 0;
    // It was ours, and nothing is answered from what stands under it any more.
    virtual bool has_ended(int64_t lease) const = 0;
    // There may be something to give up.
    virtual void give_up_soon() = 0;
    // The write is told by gone() when the leasing key beside this key has gone.
    virtual void wait_for(const std::string& key, const std::shared_ptr<GuardedWrite>& write) = 0;
    virtual void wait_no_more(const std::string& key, const GuardedWrite* write) = 0;
    virtual void revoked_another() = 0;
  };
  struct Deps {
    Executor& lane;
    const LeasingKeys& keys;
    const KeyPrefix& prefix;
    Holdings& holdings;
    Host& host;
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<Parts>)>;

  // `done` is called once, not from inside start().
  GuardedWrite(const Deps& deps, std::shared_ptr<LeasedCall> call, GuardedForm form, Done done)
      : deps_(deps), call_(std::move(call)), form_(std::move(form)), done_(std::move(done)) {}

  void start();
  void gone(const std::string& key);

 private:
  // Somebody's leasing key that is in the way.
  struct InTheWay {
    std::string leasing_key, key;
    int64_t created;
    bool is_abandoned;  // by us: it is taken away, with the client's rights
  };

  void attempt();
  void answered(absl::StatusOr<Parts> answered);
  void done(etcdserverpb::TxnResponse response);
  void refused(const etcdserverpb::TxnResponse& response);
  absl::Status look_at(const etcdserverpb::RangeResponse& named, size_t span);
  absl::Status look_at(const mvccpb::KeyValue& leasing_key, bool is_bounded, int64_t* ours);
  void await(const std::string& key);
  void forget(const std::string& key);
  void ask_next();
  void asked(const InTheWay& holder, absl::StatusOr<Parts> answered);
  void go_on();
  void attempt_later(Duration pause);
  void finish(Holdings::Written written, absl::StatusOr<Parts> answer);

  template <typename Then>
  void ask(etcdserverpb::TxnRequest request, Then then);

  const Deps deps_;
  const std::shared_ptr<LeasedCall> call_;  // shared as it says
  const GuardedForm form_;
  Done done_;
  std::vector<int64_t> ours_;        // by span: see GuardedForm::request(); of ranges
  std::vector<std::string> values_;  // asked for in this attempt
  std::deque<InTheWay> to_ask_;
  size_t asking_ = 0;              // <= kMostAsked
  std::set<std::string> awaited_;  // keys whose leasing keys are to go
  uint64_t attempts_ = 0;
  int hurried_ = 0;       // attempts in a row before which nobody was waited for
  bool waiting_ = false;  // between attempts
  bool over_ = false;
};

}  // namespace keelson::proxy
