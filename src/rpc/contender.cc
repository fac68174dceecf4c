#include "rpc/contender.h"

#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/errors.h"
#include "base/text.h"
#include "rpc/deletion_watches.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;

// A lease that a call brings none of, as etcd's sessions have it.
constexpr int64_t kSessionTtl = 60;

// As Go's %x prints a signed number.
std::string hex(int64_t number) {
  char text[24];
  return {text, std::to_chars(text, text + sizeof(text), number, 16).ptr};
}

void compare_created(pb::TxnRequest& txn, const std::string& key, int64_t revision) {
  pb::Compare* compare = txn.add_compare();
  compare->set_target(pb::Compare::CREATE);
  compare->set_result(pb::Compare::EQUAL);
  compare->set_key(key);
  compare->set_create_revision(revision);
}

// Takes away what a call has left behind. What stays in spite of that ends with its lease.
class Departure : public std::enable_shared_from_this<Departure> {
 public:
  Departure(Context& context, net::CallRef call, Origin from, std::string user,
            wire::InternalKind kind, std::string request)
      : context_(context),
        call_(std::move(call)),
        from_(from),
        user_(std::move(user)),
        kind_(kind),
        request_(std::move(request)) {}

  void attempt() {
    context_.propose_as(context_.lane(*call_), from_, user_, kind_, request_,
                        [self = shared_from_this()](apply::Reply reply) {
                          if (!is_passing(reply.status) || --self->attempts_ == 0) return;
                          self->call_->loop().post_after(kPause, [self] { self->attempt(); });
                        });
  }

 private:
  static constexpr int kAttempts = 5;
  static constexpr Duration kPause = std::chrono::seconds(1);

  static bool is_passing(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
           status == errors::AuthOldRevision();
  }

  Context& context_;
  const net::CallRef call_;
  const Origin from_;
  const std::string user_;
  const wire::InternalKind kind_;
  const std::string request_;
  int attempts_ = kAttempts;
};

}  // namespace

Contender::Contender(Context& context, net::CallRef call, Bid bid, Done done)
    : context_(context), call_(std::move(call)), bid_(std::move(bid)), done_(std::move(done)) {
  place_.lease = bid_.lease;
}

void Contender::start(Context& context, net::CallRef call, Bid bid, Done done) {
  std::make_shared<Contender>(context, std::move(call), std::move(bid), std::move(done))->begin();
}

void Contender::begin() {
  absl::StatusOr<auth::Identity> asks = context_.who(*call_);
  if (!asks.ok()) return failed(asks.status());
  user_ = std::string(asks->user);
  from_ = context_.origin(*call_);
  call_->on_cancel([self = shared_from_this()] { self->cancelled(); });
  if (place_.lease != 0) return enter();
  grant_as_caller(context_, call_, kSessionTtl,
                  [self = shared_from_this()](absl::StatusOr<int64_t> lease) {
                    if (!lease.ok()) return self->failed(lease.status());
                    self->place_.lease = *lease;
                    self->granted_ = true;
                    if (self->gone_) return self->leave();
                    self->enter();
                  });
}

void Contender::enter() {
  place_.key = bid_.prefix + hex(place_.lease);
  pb::TxnRequest txn;
  compare_created(txn, place_.key, 0);
  pb::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(place_.key);
  put->set_value(bid_.value);
  put->set_lease(place_.lease);
  txn.add_failure()->mutable_request_range()->set_key(place_.key);
  txn_as_caller(context_, call_, txn, [self = shared_from_this()](absl::StatusOr<TxnAnswer> a) {
    self->entered(std::move(a));
  });
}

void Contender::entered(absl::StatusOr<TxnAnswer> answer) {
  if (!answer.ok()) return failed(answer.status());
  place_.entered = place_.created = answer->revision;
  fresh_ = answer->response.succeeded();
  bool proclaims = false;
  if (!fresh_) {
    const mvccpb::KeyValue& there = answer->response.responses(0).response_range().kvs(0);
    place_.created = there.create_revision();
    proclaims = bid_.proclaims && there.value() != bid_.value;
  }
  placed_ = true;
  // Nobody is there any more to hear of it. A key that was there before may be what its session
  // holds the lock by.
  if (gone_) return fresh_ || granted_ ? leave() : void();
  if (proclaims) return proclaim();
  look();
}

