// Requests in protobuf text form and the first error each meets; the texts are etcd's.

#include "rpc/checks.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "apply/decode.h"
#include "apply/nested_txn.h"
#include "base/errors.h"
#include "base/stack_meter.h"
#include "base/text.h"
#include "base/thread.h"

namespace keelson::rpc {
namespace {

constexpr int64_t kMaxOps = 128;

template <typename Request>
Request parse(const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

struct Case {
  const char* request;
  const char* error;  // "" for a sound one
};

std::string txn_error(const std::string& text, int64_t max_ops = kMaxOps) {
  return std::string(message_of(check(parse<etcdserverpb::TxnRequest>(text), max_ops)));
}

constexpr char kDuplicate[] = "etcdserver: duplicate key given in txn request";

TEST(Checks, Txn) {
  const Case cases[] = {
      {"", ""},
      {"success { request_put { key: 'a' } }", ""},
      {"success { }", "etcdserver: key not found"},
      {"compare { target: MOD }", "etcdserver: key is not provided"},
      {"failure { request_range { } }", "etcdserver: key is not provided"},
      {"success { request_put { key: 'a' } } success { request_put { key: 'a' } }", kDuplicate},
      {"success { request_put { key: 'a' } } failure { request_put { key: 'a' } }", ""},
      {"success { request_put { key: 'b' } } "
       "success { request_delete_range { key: 'a' range_end: 'c' } }",
       kDuplicate},
      {"success { request_put { key: 'c' } } "
       "success { request_delete_range { key: 'a' range_end: 'c' } }",
       ""},
      // Two deletes may overlap: the second finds nothing left.
      {"success { request_delete_range { key: 'a' } } "
       "success { request_delete_range { key: 'a' range_end: 'c' } }",
       ""},
      // The branches of a nested transaction exclude each other …
      {"success { request_txn { success { request_put { key: 'a' } } "
       "failure { request_put { key: 'a' } } } }",
       ""},
      // … but not what stands beside it.
      {"success { request_put { key: 'a' } } "
       "success { request_txn { failure { request_put { key: 'a' } } } }",
       kDuplicate},
      {"success { request_delete_range { key: 'a' } } "
       "success { request_txn { failure { request_put { key: 'a' } } } }",
       kDuplicate},
      // An end below the begin covers nothing, as etcd has it: not even the begin.
      {"success { request_put { key: 'b' } } "
       "success { request_delete_range { key: 'b' range_end: '\\000' } }",
       ""},
      {"success { request_put { key: 'b' } } "
       "success { request_delete_range { key: 'a' range_end: '\\000' } }",
       ""},
  };
  for (const Case& c : cases) EXPECT_EQ(txn_error(c.request), c.error) << c.request;
}

TEST(Checks, TxnOpsCountDownThroughTheLevels) {
  std::string nested = "success { request_txn { success { request_put { key: 'a' } } } }";
  EXPECT_EQ(txn_error(nested, 2), "");
  EXPECT_EQ(txn_error(nested, 1), "etcdserver: too many operations in txn request");
}

// Keys far down are not gone over again for every level around them.
TEST(Checks, ManyKeysFarDown) {
  constexpr int kLevels = 3000, kKeys = 6000, kMost = 2 * kLevels + kKeys + 1;
  etcdserverpb::TxnRequest outermost;
  etcdserverpb::TxnRequest* level = &outermost;
  for (int i = 0; i < kLevels; ++i) {
    auto* range = level->add_success()->mutable_request_delete_range();
    range->set_key(cat("d", i));
    range->set_range_end(cat("d", i, "x"));
    level = level->add_success()->mutable_request_txn();
  }
  for (int i = 0; i < kKeys; ++i) level->add_success()->mutable_request_put()->set_key(cat("k", i));
  EXPECT_TRUE(check(outermost, kMost).ok());
  outermost.add_success()->mutable_request_put()->set_key(cat("k", kKeys - 1));
  EXPECT_EQ(check(outermost, kMost), errors::DuplicateKey());
  outermost.mutable_success()->RemoveLast();
  level->add_success()->mutable_request_put()->set_key("d0w");
  EXPECT_EQ(check(outermost, kMost), errors::DuplicateKey());
}

// Levels side by side, each of which may have all that is left, multiply what a flat transaction
// may ask for; of what few bytes make large, all levels together get no more than that one.
TEST(Checks, NestingDoesNotMultiplyWhatIsLarge) {
  constexpr int64_t kMost = 40;
  struct Kind {
    const char* inner;
    int64_t most;  // of `inner`
  };
  const Kind kinds[] = {
      {"compare { key: 'a' range_end: 'b' }", kMost},
      {"success { request_range { key: 'a' range_end: 'b' } }", 2 * kMost},
      {"failure { request_delete_range { key: 'a' range_end: 'b' } }", 2 * kMost},
      {"success { request_put { key: 'K' ignore_value: true } }", 2 * kMost},
      {"compare { key: 'a' }", INT64_MAX},
      {"success { request_range { key: 'a' } }", INT64_MAX},
      {"success { request_put { key: 'K' value: 'v' } }", INT64_MAX},
  };
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(kind.inner);
    for (const int64_t wanted : {kMost, 2 * kMost, 2 * kMost + 1, 5 * kMost}) {
      etcdserverpb::TxnRequest txn;
      for (int64_t made = 0; made < wanted;) {
        etcdserverpb::TxnRequest* inner = txn.add_success()->mutable_request_txn();
        for (int64_t i = 0; i < 10 && made < wanted; ++i, ++made) {
          std::string text = kind.inner;
          if (size_t at = text.find('K'); at != std::string::npos) text.replace(at, 1, cat(made));
          inner->MergeFrom(parse<etcdserverpb::TxnRequest>(text));
        }
      }
      ASSERT_LE(txn.success_size(), kMost);
      EXPECT_EQ(check(txn, kMost), wanted <= kind.most ? absl::OkStatus() : errors::TooManyOps())
          << wanted;
    }
  }
}

// Twice the least stack that the deepest needs, by what one level takes more than another.
TEST(Checks, TheDeepestTxnLeavesHalfOfTheStack) {
  auto used = [](int levels) {
    return stack_used_by([levels] {
      etcdserverpb::TxnRequest txn;
      ASSERT_TRUE(apply::decode(apply::nested_txn(levels), &txn).ok());
      EXPECT_TRUE(check(txn, levels + 1).ok());
      EXPECT_EQ(check(txn, levels), errors::TooManyOps());
      EXPECT_FALSE(is_read_only(txn));
    });
  };
  size_t few = used(100), per_level = (used(1100) - few) / 1000;
  size_t deepest = few + per_level * apply::kMostNested / 2;
  std::printf("%zu bytes a level, %zu KB for the deepest\n", per_level, deepest / 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(deepest, kRequestStack / 2);
#endif
}

TEST(Checks, Put) {
  const Case cases[] = {
      {"key: 'a' value: 'v'", ""},
      {"value: 'v'", "etcdserver: key is not provided"},
      {"key: 'a' value: 'v' ignore_value: true", "etcdserver: value is provided"},
      {"key: 'a' lease: 7 ignore_lease: true", "etcdserver: lease is provided"},
  };
  for (const Case& c : cases) {
    auto request = parse<etcdserverpb::PutRequest>(c.request);
    EXPECT_EQ(message_of(check(apply::put_of(request))), c.error) << c.request;
  }
}

TEST(Checks, Range) {
  const Case cases[] = {
      {"key: 'a'", ""},
      {"range_end: 'b'", "etcdserver: key is not provided"},
      {"key: 'a' sort_order: 7", "etcdserver: invalid sort option"},
  };
  for (const Case& c : cases) {
    etcdserverpb::RangeRequest request;
    if (std::string_view(c.request).find("sort_order") != std::string_view::npos) {
      request.set_key("a");
      request.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(7));
    } else {
      request = parse<etcdserverpb::RangeRequest>(c.request);
    }
    EXPECT_EQ(message_of(check(request)), c.error) << c.request;
  }
}

}  // namespace
}  // namespace keelson::rpc
