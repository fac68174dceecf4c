#include "proxy/leasing_answers.h"

#include <algorithm>
#include <string_view>

#include "base/protobuf.h"

namespace keelson::proxy {

namespace api = etcdserverpb;

namespace {

// Of RangeResponse.
enum : uint32_t { kHeader = 1, kKvs = 2, kCount = 4 };
// As servers have it by default, of a transaction with those inside: whoever has more is answered
// by one.
constexpr int kMostOperations = 128;
// What an operation costs besides the key that it looks at.
constexpr size_t kOperationBytes = 128;

mvccpb::KeyValue parsed(const KnownKey& known) {
  mvccpb::KeyValue kv;
  kv.ParseFromArray(known.data(), static_cast<int>(known.size()));
  return kv;
}

// The zero KeyValue stands for a key that is not there, as it does in servers.
int compared(const api::Compare& compare, const mvccpb::KeyValue& kv) {
  const auto order = [](const auto& a, const auto& b) { return a < b ? -1 : a > b ? 1 : 0; };
  switch (compare.target()) {
    case api::Compare::VALUE:
      return order(kv.value(), compare.value());
    case api::Compare::CREATE:
      return order(kv.create_revision(), compare.create_revision());
    case api::Compare::MOD:
      return order(kv.mod_revision(), compare.mod_revision());
    case api::Compare::VERSION:
      return order(kv.version(), compare.version());
    case api::Compare::LEASE:
      return order(kv.lease(), compare.lease());
    default:
      return 0;
  }
}

bool holds(const api::Compare& compare, const KnownKey& known) {
  if (known.empty() && compare.target() == api::Compare::VALUE) return false;
  const int order = compared(compare, parsed(known));
  switch (compare.result()) {
    case api::Compare::EQUAL:
      return order == 0;
    case api::Compare::NOT_EQUAL:
      return order != 0;
    case api::Compare::GREATER:
      return order > 0;
    case api::Compare::LESS:
      return order < 0;
    default:
      return true;
  }
}

int operations_of(const api::TxnRequest& request) {
  return std::max({request.compare_size(), request.success_size(), request.failure_size()});
}

class Evaluation {
 public:
  Evaluation(int64_t revision, const FindKey& find, size_t most_bytes)
      : revision_(revision), find_(find), bytes_left_(most_bytes) {}

  // `most`: operations that there may be.
  bool txn(const api::TxnRequest& request, int most, api::TxnResponse* response) {
    const int left = most - operations_of(request);
    if (left < 0) return false;
    // All must be known, also behind the first that does not hold, which a server looks at, too: it
    // refuses what has no key.
    bool all_hold = true;
    for (const api::Compare& compare : request.compare()) {
      const KnownKey* known = compare.range_end().empty() ? look_at(compare.key()) : nullptr;
      if (!known) return false;
      all_hold = all_hold && holds(compare, *known);
    }
    response->mutable_header();
    response->set_succeeded(all_hold);
    if (!only_reads(all_hold ? request.failure() : request.success(), left)) return false;
    for (const api::RequestOp& op : all_hold ? request.success() : request.failure()) {
      if (!operation(op, left, response->add_responses())) return false;
    }
    return true;
  }

 private:
  using Operations = google::protobuf::RepeatedPtrField<api::RequestOp>;

  // What is not done must be such as a server takes, too.
  static bool only_reads(const Operations& operations, int most) {
    return std::all_of(operations.begin(), operations.end(), [&](const api::RequestOp& op) {
      if (op.has_request_range()) return is_plain_read(op.request_range());
      if (!op.has_request_txn()) return false;
      const api::TxnRequest& inner = op.request_txn();
      const int left = most - operations_of(inner);
      const bool keys = std::all_of(inner.compare().begin(), inner.compare().end(),
                                    [](const auto& compare) { return !compare.key().empty(); });
      return left >= 0 && keys && only_reads(inner.success(), left) &&
             only_reads(inner.failure(), left);
    });
  }

  // Null also if it would be too much.
  const KnownKey* look_at(const std::string& key) {
    const KnownKey* known = find_(key);
    if (!known) return nullptr;
    const size_t cost = kOperationBytes + known->size();
    if (cost > bytes_left_) return nullptr;
    bytes_left_ -= cost;
    return known;
  }

  bool operation(const api::RequestOp& op, int most, api::ResponseOp* response) {
    if (op.has_request_txn()) {
      return txn(op.request_txn(), most, response->mutable_response_txn());
    }
    if (!op.has_request_range() || !is_plain_read(op.request_range())) return false;
    const KnownKey* known = look_at(op.request_range().key());
    if (!known) return false;
    api::ResponseHeader header;
    header.set_revision(revision_);
    const Parts answer = answer_read(op.request_range(), header.SerializeAsString(), *known);
    return response->mutable_response_range()->ParseFromString(answer.flat());
  }

  const int64_t revision_;
  const FindKey& find_;
  size_t bytes_left_;
};

}  // namespace

bool is_plain_read(const api::RangeRequest& request) {
  const bool filtered = request.min_mod_revision() != 0 || request.max_mod_revision() != 0 ||
                        request.min_create_revision() != 0 || request.max_create_revision() != 0;
  return !request.key().empty() && request.range_end().empty() && request.revision() == 0 &&
         request.limit() >= 0 && request.sort_order() == api::RangeRequest::NONE &&
         request.sort_target() == api::RangeRequest::KEY && !filtered;
}

Parts answer_read(const api::RangeRequest& request, std::string_view header,
                  const KnownKey& known) {
  KnownKey kv = known;
  if (request.keys_only() && !known.empty()) {
    mvccpb::KeyValue without = parsed(known);
    without.clear_value();
    kv = Bytes::copy(without.SerializeAsString());
  }
  std::string before, behind;
  pb::append_bytes_field(before, kHeader, header);
  const bool shown = !kv.empty() && !request.count_only();
  if (shown) pb::append_bytes_head(before, kKvs, kv.size());
  Parts answer(Bytes::copy(before));
  if (shown) answer.add_shared(std::move(kv));
  pb::append_varint_field(behind, kCount, known.empty() ? 0 : 1);
  answer.add(Bytes::copy(behind));
  return answer;
}

std::optional<api::TxnResponse> answer_txn(const api::TxnRequest& request, int64_t revision,
                                           const FindKey& find, size_t most_bytes) {
  // Whoever asks for no key wants to know the revision.
  bool asks = false;
  const FindKey noted = [&](const std::string& key) {
    asks = true;
    return find(key);
  };
  api::TxnResponse response;
  const bool answered =
      Evaluation(revision, noted, most_bytes).txn(request, kMostOperations, &response);
  if (!answered || !asks) return std::nullopt;
  return response;
}

}  // namespace keelson::proxy
