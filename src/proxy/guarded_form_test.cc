// What clients write, in the form that leasing has it made in: a server takes it whenever it takes
// the client's, it is guarded in all that it writes, and its answer is the client's.

#include "proxy/guarded_form.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/errors.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "ctl/keys.h"

namespace keelson::proxy {
namespace {

using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

// As a server counts.
bool taken(const TxnRequest& request, int most) {
  const int own =
      std::max({request.compare_size(), request.success_size(), request.failure_size()});
  if (own > most) return false;
  const auto inside = [&](const RequestOp& op) {
    return !op.has_request_txn() || taken(op.request_txn(), most - own);
  };
  return std::all_of(request.success().begin(), request.success().end(), inside) &&
         std::all_of(request.failure().begin(), request.failure().end(), inside);
}

class Any {
 public:
  explicit Any(uint64_t seed) : random_(seed) {}

  TxnRequest txn(int depth) {
    TxnRequest request;
    const uint64_t most = random_.below(3) == 0 ? 130 : 6;
    for (uint64_t i = random_.below(2) * random_.below(most); i > 0; --i) {
      request.add_compare()->set_key(key());
    }
    for (uint64_t i = random_.below(most); i > 0; --i) *request.add_success() = operation(depth);
    for (uint64_t i = random_.below(2) * random_.below(most); i > 0; --i) {
      *request.add_failure() = operation(depth);
    }
    return request;
  }

 private:
  std::string key() {
    return random_.below(50) == 0 ? cat("lp", random_.below(100)) : cat(random_.below(1000));
  }
  RequestOp operation(int depth) {
    RequestOp op;
    const uint64_t what = random_.below(20);
    if (what == 0 && depth < 3) {
      *op.mutable_request_txn() = txn(depth + 1);
    } else if (what < 3) {
      auto& range = *op.mutable_request_delete_range();
      range.set_key(key());
      range.set_range_end(random_.below(4) == 0 ? ctl::zero_byte() : key());
    } else if (what < 6) {
      op.mutable_request_range()->set_key(key());
    } else {
      op.mutable_request_put()->set_key(key());
    }
    return op;
  }

