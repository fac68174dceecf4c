#include "proxy/guarded_form.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/errors.h"
#include "ctl/keys.h"
#include "proxy/messages.h"

namespace keelson::proxy {

namespace api = etcdserverpb;

namespace {

// A server's --max-txn-ops, as it has it by default.
constexpr int kMostOperations = 128;
constexpr size_t kMostValues = 16;

using Operations = google::protobuf::RepeatedPtrField<api::RequestOp>;

int operations_of(const api::TxnRequest& txn);

// Of the deepest inside.
int operations_inside(const Operations& operations) {
  int most = 0;
  for (const api::RequestOp& op : operations) {
    if (op.has_request_txn()) most = std::max(most, operations_of(op.request_txn()));
  }
  return most;
}

int operations_of(const api::TxnRequest& txn) {
  const int own = std::max({txn.compare_size(), txn.success_size(), txn.failure_size()});
  return own + std::max(operations_inside(txn.success()), operations_inside(txn.failure()));
}

void collect(const Operations& operations, std::vector<KeySpan>* spans) {
  for (const api::RequestOp& op : operations) {
    if (op.has_request_put()) spans->push_back({op.request_put().key(), ""});
    if (op.has_request_delete_range()) {
      spans->push_back({op.request_delete_range().key(), op.request_delete_range().range_end()});
    }
    if (!op.has_request_txn()) continue;
    collect(op.request_txn().success(), spans);
    collect(op.request_txn().failure(), spans);
  }
}

const std::string& later_end(const std::string& a, const std::string& b) {
  if (a == ctl::zero_byte()) return a;
  return b == ctl::zero_byte() ? b : std::max(a, b);
}

std::string end_of(const KeySpan& span) {
  return span.is_one() ? span.begin + ctl::zero_byte() : span.end;
}

// The same keys, in order, each once.
void unite(std::vector<KeySpan>* spans) {
  const auto order = [](const KeySpan& span) { return std::tie(span.begin, span.end); };
  std::sort(spans->begin(), spans->end(),
            [&](const KeySpan& a, const KeySpan& b) { return order(a) < order(b); });
  std::vector<KeySpan> united;
  for (KeySpan& span : *spans) {
    if (united.empty() || !united.back().contains(span.begin)) {
      united.push_back(std::move(span));
    } else if (!span.is_one()) {
      KeySpan& last = united.back();
      last.end = last.is_one() ? span.end : later_end(last.end, span.end);
    }
  }
  *spans = std::move(united);
}

size_t count(const api::TxnRequest& txn) {
  size_t all = static_cast<size_t>(txn.compare_size()) + static_cast<size_t>(txn.success_size()) +
               static_cast<size_t>(txn.failure_size());
  for (const auto* operations : {&txn.success(), &txn.failure()}) {
    for (const api::RequestOp& op : *operations) {
      if (op.has_request_txn()) all += count(op.request_txn());
    }
  }
  return all;
}

}  // namespace

absl::Status check_size(const api::TxnRequest& request, size_t most) {
  return count(request) > most ? errors::TooManyOps() : absl::OkStatus();
}

GuardedForm::GuardedForm(const LeasingKeys& keys, api::PutRequest request)
    : kind_(Kind::kPut), room_(kMostOperations) {
  *txn_.add_success()->mutable_request_put() = std::move(request);
  find_spans(keys);
}

GuardedForm::GuardedForm(const LeasingKeys& keys, api::DeleteRangeRequest request)
    : kind_(Kind::kDelete), room_(kMostOperations) {
  *txn_.add_success()->mutable_request_delete_range() = std::move(request);
  find_spans(keys);
}

GuardedForm::GuardedForm(const LeasingKeys& keys, api::TxnRequest request)
    : txn_(std::move(request)) {
  const bool flat = txn_.compare_size() == 0 && txn_.failure_size() == 0;
  kind_ = flat ? Kind::kFlat : Kind::kNested;
  const int inside = flat ? operations_inside(txn_.success()) : operations_of(txn_);
  // Where there is none the server says so, or has been told to take more.
  room_ = static_cast<size_t>(std::max(1, kMostOperations - inside));
  find_spans(keys);
}

void GuardedForm::find_spans(const LeasingKeys& keys) {
  collect(txn_.success(), &spans_);
  collect(txn_.failure(), &spans_);
  std::erase_if(spans_, [](const KeySpan& span) {
    return !span.is_one() && span.end != ctl::zero_byte() && span.end <= span.begin;
  });
  unite(&spans_);
  add_overwritten(keys);
  merge_spans(room_);
}

void GuardedForm::add_overwritten(const LeasingKeys& keys) {
  const KeySpan all = keys.all();
  for (const KeySpan& span : spans_) {
    if (!span.overlaps(all)) continue;
    if (span.is_one()) {
      if (span.begin != all.begin) overwritten_.push_back({*keys.key_of(span.begin), ""});
      continue;
    }
    const bool to_the_end = later_end(span.end, all.end) == span.end;
    overwritten_.push_back({span.begin <= all.begin ? "" : *keys.key_of(span.begin),
                            to_the_end ? ctl::zero_byte() : *keys.key_of(span.end)});
  }
  // The prefix itself is nobody's leasing key.
  std::erase_if(overwritten_,
                [](const KeySpan& span) { return span.end.empty() && span.begin.empty(); });
  unite(&overwritten_);
  spans_.insert(spans_.end(), overwritten_.begin(), overwritten_.end());
  unite(&spans_);
}

void GuardedForm::merge_spans(size_t most) {
  if (spans_.size() <= most) return;
  const size_t each = (spans_.size() + most - 1) / most;
  std::vector<KeySpan> merged;
  for (size_t i = 0; i < spans_.size(); i += each) {
    const size_t last = std::min(i + each, spans_.size()) - 1;
    merged.push_back({spans_[i].begin, end_of(spans_[last])});
  }
  spans_ = std::move(merged);
  CHECK(spans_.size() <= most);
}

size_t GuardedForm::own_operations() const {
  return kind_ == Kind::kNested ? 1 : static_cast<size_t>(txn_.success_size());
}

size_t GuardedForm::most_values() const {
  const size_t own = own_operations();
  return spans_.empty() || own >= room_ ? 0 : std::min(kMostValues, room_ - own);
}

api::TxnRequest GuardedForm::request(const LeasingKeys& keys, const std::vector<int64_t>& up_to,
                                     const std::vector<std::string>& values) const {
  if (spans_.empty()) return txn_;
  CHECK(up_to.size() == spans_.size());
  api::TxnRequest request;
  for (size_t i = 0; i < spans_.size(); ++i) {
    const KeySpan leasing = keys.of(spans_[i]);
    *request.add_compare() = created_up_to(leasing, up_to[i]);
    api::RangeRequest& named = *request.add_failure()->mutable_request_range();
    named.set_key(leasing.begin);
    named.set_range_end(leasing.end);
    named.set_limit(kMostNamed);
  }
  if (kind_ == Kind::kNested) {
    *request.add_success()->mutable_request_txn() = txn_;
  } else {
    *request.mutable_success() = txn_.success();
  }
  for (const std::string& key : values) {
    request.add_success()->mutable_request_range()->set_key(key);
  }
  return request;
}

bool GuardedForm::refused(const api::TxnResponse& response) const {
  return !spans_.empty() && !response.succeeded();
}

absl::StatusOr<Parts> GuardedForm::answer(api::TxnResponse response) const {
  const absl::Status unreadable = absl::InternalError("the cluster's answer cannot be read");
  if (spans_.empty() && kind_ != Kind::kDelete) return encoded(response);
  const auto own = static_cast<int>(own_operations());
  if (response.responses_size() < own) return unreadable;
  if (kind_ == Kind::kFlat) {
    response.mutable_responses()->DeleteSubrange(own, response.responses_size() - own);
    return encoded(response);
  }
  api::ResponseOp& op = *response.mutable_responses(0);
  const auto of_client = [&](auto* message) {
    *message->mutable_header() = response.header();
    return encoded(*message);
  };
  if (kind_ == Kind::kPut && op.has_response_put()) return of_client(op.mutable_response_put());
  if (kind_ == Kind::kDelete && op.has_response_delete_range()) {
    return of_client(op.mutable_response_delete_range());
  }
  if (kind_ == Kind::kNested && op.has_response_txn()) return of_client(op.mutable_response_txn());
  return unreadable;
}

std::vector<GuardedForm::Value> GuardedForm::values_in(
    const api::TxnResponse& response, const std::vector<std::string>& values) const {
  std::vector<Value> found;
  const size_t own = own_operations();
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<int>(own + i);
    if (at >= response.responses_size() || !response.responses(at).has_response_range()) break;
    const api::RangeResponse& read = response.responses(at).response_range();
    found.emplace_back(values[i], read.kvs_size() > 0 ? std::optional(read.kvs(0)) : std::nullopt);
  }
  return found;
}

}  // namespace keelson::proxy
