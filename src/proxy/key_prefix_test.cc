#include "proxy/key_prefix.h"

#include <gtest/gtest.h>

#include "base/errors.h"

namespace keelson::proxy {
namespace {

namespace pb = etcdserverpb;
const std::string kAll(1, '\0');

std::pair<std::string, std::string> interval(const std::string& prefix, const std::string& key,
                                             const std::string& end) {
  pb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(end);
  EXPECT_TRUE(KeyPrefix(prefix).add_to(&request).ok());
  return {request.key(), request.range_end()};
}
using Interval = std::pair<std::string, std::string>;

TEST(KeyPrefix, StandsBeforeBothEnds) {
  EXPECT_EQ(interval("ns/", "a", ""), Interval("ns/a", ""));
  EXPECT_EQ(interval("ns/", "a", "b"), Interval("ns/a", "ns/b"));
  EXPECT_EQ(interval("ns/", "a", kAll), Interval("ns/a", "ns0"));
  EXPECT_EQ(interval("n\xff", "a", kAll), Interval("n\xff"
                                                   "a",
                                                   "o"));
  EXPECT_EQ(interval("\xff\xff", "a", kAll), Interval("\xff\xff"
                                                      "a",
                                                      kAll));
  EXPECT_EQ(interval("ns/", kAll, kAll), Interval("ns/" + kAll, "ns0"));
}

TEST(KeyPrefix, WantsAKey) {
  pb::RangeRequest range;
  pb::PutRequest put;
  pb::DeleteRangeRequest remove;
  const KeyPrefix prefix("ns/");
  EXPECT_EQ(prefix.add_to(&range), errors::EmptyKey());
  EXPECT_EQ(prefix.add_to(&put), errors::EmptyKey());
  EXPECT_EQ(prefix.add_to(&remove), errors::EmptyKey());
  pb::TxnRequest txn;
  txn.add_success()->mutable_request_txn()->add_failure()->mutable_request_put()->set_value("v");
  EXPECT_EQ(prefix.add_to(&txn), errors::EmptyKey());
}

TEST(KeyPrefix, GoesDownIntoTransactions) {
  pb::TxnRequest txn;
  txn.add_compare()->set_key("c");
  txn.mutable_compare(0)->set_range_end(kAll);
  pb::TxnRequest& inner = *txn.add_failure()->mutable_request_txn();
  inner.add_success()->mutable_request_put()->set_key("p");
  inner.add_success()->mutable_request_delete_range()->set_key("d");
  ASSERT_TRUE(KeyPrefix("ns/").add_to(&txn).ok());
  EXPECT_EQ(txn.compare(0).key(), "ns/c");
  EXPECT_EQ(txn.compare(0).range_end(), "ns0");
  EXPECT_EQ(txn.failure(0).request_txn().success(0).request_put().key(), "ns/p");
  EXPECT_EQ(txn.failure(0).request_txn().success(1).request_delete_range().key(), "ns/d");

  pb::TxnResponse response;
  pb::TxnResponse& within = *response.add_responses()->mutable_response_txn();
  within.add_responses()->mutable_response_put()->mutable_prev_kv()->set_key("ns/p");
  within.add_responses()->mutable_response_range()->add_kvs()->set_key("ns/r");
  within.add_responses()->mutable_response_delete_range()->add_prev_kvs()->set_key("ns/d");
  KeyPrefix("ns/").take_from(&response);
  EXPECT_EQ(within.responses(0).response_put().prev_kv().key(), "p");
  EXPECT_EQ(within.responses(1).response_range().kvs(0).key(), "r");
  EXPECT_EQ(within.responses(2).response_delete_range().prev_kvs(0).key(), "d");
}

TEST(KeyPrefix, ShowsNobodyElsesKeys) {
  pb::LeaseTimeToLiveResponse response;
  for (const char* key : {"ns/a", "elsewhere", "ns", "ns/b"}) response.add_keys(key);
  KeyPrefix("ns/").take_from(&response);
  ASSERT_EQ(response.keys_size(), 2);
  EXPECT_EQ(response.keys(0), "a");
  EXPECT_EQ(response.keys(1), "b");
}

TEST(KeyPrefix, WatchesWithinTheNamespace) {
  const auto watched = [](const std::string& key, const std::string& end) {
    pb::WatchCreateRequest request;
    request.set_key(key);
    request.set_range_end(end);
    KeyPrefix("ns/").add_to(&request);
    return Interval(request.key(), request.range_end());
  };
  EXPECT_EQ(watched("a", ""), Interval("ns/a", ""));
  EXPECT_EQ(watched(kAll, kAll), Interval("ns/" + kAll, "ns0"));
  EXPECT_EQ(watched("", kAll), Interval("ns/" + kAll, "ns0"));
  EXPECT_EQ(watched("", ""), Interval("ns/" + kAll, ""));
}

}  // namespace
}  // namespace keelson::proxy