void Contender::proclaim() {
  pb::TxnRequest txn;
  compare_created(txn, place_.key, place_.created);
  pb::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(place_.key);
  put->set_value(bid_.value);
  put->set_lease(place_.lease);
  txn_as_caller(context_, call_, txn, [self = shared_from_this()](absl::StatusOr<TxnAnswer> a) {
    if (!a.ok()) {
      self->leave();
      return self->failed(a.status());
    }
    if (!a->response.succeeded()) return self->failed(self->bid_.lost);
    self->look();
  });
}

// What this member has is enough: it is not older than our own entry, and no key gets older.
void Contender::look() {
  if (call_->over()) return;
  CallerRange range = below(bid_.prefix);
  range.options.limit = 1;
  range.options.keys_only = true;
  range.options.sort_order = mvcc::SortOrder::kDescend;
  range.options.sort_target = mvcc::SortTarget::kCreate;
  range.options.max_create_revision = place_.created - 1;
  range_as_caller(context_, call_, std::move(range),
                  [self = shared_from_this()](absl::StatusOr<mvcc::RangeResult> r) {
                    self->looked(std::move(r));
                  });
}

void Contender::looked(absl::StatusOr<mvcc::RangeResult> found) {
  if (!found.ok()) return failed(found.status());
  if (!found->kvs.empty()) {
    mvcc::KeyValueView before;
    CHECK(mvcc::decode_key_value(found->kvs[0], &before));
    return await(before.key, found->revision);
  }
  if (waited_) return confirm();
  won(place_.entered);
}

void Contender::await(std::string_view key, int64_t revision) {
  if (call_->over()) return;
  waited_ = true;
  watch_ = context_.lane(*call_).deletions->wait(key, revision,
                                                 [self = shared_from_this()](absl::Status status) {
                                                   self->watch_ = 0;
                                                   if (status == errors::Stopped())
                                                     return self->call_->fail(std::move(status));
                                                   if (!status.ok())
                                                     return self->failed(std::move(status));
                                                   self->look();
                                                 });
}

void Contender::confirm() {
  CallerRange own{.key = place_.key, .linearizable = true};
  own.options.keys_only = true;
  range_as_caller(context_, call_, std::move(own),
                  [self = shared_from_this()](absl::StatusOr<mvcc::RangeResult> found) {
                    if (!found.ok()) return self->failed(found.status());
                    mvcc::KeyValueView own;
                    if (found->kvs.empty()) return self->failed(self->bid_.lost);
                    CHECK(mvcc::decode_key_value(found->kvs[0], &own));
                    if (own.create_revision != self->place_.created) {
                      return self->failed(self->bid_.lost);
                    }
                    self->won(found->revision);
                  });
}

void Contender::won(int64_t revision) {
  if (call_->over()) return;
  place_.won = revision;
  CHECK(place_.won >= place_.entered);
  done_(place_);
}

void Contender::failed(absl::Status status) {
  // Nobody else knows of a lease that was granted here.
  const bool leaves = bid_.leaves_on_error && placed_ && !gone_ && status != bid_.lost;
  if (granted_ || leaves) leave();
  if (!call_->over()) done_(std::move(status));
}

void Contender::cancelled() {
  gone_ = true;
  if (watch_ != 0) context_.lane(*call_).deletions->forget(std::exchange(watch_, 0));
  if (placed_ && (fresh_ || waited_)) leave();
}

void Contender::leave() {
  std::string request;
  auto kind = wire::InternalKind::kTxn;
  if (granted_) {
    kind = wire::InternalKind::kLeaseRevoke;
    pb::LeaseRevokeRequest revoke;
    revoke.set_id(place_.lease);
    request = revoke.SerializeAsString();
  } else {
    pb::TxnRequest txn;
    compare_created(txn, place_.key, place_.created);
    txn.add_success()->mutable_request_delete_range()->set_key(place_.key);
    request = txn.SerializeAsString();
  }
  placed_ = granted_ = false;
  std::make_shared<Departure>(context_, call_, from_, user_, kind, std::move(request))->attempt();
}

}  // namespace keelson::rpc
