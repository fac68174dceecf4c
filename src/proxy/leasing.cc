#include "proxy/leasing.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "proxy/own_stream.h"

namespace keelson::proxy {

namespace api = etcdserverpb;

namespace {

constexpr char kTxn[] = "/etcdserverpb.KV/Txn";
constexpr Duration kPause = std::chrono::seconds(1);

}  // namespace

Leasing::Leasing(const Deps& deps, std::string prefix, const Holdings::Limits& limits)
    : deps_(deps),
      keys_(std::move(prefix)),
      holdings_(limits, deps.clock),
      session_(std::make_shared<LeasingSession>(
          LeasingSession::Deps{deps.client, deps.lane, deps.clock, deps.watches, deps.metrics,
                               deps.prefix, keys_},
          static_cast<LeasingSession::Owner&>(*this))) {}
Leasing::~Leasing() = default;

void Leasing::start() { session_->start(); }
void Leasing::stop() { session_->stop(); }

template <typename Done>
void Leasing::ask(api::TxnRequest request, Done done) {
  if (!deps_.prefix.empty()) deps_.prefix.add_to(&request).IgnoreError();  // there are keys
  ask_for_self<api::TxnResponse>(
      deps_.client, deps_.lane, deps_.clock, kTxn, request,
      [this, done = std::move(done)](absl::StatusOr<api::TxnResponse> response) mutable {
        if (response.ok() && !deps_.prefix.empty()) deps_.prefix.take_from(&*response);
        if (response.ok() && response->header().revision() > header_.revision()) {
          header_ = response->header();
        }
        done(std::move(response));
      });
}

// ---- reading

std::string Leasing::header_at(int64_t newest) const {
  api::ResponseHeader header = header_;
  header.set_revision(std::max(newest, header_.revision()));
  return header.SerializeAsString();
}

std::optional<Parts> Leasing::find(const api::RangeRequest& request, int64_t newest) {
  if (!is_plain_read(request) || !session_->sure()) return std::nullopt;
  const KnownKey* known = holdings_.find(request.key());
  if (!known) return std::nullopt;
  deps_.metrics.leasing_hits.add();
  return answer_read(request, header_at(newest), *known);
}

std::optional<Parts> Leasing::find(const api::TxnRequest& request, int64_t newest) {
  if (!session_->sure()) return std::nullopt;
  std::optional<api::TxnResponse> response =
      answer_txn(request, std::max(newest, header_.revision()),
                 [this](const std::string& key) { return holdings_.find(key); });
  if (!response) return std::nullopt;
  deps_.metrics.leasing_hits.add();
  if (!response->mutable_header()->ParseFromString(header_at(newest))) return std::nullopt;
  return encoded(*response);
}

bool Leasing::acquire(const api::RangeRequest& request, Read done) {
  if (!is_plain_read(request) || request.serializable() || !session_->sure()) return false;
  const bool may = holdings_.begin_acquiring(request.key());
  give_up_next();  // to make room
  if (!may) return false;
  const int64_t lease = session_->lease();
  ask(keys_.acquire(request.key(), lease),
      [this, request, lease, done = std::move(done)](auto response) mutable {
        acquired(request, lease, std::move(response), std::move(done));
      });
  return true;
}

void Leasing::acquired(const api::RangeRequest& request, int64_t lease,
                       absl::StatusOr<api::TxnResponse> response, Read done) {
  const std::optional<Acquired> acquired =
      response.ok() ? read_acquired(*response, lease) : std::nullopt;
  if (lease == session_->lease()) {
    holdings_.end_acquiring(request.key(), acquired);
    give_up_next();
    if (absl::IsNotFound(response.status())) session_->begin_anew();  // the lease is
  }
  if (!acquired) return done(std::nullopt);
  const KnownKey read =
      acquired->value ? Bytes::copy(acquired->value->SerializeAsString()) : KnownKey();
  done(answer_read(request, response->header().SerializeAsString(), read));
}

// ---- writing

void Leasing::write(std::shared_ptr<LeasedCall> call, GuardedForm form, GuardedWrite::Done done) {
  std::make_shared<GuardedWrite>(
      GuardedWrite::Deps{deps_.lane, keys_, deps_.prefix, holdings_, *this}, std::move(call),
      std::move(form), std::move(done))
      ->start();
}

void Leasing::wait_for(const std::string& key, const std::shared_ptr<GuardedWrite>& write) {
  waiting_.emplace(std::pair(key, write.get()), write);
}

void Leasing::wait_no_more(const std::string& key, const GuardedWrite* write) {
  waiting_.erase({key, write});
}

// ---- giving up

void Leasing::give_up_next() {
  while (giving_ < kMostGiving) {
    const std::optional<Holdings::ToGive> next = holdings_.next_to_give();
    if (!next) break;
    ++giving_;
    ask(keys_.release(next->key, next->before),
        [this, next = *next, lease = session_->lease()](const auto& response) {
          gave_up(next, lease, response);
        });
  }
  show();
}

void Leasing::gave_up(const Holdings::ToGive& given, int64_t lease,
                      const absl::StatusOr<api::TxnResponse>& response) {
  CHECK(giving_ > 0);
  --giving_;
  if (lease != session_->lease()) return give_up_next();
  if (response.ok()) {
    holdings_.given(given.key);
    return give_up_next();
  }
  log::warn("failed to give up a leasing key", {{"error", message_of(response.status())}});
  deps_.lane.post_after(kPause, [this, key = given.key, lease] {
    if (lease != session_->lease()) return;
    holdings_.try_again(key);
    give_up_next();
  });
  give_up_next();
}

// ---- what happens to leasing keys

void Leasing::happened(const mvccpb::Event& event) {
  const std::optional<std::string> key = keys_.key_of(event.kv().key());
  if (!key) return;
  const int64_t revision = event.kv().mod_revision();
  const bool gone = event.type() == mvccpb::Event::DELETE;
  const bool ours = !gone && event.kv().lease() == session_->lease();
  if (!ours) {
    holdings_.lost(*key, revision);
  } else if (event.kv().value() == LeasingKeys::kRevoke && !holdings_.revoked(*key, revision)) {
    return session_->begin_anew();
  }
  if (gone) {
    std::vector<std::shared_ptr<GuardedWrite>> told;
    for (auto place = waiting_.lower_bound({*key, nullptr});
         place != waiting_.end() && place->first.first == *key; ++place) {
      if (auto write = place->second.lock()) told.push_back(std::move(write));
    }
    for (const auto& write : told) write->gone(*key);
  }
  give_up_next();
}

void Leasing::ended() {
  holdings_.clear();
  show();
}

}  // namespace keelson::proxy