  SeededRandom random_;
};

void collect(const TxnRequest& request, std::vector<KeySpan>* written) {
  for (const auto* operations : {&request.success(), &request.failure()}) {
    for (const RequestOp& op : *operations) {
      if (op.has_request_put()) written->push_back({op.request_put().key(), ""});
      if (op.has_request_txn()) collect(op.request_txn(), written);
      if (!op.has_request_delete_range()) continue;
      written->push_back({op.request_delete_range().key(), op.request_delete_range().range_end()});
    }
  }
}

bool is_empty(const KeySpan& span) {
  return !span.is_one() && span.end != ctl::zero_byte() && span.end <= span.begin;
}

// In order, and no key twice.
void expect_apart(const std::vector<KeySpan>& spans) {
  for (size_t i = 1; i < spans.size(); ++i) {
    EXPECT_LT(spans[i - 1].begin, spans[i].begin);
    EXPECT_FALSE(spans[i - 1].overlaps(spans[i])) << spans[i - 1].begin << " " << spans[i].begin;
  }
}

TEST(GuardedForm, IsTakenWheneverTheClientsIs) {
  const LeasingKeys keys("lp");
  for_each_seed(2000, [&](uint64_t seed) {
    const TxnRequest client = Any(seed).txn(0);
    const GuardedForm form(keys, client);
    const std::vector<int64_t> up_to(form.spans().size(), 7);
    const std::vector<std::string> values(form.most_values(), "v");
    const TxnRequest request = form.request(keys, up_to, values);
    // One operation is what the guard needs, unless there is nothing else in the transaction.
    const bool flat = client.compare_size() == 0 && client.failure_size() == 0;
    EXPECT_TRUE(taken(request, 128) || !taken(client, flat ? 128 : 127));

    std::vector<KeySpan> written;
    collect(client, &written);
    std::erase_if(written, is_empty);
    EXPECT_EQ(written.empty(), form.spans().empty());
    expect_apart(form.spans());
    expect_apart(form.overwritten());
    EXPECT_EQ(request.compare_size(),
              written.empty() ? client.compare_size() : static_cast<int>(form.spans().size()));
    // What is written is within what is guarded, and so are the keys of leasing keys.
    const auto guarded = [&](const KeySpan& span) {
      return std::any_of(form.spans().begin(), form.spans().end(), [&](const KeySpan& guard) {
        const bool ends = guard.end == ctl::zero_byte() || guard.end == span.end ||
                          (span.is_one() ? guard.contains(span.begin)
                                         : span.end != ctl::zero_byte() && span.end <= guard.end);
        return guard.begin <= span.begin && ends;
      });
    };
    for (const KeySpan& span : written) {
      EXPECT_TRUE(guarded(span)) << span.begin << " to " << span.end;
      if (span.is_one() && span.begin.size() > 2 && span.begin.starts_with("lp")) {
        EXPECT_TRUE(guarded({span.begin.substr(2), ""})) << span.begin;
      }
      if (!span.is_one() && span.begin <= "lp" && span.end == ctl::zero_byte()) {
        EXPECT_TRUE(guarded({"", ctl::zero_byte()})) << span.begin;
      }
    }
  });
}

// However often a transaction names them.
TEST(GuardedForm, NamesNothingTwice) {
  TxnRequest request;
  for (int i = 0; i < 1000; ++i) {
    auto& range = *request.add_success()->mutable_request_delete_range();
    range.set_key(cat("lp", i % 10));
    range.set_range_end(ctl::zero_byte());
  }
  request.add_success()->mutable_request_put()->set_key("lp5");
  request.add_success()->mutable_request_put()->set_key("lp");
  const GuardedForm form(LeasingKeys("lp"), request);
  ASSERT_EQ(form.overwritten().size(), 1u);
  EXPECT_EQ(form.overwritten()[0].begin, "0");
  EXPECT_EQ(form.overwritten()[0].end, ctl::zero_byte());
  ASSERT_EQ(form.spans().size(), 1u);
  EXPECT_EQ(form.spans()[0].begin, "0");
}

TEST(GuardedForm, TooManyOperationsAreCountedInAllThatIsInside) {
  TxnRequest request;
  request.add_compare();
  request.add_success()->mutable_request_range();
  auto* inner = request.add_failure()->mutable_request_txn();
  for (int i = 0; i < 3; ++i) inner->add_success()->mutable_request_delete_range();
  inner->add_failure()->mutable_request_txn()->add_compare();
  EXPECT_TRUE(check_size(request, 8).ok());
  EXPECT_EQ(check_size(request, 7), errors::TooManyOps());
  EXPECT_TRUE(check_size(request).ok());
}

TEST(GuardedForm, TheAnswerIsTheClients) {
  const LeasingKeys keys("lp");
  etcdserverpb::TxnResponse response;
  response.mutable_header()->set_revision(9);
  response.mutable_header()->set_member_id(3);
  response.set_succeeded(true);
  response.add_responses()->mutable_response_put()->mutable_header()->set_revision(9);
  auto& value = *response.add_responses()->mutable_response_range()->add_kvs();
  value.set_value("v");
  etcdserverpb::PutRequest put;
  put.set_key("k");
  const GuardedForm form(keys, put);
  EXPECT_FALSE(form.refused(response));
  etcdserverpb::PutResponse answer;
  ASSERT_TRUE(answer.ParseFromString(form.answer(response)->flat()));
  EXPECT_EQ(answer.header().member_id(), 3u);
  const auto values = form.values_in(response, {"k"});
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(values[0].second->value(), "v");
  // What is no answer to it.
  response.mutable_responses(0)->mutable_response_range();
  EXPECT_TRUE(absl::IsInternal(form.answer(response).status()));
  response.clear_responses();
  EXPECT_TRUE(absl::IsInternal(form.answer(response).status()));
  response.set_succeeded(false);
  EXPECT_TRUE(form.refused(response));
}

}  // namespace
}  // namespace keelson::proxy
